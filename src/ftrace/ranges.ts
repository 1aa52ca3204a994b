// A set of address ranges: what belongs to sites, trampolines and the gate, and not to any function's body.

/** Half-open range of addresses. */
export interface Range {
  start: bigint;
  end: bigint;
}

/** Ranges that do not overlap; touching ones count as one where a walk crosses them. */
export class RangeSet {
  #ranges: Range[] = [];

  /** Adds ranges; an overlap with a present one is merged. */
  add(ranges: readonly Range[]): void {
    const all = [...this.#ranges, ...ranges].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
    const merged: Range[] = [];
    for (const { start, end } of all) {
      const last = merged.at(-1);
      if (last === undefined || start > last.end) merged.push({ start, end });
      else if (end > last.end) last.end = end;
    }
    this.#ranges = merged;
  }

  /** Takes everything from `start` to `end` out. */
  remove({ start, end }: Range): void {
    this.#ranges = this.#ranges.flatMap((range) => {
      if (range.end <= start || range.start >= end) return [range];
      const rest: Range[] = [];
      if (range.start < start) rest.push({ start: range.start, end: start });
      if (range.end > end) rest.push({ start: end, end: range.end });
      return rest;
    });
  }

  /** The first address at or after `address` that is in no range. */
  skip(address: bigint): bigint {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && range.end <= address) low = middle + 1;
      else high = middle;
    }
    const range = this.#ranges[low];
    return range !== undefined && range.start <= address ? range.end : address;
  }
}
