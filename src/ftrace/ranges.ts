// A set of address ranges: what belongs to sites, trampolines and the gate, and not to any function's body.

/** Half-open range of addresses. */
export interface Range {
  start: bigint;
  end: bigint;
}

/** Ranges that do not overlap; touching ones count as one where a walk crosses them. */
export class RangeSet {
  #ranges: readonly Range[];
  #version: number;

  /** @param from those of the machine that this one is a fork of */
  constructor(from?: RangeSet) {
    // each change makes a new list
    this.#ranges = from === undefined ? [] : from.#ranges;
    this.#version = from === undefined ? 0 : from.#version;
  }

  /** Differs after each change. */
  get version(): number {
    return this.#version;
  }

  /** Start and end of each range in turn, in the order of addresses. */
  quads(): BigUint64Array {
    const quads = new BigUint64Array(2 * this.#ranges.length);
    for (const [i, { start, end }] of this.#ranges.entries()) {
      quads[2 * i] = start;
      quads[2 * i + 1] = end;
    }
    return quads;
  }

  /** Adds ranges; an overlap with a present one is merged. */
  add(ranges: readonly Range[]): void {
    const all = [...this.#ranges, ...ranges].sort(byStart);
    const merged: Range[] = [];
    for (const { start, end } of all) {
      const last = merged.at(-1);
      if (last === undefined || start > last.end) merged.push({ start, end });
      else if (end > last.end) last.end = end;
    }
    this.#ranges = merged;
    this.#version++;
  }

  /** Takes ranges out, all in one walk: an image has one for each of its functions. */
  remove(gone: readonly Range[]): void {
    this.#version++;
    const holes = [...gone].sort(byStart);
    let first = 0;
    this.#ranges = this.#ranges.flatMap(({ start, end }) => {
      const rest: Range[] = [];
      let from = start;
      while ((holes[first]?.end ?? end) <= start && first < holes.length) first++;
      for (let at = first; ; at++) {
        const hole = holes[at];
        if (hole === undefined || hole.start >= end) break;
        if (hole.start > from) rest.push({ start: from, end: hole.start });
        if (hole.end > from) from = hole.end;
      }
      if (from < end) rest.push({ start: from, end });
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

function byStart(a: Range, b: Range): number {
  return a.start < b.start ? -1 : a.start > b.start ? 1 : 0;
}
