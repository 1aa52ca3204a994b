// Where the core keeps what traces read and write, and the functions of it that they call.
import type { CoreExports } from '../../wasm/instance.ts';
import { I32, I64, type Import } from './code.ts';

/** What traces import; the order is that of their indices. */
export const IMPORTS = [
  { name: 'traceRead', signature: { parameters: [I64, I32], results: [I32] } },
  { name: 'traceStore', signature: { parameters: [I64, I64, I32], results: [I32] } },
  { name: 'traceFrame', signature: { parameters: [I64, I32], results: [I32] } },
  { name: 'traceGate', signature: { parameters: [I64], results: [I64] } },
  { name: 'tracePasses', signature: { parameters: [], results: [I32] } },
  { name: 'traceAwaits', signature: { parameters: [], results: [I32] } },
  { name: 'writeFlags', signature: { parameters: [I64], results: [] } },
  { name: 'high64', signature: { parameters: [I64, I64], results: [I64] } },
] as const satisfies readonly Import[];

type ImportName = (typeof IMPORTS)[number]['name'];

/** Offsets in linear memory, and indices of functions. */
export interface Layout {
  readonly general: number;
  readonly rip: number;
  readonly result: number;
  readonly carries: number;
  readonly shape: number;
  readonly rest: number;
  readonly fsBase: number;
  readonly gsBase: number;
  /** The soft TLB: its tags and addends for entry 0, and how an address gives the offset of an entry. */
  readonly readTag: number;
  readonly writeTag: number;
  readonly addend: number;
  readonly entryShift: number;
  readonly entryMask: number;
  readonly functions: Readonly<Record<ImportName, number>>;
}

/** Reads the offsets that the module exports. */
export function layoutOf(exports: CoreExports): Layout {
  const general = exports.GENERAL.value;
  const tlb = exports.TLB.value;
  return {
    general,
    rip: exports.RIP.value,
    result: exports.RESULT.value,
    carries: exports.CARRIES.value,
    shape: exports.SHAPE.value,
    rest: exports.REST.value,
    fsBase: general + exports.FS_BASE.value,
    gsBase: general + exports.GS_BASE.value,
    readTag: tlb,
    writeTag: tlb + 8,
    addend: tlb + 16,
    entryShift: exports.ENTRY_SHIFT.value,
    entryMask: exports.ENTRY_MASK.value,
    functions: Object.fromEntries(IMPORTS.map(({ name }, i) => [name, i])) as Record<ImportName, number>,
  };
}
