// Loads a committed fixture the way most tests want it.

import type { LoadedImage } from '../../src/image/image.ts';
import { type LoadOptions, loadImageBytes } from '../../src/image/load.ts';
import { dataView } from '../../src/image/memory.ts';
import { fixture } from '../fixtures/manifest.ts';

/** Where tests place objects: in the kernel's module area. */
export const BASE = 0xffff_ffff_a000_0000n;
/** What every undefined symbol resolves to, within reach of BASE. */
export const OUTSIDE = 0xffff_ffff_8123_4560n;

/** Loads bytes at BASE, with every undefined symbol at OUTSIDE unless the options say otherwise. */
export function load(bytes: Uint8Array, options: Partial<LoadOptions> = {}, name = 'test.o'): LoadedImage {
  return loadImageBytes(bytes, name, { base: BASE, resolve: () => OUTSIDE, ...options });
}

/** Loads a fixture by its name. */
export function loadFixture(file: string, options: Partial<LoadOptions> = {}): LoadedImage {
  return load(fixture(file), options, file);
}

/** `size` bytes of an image's memory. */
export function bytesAt(image: LoadedImage, address: bigint, size: number): Uint8Array {
  for (const segment of image.segments) {
    const start = address - segment.address;
    if (start >= 0n && start + BigInt(size) <= BigInt(segment.bytes.length)) {
      return segment.bytes.subarray(Number(start), Number(start) + size);
    }
  }
  throw new Error(`0x${address.toString(16)} is outside the image`);
}

/** A little-endian 64-bit value in an image's memory. */
export function u64At(image: LoadedImage, address: bigint): bigint {
  return dataView(bytesAt(image, address, 8)).getBigUint64(0, true);
}

/** A signed little-endian 32-bit value in an image's memory. */
export function i32At(image: LoadedImage, address: bigint): bigint {
  return BigInt(dataView(bytesAt(image, address, 4)).getInt32(0, true));
}

/** The address of a symbol that the image must have. */
export function addressOf(image: LoadedImage, name: string): bigint {
  const [symbol] = image.symbolsNamed(name);
  if (symbol === undefined) throw new Error(`no symbol ${name}`);
  return symbol.address;
}
