// Reads a symbol table of an ELF file.

import {
  SHN_ABS,
  SHN_COMMON,
  SHN_LIVEPATCH,
  SHN_LORESERVE,
  SHN_UNDEF,
  SHN_XINDEX,
  STT_GNU_IFUNC,
  SYM_SIZE,
  SYMBOL_KINDS,
} from './elf-format.ts';
import type { ElfSection } from './elf-sections.ts';
import { imageError, type Reader, StringTable } from './reader.ts';

/** What a symbol names. `ifunc`: an indirect function, whose value is the resolver's address. */
export type SymbolKind = (typeof SYMBOL_KINDS)[number] | 'ifunc' | 'other';

/** Who sees a symbol. `unique` (GNU) counts as global. */
export type SymbolBinding = 'local' | 'global' | 'weak';

/** Where a symbol's value comes from. `livepatch`: the livepatch code resolves it (L25). */
export type SymbolPlace = 'undefined' | 'absolute' | 'common' | 'section' | 'livepatch' | 'other';

/** One symbol, in table order. */
export interface ElfSymbol {
  readonly index: number;
  readonly name: string;
  /** Offset in its section (relocatable files), else an address; the alignment of a common symbol. */
  readonly value: bigint;
  readonly size: bigint;
  readonly kind: SymbolKind;
  readonly binding: SymbolBinding;
  readonly place: SymbolPlace;
  /** Set where `place` is `section`. */
  readonly section: ElfSection | undefined;
}

/**
 * Reads all symbols of `table`.
 *
 * @throws {ImageError} ENOEXEC entry size, string table, section index or name index is wrong
 */
export function readSymbols(reader: Reader, table: ElfSection, sections: readonly ElfSection[]): ElfSymbol[] {
  const where = { section: table.name, offset: table.offset };
  if (table.entrySize !== BigInt(SYM_SIZE) || table.bytes.length % SYM_SIZE !== 0) {
    throw imageError(reader.name, 'ENOEXEC', `symbols of ${table.entrySize} bytes in ${table.size}`, where);
  }
  const names = sections[table.link];
  if (names === undefined) throw imageError(reader.name, 'ENOEXEC', `string table ${table.link} is missing`, where);
  const strings = new StringTable(reader.name, names.name, names.bytes, names.offset);
  return Array.from({ length: table.bytes.length / SYM_SIZE }, (_, index) => {
    const at = table.offset + index * SYM_SIZE;
    const shndx = reader.u16(at + 6);
    const section = shndx > SHN_UNDEF && shndx < SHN_LORESERVE ? sections[shndx] : undefined;
    const place = placeOf(shndx);
    if ((place === 'section' && section === undefined) || shndx === SHN_XINDEX) {
      const fact = `symbol ${index} lies in section ${shndx}, which does not exist`;
      throw imageError(reader.name, 'ENOEXEC', fact, { section: table.name, offset: at });
    }
    const info = reader.u8(at + 4);
    return {
      index,
      name: strings.at(reader.u32(at)),
      value: reader.u64(at + 8),
      size: reader.u64(at + 16),
      kind: kindOf(info & 15),
      binding: bindingOf(info >> 4),
      place,
      section,
    };
  });
}

function placeOf(shndx: number): SymbolPlace {
  if (shndx === SHN_UNDEF) return 'undefined';
  if (shndx < SHN_LORESERVE) return 'section';
  if (shndx === SHN_ABS) return 'absolute';
  if (shndx === SHN_COMMON) return 'common';
  return shndx === SHN_LIVEPATCH ? 'livepatch' : 'other';
}

function kindOf(type: number): SymbolKind {
  return type === STT_GNU_IFUNC ? 'ifunc' : (SYMBOL_KINDS[type] ?? 'other');
}

function bindingOf(binding: number): SymbolBinding {
  if (binding === 0) return 'local';
  return binding === 2 ? 'weak' : 'global';
}
