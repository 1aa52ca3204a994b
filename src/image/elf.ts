// Parses and checks an ELF64 x86-64 file: header, sections, segments, symbols and relocations.

import { SHT_DYNSYM, SHT_SYMTAB } from './elf-format.ts';
import { type ElfRelocation, readRelocations, readTable } from './elf-relocations.ts';
import {
  type ElfSection,
  type ElfSegment,
  type ElfType,
  isLivepatchTable,
  readHeader,
  readSections,
  readSegments,
} from './elf-sections.ts';
import { type ElfSymbol, readSymbols } from './elf-symbols.ts';
import { Reader } from './reader.ts';

/**
 * A parsed file. Everything in it has been checked against the file's bounds; the bytes are views of the input, which
 * must not change while this lives.
 */
export class ElfFile {
  /** The name given to parse(); used in messages. */
  readonly name: string;
  readonly type: ElfType;
  /** e_entry. */
  readonly entry: bigint;
  readonly sections: readonly ElfSection[];
  readonly segments: readonly ElfSegment[];
  /** The static symbol table, or the dynamic one where that is all there is; index 0 is the empty symbol. */
  readonly symbols: readonly ElfSymbol[];
  readonly #reader: Reader;
  readonly #symbolTables = new Map<ElfSection, readonly ElfSymbol[]>();

  private constructor(reader: Reader) {
    this.#reader = reader;
    this.name = reader.name;
    const header = readHeader(reader);
    this.type = header.type;
    this.entry = header.entry;
    this.sections = readSections(reader, header);
    this.segments = readSegments(reader, header);
    const table =
      this.sections.find((section) => section.type === SHT_SYMTAB) ??
      this.sections.find((section) => section.type === SHT_DYNSYM);
    this.symbols = table === undefined ? [] : this.#symbolsOf(table);
  }

  /**
   * Reads a file.
   *
   * @param bytes the whole file
   * @param name how messages call it
   * @throws {ImageError} ENOEXEC not an ELF64 x86-64 little-endian object, executable or shared object, or an offset,
   *   size, count or string index that leaves the file · EINVAL a well-formed field with an impossible value
   */
  static parse(bytes: Uint8Array, name: string): ElfFile {
    return new ElfFile(new Reader(bytes, name));
  }

  /** The sections with this name, in file order (compilers emit several `__patchable_function_entries`). */
  sectionsNamed(name: string): ElfSection[] {
    return this.sections.filter((section) => section.name === name);
  }

  /**
   * The relocations that loading must apply. In a relocatable file those of allocated sections; in a linked one those
   * in allocated tables, as others (ld --emit-relocs) have been applied already. Livepatch tables are left out, see
   * `livepatchTables`.
   *
   * @throws {ImageError} ENOEXEC a table or an index in it leaves the file · EINVAL a table of a kind not understood
   */
  relocations(): ElfRelocation[] {
    return readRelocations(this.#reader, this, (table) => this.#symbolsOf(table));
  }

  /**
   * The relocation tables that a livepatch module brings for a later time, `.klp.rela.OBJECT.SECTION` (L25), each with
   * its relocations.
   *
   * @throws {ImageError} ENOEXEC a table, an index in it, or the section it changes is out of range
   */
  livepatchTables(): { table: ElfSection; relocations: ElfRelocation[] }[] {
    return this.sections.filter(isLivepatchTable).map((table) => {
      const target = this.sections[table.info];
      return {
        table,
        relocations: readTable(this.#reader, this, table, target, (symbols) => this.#symbolsOf(symbols)),
      };
    });
  }

  #symbolsOf(table: ElfSection): readonly ElfSymbol[] {
    const known = this.#symbolTables.get(table);
    if (known !== undefined) return known;
    const symbols = readSymbols(this.#reader, table, this.sections);
    this.#symbolTables.set(table, symbols);
    return symbols;
  }
}
