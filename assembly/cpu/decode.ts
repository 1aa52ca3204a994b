// The decoder: bytes at an address → one Op, by the tables of rows-*.ts.

import { FIRST_SSE, Mnemonic as M } from './mnemonics';
import {
  ADDRESS_32,
  ALIGNED,
  BY_IMMEDIATE,
  COLD,
  FROM_IMM,
  FROM_REG,
  FROM_RM,
  LOCK,
  MEMORY,
  OP_SIZE,
  REPE,
  REPNE,
  SEGMENT_FS,
  SEGMENT_GS,
  SPECIAL,
  TO_RM,
} from './op';
import { BYTE, CC, D64, Form, GROUP, LOCKABLE, MEMORY_ONLY, REGISTER_ONLY, Rows, Table, UNALIGNED, Y } from './rows';
import { NO_REGISTER, RCX } from './state';

export enum Decoded {
  /** The op is complete and straight-line execution goes on. */
  Straight = 0,
  /** The op is complete and ends its block. */
  Branch = 1,
  /** No valid instruction begins with these bytes (#UD). */
  Invalid = 2,
  /** A valid instruction, or one that may be, outside the instruction set. */
  Outside = 3,
  /** More bytes are needed to tell. */
  Short = 4,
  /** More than 15 bytes (#GP). */
  TooLong = 5,
}

/** The longest instruction. */
export const LONGEST: u32 = 15;

/** Where the decoder reads, and how many bytes there are. */
let bytes: usize = 0;
let length: u32 = 0;
let available: u32 = 0;
/** A byte past the available ones was asked for. */
let short: bool = false;

// prefixes
let rex: u32 = 0;
let operand16: bool = false;
let address32: bool = false;
let lock: bool = false;
/** 0, 0xf2 or 0xf3: the last of them. */
let repeat: u32 = 0;
let segment: u32 = 0;
/** vvvv of a VEX prefix. */
let vvvv: u32 = 0;

/** Where `decodeBytes` finds its 15 bytes. */
export const DECODE_AT: usize = memory.data(16, 8);
const SCRATCH: usize = memory.data(32, 8);

/** Decodes the `count` bytes at DECODE_AT: what they are in bits 0-7 (Decoded), their length above where that is known. */
export function decodeBytes(count: u32): u32 {
  const kind = decode(DECODE_AT, count, 0, SCRATCH);
  return kind <= Decoded.Branch ? kind | (length << 8) : kind;
}

/** Length of the instruction decoded last. */
export function decodedLength(): u32 {
  return length;
}

/** Its mnemonic. */
let mnemonic: u32 = 0;
export function decodedMnemonic(): u32 {
  return mnemonic;
}

let form: u32 = 0;
export function decodedForm(): u32 {
  return form;
}

function peek(): u32 {
  if (length >= available) {
    short = true;
    return 0;
  }
  return load<u8>(bytes + length);
}

function byte(): u32 {
  const value = peek();
  length++;
  return value;
}

/** A sign-extended immediate or displacement of 1, 2, 4 or 8 bytes. */
function signed(size: u32): i64 {
  const at = bytes + length;
  length += size;
  if (length > available) {
    short = true;
    return 0;
  }
  if (size == 1) return load<i8>(at);
  if (size == 2) return load<i16>(at);
  if (size == 4) return load<i32>(at);
  return load<i64>(at);
}

/** Legacy prefixes in any order, then REX, which counts only directly before the opcode. */
function prefixes(): void {
  rex = 0;
  operand16 = false;
  address32 = false;
  lock = false;
  repeat = 0;
  segment = 0;
  vvvv = 0;
  while (length < LONGEST) {
    const prefix = peek();
    if (short) return;
    if (prefix == 0x66) operand16 = true;
    else if (prefix == 0x67) address32 = true;
    else if (prefix == 0xf0) lock = true;
    else if (prefix == 0xf2 || prefix == 0xf3) repeat = prefix;
    else if (prefix == 0x64) segment = SEGMENT_FS;
    else if (prefix == 0x65) segment = SEGMENT_GS;
    else if (prefix >> 4 == 4) {
      length++;
      rex = prefix;
      continue;
    } else if ((prefix & 0xe7) != 0x26) return; // es, cs, ss, ds do nothing in 64-bit mode
    length++;
    rex = 0;
  }
}

/** The table, opcode and digit (8: none) that the row decoded last stands at, as three bytes from the top. */
export function decodedPlace(): u32 {
  return (table << 16) | (opcode << 8) | digit;
}
let table: u32 = 0;
let digit: u32 = 8;

function rowIn(map: u32, opcode: u32): u32 {
  table = map;
  return Rows.at(map, opcode);
}

/** The row of an opcode in a map whose rows depend on the mandatory prefix. */
function prefixed(map: u32, opcode: u32): u32 {
  if (repeat || operand16) {
    const row = rowIn(map + (repeat == 0xf3 ? 2 : repeat == 0xf2 ? 3 : 1), opcode);
    if (row) return row;
  }
  const row = rowIn(map, opcode);
  const mandatory = operand16 || repeat != 0;
  // integer instructions take 66 as operand size and ignore the others; SSE ones need exactly their prefix
  if (!mandatory || row & GROUP || (row & 0x3ff) < FIRST_SSE) return row;
  return 0;
}

/** Reads the opcode after the prefixes; 0 for a gap. */
function opcodeRow(): u32 {
  const first = byte();
  opcode = first;
  digit = 8;
  if (first == 0x0f) {
    opcode = byte();
    if (opcode == 0x38) {
      opcode = byte();
      return prefixed(Table.T38, opcode);
    }
    if (opcode == 0x3a) {
      opcode = byte();
      return prefixed(Table.T3A, opcode);
    }
    if (opcode == 0x01 && peek() >= 0xc0) {
      opcode = byte();
      const row = rowIn(Table.System, opcode);
      // with a prefix clac and stac are something else, the others what they are without
      return (operand16 || repeat) && opcode < 0xf0 ? M.Outside : row;
    }
    return prefixed(Table.Two, opcode);
  }
  if (first == 0xc4 || first == 0xc5) return vexRow(first);
  if (first == 0x62) return M.Outside;
  if (first == 0x8f && ((peek() >> 3) & 7) != 0) return M.Outside; // XOP
  return rowIn(Table.One, first);
}
let opcode: u32 = 0;

function vexRow(first: u32): u32 {
  if (first == 0xc5) return M.Outside; // no general-purpose instruction is in its only map
  const p1 = byte();
  const p2 = byte();
  const pp = p2 & 3;
  const map = p1 & 31;
  let row: u32 = M.Outside;
  if (map == 2 || (map == 3 && pp == 3)) {
    opcode = byte();
    // pp counts none, 66, f3, f2 as the tables do
    row = rowIn(map == 2 ? Table.Vex38 + pp : Table.Vex3A_F2, opcode);
  }
  if (!row || row == M.Outside || p2 & 4) return M.Outside; // L=1 is vector code or invalid
  if (rex || operand16 || repeat || lock) return 0;
  rex = 0x40 | (~(p1 >> 5) & 7) | ((p2 >> 4) & 8);
  vvvv = ~(p2 >> 3) & 15;
  return row;
}

/** Byte offset of a general register; `size` 0 without REX: 4-7 are ah, ch, dh, bh. */
@unmanaged
class Register {
  static general(n: u32, size: u32): u8 {
    return <u8>(size == 0 && !rex && n >= 4 && n < 8 ? (n - 4) * 8 + 1 : n * 8);
  }
}

let modrm: u32 = 0;
let ripRelative: bool = false;

/** The memory operand of ModRM into the op. */
function memoryOperand(op: usize): void {
  const mod = modrm >> 6;
  let base = modrm & 7;
  let disp: i64 = 0;
  ripRelative = false;
  store<u8>(op, NO_REGISTER, 4);
  store<u8>(op, NO_REGISTER, 5);
  let scale: u32 = 0;
  if (base == 4) {
    const sib = byte();
    const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
    if (index != 4) {
      store<u8>(op, <u8>(index * 8), 5);
      scale = sib >> 6;
    }
    base = sib & 7;
    if (base == 5 && mod == 0) disp = signed(4);
    else store<u8>(op, <u8>((base | ((rex & 1) << 3)) * 8), 4);
  } else if (base == 5 && mod == 0) {
    disp = signed(4);
    ripRelative = true;
  } else {
    store<u8>(op, <u8>((base | ((rex & 1) << 3)) * 8), 4);
  }
  if (mod == 1) disp = signed(1);
  if (mod == 2) disp = signed(4);
  if (segment || address32) scale |= SPECIAL | segment | (address32 ? ADDRESS_32 : 0);
  store<u8>(op, <u8>scale, 6);
  store<i64>(op, disp, 8);
}

/** Decodes at `at`, where `count` bytes can be read, the instruction of guest address `address`. */
export function decode(at: usize, count: u32, address: u64, op: usize): Decoded {
  bytes = at;
  length = 0;
  available = min<u32>(count, LONGEST);
  short = false;
  memory.fill(op, 0, OP_SIZE);
  ripRelative = false;
  prefixes();
  const kind: Decoded = short ? Decoded.Short : instruction(op);
  if (short || kind == Decoded.Short) return count >= LONGEST ? Decoded.TooLong : Decoded.Short;
  if (kind > Decoded.Branch) return kind;
  const next = address + length;
  store<u64>(op, next, 24);
  if (ripRelative) store<u64>(op, load<u64>(op, 8) + next, 8);
  if (form == Form.J || form == Form.J8) store<u64>(op, load<u64>(op, 16) + next, 16);
  return kind;
}

function instruction(op: usize): Decoded {
  let row = opcodeRow();
  if (short) return Decoded.Short;
  if (row & GROUP) {
    digit = (peek() >> 3) & 7;
    if (short) return Decoded.Short;
    row = Rows.ofGroup(row, digit);
  }
  mnemonic = row & 0x3ff;
  if (mnemonic == M.Invalid) return Decoded.Invalid;
  if (mnemonic == M.Outside) return Decoded.Outside;
  form = (row >> 10) & 63;
  let size: u32 = 2;
  if (row & BYTE) size = 0;
  else if (rex & 8) size = 3;
  else if (row & Y) size = 2;
  else if (operand16) size = 1;
  else if (row & D64) size = 3;
  let flags = size;
  if (row & CC) store<i64>(op, opcode & 15, 16);
  store<u8>(op, NO_REGISTER, 4);
  store<u8>(op, NO_REGISTER, 5);
  const isMemory = operands(op, row, size);
  if (short) return Decoded.Short;
  if (isMemory) {
    flags |= MEMORY;
    if (row & REGISTER_ONLY) return Decoded.Invalid;
  } else if (row & MEMORY_ONLY) return Decoded.Invalid;
  flags |= sourceOf(form);
  if (lock) {
    if (!(row & LOCKABLE) || !isMemory) return Decoded.Invalid;
    flags |= LOCK;
  }
  if (mnemonic >= FIRST_SSE && !(row & UNALIGNED)) flags |= ALIGNED;
  if (form == Form.EGCL) flags |= LOCK;
  if (mnemonic == M.Crc32) store<i64>(op, form == Form.GE8 ? 1 : rex & 8 ? 8 : operand16 ? 2 : 4, 16);
  if (repeat == 0xf3) flags |= REPE;
  if (repeat == 0xf2) flags |= REPNE;
  if (mnemonic >= FIRST_SSE) {
    const toRm = form == Form.WV || form == Form.MV || form == Form.EV || form == Form.EVI;
    store<u8>(op, toRm ? TO_RM : form == Form.UI ? BY_IMMEDIATE : 0, 20);
  }
  store<u8>(op, <u8>flags, 7);
  store<u16>(op, <u16>(COLD + mnemonic));
  return refine(op, isMemory);
}

/** Cases that the rows do not tell apart. */
function refine(op: usize, isMemory: bool): Decoded {
  switch (mnemonic) {
    case M.Rorx:
      // it has no third register
      return vvvv ? Decoded.Invalid : Decoded.Straight;
    case M.Privileged: {
      if (form != Form.R) return Decoded.Straight;
      // 0f 20-23: cr0 cr2 cr3 cr4 cr8, dr0-dr7
      const reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
      const exists = opcode & 1 ? reg < 8 : reg == 0 || (reg >= 2 && reg <= 4) || reg == 8;
      return exists ? Decoded.Straight : Decoded.Invalid;
    }
    case M.Nop:
      // f3 0f 1e fa
      if (repeat == 0xf3 && form == Form.E && opcode == 0x1e && modrm == 0xfa) mnemonic = M.Endbr64;
      else if (repeat == 0xf3 && form == Form.E && opcode == 0x1e && !isMemory && ((modrm >> 3) & 7) == 1)
        return Decoded.Outside; // rdssp
      else if (form == Form.X && rex & 1) {
        // 90 with REX.B exchanges rax and r8
        mnemonic = M.Xchg;
        store<u8>(op, 64, 3);
        store<u8>(op, 0, 2);
        store<u8>(op, load<u8>(op, 7) | FROM_REG, 7);
      } else if (form == Form.M && !isMemory) return Decoded.Outside;
      store<u16>(op, <u16>(COLD + mnemonic));
      return Decoded.Straight;
    case M.Fence:
      if (!isMemory) return repeat || operand16 ? Decoded.Outside : Decoded.Straight;
      // the memory form of /7 is clflush
      if (((modrm >> 3) & 7) != 7 || repeat || operand16) return Decoded.Outside;
      mnemonic = M.CacheLine;
      store<u16>(op, <u16>(COLD + mnemonic));
      return Decoded.Straight;
    case M.CacheLine:
      return isMemory && !repeat ? Decoded.Straight : Decoded.Outside;
    case M.Ldmxcsr:
    case M.Stmxcsr:
      return !isMemory || operand16 || repeat ? Decoded.Outside : Decoded.Straight;
    case M.Movnti:
      return operand16 || repeat ? Decoded.Outside : Decoded.Straight;
    case M.Jcc:
    case M.Jmp:
    case M.JmpE:
    case M.Call:
    case M.CallE:
    case M.Ret:
    case M.Loop:
    case M.Loope:
    case M.Loopne:
    case M.Jrcxz:
      // f2 and f3 change the condition of loope and loopne on the bare CPU, which no manual says
      if (repeat && mnemonic != M.Jcc && (opcode & 0xfe) == 0xe0) return Decoded.Outside;
      // with 66 alone Intel's CPUs branch to 64 bits, AMD's to 16
      return operand16 && !(rex & 8) ? Decoded.Outside : Decoded.Branch;
    case M.Int3:
    case M.Int:
    case M.Syscall:
    case M.Hlt:
    case M.Ud2:
    case M.Ud1:
    case M.Ud0:
      return Decoded.Branch;
    default:
      return Decoded.Straight;
  }
}

/** Which operand of a form is the source. */
function sourceOf(form: u32): u32 {
  switch (form) {
    case Form.GE:
    case Form.GE8:
    case Form.GE16:
    case Form.GE32:
    case Form.GM:
    case Form.AO:
    case Form.GEI:
    case Form.GEI8:
      return FROM_RM;
    case Form.AI:
    case Form.EI:
    case Form.EI8:
    case Form.E1:
    case Form.ZI:
    case Form.I:
    case Form.I8:
      return FROM_IMM;
    default:
      return FROM_REG;
  }
}

/** Reads ModRM, registers and immediates of a form; true for a memory operand. */
function operands(op: usize, row: u32, size: u32): bool {
  let isMemory = false;
  const wide = 1 << min<u32>(size, 2); // an immediate of 64-bit operations has 32 bits
  switch (form) {
    case Form.X:
      if (segment || address32) store<u8>(op, <u8>(SPECIAL | segment | (address32 ? ADDRESS_32 : 0)), 6);
      return false;
    case Form.R:
      modrm = byte();
      return false;
    case Form.J:
      store<i64>(op, signed(4), 16);
      return false;
    case Form.J8:
      store<u8>(op, opcode & 15, 3);
      if (address32) store<u8>(op, SPECIAL | ADDRESS_32, 6);
      store<i64>(op, signed(1), 16);
      return false;
    case Form.I:
      store<i64>(op, signed(wide), 16);
      return false;
    case Form.I8:
      store<i64>(op, signed(1), 16);
      return false;
    case Form.I16:
      store<i64>(op, signed(2) & 0xffff, 16);
      return false;
    case Form.I16I8: {
      const frame = signed(2) & 0xffff;
      store<i64>(op, frame | ((<i64>byte()) << 16), 16);
      return false;
    }
    case Form.AI:
      store<i64>(op, signed(wide), 16);
      return false;
    case Form.Z: {
      const register = Register.general((opcode & 7) | ((rex & 1) << 3), size);
      store<u8>(op, register, 2);
      store<u8>(op, register, 3);
      return false;
    }
    case Form.ZI:
      store<u8>(op, Register.general((opcode & 7) | ((rex & 1) << 3), size), 3);
      store<i64>(op, signed(1 << size), 16);
      return false;
    case Form.AZ:
      store<u8>(op, Register.general((opcode & 7) | ((rex & 1) << 3), size), 3);
      return false;
    case Form.AO:
    case Form.OA:
      if (segment || address32) store<u8>(op, <u8>(SPECIAL | segment), 6);
      store<i64>(op, address32 ? signed(4) & 0xffffffff : signed(8), 8);
      return true;
    default:
      break;
  }
  modrm = byte();
  if (short) return false;
  const reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
  const rm = (modrm & 7) | ((rex & 1) << 3);
  const vector = mnemonic >= FIRST_SSE;
  store<u8>(
    op,
    vector && form != Form.GW && form != Form.GU && form != Form.GUI ? <u8>(reg * 16) : Register.general(reg, size),
    2,
  );
  if (modrm >> 6 != 3) {
    isMemory = true;
    memoryOperand(op);
    if (vector)
      store<u8>(
        op,
        form == Form.VE || form == Form.EV ? <u8>((<u32>1) << size) : <u8>((<u32>1) << ((row >> 21) & 7)),
        3,
      );
  } else {
    let rmSize = size;
    if (form == Form.GE8) rmSize = 0;
    const general = !vector || form == Form.VE || form == Form.EV || form == Form.VEI || form == Form.EVI;
    store<u8>(op, general ? Register.general(rm, rmSize) : <u8>(rm * 16), 3);
  }
  switch (form) {
    case Form.VU:
      if (segment || address32) store<u8>(op, <u8>(SPECIAL | segment | (address32 ? ADDRESS_32 : 0)), 6);
      break;
    case Form.GE8:
      store<i64>(op, 0, 16);
      break;
    case Form.GE16:
      store<i64>(op, 1, 16);
      break;
    case Form.GE32:
      store<i64>(op, 2, 16);
      break;
    case Form.EI:
    case Form.GEI:
      store<i64>(op, signed(wide), 16);
      break;
    case Form.EI8:
    case Form.GEI8:
    case Form.EGI8:
    case Form.VWI:
    case Form.UI:
    case Form.VEI:
    case Form.EVI:
    case Form.GUI:
    case Form.GEIV:
      store<i64>(op, signed(1), 16);
      break;
    case Form.E1:
      store<i64>(op, 1, 16);
      break;
    case Form.ECL:
      store<u8>(op, RCX, 2);
      break;
    case Form.GBE:
    case Form.GEB:
    case Form.BE:
      store<i64>(op, vvvv * 8, 16);
      break;
    default:
      break;
  }
  // with f0, cl and digits the register field is no operand
  if (form == Form.E || form == Form.EI || form == Form.EI8 || form == Form.E1) {
    if (!(row & CC)) store<u8>(op, 0, 2);
  }
  return isMemory;
}

/** The condition of the instruction decoded last, where it has one. */
export function decodedCondition(): u32 {
  return opcode & 15;
}
