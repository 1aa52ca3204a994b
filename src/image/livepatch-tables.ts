// The relocation tables of a livepatch module, laid out but not applied: who resolves their symbols comes later (L25).
import type { ElfFile } from './elf.ts';
import type { Layout } from './layout.ts';
import { imageError } from './reader.ts';
import { relocationSize } from './relocate.ts';

/** One relocation that waits. */
export interface LivepatchRelocation {
  /** The address that it changes. */
  readonly place: bigint;
  readonly type: number;
  /** Name of its symbol; empty where it has none. */
  readonly symbol: string;
  /** The symbol's section is SHN_LIVEPATCH. */
  readonly marked: boolean;
  readonly addend: bigint;
}

/** A section `.klp.rela.OBJECT.SECTION`. */
export interface LivepatchTable {
  readonly name: string;
  readonly relocations: readonly LivepatchRelocation[];
}

/**
 * The tables of a file with their places in memory.
 *
 * @throws {ImageError} ENOEXEC a table is malformed, or changes what is not in memory, naming section and offset
 */
export function livepatchTables(file: ElfFile, layout: Layout): LivepatchTable[] {
  return file.livepatchTables().map(({ table, relocations }) => ({
    name: table.name,
    relocations: relocations.map(({ target, offset, type, symbol, addend, fileOffset }) => {
      const base = target === undefined ? undefined : layout.section(target);
      if (base === undefined || target === undefined || offset + BigInt(relocationSize(type)) > target.size) {
        const fact = 'a livepatch relocation lies outside the bytes it changes';
        throw imageError(file.name, 'ENOEXEC', fact, { section: table.name, offset: fileOffset });
      }
      return { place: base + offset, type, symbol: symbol?.name ?? '', marked: symbol?.place === 'livepatch', addend };
    }),
  }));
}
