// The instructions that the kernel's exception table names: those that may fault, and where the kernel goes on then.
import type { ElfFile } from './elf.ts';
import type { ElfSymbol } from './elf-symbols.ts';

/** One entry (struct exception_table_entry): instruction, fixup, and data, 32 bits each. */
const ENTRY_SIZE = 12n;
const FIELDS = 8n;

/** Offsets into a function, by the function's place in the symbol table; objects and modules only. */
export function exceptionsByFunction(file: ElfFile): ReadonlyMap<number, readonly bigint[]> {
  const named = new Map<number, bigint[]>();
  if (file.type !== 'relocatable') return named;
  const functions = file.symbols.filter(({ kind, size }) => kind === 'func' && size > 0n);
  for (const { target, offset, symbol, addend } of file.relocations()) {
    if (target?.name !== '__ex_table' || symbol === undefined) continue;
    const field = offset % ENTRY_SIZE;
    if (field >= FIELDS) continue;
    const value = symbol.value + addend;
    for (const one of functions) {
      if (one.section === undefined || one.section !== symbol.section || !holds(one, value)) continue;
      named.set(one.index, [...(named.get(one.index) ?? []), value - one.value]);
    }
  }
  return named;
}

function holds({ value, size }: ElfSymbol, place: bigint): boolean {
  return place >= value && place < value + size;
}
