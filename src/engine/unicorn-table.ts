// What Unicorn 1.0.3 (the JavaScript build) executes rightly; data only, see judge.ts for the mechanism.
import type { ExecutionTable } from './judge.ts';
import { MNEMONICS, UNCOMPARED, WRONG, WRONG_WITH } from './unicorn-measured.ts';

/** Kernel mode and what depends on the machine: nothing to compare with in user mode, taken as the manual has it. */
const PRIVILEGED = 'cli sti rdmsr wrmsr swapgs cpuid';

/** Measured against the bare CPU, instruction by instruction. */
export const UNICORN_1_0_3: ExecutionTable = {
  engine: 'Unicorn 1.0.3',
  mnemonics: new Set(words(`${MNEMONICS} ${PRIVILEGED}`)),
  wrong: new Map([
    ...WRONG,
    ...words(UNCOMPARED).map((code) => [code, 'not compared with the bare CPU'] as const),
    ['xbegin', 'executed as "mov eax, imm"'],
  ]),
  wrongWith: new Map(WRONG_WITH.map(([code, circumstance]) => [code, circumstance])),
};

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
