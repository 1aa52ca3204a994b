// Applies relocations to an image's memory (AMD64 psABI, table of relocation types).

import { hex, wrap } from '../address.ts';
import type { ElfFile } from './elf.ts';
import { R, relocationName } from './elf-format.ts';
import type { ElfRelocation } from './elf-relocations.ts';
import type { ElfSymbol } from './elf-symbols.ts';
import type { Layout } from './layout.ts';
import { dataView } from './memory.ts';
import { imageError } from './reader.ts';

/** How a value must fit its field. */
type Fit = 'any' | 'unsigned' | 'signed';

/** The quantities of the psABI's formulas: S symbol, A addend, P place, B base, G GOT slot's address. */
interface Terms {
  S: bigint;
  A: bigint;
  P: bigint;
  B: bigint;
  G: bigint;
}

interface Rule {
  /** Bytes that are written. */
  readonly size: 0 | 4 | 8;
  readonly fit: Fit;
  /** Whether S counts, so that the symbol must have a value. */
  readonly symbol: boolean;
  readonly value: (terms: Terms) => bigint;
}

const pcRelative = ({ S, A, P }: Terms) => S + A - P;
const gotRelative = ({ G, A, P }: Terms) => G + A - P;

const RULES = new Map<number, Rule>([
  [R.NONE, { size: 0, fit: 'any', symbol: false, value: () => 0n }],
  [R.R64, { size: 8, fit: 'any', symbol: true, value: ({ S, A }) => S + A }],
  [R.PC32, { size: 4, fit: 'signed', symbol: true, value: pcRelative }],
  // The loader makes no PLT: a call goes straight to the symbol.
  [R.PLT32, { size: 4, fit: 'signed', symbol: true, value: pcRelative }],
  [R.PC64, { size: 8, fit: 'any', symbol: true, value: pcRelative }],
  [R.R32, { size: 4, fit: 'unsigned', symbol: true, value: ({ S, A }) => S + A }],
  [R.R32S, { size: 4, fit: 'signed', symbol: true, value: ({ S, A }) => S + A }],
  [R.GLOB_DAT, { size: 8, fit: 'any', symbol: true, value: ({ S }) => S }],
  [R.JUMP_SLOT, { size: 8, fit: 'any', symbol: true, value: ({ S }) => S }],
  [R.RELATIVE, { size: 8, fit: 'any', symbol: false, value: ({ B, A }) => B + A }],
  [R.GOTPCREL, { size: 4, fit: 'signed', symbol: true, value: gotRelative }],
  [R.GOTPCRELX, { size: 4, fit: 'signed', symbol: true, value: gotRelative }],
  [R.REX_GOTPCRELX, { size: 4, fit: 'signed', symbol: true, value: gotRelative }],
]);

/** Whether the relocation goes through a GOT slot that the loader makes. */
export function needsSlot(type: number): boolean {
  return type === R.GOTPCREL || type === R.GOTPCRELX || type === R.REX_GOTPCRELX;
}

/**
 * Whether applying the relocation needs its symbol's value.
 *
 * @throws {ImageError} EINVAL a type that the loader does not know; the message names type, section and offset
 */
export function needsSymbol(file: ElfFile, relocation: ElfRelocation): boolean {
  return ruleOf(file, relocation).symbol;
}

/** The address that a relocation changes; undefined where its section is not loaded. */
export function placeOf(relocation: ElfRelocation, layout: Layout): bigint | undefined {
  if (relocation.target === undefined) return wrap(relocation.offset + layout.bias);
  const section = layout.section(relocation.target);
  return section === undefined ? undefined : section + relocation.offset;
}

/**
 * Applies one relocation.
 *
 * @param value gives a symbol's address; undefined leaves the bytes as they are
 * @throws {ImageError} EINVAL unknown type · ENOEXEC outside its section · ERANGE the value does not fit, naming the
 *   symbol
 */
export function applyRelocation(
  file: ElfFile,
  relocation: ElfRelocation,
  layout: Layout,
  base: bigint,
  value: (symbol: ElfSymbol) => bigint | undefined,
): void {
  const rule = ruleOf(file, relocation);
  const { symbol, target, addend } = relocation;
  if (rule.size === 0) return;
  const P = placeOf(relocation, layout);
  const inside = target === undefined || relocation.offset + BigInt(rule.size) <= BigInt(target.bytes.length);
  const bytes = P === undefined || !inside ? undefined : layout.memory.view(P, rule.size);
  if (P === undefined || bytes === undefined) {
    throw relocationError(file, relocation, 'ENOEXEC', 'lies outside the bytes it changes');
  }
  const G = symbol === undefined ? undefined : layout.slot(symbol);
  if (needsSlot(relocation.type) && G === undefined) {
    throw relocationError(file, relocation, 'EINVAL', 'has no GOT slot (linked file, or no symbol)');
  }
  const S = symbol === undefined || !rule.symbol ? 0n : value(symbol);
  if (S === undefined) return;
  const terms = { S, A: addend, P, B: file.type === 'relocatable' ? base : layout.bias, G: G ?? 0n };
  const encoded = encode(rule, terms);
  if (typeof encoded === 'bigint') {
    throw relocationError(file, relocation, 'ERANGE', `value ${hex(wrap(encoded))} does not fit in 32 bits`);
  }
  bytes.set(encoded);
}

/** The bytes of the value; the value itself where it does not fit. */
function encode(rule: Rule, terms: Terms): Uint8Array | bigint {
  const result = BigInt.asIntN(64, rule.value(terms));
  const bytes = new Uint8Array(8);
  dataView(bytes).setBigUint64(0, wrap(result), true);
  const fits =
    rule.fit === 'any' ||
    (rule.fit === 'unsigned' ? BigInt.asUintN(32, result) === result : BigInt.asIntN(32, result) === result);
  return fits ? bytes.subarray(0, rule.size) : result;
}

/** Bytes that a relocation changes; 0 for a type that is not known. */
export function relocationSize(type: number): number {
  return RULES.get(type)?.size ?? 0;
}

/** Types that the kernel's module loader applies (arch/x86/kernel/module.c). */
const KERNEL_TYPES: ReadonlySet<number> = new Set([R.NONE, R.R64, R.PC32, R.PLT32, R.PC64, R.R32, R.R32S]);

/**
 * The bytes of one relocation, away from any file.
 *
 * @returns none for R_X86_64_NONE; `unknown` for a type that a kernel refuses; `overflow` where the value does not fit
 */
export function relocationBytes(
  type: number,
  { S, A, P }: { readonly S: bigint; readonly A: bigint; readonly P: bigint },
): Uint8Array | 'unknown' | 'overflow' {
  const rule = KERNEL_TYPES.has(type) ? RULES.get(type) : undefined;
  if (rule === undefined) return 'unknown';
  const encoded = encode(rule, { S, A, P, B: 0n, G: 0n });
  return typeof encoded === 'bigint' ? 'overflow' : encoded;
}

/** How messages call a symbol. */
export function symbolTitle(symbol: ElfSymbol | undefined): string {
  if (symbol === undefined) return 'no symbol';
  if (symbol.name !== '') return `'${symbol.name}'`;
  return symbol.section === undefined ? `symbol ${symbol.index}` : `section '${symbol.section.name}'`;
}

/** The error of one relocation: names type, section, offset and symbol. */
export function relocationError(
  file: ElfFile,
  relocation: ElfRelocation,
  code: 'EINVAL' | 'ENOEXEC' | 'ERANGE' | 'ENOTSUPP',
  fact: string,
) {
  const { type, offset, symbol, target, table } = relocation;
  const text = `${relocationName(type)} at +${hex(offset)} to ${symbolTitle(symbol)}: ${fact}`;
  return imageError(file.name, code, text, { section: (target ?? table).name, offset: relocation.fileOffset });
}

function ruleOf(file: ElfFile, relocation: ElfRelocation): Rule {
  const rule = RULES.get(relocation.type);
  if (rule === undefined) throw relocationError(file, relocation, 'EINVAL', 'this type is not supported');
  return rule;
}
