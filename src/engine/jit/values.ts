// What a trace knows of a value while it is compiled, and of the CPU at one point of it.
import type { Flags } from './flags.ts';

/**
 * A 64-bit value: known, a distance from rsp as it was at the trace's head, or in a local that is written once (the home
 * local of a register: once per turn of a loop).
 */
export type Value =
  | { readonly kind: 'const'; readonly value: bigint }
  | { readonly kind: 'frame'; readonly offset: number }
  | { readonly kind: 'local'; readonly index: number };

/** Number of rsp in the encoding. */
export const RSP = 4;
export const RBP = 5;
export const RCX = 1;
export const RDI = 7;

export const constant = (value: bigint): Value => ({ kind: 'const', value: BigInt.asUintN(64, value) });
export const frame = (offset: number): Value => ({ kind: 'frame', offset });

/** The CPU between two instructions, as the trace knows it. */
export class State {
  /** The general registers, in the order of their encoding. */
  readonly registers: Value[];
  /** Quads of the frame whose value is known, by their distance from the head's rsp. */
  readonly slots: Map<number, Value>;
  flags: Flags;

  constructor(registers: readonly Value[], slots: ReadonlyMap<number, Value>, flags: Flags) {
    this.registers = [...registers];
    this.slots = new Map(slots);
    this.flags = flags;
  }

  clone(): State {
    return new State(this.registers, this.slots, this.flags);
  }

  /** Forgets what overlaps `size` bytes at `offset`. */
  forget(offset: number, size: number): void {
    for (let at = offset - 7; at < offset + size; at++) this.slots.delete(at);
  }
}
