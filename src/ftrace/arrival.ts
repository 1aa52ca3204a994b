// Where a call arrived, read off the blocks that the CPU enters: the first instruction outside all redirection code.
import type { Range, RangeSet } from './ranges.ts';

/** Told of each arrival; returning true stops the run there. */
export type ArrivalHook = (address: bigint, dispatched: boolean) => boolean;

/**
 * Follows one run. An arrival is awaited from the call's first instruction and again each time the guest has passed a
 * trampoline; it is the first instruction executed outside sites, trampolines, handlers and gate (I2). Knows nothing of
 * func stacks, so that it cannot agree with them by construction.
 */
export class ArrivalWatch {
  readonly #glue: RangeSet;
  readonly #trampolines: Range;
  readonly #onArrival: ArrivalHook;
  #awaited = true;
  #dispatched = false;

  /** @param trampolines where the trampolines are: whoever passes one arrives somewhere after it */
  constructor(glue: RangeSet, trampolines: Range, onArrival: ArrivalHook) {
    this.#glue = glue;
    this.#trampolines = trampolines;
    this.#onArrival = onArrival;
  }

  /** The engine's block hook: an address to stop at, or undefined to go on. */
  enterBlock(address: bigint, size: number): bigint | undefined {
    if (address >= this.#trampolines.start && address < this.#trampolines.end) {
      this.#awaited = true;
      this.#dispatched = true;
      return undefined;
    }
    if (!this.#awaited) return undefined;
    const first = this.#glue.skip(address);
    if (first >= address + BigInt(size)) return undefined;
    this.#awaited = false;
    const dispatched = this.#dispatched;
    this.#dispatched = false;
    return this.#onArrival(first, dispatched) ? first : undefined;
  }
}
