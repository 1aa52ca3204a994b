// Finding the function a patch names: by name, object and position, with the kernel's errors (L17, L18, L21–L23).
import { PatchError } from '../errors.ts';

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

/** What is looked up, and for whom. */
export interface SymbolQuery {
  patch: string;
  name: string;
  /** 0 = must be unique; N = the N-th of that name. */
  sympos: number;
}

/**
 * klp_find_object_symbol, with the size check of klp_init_object_loaded.
 *
 * @throws {PatchError} EINVAL no symbol of the name, or several and sympos 0, or fewer than sympos (L22, L23) ·
 * ENOENT its size is unknown (L18)
 */
export function findSymbol(scope: SymbolScope, query: SymbolQuery): KernelSymbol {
  const { patch, name, sympos } = query;
  const fail = (code: 'EINVAL' | 'ENOENT', fact: string): PatchError =>
    new PatchError(code, fact, { operation: 'enable', patch, func: name });
  const matches = [...scope.named(name)];
  // vmlinux symbols count by ascending address, module symbols in symbol-table order (L23)
  if (scope.name === null) matches.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  const found = matches[Math.max(sympos, 1) - 1];
  if (sympos === 0) {
    if (matches.length > 1) {
      throw fail('EINVAL', `unresolvable ambiguity for symbol '${name}' in object '${scope.name ?? 'vmlinux'}'`);
    }
    if (found === undefined) throw fail('EINVAL', `symbol '${name}' not found in symbol table`);
  } else if (found === undefined) {
    const where = `object '${scope.name ?? 'vmlinux'}'`;
    throw fail('EINVAL', `symbol position ${sympos} for symbol '${name}' in ${where} not found`);
  }
  if (found.size === 0n) throw fail('ENOENT', `kallsyms size lookup failed for '${name}'`);
  return found;
}
