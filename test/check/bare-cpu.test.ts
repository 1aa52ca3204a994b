// The bare CPU as the judge's judge: generated hooks, and the shared cases on which we see it otherwise. Needs gcc.
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { keepEngines } from '../../src/check/engines.ts';
import { type HookQuestion, judgeHook } from '../../src/check/hook.ts';
import hookCases from './cases/hook-cases.json' with { type: 'json' };
import redirectCases from './cases/redirect-cases.json' with { type: 'json' };
import known from './disagreements/known.json' with { type: 'json' };
import { campaign } from './hooks/campaign.ts';
import { askBareCpu, bareHook, bareRelocation, buildBareCpu } from './metal/bare-cpu.ts';

const bare = buildBareCpu();
const why = typeof bare === 'string' ? bare : '';
const program = typeof bare === 'string' ? { path: '' } : bare;
const keeper = keepEngines();
afterAll(() => keeper.dispose());

const STATES = 10_000;
const SEED = 0x7472616d70n;

describe.skipIf(why !== '')(`the bare CPU${why === '' ? '' : ` (skipped: ${why})`}`, () => {
  test('agrees with every recorded verdict on hooks that it can run, and with ours where we differ', () => {
    const cases = hookCases.cases.map((one) => ({ id: one.id, verdict: one.verdict, hook: hookOfCase(one) }));
    const answers = askBareCpu(
      program,
      cases.map(({ hook }) => bareHook(hook, 1000, SEED)),
    );
    const others = new Map(known['hook-cases'].map(({ id, verdict }) => [id, verdict]));
    const wrong = cases.flatMap(({ id, verdict }, i) => {
      const ours = others.get(id) ?? verdict;
      const answer = answers[i] ?? '';
      if (answer.startsWith('unproved')) return [];
      const agrees = answer.startsWith('same') === (ours === 'equivalent');
      return agrees || STATIC.some((part) => id.includes(part)) ? [] : [`${id}: ${ours}, but ${answer}`];
    });
    expect(wrong).toEqual([]);
  });

  test.each(known['hook-cases'].map(({ id }) => id))('proves over 10,000 states what we say of %s', (id) => {
    const one = hookCases.cases.find((item) => item.id === id);
    const [answer = ''] = one === undefined ? [] : askBareCpu(program, [bareHook(hookOfCase(one), STATES, SEED)]);
    expect(answer).toMatch(/^same \d{4}|^unproved/);
    // CPUs without AVX-512 refuse both sides
    if (answer.startsWith('unproved')) expect(answer).toContain('vector 6');
  });

  test.each(
    redirectCases.cases.filter(({ id }) =>
      known['redirect-cases'].some((one) => one.id === id && one.verdict === 'broken'),
    ),
  )('proves what we say of $id: it does not do the same at its new place', ({ address, input, expected }) => {
    const { newAddress, output } = expected as { newAddress: string; output: string };
    // the block below 64 KiB cannot be mapped without privileges: the same block higher up, at the same distance
    const up = 0x1000_0000n;
    const question = bareRelocation(
      {
        address: BigInt(address ?? '0') + up,
        bytes: bytesOfHex(input),
        newAddress: BigInt(newAddress) + up,
        output: bytesOfHex(output),
        bitness: 64,
      },
      STATES,
      SEED,
    );
    expect(askBareCpu(program, [question])[0]).toMatch(/^(different|unproved)/);
  });

  test('agrees on hooks made from our own list of prologues, rightly and with the known mistakes', async () => {
    const { disagreements, judged, notJudged } = await campaign(program, keeper.engines, {
      nth: 41,
      first: 7,
      states: 200,
    });
    expect(disagreements).toEqual([]);
    expect(judged).toBeGreaterThan(120);
    expect(notJudged / (judged + notJudged)).toBeLessThan(0.1);
  });
});

/** What overwriting a neighbour breaks is not the hooked function; and a narrow branch differs between Intel and AMD. */
const STATIC = ['live neighbour', '66-prefixed'];

function hookOfCase(one: (typeof hookCases.cases)[number]): HookQuestion {
  return {
    function: {
      address: BigInt(one.function.address),
      bytes: bytesOfHex(one.function.bytes),
      padding: Number.parseInt(one.function.padding, 16),
    },
    patchLength: one.patchLength,
    trampoline: { address: BigInt(one.trampoline.address), bytes: bytesOfHex(one.trampoline.bytes) },
  };
}

test('the generator makes each mistake at least once', async () => {
  const { MANNERS, MISTAKES, hookOf } = await import('./hooks/relocate.ts');
  const { PROLOGUES } = await import('./hooks/prologues.ts');
  const [manner] = MANNERS;
  for (const mistake of MISTAKES) {
    const made = PROLOGUES.some(([, hex]) => manner !== undefined && hookOf(hex, manner, mistake) !== undefined);
    expect(made, mistake).toBe(true);
  }
  expect(judgeHook).toBeTypeOf('function');
});
