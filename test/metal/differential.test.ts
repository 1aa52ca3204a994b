// New cases, other than the committed ones, on the bare CPU and every engine; many more: npm run isa:differential.

import { expect, test } from 'vitest';
import { ENGINES } from '../support/engines.ts';
import { differential } from './differential.ts';
import { buildNative } from './native.ts';

const native = buildNative();
const why = typeof native === 'string' ? ` (skipped: ${native})` : '';
const SEED = 0x6e65_7721;

test.skipIf(typeof native === 'string').each(ENGINES)(`nothing differs unexplained on %s${why}`, async (engine) => {
  if (typeof native === 'string') return;
  const cases = engine === 'unicorn' ? 3_000 : 12_000;
  const tally = (await differential(native, { cases, seed: SEED, engines: [engine] })).get(engine);
  expect([...(tally?.unexplained ?? [])], `seed ${SEED}`).toEqual([]);
  expect(tally?.cases).toBeGreaterThanOrEqual(cases);
  expect(tally?.judged).toBeGreaterThan(0.8 * cases);
});
