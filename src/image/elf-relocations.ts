// Reads the relocation tables of an ELF file that loading must apply.

import type { ElfFile } from './elf.ts';
import { RELA_SIZE, SHT_REL, SHT_RELA, SHT_RELR } from './elf-format.ts';
import { type ElfSection, isAllocated, isLivepatchTable } from './elf-sections.ts';
import type { ElfSymbol } from './elf-symbols.ts';
import { imageError, type Reader } from './reader.ts';

/** One relocation with addend. */
export interface ElfRelocation {
  /** The section it changes; undefined in a linked file, where `offset` is an address. */
  readonly target: ElfSection | undefined;
  /** The table it stands in. */
  readonly table: ElfSection;
  /** Where the entry stands in the file. */
  readonly fileOffset: number;
  /** Bytes into `target`, or an address before the load bias is added. */
  readonly offset: bigint;
  readonly type: number;
  /** Undefined where the entry names symbol 0. */
  readonly symbol: ElfSymbol | undefined;
  readonly addend: bigint;
}

/**
 * All relocations of `file` that loading applies; see ElfFile.relocations.
 *
 * @throws {ImageError} ENOEXEC a table or an index in it is out of range · EINVAL a table of a kind not understood
 */
export function readRelocations(
  reader: Reader,
  file: ElfFile,
  symbolsOf: (table: ElfSection) => readonly ElfSymbol[],
): ElfRelocation[] {
  return file.sections.flatMap((table) => {
    const target = file.type === 'relocatable' ? file.sections[table.info] : undefined;
    return appliesAtLoad(table, file, target) ? readTable(reader, file, table, target, symbolsOf) : [];
  });
}

/**
 * The relocations of one table of the kind RELA.
 * @throws {ImageError} ENOEXEC the table or an index in it is out of range
 */
export function readTable(
  reader: Reader,
  file: ElfFile,
  table: ElfSection,
  target: ElfSection | undefined,
  symbolsOf: (table: ElfSection) => readonly ElfSymbol[],
): ElfRelocation[] {
  const fail = (fact: string, offset = table.offset) =>
    imageError(reader.name, 'ENOEXEC', fact, { section: table.name, offset });
  if (table.entrySize !== BigInt(RELA_SIZE) || table.bytes.length % RELA_SIZE !== 0) {
    throw fail(`relocations of ${table.entrySize} bytes in ${table.size}`);
  }
  const symbolTable = file.sections[table.link];
  if (symbolTable === undefined) throw fail(`symbol table ${table.link} is missing`);
  // A static PIE without dynamic symbols names section 0.
  const symbols = symbolTable.index === 0 ? [] : symbolsOf(symbolTable);
  return Array.from({ length: table.bytes.length / RELA_SIZE }, (_, i) => {
    const at = table.offset + i * RELA_SIZE;
    const number = reader.u32(at + 12);
    if (number !== 0 && number >= symbols.length) throw fail(`symbol ${number} does not exist`, at);
    return {
      target,
      table,
      fileOffset: at,
      offset: reader.u64(at),
      type: reader.u32(at + 8),
      symbol: number === 0 ? undefined : symbols[number],
      addend: reader.i64(at + 16),
    };
  });
}

function appliesAtLoad(table: ElfSection, file: ElfFile, target: ElfSection | undefined): boolean {
  const rela = table.type === SHT_RELA;
  if (!rela && table.type !== SHT_REL && table.type !== SHT_RELR) return false;
  if (isLivepatchTable(table)) return false;
  if (file.type === 'relocatable' && target === undefined) {
    const fact = `relocated section ${table.info} is missing`;
    throw imageError(file.name, 'ENOEXEC', fact, { section: table.name, offset: table.offset });
  }
  if (!isAllocated(target ?? table)) return false;
  if (!rela) {
    const fact = 'relocations without addend (REL, RELR) are not supported';
    throw imageError(file.name, 'EINVAL', fact, { section: table.name, offset: table.offset });
  }
  return true;
}
