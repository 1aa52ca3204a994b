// Places on the command line: ADDRESS:BYTES, ADDRESS:@FILE, or a function of an object (FILE.o:FUNCTION+0x10).
import { basename } from 'node:path';
import { bytesOfHex, address as checkedAddress } from '../address.ts';
import { MAX_CASE_BYTES } from '../check/cases.ts';
import { ImageError, TrampolineError } from '../errors.ts';
import type { LoadedImage } from '../image/image.ts';
import { isElf, readInput } from './files.ts';
import { loadObject, objectBytes } from './object-cases.ts';

/** Bytes at an address. */
export interface Place {
  address: bigint;
  bytes: Uint8Array;
  /** The bytes are all of a function, from the offset on. */
  ofSymbol?: boolean;
}

/**
 * Reads a place.
 *
 * @throws {TrampolineError} EINVAL not a place, or too many bytes · ENOENT no such file or symbol
 * @throws {ImageError} what is wrong with the object
 */
export async function place(text: string): Promise<Place> {
  const colon = text.indexOf(':');
  const shown = text.slice(0, 60);
  if (colon >= 0 && /^(0x[0-9a-f]+|\d+)$/i.test(text.slice(0, colon))) {
    const bytes = text.slice(colon + 1);
    try {
      const address = checkedAddress(BigInt(text.slice(0, colon)), 'address');
      const read = bounded(bytes.startsWith('@') ? await readInput(bytes.slice(1)) : bytesOfHex(bytes));
      if (address + BigInt(read.length) > 1n << 64n) throw usage(`'${shown}' goes past the last address`);
      return { address, bytes: read };
    } catch (cause) {
      if (cause instanceof TrampolineError) throw cause;
      throw usage(`'${shown}' must read ADDRESS:BYTES, such as 0x401000:0f1f440000, or FILE.o:FUNCTION`);
    }
  }
  const [, file, symbol, offset = '0'] = /^(.+):([^:+]+)(?:\+(0x[0-9a-f]{1,8}|\d{1,9}))?$/i.exec(text) ?? [];
  if (file === undefined || symbol === undefined) {
    throw usage(`'${shown}' must read ADDRESS:BYTES, such as 0x401000:0f1f440000, or FILE.o:FUNCTION`);
  }
  const bytes = await readInput(file);
  if (!isElf(bytes)) throw usage(`'${file}' is no ELF file; for plain bytes write ADDRESS:@${file}`);
  return symbolPlace(loadObject(bytes, file), file, symbol, Number(offset));
}

function symbolPlace(image: LoadedImage, file: string, name: string, offset: number): Place {
  const info = image.functionNamed(name) ?? image.functions.find((one) => one.name === name);
  const same = image.functions.filter(({ symbol }) => symbol.name === name);
  if (info === undefined && same.length > 0) {
    throw usage(`'${name}' is ambiguous in ${file}; name one of ${same.map((one) => one.name).join(', ')}`);
  }
  const symbol = info ?? image.symbolsNamed(name)[0];
  if (symbol === undefined) {
    throw new TrampolineError('ENOENT', `'${file}' has no symbol '${name}'; \`tramp64 inspect\` lists its functions`, {
      operation: 'check',
    });
  }
  const size = Number(symbol.size);
  if (size === 0 || offset >= size) {
    const fact = size === 0 ? `the size of '${name}' is unknown` : `'${name}' has ${size} bytes, none at +${offset}`;
    throw new ImageError('EINVAL', fact, { operation: 'check', image: basename(file) });
  }
  const address = symbol.address + BigInt(offset);
  return { address, bytes: bounded(objectBytes(image, address, size - offset)), ofSymbol: true };
}

function bounded(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= MAX_CASE_BYTES) return bytes;
  throw usage(`${bytes.length} bytes; at most ${MAX_CASE_BYTES} are judged at once`);
}

/** The error for what the user wrote wrongly. */
export function usage(fact: string): TrampolineError {
  return new TrampolineError('EINVAL', fact, { operation: 'check' });
}
