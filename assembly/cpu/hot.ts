// Which ops run inside the dispatch loop, and the choice of one for a decoded instruction.

import { Mnemonic as M } from './mnemonics';
import { FROM_IMM, FROM_REG, FROM_RM, MEMORY, SOURCE, SPECIAL } from './op';
import { Form } from './rows';
import { NO_REGISTER } from './state';

/** Codes of the dispatch loop's own cases, dense from 0. Of ALU operations there are six forms, see `aluForm`. */
export enum Hot {
  Resync,
  FallThrough,
  Until,
  Gate,
  Trace,
  Stepped,
  Outside,
  Invalid,
  TooLong,
  Nop,
  MovRR64,
  MovRR32,
  MovRI,
  Load64,
  Load32,
  LoadBased64,
  LoadBased32,
  Store64,
  Store32,
  StoreBased64,
  StoreBased32,
  Store8,
  StoreI64,
  StoreI32,
  Movzx8R,
  Movzx8M,
  Movzx16R,
  Movzx16M,
  MovsxdR,
  MovsxdM,
  Lea64,
  Lea32,
  AddRR64,
  AddRI64,
  AddRM64,
  AddRR32,
  AddRI32,
  AddRM32,
  OrRR64,
  OrRI64,
  OrRM64,
  OrRR32,
  OrRI32,
  OrRM32,
  AndRR64,
  AndRI64,
  AndRM64,
  AndRR32,
  AndRI32,
  AndRM32,
  SubRR64,
  SubRI64,
  SubRM64,
  SubRR32,
  SubRI32,
  SubRM32,
  XorRR64,
  XorRI64,
  XorRM64,
  XorRR32,
  XorRI32,
  XorRM32,
  CmpRR64,
  CmpRI64,
  CmpRM64,
  CmpRR32,
  CmpRI32,
  CmpRM32,
  TestRR64,
  TestRI64,
  TestRM64,
  TestRR32,
  TestRI32,
  TestRM32,
  CmpMI64,
  CmpMI32,
  CmpMI8,
  TestMI8,
  CmpRI8,
  TestRR8,
  CmpMR64,
  CmpMR32,
  Inc64,
  Inc32,
  Dec64,
  Dec32,
  Neg64,
  Not64,
  ShlI64,
  ShlI32,
  ShrI64,
  ShrI32,
  SarI64,
  SarI32,
  Imul64,
  Imul32,
  ImulI64,
  ImulI32,
  Push,
  PushI,
  PushM,
  Pop,
  Pushf,
  Popf,
  Call,
  CallR,
  CallM,
  Ret,
  RetI,
  Jmp,
  JmpR,
  JmpM,
  JO,
  JnO,
  JC,
  JnC,
  JZ,
  JnZ,
  JBe,
  JnBe,
  JS,
  JnS,
  JP,
  JnP,
  JL,
  JnL,
  JLe,
  JnLe,
  SetR,
  Cmov64,
  Cmov32,
  Leave,
  AddMR64,
  AddMR32,
  AddMI64,
  AddMI32,
}

/** 0 RR64, 1 RI64, 2 RM64, 3 RR32, 4 RI32, 5 RM32; -1 for the others. */
function aluForm(flags: u32): i32 {
  const size = flags & 3;
  if (size < 2) return -1;
  const narrow = size == 2 ? 3 : 0;
  const source = flags & SOURCE;
  if (!(flags & MEMORY)) return narrow + (source == FROM_IMM ? 1 : 0);
  return source == FROM_RM ? narrow + 2 : -1;
}

/** An operand without index and segment. */
function isBased(op: usize): bool {
  return load<u8>(op, 5) == NO_REGISTER && !load<u8>(op, 6);
}

/** Register-to-register forms are kept as dst rm, src reg: turns `reg ← rm` around. */
function normalise(op: usize, flags: u32): u32 {
  if (flags & MEMORY || (flags & SOURCE) != FROM_RM) return flags;
  const reg = load<u8>(op, 2);
  store<u8>(op, load<u8>(op, 3), 2);
  store<u8>(op, reg, 3);
  const turned = (flags & ~SOURCE) | FROM_REG;
  store<u8>(op, <u8>turned, 7);
  return turned;
}

function aluBase(mnemonic: u32): i32 {
  switch (mnemonic) {
    case M.Add:
      return Hot.AddRR64;
    case M.Or:
      return Hot.OrRR64;
    case M.And:
      return Hot.AndRR64;
    case M.Sub:
      return Hot.SubRR64;
    case M.Xor:
      return Hot.XorRR64;
    case M.Cmp:
      return Hot.CmpRR64;
    case M.Test:
      return Hot.TestRR64;
    default:
      return -1;
  }
}

/** Gives the op the code of a case of the dispatch loop where there is one for its form. */
export function specialise(op: usize, mnemonic: u32, form: u32, condition: u32): void {
  let flags = <u32>load<u8>(op, 7);
  const base = aluBase(mnemonic);
  if (base >= 0 || mnemonic == M.Mov) flags = normalise(op, flags);
  const code = base >= 0 ? alu(mnemonic, flags, base) : other(op, mnemonic, form, flags, condition);
  if (code >= 0) store<u16>(op, <u16>code);
}

function alu(mnemonic: u32, flags: u32, base: i32): i32 {
  const n = aluForm(flags);
  if (n >= 0) return base + n;
  const size = flags & 3;
  const isMemory = (flags & MEMORY) != 0;
  const immediate = (flags & SOURCE) == FROM_IMM;
  if (mnemonic == M.Cmp && isMemory) {
    if (immediate) return size == 3 ? Hot.CmpMI64 : size == 2 ? Hot.CmpMI32 : size == 0 ? Hot.CmpMI8 : -1;
    if ((flags & SOURCE) == FROM_REG) return size == 3 ? Hot.CmpMR64 : size == 2 ? Hot.CmpMR32 : -1;
  }
  if (mnemonic == M.Cmp && size == 0 && immediate) return Hot.CmpRI8;
  if (mnemonic == M.Test && size == 0 && isMemory && immediate) return Hot.TestMI8;
  if (mnemonic == M.Test && size == 0 && !isMemory && !immediate) return Hot.TestRR8;
  if (mnemonic == M.Add && isMemory && size > 1) {
    if (immediate) return size == 3 ? Hot.AddMI64 : Hot.AddMI32;
    if ((flags & SOURCE) == FROM_REG) return size == 3 ? Hot.AddMR64 : Hot.AddMR32;
  }
  return -1;
}

function move(op: usize, form: u32, flags: u32): i32 {
  const size = flags & 3;
  if (form == Form.AO || form == Form.OA) return -1;
  const source = flags & SOURCE;
  if (!(flags & MEMORY)) {
    if (size < 2) return -1;
    if (source != FROM_IMM) return size == 3 ? Hot.MovRR64 : Hot.MovRR32;
    if (size == 2) store<u64>(op, load<u32>(op, 16), 16);
    return Hot.MovRI;
  }
  const based = isBased(op);
  if (source == FROM_RM) {
    if (size == 3) return based ? Hot.LoadBased64 : Hot.Load64;
    if (size == 2) return based ? Hot.LoadBased32 : Hot.Load32;
    return -1;
  }
  if (source == FROM_IMM) return size == 3 ? Hot.StoreI64 : size == 2 ? Hot.StoreI32 : -1;
  if (size == 3) return based ? Hot.StoreBased64 : Hot.Store64;
  if (size == 2) return based ? Hot.StoreBased32 : Hot.Store32;
  return size == 0 ? Hot.Store8 : -1;
}

function other(op: usize, mnemonic: u32, form: u32, flags: u32, condition: u32): i32 {
  const size = flags & 3;
  const isMemory = (flags & MEMORY) != 0;
  const wide = size == 3;
  switch (mnemonic) {
    case M.Mov:
      return move(op, form, flags);
    case M.Nop:
    case M.Endbr64:
    case M.Fence:
      return Hot.Nop;
    case M.Movzx:
      if (size < 2) return -1;
      if (form == Form.GE8) return isMemory ? Hot.Movzx8M : Hot.Movzx8R;
      return isMemory ? Hot.Movzx16M : Hot.Movzx16R;
    case M.Movsxd:
      return wide ? (isMemory ? Hot.MovsxdM : Hot.MovsxdR) : -1;
    case M.Lea:
      if (load<u8>(op, 6) & SPECIAL) return -1;
      return wide ? Hot.Lea64 : size == 2 ? Hot.Lea32 : -1;
    case M.Inc:
      return isMemory || size < 2 ? -1 : wide ? Hot.Inc64 : Hot.Inc32;
    case M.Dec:
      return isMemory || size < 2 ? -1 : wide ? Hot.Dec64 : Hot.Dec32;
    case M.Neg:
      return !isMemory && wide ? Hot.Neg64 : -1;
    case M.Not:
      return !isMemory && wide ? Hot.Not64 : -1;
    case M.Shl:
    case M.Shr:
    case M.Sar: {
      const count = load<u64>(op, 16) & (wide ? 63 : 31);
      if (isMemory || size < 2 || (flags & SOURCE) != FROM_IMM || !count) return -1;
      store<u64>(op, count, 16);
      const first = mnemonic == M.Shl ? Hot.ShlI64 : mnemonic == M.Shr ? Hot.ShrI64 : Hot.SarI64;
      return first + (wide ? 0 : 1);
    }
    case M.Imul:
    case M.Imul3:
      if (isMemory || size < 2) return -1;
      if (form == Form.GE) return wide ? Hot.Imul64 : Hot.Imul32;
      return wide ? Hot.ImulI64 : Hot.ImulI32;
    case M.Push:
      if (!wide) return -1;
      if (form == Form.Z) return Hot.Push;
      if (form == Form.E) return isMemory ? Hot.PushM : Hot.Push;
      return Hot.PushI;
    case M.Pop:
      return wide && !isMemory ? Hot.Pop : -1;
    case M.Pushf:
      return wide ? Hot.Pushf : -1;
    case M.Popf:
      return wide ? Hot.Popf : -1;
    case M.Call:
      return Hot.Call;
    case M.CallE:
      return isMemory ? Hot.CallM : Hot.CallR;
    case M.Jmp:
      return Hot.Jmp;
    case M.JmpE:
      return isMemory ? Hot.JmpM : Hot.JmpR;
    case M.Ret:
      return form == Form.X ? Hot.Ret : Hot.RetI;
    case M.Jcc:
      return Hot.JO + condition;
    case M.Set:
      return isMemory ? -1 : Hot.SetR;
    case M.Cmov:
      return isMemory || size < 2 ? -1 : wide ? Hot.Cmov64 : Hot.Cmov32;
    case M.Leave:
      return wide ? Hot.Leave : -1;
    case M.Ud2:
    case M.Ud1:
    case M.Ud0:
      return Hot.Invalid;
    default:
      return -1;
  }
}
