// What the native Unicorn executes rightly; data only, see judge.ts for the mechanism.
import type { ExecutionTable } from './judge.ts';
import { MNEMONICS, UNCOMPARED, WRONG, WRONG_WITH } from './unicorn-native-measured.ts';
import { executionTable } from './unicorn-table.ts';

/** Wrong only after certain other instructions, which cases of one instruction do not show, but programs do. */
const STALE_FLAGS = 'leaves flags of an earlier instruction than the last that set them';
const IN_PROGRAMS = ['cmpxchg8b', 'cmpxchg16b'].map((mnemonic) => [mnemonic, STALE_FLAGS] as const);

/** Measured on 2.0.1 against the bare CPU; other 2.x have the same translator, so its table holds for them too. */
export function unicornNativeTable(version: string): ExecutionTable {
  return executionTable(`Unicorn ${version}`, MNEMONICS, UNCOMPARED, [...WRONG, ...IN_PROGRAMS], WRONG_WITH);
}
