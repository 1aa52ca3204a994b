// Reads the headers of an ELF file: what it is, its sections and its segments.

import { hex } from '../address.ts';
import {
  EHDR_SIZE,
  EM_X86_64,
  ET_DYN,
  ET_EXEC,
  ET_REL,
  PHDR_SIZE,
  PT_LOAD,
  SHDR_SIZE,
  SHF_ALLOC,
  SHF_RELA_LIVEPATCH,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHT_NOBITS,
  SHT_RELA,
  SHT_STRTAB,
} from './elf-format.ts';
import { imageError, type Reader, StringTable } from './reader.ts';

/** What kind of file: a relocatable object or kernel module, an executable at fixed addresses, or one placed freely. */
export type ElfType = 'relocatable' | 'executable' | 'shared';

/** One section header, checked. `size` counts bytes in memory; `bytes` is empty for a section that has none (.bss). */
export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: bigint;
  readonly address: bigint;
  /** Where its bytes begin in the file. */
  readonly offset: number;
  readonly size: bigint;
  readonly link: number;
  readonly info: number;
  /** A power of two, at least 1. */
  readonly align: bigint;
  readonly entrySize: bigint;
  readonly bytes: Uint8Array;
}

/** One program header. */
export interface ElfSegment {
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly memorySize: bigint;
  /** Where its header stands in the file. */
  readonly headerOffset: number;
  readonly bytes: Uint8Array;
}

/** Files above this size are refused: what is loaded here is an object, a module or a kernel. */
export const MAX_FILE_BYTES = 1 << 30;

const TYPES = new Map<number, ElfType>([
  [ET_REL, 'relocatable'],
  [ET_EXEC, 'executable'],
  [ET_DYN, 'shared'],
]);

/** Whether loading leaves this relocation table to the livepatch code (L25). */
export function isLivepatchTable(section: ElfSection): boolean {
  if (section.type !== SHT_RELA) return false;
  return (section.flags & SHF_RELA_LIVEPATCH) !== 0n || section.name.startsWith('.klp.rela.');
}

/** Whether the section takes part in the memory image. */
export function isAllocated(section: ElfSection): boolean {
  return (section.flags & SHF_ALLOC) !== 0n;
}

/** What the ELF header says. */
export interface Header {
  type: ElfType;
  entry: bigint;
  sections: { offset: bigint; count: number; names: number };
  segments: { offset: bigint; count: number };
}

/**
 * Reads and checks the ELF header.
 *
 * @throws {ImageError} ENOEXEC not an ELF64 x86-64 little-endian object, executable or shared object
 */
export function readHeader(reader: Reader): Header {
  const { name, bytes } = reader;
  const refuse = (fact: string, offset: number) => imageError(name, 'ENOEXEC', fact, { offset });
  if (bytes.length > MAX_FILE_BYTES) throw refuse(`the file is larger than ${hex(MAX_FILE_BYTES)} bytes`, 0);
  if (bytes.length < EHDR_SIZE) throw refuse(`${bytes.length} bytes are too few for an ELF header`, 0);
  if (reader.u32(0) !== 0x464c457f) throw refuse('not an ELF file', 0);
  if (reader.u8(4) !== 2) throw refuse('not a 64-bit ELF file', 4);
  if (reader.u8(5) !== 1) throw refuse('not little-endian', 5);
  if (reader.u8(6) !== 1) throw refuse(`ELF version ${reader.u8(6)} is unknown`, 6);
  if (reader.u16(18) !== EM_X86_64) throw refuse(`machine ${reader.u16(18)} is not x86-64`, 18);
  const type = TYPES.get(reader.u16(16));
  if (type === undefined) throw refuse(`type ${reader.u16(16)} is no object, executable or shared object`, 16);
  const segments = reader.u16(56);
  if (segments > 0 && reader.u16(54) !== PHDR_SIZE) throw refuse(`program headers of ${reader.u16(54)} bytes`, 54);
  const sections = reader.u16(60);
  if (sections > 0 && reader.u16(58) !== SHDR_SIZE) throw refuse(`section headers of ${reader.u16(58)} bytes`, 58);
  // An e_shnum of 0 with section headers is the escape for 65,280 sections and more.
  if (sections >= SHN_LORESERVE || (sections === 0 && reader.u64(40) !== 0n)) {
    throw refuse('extended section numbering is not supported', 60);
  }
  return {
    type,
    entry: reader.u64(24),
    sections: { offset: reader.u64(40), count: sections, names: reader.u16(62) },
    segments: { offset: reader.u64(32), count: segments },
  };
}

/**
 * Reads all section headers; index 0 is the empty section.
 *
 * @throws {ImageError} ENOEXEC a header, name or content leaves the file · EINVAL an impossible alignment
 */
export function readSections(reader: Reader, header: Header): ElfSection[] {
  const { count, names } = header.sections;
  const base = reader.range(header.sections.offset, BigInt(count * SHDR_SIZE), 'section header table').offset;
  const nameOf = sectionNames(reader, base, count, names);
  const sections: ElfSection[] = [];
  let total = 0;
  for (let index = 0; index < count; index++) {
    const at = base + index * SHDR_SIZE;
    const section = readSection(reader, at, index, nameOf(reader.u32(at)));
    total += section.bytes.length;
    sections.push(section);
  }
  // Sections do not overlap in what tools write; the same bytes seen from thousands of headers would cost hours.
  if (total > 2 * reader.bytes.length) {
    throw imageError(reader.name, 'ENOEXEC', 'the sections overlap in the file', { offset: base });
  }
  return sections;
}

function sectionNames(reader: Reader, base: number, count: number, names: number): (index: number) => string {
  if (count === 0 || names === SHN_UNDEF) return () => '';
  if (names >= count) {
    throw imageError(reader.name, 'ENOEXEC', `section ${names} with the section names is missing`, { offset: 62 });
  }
  const table = readSection(reader, base + names * SHDR_SIZE, names, '.shstrtab');
  if (table.type !== SHT_STRTAB) {
    throw imageError(reader.name, 'ENOEXEC', `section ${names} is no string table`, { offset: 62 });
  }
  const strings = new StringTable(reader.name, '.shstrtab', table.bytes, table.offset);
  return (index) => strings.at(index);
}

function readSection(reader: Reader, at: number, index: number, name: string): ElfSection {
  const type = reader.u32(at + 4);
  const size = reader.u64(at + 32);
  const align = reader.u64(at + 48) || 1n;
  if ((align & (align - 1n)) !== 0n) {
    throw imageError(reader.name, 'EINVAL', `alignment ${hex(align)} is no power of two`, {
      section: name,
      offset: at,
    });
  }
  // Section 0 is reserved; its fields are not a section's.
  const empty = type === SHT_NOBITS || index === 0;
  const range = reader.range(empty ? 0n : reader.u64(at + 24), empty ? 0n : size, 'content', name);
  return {
    index,
    name,
    type: index === 0 ? 0 : type,
    flags: index === 0 ? 0n : reader.u64(at + 8),
    address: reader.u64(at + 16),
    offset: range.offset,
    size,
    link: reader.u32(at + 40),
    info: reader.u32(at + 44),
    align,
    entrySize: reader.u64(at + 56),
    bytes: reader.bytes.subarray(range.offset, range.offset + range.size),
  };
}

/**
 * Reads all program headers.
 *
 * @throws {ImageError} ENOEXEC a header or content leaves the file · EINVAL more bytes in the file than in memory
 */
export function readSegments(reader: Reader, header: Header): ElfSegment[] {
  const { offset, count } = header.segments;
  const base = reader.range(count === 0 ? 0n : offset, BigInt(count * PHDR_SIZE), 'program header table').offset;
  return Array.from({ length: count }, (_, index) => {
    const at = base + index * PHDR_SIZE;
    const range = reader.range(reader.u64(at + 8), reader.u64(at + 32), `program header ${index}`);
    const memorySize = reader.u64(at + 40);
    if (reader.u32(at) === PT_LOAD && memorySize < BigInt(range.size)) {
      const fact = `segment ${index} has more bytes in the file than in memory`;
      throw imageError(reader.name, 'EINVAL', fact, { offset: at });
    }
    return {
      type: reader.u32(at),
      flags: reader.u32(at + 4),
      address: reader.u64(at + 16),
      memorySize,
      headerOffset: at,
      bytes: reader.bytes.subarray(range.offset, range.offset + range.size),
    };
  });
}
