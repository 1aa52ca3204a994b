// Mutants of trampolines that hold: a part of them, the rest by `npm run mutate:check`.
import { afterAll, expect, test } from 'vitest';
import { keepEngines } from '../../src/check/engines.ts';
import { buildBareCpu } from './metal/bare-cpu.ts';
import { mutate, prologues, trampolines } from './mutation.ts';

const bare = buildBareCpu();
const keeper = keepEngines('wasm');
afterAll(() => keeper.dispose());

test('there are trampolines of both kinds and series, and prologues of several forms', () => {
  expect(trampolines().map(({ name }) => name)).toEqual(['args 6.1', 'regs 6.1', 'args 6.12', 'regs 6.12']);
  expect(prologues().length).toBeGreaterThan(5);
});

test.skipIf(typeof bare === 'string')(
  `every mutant that acts otherwise is called broken${typeof bare === 'string' ? ` (skipped: ${bare})` : ''}`,
  { timeout: 240_000 },
  async () => {
    const program = typeof bare === 'string' ? undefined : bare;
    const all = [...trampolines(), ...prologues()];
    const survival = await mutate(all, keeper.engines, program, { nth: 47, first: 11 });
    expect(survival.unexplained).toEqual([]);
    expect(survival.broken).toBeGreaterThan(survival.mutants / 2);
    // never good news, and always with the instruction that no engine executes
    for (const line of survival.notJudged) expect(line).toMatch(/instruction|Unicorn/);
    expect(survival.notJudged.length).toBeLessThan(survival.mutants / 10);
  },
);
