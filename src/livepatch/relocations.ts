// klp relocations: what a livepatch module refers to in vmlinux or in another module, resolved by livepatch itself (L25).
import { hex } from '../address.ts';
import { type ErrnoName, PatchError } from '../errors.ts';
import type { LivepatchRelocation, LivepatchTable } from '../image/livepatch-tables.ts';
import { relocationBytes, relocationSize } from '../image/relocate.ts';
import type { LivepatchEvent } from './events.ts';
import type { Log } from './log.ts';
import { findSymbol, type SymbolScope } from './symbols.ts';

/** What relocating takes. */
export interface RelocationParts {
  log: Log;
  /** The symbols of vmlinux (null) or of a module; undefined while it is not loaded (L21). */
  object(name: string | null): SymbolScope | undefined;
  read(address: bigint, size: number): Uint8Array;
  write(address: bigint, bytes: Uint8Array): void;
}

/** `.klp.rela.OBJECT.…`, object names of at most 55 bytes. */
const SECTION = /^\.klp\.rela\.([^.]{1,55})/;
/** `.klp.sym.OBJECT.NAME,POSITION`, as the kernel's scanf reads it: what follows the position does not count. */
const SYMBOL = /^\.klp\.sym\.([^.]{1,55})\.([^,]{1,511}),[ \t\n]*[+-]?(\d+)/;
const VMLINUX = 'vmlinux';

/**
 * klp_apply_section_relocs, of all tables of a module that belong to one object (L18, L25). Of an error nothing is left
 * behind.
 *
 * @param module names the livepatch module in errors
 * @param object null for vmlinux: applied when the livepatch module is loaded
 * @throws {PatchError} EINVAL a section or symbol has a wrong name or no mark, a symbol is not found, or a table of a
 * module names a symbol of vmlinux · ENOEXEC a place is not zero, a type is unknown, or a value does not fit
 */
export function applyRelocations(
  module: string,
  tables: readonly LivepatchTable[],
  object: string | null,
  parts: RelocationParts,
): void {
  const done: LivepatchRelocation[] = [];
  try {
    for (const table of tables) {
      if (objectOf(module, table, parts) !== (object ?? VMLINUX)) continue;
      // all symbols of a table are resolved before its first place is written (klp_resolve_symbols)
      const values = table.relocations.map((one) => resolve(module, one, object === null, parts));
      for (const [i, relocation] of table.relocations.entries()) {
        apply(module, relocation, values[i] ?? 0n, parts);
        done.push(relocation);
      }
    }
  } catch (error) {
    for (const relocation of done) clear(relocation, parts);
    throw error;
  }
}

/** klp_clear_object_relocs: the places of one object hold zeros again, so that it may come again. */
export function clearRelocations(tables: readonly LivepatchTable[], object: string, parts: RelocationParts): void {
  for (const { name, relocations } of tables) {
    if (SECTION.exec(name)?.[1] === object) for (const relocation of relocations) clear(relocation, parts);
  }
}

function objectOf(module: string, { name }: LivepatchTable, { log }: RelocationParts): string {
  const object = SECTION.exec(name)?.[1];
  if (object === undefined) throw refuse(module, { kind: 'klpSectionName', section: name }, log);
  return object;
}

/** The address of a relocation's symbol. */
function resolve(module: string, relocation: LivepatchRelocation, inVmlinux: boolean, parts: RelocationParts): bigint {
  const { symbol, marked } = relocation;
  const { log } = parts;
  if (!marked) throw refuse(module, { kind: 'klpSymbolMark', symbol }, log);
  const [, object, name, position] = SYMBOL.exec(symbol) ?? [];
  if (object === undefined || name === undefined || position === undefined) {
    throw refuse(module, { kind: 'klpSymbolName', symbol }, log);
  }
  if (!inVmlinux && object === VMLINUX) throw refuse(module, { kind: 'klpVmlinuxSymbol', symbol: name }, log);
  const owner = object === VMLINUX ? null : object;
  const scope = parts.object(owner) ?? { name: owner, named: () => [] };
  return findSymbol(scope, { name, sympos: BigInt(position) }, (_, event) => refuse(module, event, log)).address;
}

function apply(module: string, relocation: LivepatchRelocation, value: bigint, parts: RelocationParts): void {
  const { place, type, addend, symbol } = relocation;
  const bytes = relocationBytes(type, { S: value, A: addend, P: place });
  const fail = (fact: string): PatchError =>
    new PatchError('ENOEXEC', `the relocation to '${symbol}' at ${hex(place)} ${fact}`, about(module));
  if (bytes === 'unknown') throw fail(`has the type ${type}, which no kernel applies`);
  if (bytes === 'overflow') throw fail('does not reach: its value does not fit');
  if (parts.read(place, bytes.length).some((byte) => byte !== 0)) throw fail('changes a place that is not zero');
  parts.write(place, bytes);
}

function clear({ place, type }: LivepatchRelocation, parts: RelocationParts): void {
  parts.write(place, new Uint8Array(relocationSize(type)));
}

function refuse(module: string, event: LivepatchEvent, log: Log): PatchError {
  return log.refuse('EINVAL' satisfies ErrnoName, event, about(module));
}

function about(module: string): { operation: string; patch: string } {
  return { operation: 'relocate', patch: module };
}
