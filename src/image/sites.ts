// Finds the ftrace sites of an image and converts each to NOP5, as ftrace does at boot (F1 to F9).

import { hex, hexBytes } from '../address.ts';
import { endbrLength, entryForm, isCall, isPadding, nopLength, type SiteForm } from './entry-bytes.ts';
import type { FentryCalls } from './fentry.ts';
import { type Body, FunctionMap } from './functions.ts';
import type { ImageMemory } from './memory.ts';
import type { SiteTable } from './site-table.ts';
import type { LoadedSymbol } from './symbols.ts';

/** A patchable function entry. After loading its bytes are `idle`. */
export interface Site {
  readonly address: bigint;
  /** Title of the function that it belongs to (the primary name of an aliased one). */
  readonly func: string;
  /** Bytes from the function's start to the site: 0, or 4 after an ENDBR64. */
  readonly offset: number;
  readonly form: SiteForm;
  /** The bytes before the first conversion, relocated: 5, or 6 for the long calls. */
  readonly original: Uint8Array;
  /** What the loader left there: NOP5, with one more NOP after the long calls. */
  readonly idle: Uint8Array;
}

/** One function symbol and whether it can be patched. */
export interface FunctionInfo {
  /** `name`, or `name,N` where the symbol table has the name more than once. */
  readonly name: string;
  readonly address: bigint;
  /** Bytes of code, as far as they are known and in memory. */
  readonly size: number;
  readonly symbol: LoadedSymbol;
  /** The primary name of the same code, where this symbol is another name for it. */
  readonly aliasOf: string | undefined;
  readonly site: Site | undefined;
  /** Why there is no site; undefined where there is one. */
  readonly reason: string | undefined;
}

/** A table entry that belongs to no function's entry, such as the leftover of an overridden weak function (F8). */
export interface Stray {
  readonly address: bigint;
  readonly reason: string;
}

/** What findSites found; sites by ascending address, functions in symbol-table order. */
export interface FoundSites {
  readonly sites: Site[];
  readonly functions: FunctionInfo[];
  readonly strays: Stray[];
}

/** Enough to see padding and the longest form. */
const LOOK_BYTES = 16;
/** A padded entry's table points before the function; further than this is no padding. */
const MAX_PADDING = 4096n;

/**
 * Finds the sites of every function symbol and writes the idle NOP to each. A site that is not one of the known forms,
 * or does not call `__fentry__`, stays as it is and its function gets the reason.
 *
 * @param table where the sites are listed; entries sorted, without zeros and duplicates
 * @param calls tells calls of `__fentry__` from others
 */
export function findSites(
  memory: ImageMemory,
  symbols: readonly LoadedSymbol[],
  table: SiteTable,
  calls: FentryCalls,
): FoundSites {
  const functionSymbols = symbols.filter((symbol) => symbol.kind === 'func' || symbol.kind === 'ifunc');
  const map = new FunctionMap(functionSymbols, memory);
  const sites = new Map<Body, Site>();
  const reasons = new Map<Body, string>();
  const strays: Stray[] = [];
  const entries = table.kind === 'calls' ? entryCalls(map, memory, calls) : table.entries;
  for (const entry of entries) {
    const found = table.kind === 'patchable' ? patchableEntry(entry, map, memory) : listedSite(entry, map, memory);
    if (typeof found === 'string') {
      strays.push({ address: entry, reason: found });
    } else if (sites.has(found.body)) {
      if (sites.get(found.body)?.address === found.address) continue;
      strays.push({ address: entry, reason: `'${found.body.primary.title}' has a site already` });
    } else {
      const site = readSite(found.body, found.address, memory, table.kind === 'patchable' ? undefined : calls);
      if (typeof site === 'string') reasons.set(found.body, reasons.get(found.body) ?? site);
      else sites.set(found.body, site);
    }
  }
  for (const site of sites.values()) memory.view(site.address, site.idle.length)?.set(site.idle);

  const bodies = new Map<LoadedSymbol, Body>();
  for (const body of map.bodies) for (const symbol of [body.primary, ...body.aliases]) bodies.set(symbol, body);
  const functions = functionSymbols.map((symbol) => {
    const body = bodies.get(symbol);
    const site = body === undefined ? undefined : sites.get(body);
    return {
      name: symbol.title,
      address: symbol.address,
      size: body?.extent ?? 0,
      symbol,
      aliasOf: body === undefined || body.primary === symbol ? undefined : body.primary.title,
      site,
      reason: site === undefined ? whyNone(symbol, body, body && reasons.get(body), table) : undefined,
    };
  });
  const byAddress = [...sites.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
  return { sites: byAddress, functions, strays };
}

/** Where an entry of `__mcount_loc` or a relocation stands: at a function's entry, or why not. */
function listedSite(address: bigint, map: FunctionMap, memory: ImageMemory): { body: Body; address: bigint } | string {
  if (memory.code(address, 1) === undefined) return 'outside executable memory';
  const body = map.covering(address);
  if (body === undefined) return 'in no function: left over from an overridden weak function (F8)';
  const offset = Number(address - body.address);
  const before = offset > LOOK_BYTES ? undefined : memory.code(body.address, offset);
  if (before === undefined || !isPadding(before)) {
    return `at +${hex(offset)} in '${body.primary.title}', which is not its entry (F8)`;
  }
  return { body, address };
}

/** The first NOP at or after the function that an entry of `__patchable_function_entries` belongs to. */
function patchableEntry(
  entry: bigint,
  map: FunctionMap,
  memory: ImageMemory,
): { body: Body; address: bigint } | string {
  if (memory.code(entry, 1) === undefined) return 'outside executable memory';
  const covering = map.covering(entry);
  if (covering !== undefined) {
    // N NOPs inside the function: the entry is the site itself, after an ENDBR64 where there is one.
    return entry === covering.address ? atEntry(covering, memory) : listedSite(entry, map, memory);
  }
  const body = map.atOrAfter(entry);
  if (body === undefined || body.address - entry > MAX_PADDING) return 'before no function';
  const padding = memory.code(entry, Number(body.address - entry));
  if (padding === undefined || !isPadding(padding)) return `not the padding of '${body.primary.title}'`;
  return atEntry(body, memory);
}

function atEntry(body: Body, memory: ImageMemory): { body: Body; address: bigint } {
  const bytes = memory.code(body.address, 4) ?? new Uint8Array();
  return { body, address: body.address + BigInt(endbrLength(bytes)) };
}

/** In a linked file without a table: each function whose first instruction after ENDBR64 calls `__fentry__`. */
function entryCalls(map: FunctionMap, memory: ImageMemory, calls: FentryCalls): bigint[] {
  if (calls.sites !== undefined) return calls.sites;
  return map.bodies
    .map((body) => atEntry(body, memory).address)
    .filter((address) => {
      const entry = entryForm(look(address, memory));
      return entry !== undefined && isCall(entry.form) && calls?.reaches(address, entry.form) === true;
    });
}

/** The site at `address`, or why its bytes cannot be patched. Without `calls` only NOPs count. */
function readSite(body: Body, address: bigint, memory: ImageMemory, calls: FentryCalls | undefined): Site | string {
  const bytes = look(address, memory);
  const entry = entryForm(bytes);
  const offset = Number(address - body.address);
  if (entry === undefined || (calls === undefined && isCall(entry.form))) return whyUnknown(bytes, calls === undefined);
  if (offset + entry.size > body.extent) return `the function ends inside its site at ${hex(address)}`;
  if (isCall(entry.form) && calls?.reaches(address, entry.form) === false) {
    return `the call at its site ${hex(address)} does not go to __fentry__`;
  }
  const original = bytes.slice(0, entry.size);
  return { address, func: body.primary.title, offset, form: entry.form, original, idle: entry.idle.slice() };
}

function whyUnknown(bytes: Uint8Array, onlyNops: boolean): string {
  if (bytes[0] === 0x90) {
    const count = bytes.findIndex((byte) => byte !== 0x90);
    return `no room at entry: only ${count < 0 ? bytes.length : count} of 5 bytes are NOPs`;
  }
  const nop = nopLength(bytes);
  if (nop > 0) return `the NOP ${hexBytes(bytes.subarray(0, nop))} at its site is of no known form`;
  const found = hexBytes(bytes.subarray(0, 5));
  if (onlyNops) return `no room at entry: ${found} is no NOP`;
  return `the bytes ${found} at its site are neither a call of __fentry__ nor a NOP`;
}

function whyNone(symbol: LoadedSymbol, body: Body | undefined, reason: string | undefined, table: SiteTable): string {
  if (body === undefined) return 'not in executable memory';
  if (reason !== undefined) return reason;
  if (symbol.kind === 'ifunc') return 'an indirect function: its address is that of the resolver';
  if (table.kind === 'none') return 'the image lists no sites and calls no __fentry__';
  if (symbol.size === 0n) return 'no site at this symbol, which has no size (assembly)';
  return 'no site: built without an entry call (notrace, or another compiler flag)';
}

function look(address: bigint, memory: ImageMemory): Uint8Array {
  const segment = memory.segmentAt(address);
  if (segment === undefined) return new Uint8Array();
  const start = Number(address - segment.address);
  return segment.bytes.subarray(start, start + LOOK_BYTES);
}
