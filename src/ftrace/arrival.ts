// Where a call arrived, read off the blocks that the CPU enters: the first instruction outside all redirection code.
import type { ArrivalState, ArrivalWatcher } from '../engine/engine.ts';
import type { Range, RangeSet } from './ranges.ts';

/** Told of each arrival, see ArrivalWatcher; returning true stops the run there. */
export type ArrivalHook = ArrivalWatcher['arrived'];

/** How a run is watched. */
export interface ArrivalWatchParts {
  /** Code that no call arrives at. */
  readonly glue: RangeSet;
  /** Where the trampolines are: whoever passes one arrives somewhere after it. */
  readonly trampolines: Range;
  /** rsp at the call's entry. */
  readonly entrySp: bigint;
  /** Arrivals are told while the guest runs. */
  readonly atOnce: boolean;
  readonly onArrival: ArrivalHook;
}

/**
 * Follows one run. An arrival is awaited from the call's first instruction and again each time the guest has passed a
 * trampoline; it is the first instruction executed outside sites, trampolines, handlers and gate (I2). Knows nothing of
 * func stacks, so that it cannot agree with them by construction. An engine with `redirection` finds them itself, by
 * the same rule in assembly/cpu/arrival.ts; the others tell of their blocks.
 */
export class ArrivalWatch implements ArrivalWatcher {
  readonly #parts: ArrivalWatchParts;
  awaited = true;
  dispatched = false;
  #first = true;

  constructor(parts: ArrivalWatchParts) {
    this.#parts = parts;
  }

  get first(): boolean {
    return this.#first;
  }

  get entrySp(): bigint {
    return this.#parts.entrySp;
  }

  get atOnce(): boolean {
    return this.#parts.atOnce;
  }

  arrived(address: bigint, dispatched: boolean, state: ArrivalState | undefined): boolean {
    const stop = this.#parts.onArrival(address, dispatched, state);
    this.#first = false;
    return stop;
  }

  /** The engine's block hook: an address to stop at, or undefined to go on. */
  enterBlock(address: bigint, size: number): bigint | undefined {
    const { glue, trampolines } = this.#parts;
    if (address >= trampolines.start && address < trampolines.end) {
      this.awaited = true;
      this.dispatched = true;
      return undefined;
    }
    if (!this.awaited) return undefined;
    const first = glue.skip(address);
    if (first >= address + BigInt(size)) return undefined;
    this.awaited = false;
    const dispatched = this.dispatched;
    this.dispatched = false;
    return this.arrived(first, dispatched, undefined) ? first : undefined;
  }
}
