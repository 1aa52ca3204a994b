// Reads the variable-length fields of .eh_frame; whatever lies outside its bytes is an ImageError.
import { wrap } from '../../address.ts';
import { dataView } from '../memory.ts';
import { imageError } from '../reader.ts';

/** Call frame information as it lies in memory. */
export interface FrameBytes {
  /** For messages: the image's name. */
  readonly image: string;
  /** Address of the first byte. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** For messages; .eh_frame unless told. */
  readonly section?: string;
}

/** More bytes a 64-bit LEB128 number does not need. */
const LEB_BYTES = 10;

/** The formats of an encoded pointer: bytes, signed (LSB Core 5, "DWARF Exception Header Encoding"). */
const FORMATS: ReadonlyMap<number, { readonly size: number; readonly signed: boolean }> = new Map([
  [0x00, { size: 8, signed: false }], // DW_EH_PE_absptr
  [0x02, { size: 2, signed: false }],
  [0x03, { size: 4, signed: false }],
  [0x04, { size: 8, signed: false }],
  [0x0a, { size: 2, signed: true }],
  [0x0b, { size: 4, signed: true }],
  [0x0c, { size: 8, signed: true }],
]);
const ULEB = 0x01;
const SLEB = 0x09;
const PCREL = 0x10;
const APPLICATION = 0x70;
const INDIRECT = 0x80;
/** DW_EH_PE_omit: there is no pointer. */
export const OMIT = 0xff;

/** A place in [at, end) of a section. */
export class Cursor {
  readonly source: FrameBytes;
  readonly end: number;
  readonly #view: DataView;
  readonly #start: number;
  at: number;

  /** @throws {ImageError} ENOEXEC the range ends outside the section */
  constructor(source: FrameBytes, at: number, end: number) {
    this.source = source;
    this.at = at;
    this.#start = at;
    this.end = end;
    this.#view = dataView(source.bytes);
    if (at > end || end > source.bytes.length) throw this.error(`0x${(end - at).toString(16)} bytes end outside of it`);
  }

  get left(): number {
    return this.end - this.at;
  }

  /** The error of what stands here. */
  error(fact: string) {
    const { image, section = '.eh_frame' } = this.source;
    return imageError(image, 'ENOEXEC', `at +0x${this.at.toString(16)}: ${fact}`, { section });
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** An unsigned number of the given bytes; sign-extended where it is signed. */
  fixed(size: number, signed: boolean): bigint {
    let value = 0n;
    const at = this.#take(size);
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#view.getUint8(at + i));
    return signed ? BigInt.asIntN(8 * size, value) : value;
  }

  /** ULEB128 of at most 64 bits. */
  uleb(): bigint {
    return this.#leb(false);
  }

  /** SLEB128 of at most 64 bits. */
  sleb(): bigint {
    return this.#leb(true);
  }

  /** A ULEB128 that counts bytes of this range. */
  length(): number {
    const length = this.uleb();
    if (length > BigInt(this.left)) throw this.error(`0x${length.toString(16)} bytes end outside of the entry`);
    return Number(length);
  }

  /** The next `length` bytes as a range of their own; goes on behind them. */
  slice(length: number): Cursor {
    const at = this.#take(length);
    return new Cursor(this.source, at, at + length);
  }

  /** The same bytes from the first one on. */
  again(): Cursor {
    return new Cursor(this.source, this.#start, this.end);
  }

  /** Bytes up to a NUL, as text. */
  text(): string {
    let text = '';
    for (let byte = this.u8(); byte !== 0; byte = this.u8()) text += String.fromCharCode(byte);
    return text;
  }

  /**
   * A pointer in a DW_EH_PE encoding; those relative to text, data or function, aligned and indirect ones do not occur
   * in code of C and are refused.
   */
  pointer(encoding: number): bigint {
    const place = this.source.address + BigInt(this.at);
    const application = encoding & APPLICATION;
    if ((encoding & INDIRECT) !== 0 || (application !== 0 && application !== PCREL)) {
      throw this.error(`the pointer encoding 0x${encoding.toString(16)} is not supported`);
    }
    const value = this.#encoded(encoding & 0x0f);
    return wrap(application === PCREL ? place + value : value);
  }

  /** As `pointer`; undefined where 0 stands for none. */
  pointerOrNull(encoding: number): bigint | undefined {
    const { at } = this;
    if (this.size(encoding) === 0n) return undefined;
    this.at = at;
    return this.pointer(encoding);
  }

  /** The value of an encoding's format alone: what a size is written in. */
  size(encoding: number): bigint {
    return wrap(this.#encoded(encoding & 0x0f));
  }

  #encoded(format: number): bigint {
    if (format === ULEB) return this.uleb();
    if (format === SLEB) return this.sleb();
    const known = FORMATS.get(format);
    if (known === undefined) throw this.error(`the pointer format 0x${format.toString(16)} is not supported`);
    return this.fixed(known.size, known.signed);
  }

  #leb(signed: boolean): bigint {
    let value = 0n;
    let shift = 0n;
    for (let i = 0; i < LEB_BYTES; i++) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if ((byte & 0x80) !== 0) continue;
      const result = signed ? BigInt.asIntN(Number(shift), value) : value;
      const fits = signed ? BigInt.asIntN(64, result) === result : BigInt.asUintN(64, result) === result;
      if (!fits) break;
      return result;
    }
    throw this.error('a LEB128 number has more than 64 bits');
  }

  #take(size: number): number {
    if (size > this.left) throw this.error('the entry ends in the middle of a field');
    const { at } = this;
    this.at += size;
    return at;
  }
}
