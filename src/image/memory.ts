// The memory of an image before any CPU has it: page-aligned segments that are read and written by address.

/** What the pages of a segment allow; the words are those of engine/engine.ts. */
export type SegmentAccess = 'r' | 'rw' | 'rx' | 'rwx';

/** Page-aligned bytes with one access. Segments of an image never overlap and never share a page. */
export interface ImageSegment {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly access: SegmentAccess;
}

/** The segments of one image, by ascending address. */
export class ImageMemory {
  readonly segments: readonly ImageSegment[];
  #last: ImageSegment | undefined;

  constructor(segments: readonly ImageSegment[]) {
    this.segments = [...segments].sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** The segment that holds all of [address, address + size), or undefined. */
  segmentAt(address: bigint, size = 1): ImageSegment | undefined {
    if (this.#last !== undefined && holds(this.#last, address, size)) return this.#last;
    const found = this.segments.find((segment) => holds(segment, address, size));
    if (found !== undefined) this.#last = found;
    return found;
  }

  /** A view of `size` bytes at `address`, or undefined where they are not all in one segment. */
  view(address: bigint, size: number): Uint8Array | undefined {
    const segment = this.segmentAt(address, size);
    if (segment === undefined) return undefined;
    const start = Number(address - segment.address);
    return segment.bytes.subarray(start, start + size);
  }

  /** Like `view`, but only in executable memory. */
  code(address: bigint, size: number): Uint8Array | undefined {
    const segment = this.segmentAt(address, size);
    return segment === undefined || !isExecutable(segment) ? undefined : this.view(address, size);
  }

  /** The 64-bit little-endian value at `address`, or undefined outside the image. */
  u64(address: bigint): bigint | undefined {
    const bytes = this.view(address, 8);
    return bytes === undefined ? undefined : dataView(bytes).getBigUint64(0, true);
  }

  /** The signed 32-bit little-endian value at `address`, or undefined outside the image. */
  i32(address: bigint): number | undefined {
    const bytes = this.view(address, 4);
    return bytes === undefined ? undefined : dataView(bytes).getInt32(0, true);
  }
}

/** Whether code in the segment can run. */
export function isExecutable(segment: ImageSegment): boolean {
  return segment.access === 'rx' || segment.access === 'rwx';
}

/** A DataView of exactly these bytes. */
export function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function holds(segment: ImageSegment, address: bigint, size: number): boolean {
  return address >= segment.address && address - segment.address + BigInt(size) <= BigInt(segment.bytes.length);
}
