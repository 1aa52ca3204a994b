// Random and mutated inputs: a part of them, the rest by `npm run fuzz:check`.
import { afterAll, describe, expect, test } from 'vitest';
import { type CaseResult, casesOf, judgeCase, MAX_CASE_BYTES } from '../../src/check/cases.ts';
import { keepEngines } from '../../src/check/engines.ts';
import { ScenarioError } from '../../src/errors.ts';
import { fuzz } from './fuzz.ts';

const keeper = keepEngines('wasm');
afterAll(() => keeper.dispose());

test('500 inputs are answered or refused with a typed error', { timeout: 240_000 }, async () => {
  const { failures, verdicts } = await fuzz(500, 0x66757a7a, keeper.engines);
  expect(failures).toEqual([]);
  expect(verdicts.broken).toBeGreaterThan(0);
  expect(verdicts['not-judged']).toBeGreaterThan(0);
});

describe('a hostile case', () => {
  const judge = (raw: object): Promise<CaseResult> => judgeCase({ id: 'x', kind: 'hook', ...raw }, keeper.engines);

  test.each([
    ['more bytes than are read', { input: '90'.repeat(MAX_CASE_BYTES + 1) }],
    ['a patch of any length', { function: {}, trampoline: {}, patchLength: 1e12 }],
    ['a million exceptions', { input: '90', address: '0x1000', exceptions: new Array(1_000_000).fill('0x1') }],
    [
      'options that are none',
      { function: { address: '0x1', bytes: '90' }, trampoline: { address: '0x2', bytes: '90' }, build: { x: 1 } },
    ],
  ])('with %s is not judged, and the reason names the field', async (_what, raw) => {
    const { verdict, reason } = await judge(raw);
    expect(verdict).toBe('not-judged');
    expect(reason).toMatch(/^"[\w.]+"/);
  });

  test('whose end lies inside an instruction is answered', { timeout: 30_000 }, async () => {
    const expected = { outcome: 'relocated', newAddress: '0x0', output: '7f0c48b80010008000000000ffe0' };
    const { reason } = await judge({ kind: 'relocate-block', address: '0x80000000', input: '038efb0f0e', expected });
    expect(reason.length).toBeGreaterThan(10);
  });

  test('that branches to right before its start, with its end inside what stands there, is answered', async () => {
    const expected = { outcome: 'relocated', newAddress: '0x0', output: '50e002eb0c48b3fd0f008000000000ffe0' };
    const { reason } = await judge({ kind: 'relocate-block', address: '0x80801100', input: '50e0fa', expected });
    expect(reason.length).toBeGreaterThan(10);
  });

  test('in too large a file is refused before anything is judged', () => {
    const cases = new Array(100_001).fill({});
    expect(() => casesOf({ format: 'hook-cases/1', cases }, 'f')).toThrow(ScenarioError);
  });
});
