// Finding the function a patch names: by name, object and position, with the kernel's errors (L17, L18, L21–L23).
import type { ErrnoName, PatchError } from '../errors.ts';
import type { LivepatchEvent } from './events.ts';
import { objectTitle } from './patch.ts';

/** A defined symbol as kallsyms knows it. */
export interface KernelSymbol {
  name: string;
  address: bigint;
  /** Bytes; 0 = unknown. */
  size: bigint;
}

/** The symbols of vmlinux (`name` null) or of one module. */
export interface SymbolScope {
  name: string | null;
  /** All symbols of a name, in symbol-table order. */
  named(name: string): readonly KernelSymbol[];
}

/** What is looked up. */
export interface SymbolQuery {
  name: string;
  /** 0 = must be unique; N = the N-th of that name. */
  sympos: bigint;
}

/** Makes the error for an event; the caller throws it. */
export type Refusal = (code: ErrnoName, event: LivepatchEvent) => PatchError;

/**
 * klp_find_object_symbol.
 *
 * @throws {PatchError} EINVAL no symbol of the name, or several and sympos 0, or fewer than sympos (L22, L23)
 */
export function findSymbol(scope: SymbolScope, { name, sympos }: SymbolQuery, refuse: Refusal): KernelSymbol {
  const matches = [...scope.named(name)];
  // vmlinux symbols count by ascending address, module symbols in symbol-table order (L23)
  if (scope.name === null) matches.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  const found = matches[Number(sympos || 1n) - 1];
  const object = objectTitle(scope.name);
  if (sympos === 0n && matches.length > 1) throw refuse('EINVAL', { kind: 'symbolAmbiguous', symbol: name, object });
  if (found !== undefined) return found;
  if (sympos === 0n) throw refuse('EINVAL', { kind: 'symbolNotFound', symbol: name });
  throw refuse('EINVAL', { kind: 'symbolPosition', symbol: name, object, sympos });
}
