// Every instruction form that the metal cases have, and their programs, through traces: as on the interpreter, which
// test/cpu compares with the bare CPU.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GENERAL_REGISTERS } from '../../src/engine/engine.ts';
import { background, casesOf } from '../metal/generate.ts';
import { type Case, CODE, CODE_PAGE, FILL, FLAGS_BASE, GS_BASE, MEMORY, PAGE } from '../metal/layout.ts';
import { programRows, programs } from '../metal/programs.ts';
import { allRows } from '../metal/sections.ts';
import { Pair } from './pair.ts';

const SEED = Number(process.env.TRAMP64_SEED ?? 1);
const CASES_PER_FORM = Number(process.env.TRAMP64_CASES ?? 1);
const PROGRAMS = 200;
/** A jump to the case: traces begin at what is jumped to. */
const START = CODE_PAGE;

let pair: Pair;
beforeAll(async () => {
  pair = await Pair.create();
  pair.map(CODE_PAGE, BigInt(PAGE), 'rx');
  pair.map(MEMORY, BigInt(PAGE), 'rw');
  pair.set({ gsBase: GS_BASE });
});
afterAll(() => pair.dispose());

function* cases(): Generator<Case> {
  for (const row of allRows()) yield* casesOf(row, CASES_PER_FORM, SEED);
  yield* programs(programRows(), PROGRAMS, SEED);
}

function prepare(input: Case): void {
  for (const [i, name] of GENERAL_REGISTERS.entries()) pair.set({ [name]: input.gprs[i] ?? 0n });
  pair.set({ rflags: BigInt(input.flags | FLAGS_BASE) });
  pair.each(({ engine }) => {
    for (let i = 0; i < 16; i++) engine.writeXmm(i, input.xmm.subarray(16 * i, 16 * i + 16));
  });
  pair.write(MEMORY, background(SEED));
  for (const { offset, bytes } of input.patches) pair.write(MEMORY + BigInt(offset), bytes);
}

test(`${CASES_PER_FORM} case of each form and ${PROGRAMS} programs, seed ${SEED}`, () => {
  const jump = new Uint8Array(5);
  jump[0] = 0xe9;
  new DataView(jump.buffer).setInt32(1, Number(CODE - (START + 5n)), true);
  for (const input of cases()) {
    if (input.branches) continue;
    const code = new Uint8Array(256).fill(FILL);
    code.set(input.bytes);
    pair.write(CODE, code);
    pair.write(START, jump);
    const until = CODE + BigInt(input.bytes.length);
    // interpreted, recorded, and through the trace
    for (const time of ['first', 'second', 'third']) {
      prepare(input);
      pair.run({ from: START, until, budget: 200 }, `${input.id}, the ${time} time`);
    }
  }
  expect(pair.compiled).toBeGreaterThan(200);
});
