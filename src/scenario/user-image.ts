// Loads an object of the user's own without the kernel it belongs to: what it imports leads to unmapped addresses.
import { ElfFile } from '../image/elf.ts';
import type { LoadedImage } from '../image/image.ts';
import type { Machine } from '../machine.ts';
import { PROBE_IMAGE, probeObject } from './probes.ts';

/** Where imported symbols point: within rel32 reach of all images, never mapped (the kernel's own fixmap hole). */
const IMPORTS = 0xffffffffff000000n;
const IMPORTS_END = 0xffffffffffff0000n;

/** An image that is loaded to look at its function entries; its bodies are not meant to run. */
export interface UserImage {
  readonly image: LoadedImage;
  /** Undefined symbols that nothing defines: each has an address at which a call faults. */
  readonly imports: readonly string[];
}

/**
 * Loads a file as the machine's vmlinux, and the probe functions beside it.
 *
 * @throws {ImageError} what is wrong with the file
 */
export function loadUserImage(machine: Machine, bytes: Uint8Array, name: string): UserImage {
  const imports = new Set(
    ElfFile.parse(bytes, name)
      .symbols.filter((symbol) => symbol.place === 'undefined' && symbol.binding !== 'weak' && symbol.name !== '')
      .map((symbol) => symbol.name)
      .filter((symbol) => machine.images.address(symbol) === undefined),
  );
  // no prototype: symbol names come from the file
  const symbols: Record<string, bigint> = Object.create(null);
  const room = Number((IMPORTS_END - IMPORTS) / 16n);
  [...imports].forEach((symbol, i) => {
    symbols[symbol] = IMPORTS + BigInt(i % room) * 16n;
  });
  const image = machine.load(bytes, { name, kind: 'vmlinux', symbols });
  machine.load(probeObject(), { name: PROBE_IMAGE, kind: 'livepatch' });
  return { image, imports: [...imports].sort() };
}
