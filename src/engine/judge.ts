// Whether an engine is known to execute an instruction rightly: the mechanism; each engine ships its own table.
import type { Instruction } from '../x86/decode.ts';

/** What about an instruction can make the difference, the narrowest first. */
export const CIRCUMSTANCES = [
  'a RIP-relative operand',
  'two of the prefixes 66, f2 and f3',
  'a repeat prefix',
  'a 67 prefix',
  'a memory operand',
  'a REX prefix',
] as const;
export type Circumstance = (typeof CIRCUMSTANCES)[number];

/** What one engine executes rightly. Names are iced-x86's: mnemonics in lower case, encodings as `Mov_r64_rm64`. */
export interface ExecutionTable {
  /** The engine and its version, for messages. */
  readonly engine: string;
  /** Mnemonics that the engine executes as the bare CPU does. */
  readonly mnemonics: ReadonlySet<string>;
  /** Mnemonics or encodings that it does not, with what it does instead; stronger than `mnemonics`. */
  readonly wrong: ReadonlyMap<string, string>;
  /** Encodings that it executes rightly except in one circumstance. */
  readonly wrongWith: ReadonlyMap<string, Circumstance>;
}

/** Why this engine's execution of an instruction proves nothing, as a sentence; undefined where it does. */
export function notJudged(table: ExecutionTable, instruction: Instruction): string | undefined {
  const subject = `${table.engine} and "${instruction.text}" (${instruction.code})`;
  const wrong = table.wrong.get(instruction.code) ?? table.wrong.get(instruction.mnemonic);
  if (wrong !== undefined) return `${subject}: ${wrong}`;
  if (!table.mnemonics.has(instruction.mnemonic)) return `${subject}: not compared with the bare CPU`;
  const misread = misreadPrefixes(instruction.bytes);
  if (misread !== undefined) return `${subject}: ${misread}`;
  const circumstance = table.wrongWith.get(instruction.code);
  if (circumstance !== undefined && circumstanceHolds(circumstance, instruction)) {
    return `${subject}: executed otherwise than by the bare CPU with ${circumstance}`;
  }
  return undefined;
}

/** Prefixes that QEMU's decoder, and so every Unicorn, reads otherwise than a CPU. */
function misreadPrefixes(bytes: Uint8Array): string | undefined {
  const prefixes = prefixesOf(bytes);
  const segment = prefixes.findIndex((prefix) => prefix === 0x64 || prefix === 0x65);
  if (segment >= 0 && prefixes.slice(segment).some((prefix) => (prefix & 0xe7) === 0x26)) {
    return 'a prefix of es, cs, ss or ds after one of fs or gs, which it lets cancel that one';
  }
  const [rex = 0, next = 0] = bytes.subarray(prefixes.length);
  if ((rex & 0xf0) === 0x40 && LEGACY_PREFIXES.has(next)) {
    return 'a REX prefix before another prefix, which it lets count';
  }
  return undefined;
}

/** Whether `instruction` is in the circumstance. */
export function circumstanceHolds(circumstance: Circumstance, instruction: Instruction): boolean {
  const prefixes = prefixesOf(instruction.bytes);
  switch (circumstance) {
    case 'a RIP-relative operand':
      return instruction.ripAddress !== undefined;
    case 'two of the prefixes 66, f2 and f3':
      return prefixes.filter((prefix) => prefix === 0x66 || prefix === 0xf2 || prefix === 0xf3).length >= 2;
    case 'a repeat prefix':
      return prefixes.includes(0xf2) || prefixes.includes(0xf3);
    case 'a 67 prefix':
      return prefixes.includes(0x67);
    case 'a REX prefix':
      return ((instruction.bytes[prefixes.length] ?? 0) & 0xf0) === 0x40;
    case 'a memory operand':
      return instruction.text.includes('[');
  }
}

/** The legacy prefixes in front. */
function prefixesOf(bytes: Uint8Array): number[] {
  const end = bytes.findIndex((byte) => !LEGACY_PREFIXES.has(byte));
  return [...bytes.subarray(0, end < 0 ? bytes.length : end)];
}

const LEGACY_PREFIXES: ReadonlySet<number> = new Set([
  0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
]);
