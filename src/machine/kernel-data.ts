// Data of the kernel that modules import by name: the caches of kmalloc, and the types of module parameters.
import type { Region } from './guest-map.ts';

/** How a type of parameter reads a text and stores it (kernel/params.c). */
export type ParameterKind =
  | { readonly kind: 'integer'; readonly bytes: 1 | 2 | 4 | 8; readonly signed: boolean; readonly hex?: true }
  | { readonly kind: 'bool'; readonly bytes: 1 | 4; readonly inverted: boolean }
  | { readonly kind: 'array' }
  | { readonly kind: 'charp' }
  | { readonly kind: 'string' };

const integer = (bytes: 1 | 2 | 4 | 8, signed: boolean): ParameterKind => ({ kind: 'integer', bytes, signed });

/** The kernel's own types, by the name of their struct. */
const PARAMETER_KINDS: Readonly<Record<string, ParameterKind>> = {
  param_ops_byte: integer(1, false),
  param_ops_short: integer(2, true),
  param_ops_ushort: integer(2, false),
  param_ops_int: integer(4, true),
  param_ops_uint: integer(4, false),
  param_ops_hexint: { kind: 'integer', bytes: 4, signed: false, hex: true },
  param_ops_long: integer(8, true),
  param_ops_ulong: integer(8, false),
  param_ops_ullong: integer(8, false),
  param_ops_bool: { kind: 'bool', bytes: 1, inverted: false },
  param_ops_invbool: { kind: 'bool', bytes: 1, inverted: true },
  param_ops_bint: { kind: 'bool', bytes: 4, inverted: false },
  param_ops_charp: { kind: 'charp' },
  param_ops_string: { kind: 'string' },
  param_array_ops: { kind: 'array' },
};

/** struct kernel_param_ops: flags, set, get, free. */
const PARAM_OPS_SIZE = 32n;

/** The names and addresses of the data, all zero in memory, and what each type of parameter is. */
export function placeKernelData({ base }: Region): {
  symbols: ReadonlyMap<string, bigint>;
  parameterKinds: ReadonlyMap<bigint, ParameterKind>;
} {
  const symbols = new Map<string, bigint>();
  const parameterKinds = new Map<bigint, ParameterKind>();
  let next = base;
  for (const [name, kind] of Object.entries(PARAMETER_KINDS)) {
    symbols.set(name, next);
    parameterKinds.set(next, kind);
    next += PARAM_OPS_SIZE;
  }
  // up to the end of the page: more caches than any kernel has, each of them NULL, as kmalloc does not look at them here
  symbols.set('kmalloc_caches', next);
  return { symbols, parameterKinds };
}
