// Which guest pages are mapped and what they allow; checks what an engine's own calls would get wrong.
import { ADDRESS_LIMIT, address as checked, hex, PAGE_SIZE } from '../address.ts';
import { EngineError, type ErrnoName } from '../errors.ts';
import type { Access } from './engine.ts';

/** Pages `start` to `end` (exclusive) with one access. */
export interface Region {
  readonly start: bigint;
  readonly end: bigint;
  readonly access: Access;
}

/** The mapped regions, sorted and disjoint. */
export class Mappings {
  #regions: Region[] = [];

  /** @throws {EngineError} EINVAL not page-aligned, empty, or past 2^64 · EEXIST overlaps a mapping */
  checkMap(start: bigint, size: bigint): void {
    const end = checkPages('map', start, size);
    const taken = this.overlapping(start, end)[0];
    if (taken !== undefined)
      throw fail('EEXIST', 'map', `${range(start, end)} overlaps ${range(taken.start, taken.end)}`);
  }

  /** @throws {EngineError} EINVAL not page-aligned, empty, or past 2^64 · EFAULT not all mapped */
  checkMapped(operation: string, start: bigint, size: bigint): void {
    const end = checkPages(operation, start, size);
    this.#checkCovered(operation, start, end);
  }

  /** @throws {EngineError} EFAULT some of the bytes are not mapped */
  checkBytes(operation: string, start: bigint, size: number): void {
    checked(start, 'address');
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`"size" expected a byte count, got ${size}`);
    if (size > 0) this.#checkCovered(operation, start, start + BigInt(size));
  }

  add(start: bigint, size: bigint, access: Access): void {
    this.#regions.splice(this.#firstEndingAfter(start), 0, { start, end: start + size, access });
  }

  remove(start: bigint, size: bigint): void {
    this.#replace(start, start + size, undefined);
  }

  protect(start: bigint, size: bigint, access: Access): void {
    this.#replace(start, start + size, access);
  }

  /** The region that holds `address`, if any. */
  at(address: bigint): Region | undefined {
    const region = this.#regions[this.#firstEndingAfter(address)];
    return region !== undefined && region.start <= address ? region : undefined;
  }

  overlapping(start: bigint, end: bigint): Region[] {
    const found: Region[] = [];
    for (let i = this.#firstEndingAfter(start); i < this.#regions.length; i++) {
      const region = this.#regions[i];
      if (region === undefined || region.start >= end) break;
      found.push(region);
    }
    return found;
  }

  /** How many of `size` bytes at `start` are mapped without a gap. */
  mappedBytes(start: bigint, size: number): number {
    let end = start;
    while (end < start + BigInt(size)) {
      const region = this.at(end);
      if (region === undefined) break;
      end = region.end;
    }
    return Math.min(Number(end - start), size);
  }

  /** Whether the guest may store `size` bytes at `start`. */
  writable(start: bigint, size: number): boolean {
    const end = start + BigInt(size);
    for (let at = start; at < end; ) {
      const region = this.at(at);
      if (region?.access.includes('w') !== true) return false;
      at = region.end;
    }
    return true;
  }

  /** The regions as they are now. */
  copy(): readonly Region[] {
    return [...this.#regions];
  }

  /** Goes back to what `copy` gave. */
  replace(regions: readonly Region[]): void {
    this.#regions = [...regions];
  }

  /** Whether the guest could write code: some page is writable and executable at once. */
  get selfModifiable(): boolean {
    return this.#regions.some((region) => region.access === 'rwx');
  }

  #checkCovered(operation: string, start: bigint, end: bigint): void {
    let next = start;
    for (const region of this.overlapping(start, end)) {
      if (region.start > next) break;
      next = region.end;
    }
    if (next < end) throw fail('EFAULT', operation, `${hex(next)} in ${range(start, end)} is not mapped`);
  }

  /** Cuts `start` to `end` out of the regions there, and gives it `access`, or nothing. */
  #replace(start: bigint, end: bigint, access: Access | undefined): void {
    const cut = (region: Region): Region[] => {
      if (region.end <= start || region.start >= end) return [region];
      const from = region.start < start ? start : region.start;
      const to = region.end > end ? end : region.end;
      const parts: Region[] = [];
      if (region.start < from) parts.push({ ...region, end: from });
      if (access !== undefined) parts.push({ start: from, end: to, access });
      if (to < region.end) parts.push({ ...region, start: to });
      return parts;
    };
    this.#regions = this.#regions.flatMap(cut);
  }

  /** Index of the first region whose end is past `address`. */
  #firstEndingAfter(address: bigint): number {
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const region = this.#regions[middle];
      if (region !== undefined && region.end <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Checks the range of a page operation and returns its end. */
function checkPages(operation: string, start: bigint, size: bigint): bigint {
  checked(start, 'address');
  if (typeof size !== 'bigint') throw new TypeError(`"size" expected a bigint, got ${typeof size}`);
  const end = start + size;
  if (size <= 0n || start % PAGE_SIZE !== 0n || size % PAGE_SIZE !== 0n || end > ADDRESS_LIMIT) {
    throw fail('EINVAL', operation, `${hex(start)} with ${size} bytes is not a range of 4096-byte pages below 2^64`);
  }
  return end;
}

function range(start: bigint, end: bigint): string {
  return `${hex(start)} to ${hex(end)}`;
}

function fail(code: ErrnoName, operation: string, fact: string): EngineError {
  return new EngineError(code, fact, { operation });
}
