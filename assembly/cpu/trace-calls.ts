// What compiled traces call: memory off their fast paths, and the stack frame.

import { Arrivals, Entered, entered, TRAMPOLINE } from './arrival';
import { changes } from './blocks';
import { Tlb } from './tlb';

/** Where `size` bytes can be read, or 0: the interpreter is to execute the instruction, and to raise its fault. */
export function traceRead(address: u64, size: u32): usize {
  return Tlb.reader(address, size);
}

/** Stores the low `size` bytes: 0 as for reading, 1 done, 2 done and code has changed, so the trace must be left. */
export function traceStore(address: u64, value: u64, size: u32): u32 {
  const before = changes;
  let done = false;
  if (size == 8) done = Tlb.store<u64>(address, value);
  else if (size == 4) done = Tlb.store<u32>(address, <u32>value);
  else if (size == 2) done = Tlb.store<u16>(address, <u16>value);
  else done = Tlb.store<u8>(address, <u8>value);
  return !done ? 0 : changes == before ? 1 : 2;
}

/** Where `size` bytes of the stack can be read and written without faults and without changing code, or 0. */
export function traceFrame(address: u64, size: u32): usize {
  return Tlb.direct(address, size);
}

/** A trampoline is entered: whether an arrival is awaited from now on. The block where it happens is the interpreter's. */
export function tracePasses(): bool {
  return entered(TRAMPOLINE, 0) == Entered.Awaited;
}

/** Whether an arrival is awaited. */
export function traceAwaits(): bool {
  return Arrivals.mask() == Entered.Awaited;
}
