// Changes single fields of an ELF file, to make files that are wrong in one place.

import { ElfFile } from '../../src/image/elf.ts';
import type { ElfSection } from '../../src/image/elf-sections.ts';

/** A copy of an ELF file with checked fields written by name. */
export class Edit {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: ElfFile;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes.slice();
    this.#view = new DataView(this.bytes.buffer);
    this.#file = ElfFile.parse(bytes, 'edited');
  }

  u8(offset: number, value: number): this {
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, true);
    return this;
  }

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: bigint): this {
    this.#view.setBigUint64(offset, value, true);
    return this;
  }

  /** A section of the unedited file. */
  section(name: string): ElfSection {
    const found = this.#file.sectionsNamed(name)[0];
    if (found === undefined) throw new Error(`the fixture has no section ${name}`);
    return found;
  }

  /** File offset of a section's header. */
  header(name: string): number {
    return Number(this.#view.getBigUint64(40, true)) + 64 * this.section(name).index;
  }

  /** File offset of the symbol with this name. */
  symbol(name: string): number {
    const found = this.#file.symbols.find((symbol) => symbol.name === name);
    if (found === undefined) throw new Error(`the fixture has no symbol ${name}`);
    return this.section('.symtab').offset + 24 * found.index;
  }
}
