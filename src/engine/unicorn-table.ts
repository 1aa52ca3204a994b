// What Unicorn 1.0.3 (the JavaScript build) executes rightly; data only, see judge.ts for the mechanism.
import type { Circumstance, ExecutionTable } from './judge.ts';
import { MNEMONICS, UNCOMPARED, WRONG, WRONG_WITH } from './unicorn-measured.ts';

/** Kernel mode and what depends on the machine: nothing to compare with in user mode, taken as the manual has it. */
const PRIVILEGED = 'cli sti rdmsr wrmsr swapgs cpuid';

/** Measured against the bare CPU, instruction by instruction. */
export const UNICORN_1_0_3: ExecutionTable = executionTable('Unicorn 1.0.3', MNEMONICS, UNCOMPARED, WRONG, WRONG_WITH);

/** The table of a build of Unicorn from what was measured; see test/metal/unicorn-table.ts for the parts. */
export function executionTable(
  engine: string,
  mnemonics: string,
  uncompared: string,
  wrong: readonly (readonly [name: string, why: string])[],
  wrongWith: readonly (readonly [code: string, circumstance: Circumstance, example: string])[],
): ExecutionTable {
  return {
    engine,
    mnemonics: new Set(words(`${mnemonics} ${PRIVILEGED}`)),
    wrong: new Map([
      ...wrong,
      ...words(uncompared).map((code) => [code, 'not compared with the bare CPU'] as const),
      ['xbegin', 'executed as "mov eax, imm"'],
    ]),
    wrongWith: new Map(wrongWith.map(([code, circumstance]) => [code, circumstance])),
  };
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
