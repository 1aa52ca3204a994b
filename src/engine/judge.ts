// Whether an engine is known to execute an instruction rightly: the mechanism; each engine ships its own table.
import type { Instruction } from '../x86/decode.ts';

/** What one engine executes rightly. Names are iced-x86's: mnemonics in lower case, encodings as `Mov_r64_rm64`. */
export interface ExecutionTable {
  /** The engine and its version, for messages. */
  readonly engine: string;
  /** Mnemonics that the engine executes as the bare CPU does. */
  readonly mnemonics: ReadonlySet<string>;
  /** Mnemonics or encodings that it does not, with what it does instead; stronger than `mnemonics`. */
  readonly wrong: ReadonlyMap<string, string>;
  /** Mnemonics that it executes rightly except with a RIP-relative operand. */
  readonly wrongRipRelative: ReadonlySet<string>;
}

/** Why this engine's execution of an instruction proves nothing, as a sentence; undefined where it does. */
export function notJudged(table: ExecutionTable, instruction: Instruction): string | undefined {
  const subject = `${table.engine} and "${instruction.text}" (${instruction.code})`;
  const wrong = table.wrong.get(instruction.code) ?? table.wrong.get(instruction.mnemonic);
  if (wrong !== undefined) return `${subject}: ${wrong}`;
  if (!table.mnemonics.has(instruction.mnemonic)) return `${subject}: not compared with the bare CPU`;
  if (instruction.ripAddress !== undefined && table.wrongRipRelative.has(instruction.mnemonic)) {
    return `${subject}: its RIP-relative operand is addressed wrongly`;
  }
  return undefined;
}
