// Which function of a patch a sleeping task stands in: the ranges that must be on no stack (klp_check_stack, L70).

/** What walking a stack gave. */
export interface StackTrace {
  /** Where its functions stand, the innermost first, up to where the walk ended. */
  readonly addresses: readonly bigint[];
  /** Why the trace cannot be relied on; undefined where it goes to the bottom of the stack. */
  readonly unreliable: string | undefined;
}

/** Code that a task may not stand in, and the function that is named then. */
export interface CheckedRange {
  readonly start: bigint;
  readonly size: bigint;
  readonly func: string;
}

/** Ranges in the order in which they are checked; the first one that holds any address of a stack is the answer. */
export class CheckedRanges {
  readonly #funcs: readonly string[];
  /** Every start and end of a range, ascending, without repetition. */
  readonly #bounds: readonly bigint[];
  /** From each bound to the next: the first range there, as its place in the order; -1 where there is none. */
  readonly #first: Int32Array;
  /** Comparisons of addresses since it was made. */
  compared = 0;

  constructor(ranges: readonly CheckedRange[]) {
    this.#funcs = ranges.map(({ func }) => func);
    const bounds = [...new Set(ranges.flatMap(({ start, size }) => [start, start + size]))];
    this.#bounds = bounds.sort((a, b) => (a < b ? -1 : 1));
    this.#first = new Int32Array(bounds.length).fill(-1);
    /** From each piece the next one, itself included, that no range has yet. */
    const next = Int32Array.from({ length: bounds.length + 1 }, (_, i) => i);
    const free = (piece: number): number => {
      let at = piece;
      while (next[at] !== at) {
        next[at] = next[next[at] as number] as number;
        at = next[at] as number;
      }
      return at;
    };
    for (const [order, { start, size }] of ranges.entries()) {
      const end = this.#piece(start + size);
      for (let piece = free(this.#piece(start)); piece < end; piece = free(piece)) {
        this.#first[piece] = order;
        next[piece] = piece + 1;
      }
    }
  }

  /** The function that a stack stands in, or undefined. Takes steps in the logarithm of the number of ranges. */
  standing(addresses: readonly bigint[]): string | undefined {
    let first = -1;
    for (const address of addresses) {
      const found = this.#first[this.#piece(address)] ?? -1;
      if (found >= 0 && (first < 0 || found < first)) first = found;
    }
    return this.#funcs[first];
  }

  /** The piece that holds an address; -1 before the first. */
  #piece(address: bigint): number {
    let low = 0;
    let high = this.#bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      this.compared++;
      if ((this.#bounds[middle] as bigint) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
