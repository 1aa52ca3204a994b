// The symbols of a loaded image: their addresses, and how duplicate names are told apart.

import { wrap } from '../address.ts';
import type { ElfFile } from './elf.ts';
import type { ElfSymbol, SymbolBinding, SymbolKind } from './elf-symbols.ts';
import type { Layout } from './layout.ts';

/** A symbol that the image defines in memory. */
export interface LoadedSymbol {
  readonly name: string;
  readonly address: bigint;
  /** As the symbol table says, unchecked: it may be 0 or reach outside the section. */
  readonly size: bigint;
  readonly kind: SymbolKind;
  readonly binding: SymbolBinding;
  /** Name of its section; empty for common and absolute symbols. */
  readonly section: string;
  /** Place in the symbol table. */
  readonly index: number;
  /** 1 for the first symbol of this name in the symbol table, 2 for the second … (sympos, L23). */
  readonly position: number;
  /** The name, or `name,N` with the position where the table has the name more than once. */
  readonly title: string;
}

/** The address of a symbol that the file itself defines, or undefined (undefined symbol, or section not loaded). */
export function definedAddress(file: ElfFile, symbol: ElfSymbol, layout: Layout): bigint | undefined {
  if (symbol.place === 'absolute') return symbol.value;
  if (symbol.place === 'common') return layout.common(symbol);
  if (symbol.section === undefined) return undefined;
  const section = layout.section(symbol.section);
  if (section === undefined) return undefined;
  return wrap(file.type === 'relocatable' ? section + symbol.value : symbol.value + layout.bias);
}

/** All named symbols that lie in loaded memory, in symbol-table order; section and file symbols are left out. */
export function loadedSymbols(file: ElfFile, layout: Layout): LoadedSymbol[] {
  const found: { symbol: ElfSymbol; address: bigint; position: number }[] = [];
  const count = new Map<string, number>();
  for (const symbol of file.symbols) {
    if (symbol.name === '' || symbol.kind === 'section' || symbol.kind === 'file') continue;
    const address = definedAddress(file, symbol, layout);
    if (address === undefined) continue;
    const position = (count.get(symbol.name) ?? 0) + 1;
    count.set(symbol.name, position);
    found.push({ symbol, address, position });
  }
  return found.map(({ symbol, address, position }) => ({
    name: symbol.name,
    address,
    size: symbol.size,
    kind: symbol.kind,
    binding: symbol.binding,
    section: symbol.section?.name ?? '',
    index: symbol.index,
    position,
    title: (count.get(symbol.name) ?? 1) > 1 ? `${symbol.name},${position}` : symbol.name,
  }));
}
