// Where a call arrived, read off the blocks that the CPU enters: the first instruction outside all redirection code.
import type { RangeSet } from './ranges.ts';

/** Told of each arrival; returning true stops the run there. */
export type ArrivalHook = (address: bigint, dispatched: boolean) => boolean;

/**
 * Follows one run. An arrival is awaited from the call's first instruction and again each time the guest has passed the
 * gate; it is the first instruction executed outside sites, trampolines and gate (I2). Knows nothing of func stacks, so
 * that it cannot agree with them by construction.
 */
export class ArrivalWatch {
  readonly #glue: RangeSet;
  readonly #onArrival: ArrivalHook;
  #awaited = true;
  #dispatched = false;

  constructor(glue: RangeSet, onArrival: ArrivalHook) {
    this.#glue = glue;
    this.#onArrival = onArrival;
  }

  /** The guest has entered the gate: its next instruction outside redirection code is an arrival. */
  passedGate(): void {
    this.#awaited = true;
    this.#dispatched = true;
  }

  /** The engine's block hook: an address to stop at, or undefined to go on. */
  enterBlock(address: bigint, size: number): bigint | undefined {
    if (!this.#awaited) return undefined;
    const first = this.#glue.skip(address);
    if (first >= address + BigInt(size)) return undefined;
    this.#awaited = false;
    const dispatched = this.#dispatched;
    this.#dispatched = false;
    return this.#onArrival(first, dispatched) ? first : undefined;
  }
}
