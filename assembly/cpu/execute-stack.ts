// What works on the stack beyond the dispatch loop's own cases: pushes and pops of 16 bits, of flags, and frames.

import { replace, source, target } from './execute-cold';
import { Flags, TF } from './flags';
import { FROM_IMM, SOURCE } from './op';
import { GENERAL, RBP, RSP, Status } from './state';
import { Tlb } from './tlb';

/** A push or pop of 16 or 64 bits. */
export function push<T>(op: usize): Status {
  const form = load<u8>(op, 7) & SOURCE;
  let value: T = load<T>(op, 16);
  if (form != FROM_IMM) {
    const at = source<T>(op);
    if (!at) return Status.Fault;
    value = load<T>(at);
  }
  return pushValue<T>(value);
}

export function pushValue<T>(value: T): Status {
  const sp = load<u64>(GENERAL, RSP) - sizeof<T>();
  if (!Tlb.store<T>(sp, value)) return Status.Fault;
  store<u64>(GENERAL, sp, RSP);
  return Status.Next;
}

export function pop<T>(op: usize): Status {
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

/** popfw: the low 16 bits of rflags. */
export function popFlags(): Status {
  const sp = load<u64>(GENERAL, RSP);
  const at = Tlb.reader(sp, 2);
  if (!at) return Status.Fault;
  const value = <u64>load<u16>(at);
  if (value & TF) return Status.Unsupported; // single-stepping is not modelled
  store<u64>(GENERAL, sp + 2, RSP);
  Flags.setAll((Flags.get() & ~0xffff) | value);
  return Status.Next;
}

/** enter with `imm` = frame size, and nesting level above it: copies level - 1 frame pointers and adds its own. */
export function enter<T>(op: usize): Status {
  const size = <u64>(load<u32>(op, 16) & 0xffff);
  const level = (load<u32>(op, 16) >> 16) & 31;
  let sp = load<u64>(GENERAL, RSP) - sizeof<T>();
  if (!Tlb.store<T>(sp, load<T>(GENERAL, RBP))) return Status.Fault;
  const frame = sp;
  let from = load<u64>(GENERAL, RBP);
  for (let i: u32 = 1; i < level; i++) {
    from -= sizeof<T>();
    sp -= sizeof<T>();
    const at = Tlb.reader(from, sizeof<T>());
    if (!at) return Status.Fault;
    const pointer = load<T>(at);
    if (!Tlb.store<T>(sp, pointer)) return Status.Fault;
  }
  if (level) {
    sp -= sizeof<T>();
    if (!Tlb.store<T>(sp, <T>frame)) return Status.Fault;
  }
  // the new top of the stack must be writable, though nothing is written there
  Tlb.silence(true);
  const top = Tlb.updater(sp - size, sizeof<T>());
  Tlb.silence(false);
  if (!top) return Status.Fault;
  Tlb.wrote(top);
  store<T>(GENERAL, <T>frame, RBP);
  store<u64>(GENERAL, sp - size, RSP);
  return Status.Next;
}

/** leave of 16 bits: rsp = rbp, then bp is popped. */
export function leaveNarrow(): Status {
  const frame = load<u64>(GENERAL, RBP);
  const at = Tlb.reader(frame, 2);
  if (!at) return Status.Fault;
  store<u64>(GENERAL, frame + 2, RSP);
  store<u16>(GENERAL, load<u16>(at), RBP);
  return Status.Next;
}
