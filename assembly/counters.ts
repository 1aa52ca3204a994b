// Counts how often each exit of the ladder was taken.
import { COUNTERS_SIZE, Counters } from './layout';

/** Offset of the counters; fixed at build time, so that counting needs no pointer. */
export const COUNTERS: usize = memory.data(64, 64);

export class Count {
  /** The counters as a struct. */
  @inline
  static get all(): Counters {
    return changetype<Counters>(COUNTERS);
  }
}

/** Sets every counter to 0. */
export function clearCounters(): void {
  memory.fill(COUNTERS, 0, COUNTERS_SIZE);
}
