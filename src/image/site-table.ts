// Where an image lists its sites: __mcount_loc, else __patchable_function_entries, else its calls of __fentry__.

import type { ElfFile } from './elf.ts';
import type { Layout } from './layout.ts';
import type { ImageMemory } from './memory.ts';
import type { LoadedSymbol } from './symbols.ts';

/**
 * The list of candidates. `mcount`: addresses of sites (F1). `patchable`: addresses of the first NOP, which may lie
 * before the function. `calls`: no table, the calls themselves are the list. `none`: nothing tells.
 */
export interface SiteTable {
  readonly kind: 'mcount' | 'patchable' | 'calls' | 'none';
  /** Sorted, without zeros and duplicates (F7). */
  readonly entries: readonly bigint[];
}

/**
 * Finds the table. `__mcount_loc` comes first, since a kernel may have patchable entries that are not ftrace's (F4).
 *
 * @param callsFentry whether anything in the image refers to `__fentry__`
 */
export function readSiteTable(
  file: ElfFile,
  layout: Layout,
  symbols: readonly LoadedSymbol[],
  callsFentry: boolean,
): SiteTable {
  const ranges = [
    { kind: 'mcount' as const, ranges: rangesOf(file, layout, '__mcount_loc') },
    { kind: 'mcount' as const, ranges: boundaries(symbols, '__start_mcount_loc', '__stop_mcount_loc') },
    { kind: 'patchable' as const, ranges: rangesOf(file, layout, '__patchable_function_entries') },
  ].find((each) => each.ranges.length > 0);
  if (ranges === undefined) return { kind: callsFentry ? 'calls' : 'none', entries: [] };
  const entries = new Set(ranges.ranges.flatMap(([start, size]) => readEntries(layout.memory, start, size)));
  entries.delete(0n);
  return { kind: ranges.kind, entries: [...entries].sort((a, b) => (a < b ? -1 : 1)) };
}

type Range = readonly [start: bigint, size: bigint];

function rangesOf(file: ElfFile, layout: Layout, name: string): Range[] {
  return file.sectionsNamed(name).flatMap((section) => {
    const start = layout.section(section);
    return start === undefined || section.size === 0n ? [] : [[start, section.size] as const];
  });
}

// A linked kernel keeps the table inside another section, between two symbols.
function boundaries(symbols: readonly LoadedSymbol[], first: string, last: string): Range[] {
  const start = symbols.find((symbol) => symbol.name === first)?.address;
  const stop = symbols.find((symbol) => symbol.name === last)?.address;
  return start === undefined || stop === undefined || stop <= start ? [] : [[start, stop - start]];
}

function readEntries(memory: ImageMemory, start: bigint, size: bigint): bigint[] {
  const entries: bigint[] = [];
  for (let at = start; at + 8n <= start + size; at += 8n) {
    const entry = memory.u64(at);
    if (entry === undefined) break;
    entries.push(entry);
  }
  return entries;
}
