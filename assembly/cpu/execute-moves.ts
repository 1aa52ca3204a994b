// Moves between registers and memory, with those that exchange, extend or compare on the way.

import { place, replace, source, target } from './execute-cold';
import { Flags, ZF } from './flags';
import { Mnemonic as M } from './mnemonics';
import { ADDRESS_32, FROM_IMM, FROM_RM, MEMORY, Operand, SOURCE, segment } from './op';
import { Fault, FaultKind, GENERAL, RAX, RBX, RCX, RDX, Status } from './state';
import { Tlb } from './tlb';

/** mov, movbe, movnti, xchg, cmpxchg, xadd, cmov, set: moves with their exchanges. */
export function move<T>(op: usize, mnemonic: u32): Status {
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

/** movsx, movzx, movsxd: imm is log2 of the source's size. */
export function extend(op: usize, mnemonic: u32): Status {
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

export function cmpxchg8b(op: usize): Status {
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
export function widen(op: usize, mnemonic: u32): Status {
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

/** xlatb: al = [rbx + al]. */
export function translate(op: usize): Status {
  const narrow = load<u8>(op, 6) & ADDRESS_32;
  const within = load<u64>(GENERAL, RBX) + load<u8>(GENERAL);
  const at = Tlb.reader((narrow ? within & 0xffffffff : within) + segment(op), 1);
  if (!at) return Status.Fault;
  store<u8>(GENERAL, load<u8>(at));
  return Status.Next;
}
