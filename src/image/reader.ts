// Reads little-endian fields of an untrusted file; whatever lies outside the file is an ImageError.

import { type ErrnoName, ImageError } from '../errors.ts';

/** Makes the error of one file: `load: 'fix.o' section '.text': fact`. */
export function imageError(
  image: string,
  code: ErrnoName,
  fact: string,
  where: { section?: string; offset?: number } = {},
): ImageError {
  const section = where.section === undefined ? '' : ` section '${where.section}'`;
  const offset = where.offset === undefined ? '' : ` at file offset 0x${where.offset.toString(16)}`;
  return new ImageError(code, `'${image}'${section}${offset}: ${fact}`, { operation: 'load', image, ...where });
}

/** A file's bytes with checked access. Offsets are in bytes from the file's start. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * Checks that [offset, offset + size) lies in the file and returns both as numbers.
   *
   * @throws {ImageError} ENOEXEC it does not; `what` names it in the message
   */
  range(offset: bigint, size: bigint, what: string, section?: string): { offset: number; size: number } {
    const length = BigInt(this.bytes.length);
    if (offset > length || size > length - offset) {
      const fact = `${what} of 0x${size.toString(16)} bytes ends outside the file (0x${length.toString(16)} bytes)`;
      throw imageError(this.name, 'ENOEXEC', fact, {
        ...(section === undefined ? {} : { section }),
        offset: offset > length ? this.bytes.length : Number(offset),
      });
    }
    return { offset: Number(offset), size: Number(size) };
  }

  // The caller has checked the structure's range; a field read outside it is a RangeError of DataView, our own defect.
  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  i64(offset: number): bigint {
    return this.#view.getBigInt64(offset, true);
  }
}

/** NUL-terminated names in a string table. */
export class StringTable {
  readonly #image: string;
  readonly #section: string;
  readonly #bytes: Uint8Array;
  readonly #fileOffset: number;
  readonly #known = new Map<number, string>();
  #budget: number;

  constructor(image: string, section: string, bytes: Uint8Array, fileOffset: number) {
    this.#image = image;
    this.#section = section;
    this.#bytes = bytes;
    this.#fileOffset = fileOffset;
    // Names may share tails, but a table whose names add up to many times its size is made to cost time.
    this.#budget = 16 * bytes.length + 65_536;
  }

  /**
   * The name at `index`.
   *
   * @throws {ImageError} ENOEXEC outside the table, no NUL up to its end, or the names add up to too much
   */
  at(index: number): string {
    const known = this.#known.get(index);
    if (known !== undefined) return known;
    if (index === 0 && this.#bytes.length === 0) return '';
    const end = index < this.#bytes.length ? this.#bytes.indexOf(0, index) : -1;
    if (end < 0) this.#fail(`string index 0x${index.toString(16)} has no terminated name`, index);
    this.#budget -= end - index;
    if (this.#budget < 0) this.#fail('the names overlap too much', index);
    const text = new TextDecoder().decode(this.#bytes.subarray(index, end));
    this.#known.set(index, text);
    return text;
  }

  #fail(fact: string, index: number): never {
    const offset = this.#fileOffset + Math.min(index, this.#bytes.length);
    throw imageError(this.#image, 'ENOEXEC', fact, { section: this.#section, offset });
  }
}
