// Everything integer that the dispatch loop has no case of its own for, by mnemonic and operand size.

import { bitOperation, shift, vexOperation } from './execute-bits';
import { mxcsr, sse } from './execute-sse';
import { string } from './execute-strings';
import { divide, multiply } from './execute-wide';
import { AF, CF, DF, Flags, IF, PF, SF, ZF } from './flags';
import { FIRST_SSE, Mnemonic as M } from './mnemonics';
import { ADDRESS_32, FROM_IMM, FROM_RM, MEMORY, Operand, offset, SOURCE } from './op';
import {
  CLOCK,
  Fault,
  FaultKind,
  FS_BASE,
  GENERAL,
  GS_BASE,
  KERNEL_GS_BASE,
  RAX,
  RBP,
  RBX,
  RCX,
  RDX,
  RIP,
  RSP,
  Status,
} from './state';
import { Tlb } from './tlb';

/** Destination of a read-modify-write op: a register's or memory's place, 0 with a fault recorded. */
export function place<T>(op: usize): usize {
  if (load<u8>(op, 7) & MEMORY) return Tlb.updater(Operand.address(op), sizeof<T>());
  return GENERAL + load<u8>(op, 3);
}

/** The same for an op that only writes. */
function target<T>(op: usize): usize {
  if (load<u8>(op, 7) & MEMORY) return Tlb.writer(Operand.address(op), sizeof<T>());
  return GENERAL + load<u8>(op, 3);
}

/** Writes what `place` found. */
export function replace<T>(op: usize, at: usize, value: T): void {
  if (load<u8>(op, 7) & MEMORY) {
    store<T>(at, value);
    Tlb.wrote(at);
  } else if (sizeof<T>() == 4) store<u64>(at, <u64>(<u32>value));
  else store<T>(at, value);
}

/** Where the r/m operand can be read, 0 with a fault recorded. */
export function source<T>(op: usize): usize {
  if (load<u8>(op, 7) & MEMORY) return Tlb.reader(Operand.address(op), sizeof<T>());
  return GENERAL + load<u8>(op, 3);
}

function arithmetic<T>(mnemonic: u32, a: T, b: T): T {
  let r: T = 0;
  switch (mnemonic) {
    case M.Add:
      r = <T>(a + b);
      Flags.add<T>(a, b, r);
      break;
    case M.Adc:
      r = <T>(a + b + <T>Flags.cf());
      Flags.add<T>(a, b, r);
      break;
    case M.Sub:
    case M.Cmp:
      r = <T>(a - b);
      Flags.sub<T>(a, b, r);
      break;
    case M.Sbb:
      r = <T>(a - b - <T>Flags.cf());
      Flags.sub<T>(a, b, r);
      break;
    case M.Or:
      r = <T>(a | b);
      Flags.logic<T>(r);
      break;
    case M.Xor:
      r = <T>(a ^ b);
      Flags.logic<T>(r);
      break;
    default:
      r = <T>(a & b);
      Flags.logic<T>(r);
      break;
  }
  return r;
}

/** The two-operand operations of opcodes 00-3f, and test. */
function alu<T>(op: usize, mnemonic: u32): Status {
  const form = load<u8>(op, 7) & SOURCE;
  const keeps = mnemonic == M.Cmp || mnemonic == M.Test;
  if (form == FROM_RM) {
    const at = source<T>(op);
    if (!at) return Status.Fault;
    const r = arithmetic<T>(mnemonic, Operand.get<T>(op, 2), load<T>(at));
    if (!keeps) Operand.put<T>(op, 2, r);
    return Status.Next;
  }
  const b: T = form == FROM_IMM ? load<T>(op, 16) : Operand.get<T>(op, 2);
  const at = keeps ? source<T>(op) : place<T>(op);
  if (!at) return Status.Fault;
  const r = arithmetic<T>(mnemonic, load<T>(at), b);
  if (!keeps) replace<T>(op, at, r);
  return Status.Next;
}

function unary<T>(op: usize, mnemonic: u32): Status {
  const at = place<T>(op);
  if (!at) return Status.Fault;
  const a = load<T>(at);
  let r: T = 0;
  if (mnemonic == M.Not) r = <T>~a;
  else if (mnemonic == M.Neg) {
    r = <T>(0 - a);
    Flags.sub<T>(0, a, r);
  } else if (mnemonic == M.Inc) {
    r = <T>(a + 1);
    Flags.keepCarry<T>(r, <T>((a & 1) | ((a | 1) & ~r)));
  } else {
    r = <T>(a - 1);
    Flags.keepCarry<T>(r, <T>((~a & 1) | ((~a | 1) & r)));
  }
  replace<T>(op, at, r);
  return Status.Next;
}

/** mov, movbe, movnti, xchg, cmpxchg, xadd, cmov, set, push and pop of r/m: moves with their exchanges. */
function move<T>(op: usize, mnemonic: u32): Status {
  const form = load<u8>(op, 7) & SOURCE;
  if (mnemonic == M.Cmov || ((mnemonic == M.Mov || mnemonic == M.Movbe) && form == FROM_RM)) {
    const at = source<T>(op);
    if (!at) return Status.Fault;
    let value = load<T>(at);
    if (mnemonic == M.Movbe) value = bswap<T>(value);
    // a condition that fails still clears the upper half of a 32-bit destination
    if (mnemonic == M.Cmov && !Flags.condition(load<u32>(op, 16))) value = Operand.get<T>(op, 2);
    Operand.put<T>(op, 2, value);
    return Status.Next;
  }
  const updates = mnemonic == M.Xchg || mnemonic == M.Xadd || mnemonic == M.Cmpxchg;
  const at = updates ? place<T>(op) : target<T>(op);
  if (!at) return Status.Fault;
  const before = load<T>(at);
  switch (mnemonic) {
    case M.Set:
      replace<T>(op, at, <T>Flags.condition(load<u32>(op, 16)));
      return Status.Next;
    case M.Xchg: {
      const value = Operand.get<T>(op, 2);
      Operand.put<T>(op, 2, before);
      replace<T>(op, at, value);
      return Status.Next;
    }
    case M.Xadd: {
      const b = Operand.get<T>(op, 2);
      const r = <T>(before + b);
      Flags.add<T>(before, b, r);
      Operand.put<T>(op, 2, before);
      replace<T>(op, at, r);
      return Status.Next;
    }
    case M.Cmpxchg: {
      const a = load<T>(GENERAL);
      const r = <T>(a - before);
      const value = Operand.get<T>(op, 2);
      Flags.sub<T>(a, before, r);
      if (r == 0) replace<T>(op, at, value);
      else {
        // memory is written in both cases
        if (load<u8>(op, 7) & MEMORY) replace<T>(op, at, before);
        if (sizeof<T>() == 4) store<u64>(GENERAL, <u64>(<u32>before));
        else store<T>(GENERAL, before);
      }
      return Status.Next;
    }
    case M.Movbe:
      replace<T>(op, at, bswap<T>(Operand.get<T>(op, 2)));
      return Status.Next;
    default:
      replace<T>(op, at, form == FROM_IMM ? load<T>(op, 16) : Operand.get<T>(op, 2));
      return Status.Next;
  }
}

/** A push or pop of 16 or 64 bits. */
function push<T>(op: usize): Status {
  const form = load<u8>(op, 7) & SOURCE;
  let value: T = load<T>(op, 16);
  if (form != FROM_IMM) {
    const at = source<T>(op);
    if (!at) return Status.Fault;
    value = load<T>(at);
  }
  return pushValue<T>(value);
}

function pushValue<T>(value: T): Status {
  const sp = load<u64>(GENERAL, RSP) - sizeof<T>();
  if (!Tlb.store<T>(sp, value)) return Status.Fault;
  store<u64>(GENERAL, sp, RSP);
  return Status.Next;
}

function pop<T>(op: usize): Status {
  const sp = load<u64>(GENERAL, RSP);
  const from = Tlb.reader(sp, sizeof<T>());
  if (!from) return Status.Fault;
  const value = load<T>(from);
  // an address that uses rsp is computed after the increment
  store<u64>(GENERAL, sp + sizeof<T>(), RSP);
  const at = target<T>(op);
  if (!at) {
    store<u64>(GENERAL, sp, RSP);
    return Status.Fault;
  }
  replace<T>(op, at, value);
  return Status.Next;
}

/** movsx, movzx, movsxd: imm is log2 of the source's size. */
function extend(op: usize, mnemonic: u32): Status {
  const width = load<u32>(op, 16);
  const at = load<u8>(op, 7) & MEMORY ? Tlb.reader(Operand.address(op), 1 << width) : GENERAL + load<u8>(op, 3);
  if (!at) return Status.Fault;
  let value: u64 = 0;
  if (mnemonic == M.Movzx) value = width ? load<u16>(at) : load<u8>(at);
  else if (width == 0) value = <u64>(<i64>load<i8>(at));
  else if (width == 1) value = <u64>(<i64>load<i16>(at));
  else value = <u64>(<i64>load<i32>(at));
  const size = load<u8>(op, 7) & 3;
  if (size == 3) Operand.put<u64>(op, 2, value);
  else if (size == 2) Operand.put<u32>(op, 2, <u32>value);
  else Operand.put<u16>(op, 2, <u16>value);
  return Status.Next;
}

/** loop, loope, loopne, jrcxz: with 67 on ecx. */
function loop(op: usize, mnemonic: u32): Status {
  const narrow = load<u8>(op, 6) & ADDRESS_32;
  let count = load<u64>(GENERAL, RCX);
  if (mnemonic != M.Jrcxz) {
    count = narrow ? <u64>(<u32>count - 1) : count - 1;
    store<u64>(GENERAL, count, RCX);
  } else if (narrow) count &= 0xffffffff;
  let taken = mnemonic == M.Jrcxz ? count == 0 : count != 0;
  if (mnemonic == M.Loope) taken = taken && Flags.zf();
  if (mnemonic == M.Loopne) taken = taken && !Flags.zf();
  store<u64>(RIP, taken ? load<u64>(op, 16) : load<u64>(op, 24));
  return Status.Jump;
}

function cmpxchg8b(op: usize): Status {
  const wide = (load<u8>(op, 7) & 3) == 3;
  const address = Operand.address(op);
  // cmpxchg16b asks for alignment
  if (wide && address & 15) return Fault.raise(FaultKind.GeneralProtection);
  const at = Tlb.updater(address, wide ? 16 : 8);
  if (!at) return Status.Fault;
  let equal = false;
  if (wide) {
    const low = load<u64>(at);
    const high = load<u64>(at, 8);
    equal = low == load<u64>(GENERAL, RAX) && high == load<u64>(GENERAL, RDX);
    if (equal) {
      store<u64>(at, load<u64>(GENERAL, RBX));
      store<u64>(at, load<u64>(GENERAL, RCX), 8);
    } else {
      store<u64>(GENERAL, low, RAX);
      store<u64>(GENERAL, high, RDX);
    }
  } else {
    const value = load<u64>(at);
    equal = <u32>value == load<u32>(GENERAL, RAX) && <u32>(value >> 32) == load<u32>(GENERAL, RDX);
    if (equal) store<u64>(at, <u64>load<u32>(GENERAL, RBX) | ((<u64>load<u32>(GENERAL, RCX)) << 32));
    else {
      store<u64>(GENERAL, value & 0xffffffff, RAX);
      store<u64>(GENERAL, value >> 32, RDX);
    }
  }
  Tlb.wrote(at);
  Flags.change(ZF, equal ? ZF : 0);
  return Status.Next;
}

/** cbw, cwde, cdqe and cwd, cdq, cqo. */
function widen(op: usize, mnemonic: u32): Status {
  const size = load<u8>(op, 7) & 3;
  if (mnemonic == M.Cbw) {
    if (size == 3) store<i64>(GENERAL, <i64>load<i32>(GENERAL));
    else if (size == 2) store<u64>(GENERAL, <u64>(<u32>load<i16>(GENERAL)));
    else store<i16>(GENERAL, <i16>load<i8>(GENERAL));
  } else if (size == 3) store<i64>(GENERAL, load<i64>(GENERAL) >> 63, RDX);
  else if (size == 2) store<u64>(GENERAL, <u64>(<u32>(load<i32>(GENERAL) >> 31)), RDX);
  else store<i16>(GENERAL, load<i16>(GENERAL) < 0 ? -1 : 0, RDX);
  return Status.Next;
}

function enter(op: usize): Status {
  const size = load<u32>(op, 16) & 0xffff;
  if ((load<u32>(op, 16) >> 16) & 31) return Status.Unsupported; // nested frames, which no compiler emits
  const sp = load<u64>(GENERAL, RSP) - 8;
  if (!Tlb.store<u64>(sp, load<u64>(GENERAL, RBP))) return Status.Fault;
  store<u64>(GENERAL, sp, RBP);
  store<u64>(GENERAL, sp - size, RSP);
  return Status.Next;
}

/** Runs one op; LEFT holds what is left of the slice. */
export function cold(op: usize, block: usize): Status {
  const mnemonic = <u32>load<u16>(op) - 256;
  if (mnemonic >= FIRST_SSE) return sse(op, mnemonic);
  const size = load<u8>(op, 7) & 3;
  switch (mnemonic) {
    case M.Add:
    case M.Or:
    case M.Adc:
    case M.Sbb:
    case M.And:
    case M.Sub:
    case M.Xor:
    case M.Cmp:
    case M.Test:
      if (size == 3) return alu<u64>(op, mnemonic);
      if (size == 2) return alu<u32>(op, mnemonic);
      return size == 1 ? alu<u16>(op, mnemonic) : alu<u8>(op, mnemonic);
    case M.Not:
    case M.Neg:
    case M.Inc:
    case M.Dec:
      if (size == 3) return unary<u64>(op, mnemonic);
      if (size == 2) return unary<u32>(op, mnemonic);
      return size == 1 ? unary<u16>(op, mnemonic) : unary<u8>(op, mnemonic);
    case M.Mov:
    case M.Movbe:
    case M.Movnti:
    case M.Xchg:
    case M.Xadd:
    case M.Cmpxchg:
    case M.Cmov:
    case M.Set:
      if (size == 3) return move<u64>(op, mnemonic);
      if (size == 2) return move<u32>(op, mnemonic);
      return size == 1 ? move<u16>(op, mnemonic) : move<u8>(op, mnemonic);
    case M.Push:
      return size == 1 ? push<u16>(op) : push<u64>(op);
    case M.Pop:
      return size == 1 ? pop<u16>(op) : pop<u64>(op);
    case M.Pushf:
      return pushValue<u16>(<u16>Flags.get());
    case M.Movzx:
    case M.Movsx:
    case M.Movsxd:
      return extend(op, mnemonic);
    case M.Lea:
      if (size == 3) Operand.put<u64>(op, 2, offset(op));
      else if (size == 2) Operand.put<u32>(op, 2, <u32>offset(op));
      else Operand.put<u16>(op, 2, <u16>offset(op));
      return Status.Next;
    case M.Xlat: {
      const table = load<u64>(GENERAL, RBX) + load<u8>(GENERAL);
      if (load<u8>(op, 6)) return Status.Unsupported; // with a segment or 67
      const at = Tlb.reader(table, 1);
      if (!at) return Status.Fault;
      store<u8>(GENERAL, load<u8>(at));
      return Status.Next;
    }
    case M.Bswap:
      if (size == 3) Operand.put<u64>(op, 3, bswap<u64>(Operand.get<u64>(op, 3)));
      else if (size == 2) Operand.put<u32>(op, 3, bswap<u32>(Operand.get<u32>(op, 3)));
      else return Status.Unsupported; // the result is undefined
      return Status.Next;
    case M.Cbw:
    case M.Cwd:
      return widen(op, mnemonic);
    case M.Loop:
    case M.Loope:
    case M.Loopne:
    case M.Jrcxz:
      return loop(op, mnemonic);
    case M.Cmpxchg8b:
      return cmpxchg8b(op);
    case M.Enter:
      return enter(op);
    case M.Mul:
    case M.ImulWide:
    case M.Imul:
    case M.Imul3:
      return multiply(op, mnemonic);
    case M.Div:
    case M.Idiv:
      return divide(op, mnemonic);
    case M.Rol:
    case M.Ror:
    case M.Rcl:
    case M.Rcr:
    case M.Shl:
    case M.Shr:
    case M.Sar:
    case M.Shld:
    case M.Shrd:
      return shift(op, mnemonic);
    case M.Bt:
    case M.Bts:
    case M.Btr:
    case M.Btc:
    case M.Bsf:
    case M.Bsr:
    case M.Tzcnt:
    case M.Lzcnt:
    case M.Popcnt:
      return bitOperation(op, mnemonic);
    case M.Andn:
    case M.Bextr:
    case M.Blsi:
    case M.Blsr:
    case M.Blsmsk:
    case M.Bzhi:
    case M.Mulx:
    case M.Pdep:
    case M.Pext:
    case M.Rorx:
    case M.Sarx:
    case M.Shlx:
    case M.Shrx:
    case M.Adcx:
    case M.Adox:
    case M.Crc32:
      return vexOperation(op, mnemonic);
    case M.Movs:
    case M.Stos:
    case M.Lods:
    case M.Cmps:
    case M.Scas:
      return string(op, mnemonic, block);
    case M.Clc:
      Flags.change(CF, 0);
      return Status.Next;
    case M.Stc:
      Flags.change(CF, CF);
      return Status.Next;
    case M.Cmc:
      Flags.change(CF, Flags.cf() ? 0 : CF);
      return Status.Next;
    case M.Cld:
      Flags.rest(DF, 0);
      return Status.Next;
    case M.Std:
      Flags.rest(DF, DF);
      return Status.Next;
    case M.Cli:
      Flags.rest(IF, 0);
      return Status.Next;
    case M.Sti:
      Flags.rest(IF, IF);
      return Status.Next;
    case M.Clac:
      Flags.rest(1 << 18, 0);
      return Status.Next;
    case M.Stac:
      Flags.rest(1 << 18, 1 << 18);
      return Status.Next;
    case M.Lahf:
      store<u8>(GENERAL, <u8>Flags.get(), 1);
      return Status.Next;
    case M.Sahf:
      Flags.change(SF | ZF | AF | PF | CF, load<u8>(GENERAL, 1));
      return Status.Next;
    case M.Swapgs: {
      const gs = load<u64>(GENERAL, GS_BASE);
      store<u64>(GENERAL, load<u64>(GENERAL, KERNEL_GS_BASE), GS_BASE);
      store<u64>(GENERAL, gs, KERNEL_GS_BASE);
      return Status.Next;
    }
    case M.Rdfsbase:
    case M.Rdgsbase: {
      const base = mnemonic == M.Rdfsbase ? load<u64>(GENERAL, FS_BASE) : load<u64>(GENERAL, GS_BASE);
      if (size == 3) Operand.put<u64>(op, 3, base);
      else Operand.put<u32>(op, 3, <u32>base);
      return Status.Next;
    }
    case M.Wrfsbase:
    case M.Wrgsbase: {
      const value = size == 3 ? Operand.get<u64>(op, 3) : <u64>Operand.get<u32>(op, 3);
      if (mnemonic == M.Wrfsbase) store<u64>(GENERAL, value, FS_BASE);
      else store<u64>(GENERAL, value, GS_BASE);
      return Status.Next;
    }
    case M.Rdtsc: {
      const clock = load<u64>(CLOCK);
      store<u64>(CLOCK, clock + 1);
      store<u64>(GENERAL, clock & 0xffffffff, RAX);
      store<u64>(GENERAL, clock >> 32, RDX);
      return Status.Next;
    }
    case M.Ldmxcsr:
    case M.Stmxcsr:
      return mxcsr(op, mnemonic);
    case M.Int3:
      Fault.raise(FaultKind.Breakpoint);
      return Status.Trap;
    case M.Int:
      Fault.interrupt(load<u8>(op, 16));
      return Status.Trap;
    case M.Syscall:
      return Fault.raise(FaultKind.Syscall);
    case M.Hlt:
      return Fault.raise(FaultKind.Halt);
    default:
      return Status.Unsupported;
  }
}
