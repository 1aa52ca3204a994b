// A loaded image: laid out, relocated bytes with their symbols, functions and sites, ready to be mapped.

import type { ElfType } from './elf-sections.ts';
import type { LivepatchTable } from './livepatch-tables.ts';
import type { ImageSegment } from './memory.ts';
import type { FunctionInfo, Site, Stray } from './sites.ts';
import type { LoadedSymbol } from './symbols.ts';

/** What loadImage makes of a file. */
export interface ImageParts {
  readonly name: string;
  readonly type: ElfType;
  /** First address; for an executable its own lowest one. */
  readonly base: bigint;
  /** One past the last byte; the next image may start at the page after it. */
  readonly end: bigint;
  /** By ascending address. Sites are in their idle form. */
  readonly segments: readonly ImageSegment[];
  /** In symbol-table order. */
  readonly symbols: readonly LoadedSymbol[];
  /** One per function symbol, in symbol-table order. */
  readonly functions: readonly FunctionInfo[];
  /** Patchable sites, by ascending address. */
  readonly sites: readonly Site[];
  /** Table entries that are no function's entry. */
  readonly strays: readonly Stray[];
  /** Where an executable starts; undefined for objects and where the file gives none. */
  readonly entry: bigint | undefined;
  /** `init_module` and `cleanup_module`, where the file defines them. */
  readonly init: bigint | undefined;
  readonly exit: bigint | undefined;
  /** Call frame information, relocated. */
  readonly ehFrame: { readonly address: bigint; readonly bytes: Uint8Array } | undefined;
  /** Undefined symbols whose relocations were left as they are (only with `unresolved: 'leave'`). */
  readonly unresolved: readonly string[];
  /** `.modinfo`: what a kernel module says of itself, tag to text. */
  readonly modinfo: ReadonlyMap<string, string>;
  /** The sections that lie in memory, in file order; sizes in bytes. */
  readonly sections: readonly { readonly name: string; readonly address: bigint; readonly size: number }[];
  /** `.klp.rela.OBJECT.SECTION` tables, which are not applied here (L25). */
  readonly livepatchTables: readonly LivepatchTable[];
}

/**
 * A laid-out, relocated image. It holds plain bytes; whoever maps the segments owns what happens to them then. A plain
 * object, so that it may be spread into a larger one.
 */
export interface LoadedImage extends ImageParts {
  /** The defined symbols of this name, in symbol-table order; `position` counts them from 1 (L23). */
  readonly symbolsNamed: (name: string) => readonly LoadedSymbol[];
  /** A function by name; `name,N` picks among several (L24). Undefined where there is none or the name is ambiguous. */
  readonly functionNamed: (name: string) => FunctionInfo | undefined;
  /** The function whose code holds `ip`, by its primary name, or undefined. */
  readonly functionAt: (ip: bigint) => FunctionInfo | undefined;
  /** The site at exactly this address, or undefined. */
  readonly siteAt: (address: bigint) => Site | undefined;
  /**
   * F9: a site's own address gives itself, a function's start gives the site inside the function, all else undefined.
   */
  readonly ftraceLocation: (ip: bigint) => bigint | undefined;
}

/** Adds the look-ups to an image's parts. */
export function makeImage(parts: ImageParts): LoadedImage {
  const symbols = new Map<string, LoadedSymbol[]>();
  for (const symbol of parts.symbols) {
    const same = symbols.get(symbol.name);
    if (same === undefined) symbols.set(symbol.name, [symbol]);
    else same.push(symbol);
  }
  const names = new Map(parts.functions.map((info) => [info.name, info]));
  const bodies = parts.functions.filter((info) => info.aliasOf === undefined && info.size > 0);
  bodies.sort((a, b) => (a.address < b.address ? -1 : 1));
  const starts = new Map(bodies.map((info) => [info.address, info]));
  const sites = new Map(parts.sites.map((site) => [site.address, site]));
  return {
    ...parts,
    symbolsNamed: (name) => symbols.get(name) ?? [],
    functionNamed: (name) => names.get(name),
    functionAt: (ip) => {
      const info = starts.get(ip) ?? lastAtOrBefore(bodies, ip);
      return info !== undefined && ip < info.address + BigInt(info.size) ? info : undefined;
    },
    siteAt: (address) => sites.get(address),
    ftraceLocation: (ip) => sites.get(ip)?.address ?? starts.get(ip)?.site?.address,
  };
}

function lastAtOrBefore(bodies: readonly FunctionInfo[], ip: bigint): FunctionInfo | undefined {
  let low = 0;
  let high = bodies.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const body = bodies[middle];
    if (body !== undefined && body.address <= ip) low = middle + 1;
    else high = middle;
  }
  return bodies[low - 1];
}
