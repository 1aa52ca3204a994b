// Everything integer that the dispatch loop has no case of its own for, by mnemonic and operand size.

import { bitOperation, shift, vexOperation } from './execute-bits';
import { cmpxchg8b, extend, move, translate, widen } from './execute-moves';
import { mxcsr, sse } from './execute-sse';
import { enter, leaveNarrow, pop, popFlags, push, pushValue } from './execute-stack';
import { string } from './execute-strings';
import { system } from './execute-system';
import { divide, multiply } from './execute-wide';
import { AF, CF, DF, Flags, PF, SF, ZF } from './flags';
import { FIRST_SSE, Mnemonic as M } from './mnemonics';
import { ADDRESS_32, FROM_IMM, FROM_RM, MEMORY, Operand, offset, SOURCE } from './op';
import { GENERAL, RCX, RIP, Status } from './state';
import { Tlb } from './tlb';

/** Destination of a read-modify-write op: a register's or memory's place, 0 with a fault recorded. */
export function place<T>(op: usize): usize {
  if (load<u8>(op, 7) & MEMORY) return Tlb.updater(Operand.address(op), sizeof<T>());
  return GENERAL + load<u8>(op, 3);
}

/** The same for an op that only writes. */
export function target<T>(op: usize): usize {
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
    case M.Xlat:
      return translate(op);
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
    case M.Popf:
      return popFlags();
    case M.Enter:
      return size == 1 ? enter<u16>(op) : enter<u64>(op);
    case M.Leave:
      return leaveNarrow();
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
    case M.Lahf:
      store<u8>(GENERAL, <u8>Flags.get(), 1);
      return Status.Next;
    case M.Sahf:
      Flags.change(SF | ZF | AF | PF | CF, load<u8>(GENERAL, 1));
      return Status.Next;
    case M.Ldmxcsr:
    case M.Stmxcsr:
      return mxcsr(op, mnemonic);
    default:
      return system(op, mnemonic);
  }
}
