// Judging in worker processes: the same result whatever their number, and a worker that fails costs its own case only.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { casesOf, documentOf, judgeCases } from '../../src/check/cases.ts';
import { keepEngines } from '../../src/check/engines.ts';
import { judgeOnWorkers } from '../../src/cli/pool.ts';

const UNRELIABLE = new URL('./workers/unreliable.mjs', import.meta.url);

test.each(['hook-cases', 'redirect-cases'])(
  '%s: byte for byte the same on one worker, on three, and on none',
  async (name) => {
    const file = `test/check/cases/${name}.json`;
    // every other case is enough, and halves the time
    const cases = casesOf(JSON.parse(readFileSync(file, 'utf8')), file).filter((_, i) => i % 2 === 0);
    const keeper = keepEngines();
    const alone = JSON.stringify(await judgeCases(cases, keeper.engines));
    keeper.dispose();
    for (const jobs of [1, 3]) {
      const results = await judgeOnWorkers(cases, { engine: 'unicorn', jobs });
      expect(JSON.stringify(documentOf(results)), `${jobs} workers`).toBe(alone);
    }
  },
);

describe('a worker that fails', () => {
  const judge = (ids: readonly string[], timeout = 60_000) =>
    judgeOnWorkers(
      ids.map((id) => ({ id })),
      { engine: 'unicorn', jobs: 2, timeout, worker: UNRELIABLE },
    );

  for (const [id, reason] of [
    ['exits', /^the judge failed: Worker exited unexpectedly$/],
    ['aborts', /^the judge failed: Worker exited unexpectedly$/],
    ['throws', /^the judge failed: the engine fell over$/],
    ['hangs', /^takes more than 6 s$/],
  ] as const) {
    test(`and ${id} costs its own case only, which is not judged with the reason`, async () => {
      const results = await judge(['a', id, 'b', 'c', id, 'd'], id === 'hangs' ? 6000 : undefined);
      expect(results.map((item) => item.id)).toEqual(['a', id, 'b', 'c', id, 'd']);
      expect(results.map(({ verdict }) => verdict)).toEqual(
        ['a', id, 'b', 'c', id, 'd'].map((one) => (one === id ? 'not-judged' : 'equivalent')),
      );
      expect(results[1]?.reason).toMatch(reason);
    });
  }

  test('at its very first case leaves the others judged', async () => {
    const results = await judge(['exits', 'a', 'b']);
    expect(results.map(({ verdict }) => verdict)).toEqual(['not-judged', 'equivalent', 'equivalent']);
  });

  test('to start is told for every case, and ends the run', async () => {
    const worker = new URL('./workers/missing.mjs', import.meta.url);
    const results = await judgeOnWorkers([{ id: 'a' }, { id: 'b' }], { engine: 'unicorn', jobs: 1, worker });
    expect(results.map(({ verdict }) => verdict)).toEqual(['not-judged', 'not-judged']);
  });

  test('no cases need no worker', async () => {
    expect(await judge([])).toEqual([]);
  });
});
