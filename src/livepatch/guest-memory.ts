// Reading what the guest has in memory: integers and texts at addresses that the guest chose, so nothing is trusted.
import { hex } from '../address.ts';
import { PatchError } from '../errors.ts';

/** The bytes at an address, or undefined where not all of them are there. */
export type ReadMemory = (address: bigint, size: number) => Uint8Array | undefined;

/** Longest text that is read; longer ones are cut, and refused by whoever needs them shorter. */
const MAX_TEXT = 4096;

/** Memory seen by one operation, which its errors name. */
export class GuestMemory {
  readonly #read: ReadMemory;
  readonly #about: { operation: string; patch?: string };

  constructor(read: ReadMemory, about: { operation: string; patch?: string }) {
    this.#read = read;
    this.#about = about;
  }

  /** An error of the operation at an address. */
  error(code: 'EFAULT' | 'EINVAL', fact: string, address: bigint): PatchError {
    return new PatchError(code, `${fact} at ${hex(address)}`, { ...this.#about, address });
  }

  /**
   * A piece of memory.
   * @param what names it in the error
   * @throws {PatchError} EFAULT some of it is not mapped
   */
  view(address: bigint, size: number, what: string): DataView {
    const bytes = this.#read(address, size);
    if (bytes === undefined) throw this.error('EFAULT', `${what} is not in memory,`, address);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * A NUL-terminated text.
   *
   * @param most characters that matter: a text of more is cut there
   * @throws {PatchError} EFAULT it leaves the memory before its end
   */
  text(address: bigint, what: string, most = MAX_TEXT): string {
    const bytes: number[] = [];
    // in pieces that end with a page, so that a text at the end of memory is read to its end
    for (let at = address; bytes.length < most; ) {
      const size = Math.min(64 - Number(at % 64n), most - bytes.length);
      const piece = this.#read(at, size);
      if (piece === undefined) throw this.error('EFAULT', `${what} leaves the memory,`, at);
      const end = piece.indexOf(0);
      bytes.push(...(end < 0 ? piece : piece.subarray(0, end)));
      if (end >= 0) break;
      at += BigInt(size);
    }
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }
}
