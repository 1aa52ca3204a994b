// Loads an ELF file: lays it out, resolves and applies relocations, finds the sites. Pure: no CPU is involved.

import { ADDRESS_LIMIT, address, hex, PAGE_SIZE } from '../address.ts';
import { ElfFile } from './elf.ts';
import type { ElfRelocation } from './elf-relocations.ts';
import type { ElfSymbol } from './elf-symbols.ts';
import { FENTRY, FentryCalls } from './fentry.ts';
import { type LoadedImage, makeImage } from './image.ts';
import { type Layout, layOutSections, layOutSegments } from './layout.ts';
import { livepatchTables } from './livepatch-tables.ts';
import { imageError } from './reader.ts';
import { applyRelocation, needsSlot, needsSymbol, placeOf, relocationError } from './relocate.ts';
import { readSiteTable } from './site-table.ts';
import { findSites } from './sites.ts';
import { definedAddress, loadedSymbols } from './symbols.ts';

export type { LoadedImage } from './image.ts';

/** How to load. */
export interface LoadOptions {
  /** Where objects, modules and shared objects go: a multiple of 4096. An executable keeps its own addresses. */
  base: bigint;
  /** The address of a symbol that the file does not define, or undefined. */
  resolve?: (name: string) => bigint | undefined;
  /**
   * What happens to undefined symbols that `resolve` does not know and that are not weak: `refuse` (default) is one
   * error that lists them all; `leave` keeps their relocations unapplied and lists them in the image, which is enough
   * to look at functions and sites.
   */
  unresolved?: 'refuse' | 'leave';
}

/**
 * Loads a file into bytes that are ready to be mapped.
 *
 * @param file a parsed file, or the bytes of one
 * @throws {ImageError} ENOEXEC malformed · EINVAL not supported (relocation type, alignment, overlap) · ENOMEM too
 *   large · ENOENT unresolved symbols, all of them named · ERANGE a relocation does not reach, naming its symbol ·
 *   ENOTSUPP a livepatch symbol outside its own tables
 * @throws {RangeError} `base` is no page-aligned address
 */
export function loadImage(file: ElfFile, options: LoadOptions): LoadedImage {
  const base = address(options.base, 'base');
  if (base % PAGE_SIZE !== 0n) throw new RangeError(`"base" expected a multiple of 4096, got ${hex(base)}`);
  const relocations = file.relocations();
  const slots = new Set<ElfSymbol>();
  for (const { type, symbol } of relocations) if (needsSlot(type) && symbol !== undefined) slots.add(symbol);
  const linked = file.type !== 'relocatable';
  const layout = linked ? layOutSegments(file, base) : layOutSections(file, base, slots);

  const { values, unresolved } = resolveSymbols(file, relocations, layout, options);
  const symbolValue = (symbol: ElfSymbol) => values.get(symbol);
  for (const relocation of relocations) applyRelocation(file, relocation, layout, base, symbolValue);
  for (const symbol of slots) fillSlot(layout, symbol, values.get(symbol));

  const symbols = loadedSymbols(file, layout);
  const calls = fentryCalls(file, relocations, layout, values, symbols);
  const table = readSiteTable(file, layout, symbols, calls.known);
  const found = findSites(layout.memory, symbols, table, calls);
  const addressOf = (name: string) => symbols.find((symbol) => symbol.name === name)?.address;
  return makeImage({
    name: file.name,
    type: file.type,
    base: layout.memory.segments[0]?.address ?? base,
    end: layout.end,
    segments: layout.memory.segments,
    symbols,
    ...found,
    entry: linked && file.entry !== 0n ? (file.entry + layout.bias) % ADDRESS_LIMIT : undefined,
    init: addressOf('init_module'),
    exit: addressOf('cleanup_module'),
    ehFrame: ehFrame(file, layout),
    unresolved,
    modinfo: modinfo(file),
    sections: file.sections.flatMap((section) => {
      const start = layout.section(section);
      return start === undefined ? [] : [{ name: section.name, address: start, size: Number(section.size) }];
    }),
    livepatchTables: livepatchTables(file, layout),
  });
}

/** Parses and loads in one step; see ElfFile.parse and loadImage. */
export function loadImageBytes(bytes: Uint8Array, name: string, options: LoadOptions): LoadedImage {
  return loadImage(ElfFile.parse(bytes, name), options);
}

/** The value of every symbol that a relocation needs. A symbol without one is in `unresolved`. */
function resolveSymbols(
  file: ElfFile,
  relocations: readonly ElfRelocation[],
  layout: Layout,
  options: LoadOptions,
): { values: Map<ElfSymbol, bigint>; unresolved: string[] } {
  const values = new Map<ElfSymbol, bigint>();
  const unresolved = new Map<string, ElfRelocation>();
  for (const relocation of relocations) {
    const { symbol } = relocation;
    if (!needsSymbol(file, relocation) || symbol === undefined || values.has(symbol)) continue;
    if (symbol.place === 'livepatch' || symbol.place === 'other') {
      const fact = 'only the livepatch code resolves this symbol, by a .klp.rela table (L25)';
      throw relocationError(
        file,
        relocation,
        'ENOTSUPP',
        symbol.place === 'livepatch' ? fact : 'reserved section index',
      );
    }
    const own = definedAddress(file, symbol, layout);
    if (own === undefined && symbol.place !== 'undefined') {
      throw relocationError(file, relocation, 'EINVAL', 'the symbol lies in a section that is not loaded');
    }
    const value = own ?? options.resolve?.(symbol.name) ?? (symbol.binding === 'weak' ? 0n : undefined);
    if (value === undefined) unresolved.set(symbol.name, unresolved.get(symbol.name) ?? relocation);
    else values.set(symbol, address(value, symbol.name));
  }
  const names = [...unresolved.keys()].sort();
  const first = unresolved.get(names[0] ?? '');
  if (first !== undefined && options.unresolved !== 'leave') {
    const count = `${names.length} unresolved symbol${names.length === 1 ? '' : 's'}`;
    throw imageError(file.name, 'ENOENT', `${count}: ${names.join(', ')}`, { offset: first.fileOffset });
  }
  return { values, unresolved: names };
}

function fillSlot(layout: Layout, symbol: ElfSymbol, value: bigint | undefined): void {
  const slot = layout.slot(symbol);
  const bytes = slot === undefined ? undefined : layout.memory.view(slot, 8);
  if (bytes === undefined || value === undefined) return;
  new DataView(bytes.buffer, bytes.byteOffset, 8).setBigUint64(0, value, true);
}

/** Everything the image says about `__fentry__`. */
function fentryCalls(
  file: ElfFile,
  relocations: readonly ElfRelocation[],
  layout: Layout,
  values: ReadonlyMap<ElfSymbol, bigint>,
  symbols: readonly { name: string; address: bigint }[],
): FentryCalls {
  const places = new Set<bigint>();
  const codePlaces: bigint[] = [];
  const addresses = new Set(symbols.filter((symbol) => symbol.name === FENTRY).map((symbol) => symbol.address));
  for (const relocation of relocations) {
    if (relocation.symbol?.name !== FENTRY) continue;
    const place = placeOf(relocation, layout);
    if (place === undefined) continue;
    places.add(place);
    if (layout.memory.code(place, 4) !== undefined) codePlaces.push(place);
    const value = values.get(relocation.symbol);
    if (value !== undefined) addresses.add(value);
  }
  return new FentryCalls(layout.memory, {
    places,
    addresses,
    codePlaces: file.type === 'relocatable' ? codePlaces : undefined,
  });
}

function ehFrame(file: ElfFile, layout: Layout): { address: bigint; bytes: Uint8Array } | undefined {
  const section = file.sectionsNamed('.eh_frame')[0];
  const start = section === undefined ? undefined : layout.section(section);
  if (section === undefined || start === undefined) return undefined;
  const bytes = layout.memory.view(start, Number(section.size));
  return bytes === undefined ? undefined : { address: start, bytes };
}

/** The `tag=text` entries of .modinfo; the first one of a tag counts. */
function modinfo(file: ElfFile): ReadonlyMap<string, string> {
  const entries = new Map<string, string>();
  for (const section of file.sectionsNamed('.modinfo')) {
    for (const entry of new TextDecoder().decode(section.bytes).split('\0')) {
      const at = entry.indexOf('=');
      if (at > 0 && !entries.has(entry.slice(0, at))) entries.set(entry.slice(0, at), entry.slice(at + 1));
    }
  }
  return entries;
}
