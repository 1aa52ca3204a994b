// Code bytes at addresses, and a decoder over them: what one side of a comparison can execute.
import { ADDRESS_LIMIT, address as checkedAddress } from '../address.ts';
import { type DecodeMode, type Facts, factsAt } from '../x86/operands.ts';

/** Bytes at a guest address. */
export interface Segment {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/**
 * Checks that bytes lie in the address space: what wraps past its end no memory can hold.
 *
 * @param name the argument's name, for the message
 * @param goesOn control goes on behind the bytes: there is an address, too
 * @throws {TypeError} the address is no bigint
 * @throws {RangeError} it does not fit in 64 unsigned bits, or the bytes go past the last address
 */
export function checkPlace({ address, bytes }: Segment, name: string, goesOn = false): void {
  const end = checkedAddress(address, `${name}.address`) + BigInt(bytes.length);
  if (end > ADDRESS_LIMIT || (goesOn && end === ADDRESS_LIMIT)) {
    throw new RangeError(`"${name}" has bytes that go past the last address`);
  }
}

/** Whether an address lies in a segment. */
export function within({ address, bytes }: Segment, ip: bigint): boolean {
  return ip >= address && ip < address + BigInt(bytes.length);
}

/** All the code that one side of a comparison knows. Where segments overlap, the first one counts. */
export class CodeSpace {
  readonly #segments: readonly Segment[];
  readonly #mode: DecodeMode;
  readonly #cache = new Map<bigint, Facts>();

  constructor(segments: readonly Segment[], mode: DecodeMode) {
    this.#segments = segments;
    this.#mode = mode;
  }

  /** The known bytes from `address` on, at most `size`; empty where nothing is known. */
  bytes(address: bigint, size: number): Uint8Array {
    for (const segment of this.#segments) {
      const offset = Number(address - segment.address);
      if (offset >= 0 && offset < segment.bytes.length) return segment.bytes.subarray(offset, offset + size);
    }
    return new Uint8Array(0);
  }

  /** The instruction at `address`, or undefined outside the known bytes or where it runs out of them. */
  at(address: bigint): Facts | undefined {
    const cached = this.#cache.get(address);
    if (cached !== undefined) return cached;
    const bytes = this.bytes(address, 15);
    if (bytes.length === 0) return undefined;
    const facts = factsAt(bytes, address, this.#mode);
    this.#cache.set(address, facts);
    return facts;
  }

  /** The little-endian pointer at `address`, where all of it is known. */
  pointer(address: bigint): bigint | undefined {
    const size = this.#mode.bitness === 64 ? 8 : 4;
    const bytes = this.bytes(address, size);
    if (bytes.length < size) return undefined;
    return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }
}
