// Decides where each part of a file lies in memory and copies the bytes there.

import { ADDRESS_LIMIT, hex, PAGE_SIZE, pageCeil, pageFloor } from '../address.ts';
import type { ElfFile } from './elf.ts';
import { PF_W, PF_X, PT_LOAD, SHF_EXECINSTR, SHF_WRITE } from './elf-format.ts';
import { type ElfSection, type ElfSegment, isAllocated, isLivepatchTable } from './elf-sections.ts';
import type { ElfSymbol } from './elf-symbols.ts';
import { ImageMemory, type ImageSegment, type SegmentAccess } from './memory.ts';
import { imageError } from './reader.ts';

/** More memory than this an image does not get: a whole kernel needs about 64 MiB. */
export const MAX_IMAGE_BYTES = 256n << 20n;
/** Sections are aligned to at most a large page. */
export const MAX_ALIGNMENT = 2n << 20n;
/** Linked files have a handful of segments; many tiny ones would make each look-up slow. */
const MAX_SEGMENTS = 64;

/** Where everything lies. */
export interface Layout {
  readonly memory: ImageMemory;
  /** One past the last byte that belongs to the image. */
  readonly end: bigint;
  /** What is added to the addresses of a linked file. */
  readonly bias: bigint;
  /** Address of an allocated section; undefined for one that is not loaded. */
  section(section: ElfSection): bigint | undefined;
  /** Address given to a common symbol of a relocatable file. */
  common(symbol: ElfSymbol): bigint | undefined;
  /** Address of the loader's GOT slot for a symbol of a relocatable file. */
  slot(symbol: ElfSymbol): bigint | undefined;
}

/** A piece of a relocatable file that gets an address: a section, the common block or the GOT. */
interface Piece {
  readonly section: string;
  readonly access: SegmentAccess;
  readonly size: bigint;
  readonly align: bigint;
  readonly bytes: Uint8Array;
  place(address: bigint): void;
}

/**
 * Places the allocated sections of a relocatable file at `base`, in the order code, constants, data; each kind of
 * access starts on a page of its own.
 *
 * @param slots the symbols that need a GOT slot
 * @throws {ImageError} EINVAL an alignment above 2 MiB · ENOMEM more than 256 MiB or past 2^64
 */
export function layOutSections(file: ElfFile, base: bigint, slots: ReadonlySet<ElfSymbol>): Layout {
  const sections = new Map<ElfSection, bigint>();
  const commons = new Map<ElfSymbol, bigint>();
  const gotSlots = new Map<ElfSymbol, bigint>();
  const empty = new Uint8Array();
  const pieces: Piece[] = file.sections
    .filter((section) => isAllocated(section) && !isLivepatchTable(section))
    .map((section) => ({
      section: section.name,
      access: accessOf(section),
      size: section.size,
      align: section.align,
      bytes: section.bytes,
      place: (address) => void sections.set(section, address),
    }));
  pieces.push({
    section: 'GOT',
    access: 'r',
    size: BigInt(8 * slots.size),
    align: 8n,
    bytes: empty,
    place: (address) => [...slots].forEach((symbol, i) => void gotSlots.set(symbol, address + BigInt(8 * i))),
  });
  for (const symbol of file.symbols.filter((each) => each.place === 'common')) {
    const align = symbol.value || 1n;
    if ((align & (align - 1n)) !== 0n) {
      throw imageError(file.name, 'EINVAL', `common symbol '${symbol.name}' has alignment ${hex(align)}`);
    }
    const place = (address: bigint) => void commons.set(symbol, address);
    pieces.push({ section: 'COMMON', access: 'rw', size: symbol.size, align, bytes: empty, place });
  }

  const segments: ImageSegment[] = [];
  let end = base;
  for (const access of ['rx', 'r', 'rw', 'rwx'] as const) {
    const start = pageCeil(end);
    const placed: { piece: Piece; address: bigint }[] = [];
    let next = start;
    for (const piece of pieces.filter((each) => each.access === access)) {
      const address = placeAfter(file, piece, next, base);
      placed.push({ piece, address });
      next = address + piece.size;
    }
    if (next === start) {
      for (const { piece, address } of placed) piece.place(address);
      continue;
    }
    const bytes = new Uint8Array(Number(pageCeil(next) - start));
    for (const { piece, address } of placed) {
      bytes.set(piece.bytes, Number(address - start));
      piece.place(address);
    }
    segments.push({ address: start, bytes, access });
    end = next;
  }
  return {
    memory: new ImageMemory(segments),
    end,
    bias: 0n,
    section: (section) => sections.get(section),
    common: (symbol) => commons.get(symbol),
    slot: (symbol) => gotSlots.get(symbol),
  };
}

/**
 * Places the PT_LOAD segments of a linked file: an executable at its own addresses, a shared object or PIE with its
 * first page at `base`.
 *
 * @throws {ImageError} ENOEXEC nothing to load, or too many segments · EINVAL segments overlap or share a page ·
 *   ENOMEM more than 256 MiB or past 2^64
 */
export function layOutSegments(file: ElfFile, base: bigint): Layout {
  const loads = file.segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0n);
  loads.sort((a, b) => (a.address < b.address ? -1 : 1));
  const first = loads[0];
  if (first === undefined) throw imageError(file.name, 'ENOEXEC', 'no segment to load', { offset: 56 });
  if (loads.length > MAX_SEGMENTS)
    throw imageError(file.name, 'ENOEXEC', `${loads.length} segments to load`, { offset: 56 });
  const bias = file.type === 'executable' ? 0n : base - pageFloor(first.address);

  const segments: ImageSegment[] = [];
  let room = MAX_IMAGE_BYTES;
  let end = 0n;
  for (const load of loads) {
    const address = load.address + bias;
    const size = pageCeil(address + load.memorySize) - pageFloor(address);
    const where = { offset: load.headerOffset };
    if (size > room || address + load.memorySize > ADDRESS_LIMIT - PAGE_SIZE) {
      const fact = `segment at ${hex(load.address)} of ${hex(load.memorySize)} bytes: too large`;
      throw imageError(file.name, 'ENOMEM', fact, where);
    }
    if (segments.length > 0 && pageFloor(address) < pageCeil(end)) {
      const fact = `segment at ${hex(load.address)} overlaps another or shares a page with it`;
      throw imageError(file.name, 'EINVAL', fact, where);
    }
    room -= size;
    end = address + load.memorySize;
    const bytes = new Uint8Array(Number(size));
    bytes.set(load.bytes, Number(address - pageFloor(address)));
    segments.push({ address: pageFloor(address), bytes, access: segmentAccess(load) });
  }
  return {
    memory: new ImageMemory(segments),
    end,
    bias,
    section: (section) => (isAllocated(section) ? section.address + bias : undefined),
    common: () => undefined,
    slot: () => undefined,
  };
}

function placeAfter(file: ElfFile, piece: Piece, next: bigint, base: bigint): bigint {
  const where = { section: piece.section };
  if (piece.align > MAX_ALIGNMENT) {
    throw imageError(file.name, 'EINVAL', `alignment ${hex(piece.align)} is above ${hex(MAX_ALIGNMENT)}`, where);
  }
  const address = (next + piece.align - 1n) & ~(piece.align - 1n);
  const end = address + piece.size;
  if (end - base > MAX_IMAGE_BYTES || end > ADDRESS_LIMIT - PAGE_SIZE) {
    const fact = `${hex(piece.size)} bytes do not fit: an image has at most ${hex(MAX_IMAGE_BYTES)} bytes`;
    throw imageError(file.name, 'ENOMEM', fact, where);
  }
  return address;
}

function accessOf(section: ElfSection): SegmentAccess {
  const writable = (section.flags & SHF_WRITE) !== 0n;
  if ((section.flags & SHF_EXECINSTR) !== 0n) return writable ? 'rwx' : 'rx';
  return writable ? 'rw' : 'r';
}

function segmentAccess(segment: ElfSegment): SegmentAccess {
  const writable = (segment.flags & PF_W) !== 0;
  if ((segment.flags & PF_X) !== 0) return writable ? 'rwx' : 'rx';
  return writable ? 'rw' : 'r';
}
