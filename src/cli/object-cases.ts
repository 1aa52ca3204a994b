// An object as cases: every site by its tables, and every function's first bytes as a candidate for a hook.
import { basename } from 'node:path';
import { hex, hexBytes } from '../address.ts';
import { MAX_CASE_BYTES, MAX_ID, type RawCase } from '../check/cases.ts';
import { ElfFile } from '../image/elf.ts';
import { SHF_EXECINSTR, SHF_WRITE } from '../image/elf-format.ts';
import type { ElfSection } from '../image/elf-sections.ts';
import { exceptionsByFunction } from '../image/exception-table.ts';
import type { LoadedImage } from '../image/image.ts';
import { loadImageBytes } from '../image/load.ts';
import type { FunctionInfo } from '../image/sites.ts';
import { landingPads } from '../image/unwind/landing-pads.ts';
import { GUEST_MAP } from '../machine/guest-map.ts';

/** Where imported symbols point: within rel32 reach of the text, one address each. */
const IMPORTS = 0xffffffffff000000n;
const IMPORTS_SIZE = 0xff0000;

/**
 * Loads an object to look at its code; what it imports gets addresses of its own.
 *
 * @throws {ImageError} what is wrong with the file
 */
export function loadObject(bytes: Uint8Array, file: string): LoadedImage {
  const imports = new Map<string, bigint>();
  return loadImageBytes(bytes, basename(file), {
    base: GUEST_MAP.kernelText.base,
    resolve: (name) => {
      const known = imports.get(name) ?? IMPORTS + BigInt((imports.size * 16) % IMPORTS_SIZE);
      imports.set(name, known);
      return known;
    },
  });
}

/** Bytes of a loaded object; fewer where its segment ends. */
export function objectBytes(image: LoadedImage, address: bigint, size: number): Uint8Array {
  for (const segment of image.segments) {
    const offset = Number(address - segment.address);
    if (offset >= 0 && offset < segment.bytes.length) return segment.bytes.slice(offset, offset + size);
  }
  return new Uint8Array(0);
}

/** A case of an object, or why it is none. */
export interface ObjectCase {
  readonly raw: RawCase;
  /** Why there is nothing to judge. */
  readonly unjudged?: string;
}

/**
 * One case for each section of code (`section`, C46), and two for each function with code of its own: `ftrace-site`, the call of the file or the idle NOP at its site, and
 * `hook`, its first bytes with the site idle.
 *
 * @throws {ImageError} what is wrong with the file
 */
export function objectCases(bytes: Uint8Array, file: string): ObjectCase[] {
  const image = loadObject(bytes, file);
  const elf = ElfFile.parse(bytes, basename(file));
  const exceptions = exceptionsByFunction(elf);
  const pads = landingPads(image);
  const functions = image.functions
    .filter(({ aliasOf, size }) => aliasOf === undefined && size > 0)
    .flatMap((info) => [siteCase(info), hookCase(image, info, named(info, exceptions, pads))]);
  const code = elf.sections.filter(({ flags, bytes }) => (flags & SHF_EXECINSTR) !== 0n && bytes.length > 0);
  return [...code.map(sectionCase), ...functions];
}

/** The addresses in a function that the kernel's exception table or those of the compiler name (C6). */
function named(
  { symbol, address, size }: FunctionInfo,
  exceptions: ReadonlyMap<number, readonly bigint[]>,
  pads: readonly bigint[],
): bigint[] {
  const inside = pads.filter((at) => at >= address && at < address + BigInt(size));
  return [...(exceptions.get(symbol.index) ?? []).map((offset) => address + offset), ...inside];
}

/** C46: whether a section of code asks to be writable too. */
function sectionCase({ name, flags, bytes }: ElfSection): ObjectCase {
  const access = (flags & SHF_WRITE) === 0n ? 'rx' : 'rwx';
  const head = { id: `${name}:section`.slice(0, MAX_ID), kind: 'section', access };
  return { raw: { ...head, address: '0x0', input: hexBytes(bytes.subarray(0, 15)), bitness: 64 } };
}

function siteCase({ name, site, reason }: FunctionInfo): ObjectCase {
  const head = { id: `${name}:site`.slice(0, MAX_ID), kind: 'ftrace-site' };
  if (site === undefined)
    return { raw: head, unjudged: reason?.startsWith('no site') === true ? reason : `no site: ${reason}` };
  // the compiler's call becomes a NOP5 at boot, and so do NOPs of other forms (F1 to F9)
  const isCall = site.original[0] === 0xe8;
  const input = hexBytes((isCall ? site.original : site.idle).subarray(0, 5));
  const expected = { siteOffset: 0, expectedOld: isCall ? 'call' : 'nop' };
  return { raw: { ...head, address: hex(site.address), input, bitness: 64, expected } };
}

function hookCase(
  image: LoadedImage,
  { name, address, size }: FunctionInfo,
  exceptions: readonly bigint[],
): ObjectCase {
  const head = { id: `${name}:hook`.slice(0, MAX_ID), kind: 'hook' };
  if (size > MAX_CASE_BYTES) return { raw: head, unjudged: `the function has ${size} bytes` };
  const input = hexBytes(objectBytes(image, address, size));
  const at = exceptions.length === 0 ? {} : { exceptions: exceptions.map(hex) };
  return { raw: { ...head, address: hex(address), input, bitness: 64, ...at } };
}
