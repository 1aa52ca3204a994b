// No step of a patch's life grows faster than what it works on: counted by V8 block by block, not timed.
import { Session } from 'node:inspector';
import { describe, expect, test } from 'vitest';
import { GROWTH_GOAL, largeMachine, patchAll, type Size, unpatchAll } from '../../bench/livepatch.ts';

/** How often the blocks of src/ were entered while `act` ran: every comparison of a loop is one. */
function blocksEntered(act: () => void, files = '/src/'): number {
  const session = new Session();
  session.connect();
  try {
    session.post('Profiler.enable');
    session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    // what was counted before is taken away
    session.post('Profiler.takePreciseCoverage');
    act();
    let total = 0;
    session.post('Profiler.takePreciseCoverage', (_error, coverage) => {
      for (const { url, functions } of coverage?.result ?? []) {
        if (!url.includes(files)) continue;
        for (const { ranges } of functions) for (const { count } of ranges) total += count;
      }
    });
    return total;
  } finally {
    session.post('Profiler.disable');
    session.disconnect();
  }
}

async function workOf(size: Size, act: (parts: Awaited<ReturnType<typeof largeMachine>>) => void): Promise<number> {
  const parts = await largeMachine(size);
  const work = blocksEntered(() => act(parts));
  parts.machine.dispose();
  return work;
}

const life = ({ machine, spec }: Awaited<ReturnType<typeof largeMachine>>): void => {
  patchAll(machine, spec);
  unpatchAll(machine, spec);
};

describe('ten times as much is at most thirteen times the work', () => {
  test.each<[string, Size[]]>([
    ['functions of one patch', [50, 500, 5000].map((functions) => ({ tasks: 1, functions }))],
    ['tasks of one transition', [50, 500, 5000].map((tasks) => ({ tasks, functions: 20 }))],
  ])('%s', async (_what, sizes) => {
    const work: number[] = [];
    for (const size of sizes) work.push(await workOf(size, life));
    expect(work[0]).toBeGreaterThan(100);
    for (const [i, more] of work.slice(1).entries()) expect(more / (work[i] ?? 0)).toBeLessThanOrEqual(GROWTH_GOAL);
  });

  test('patches on the list: nops of one that replaces them all, and a module that meets them all', async () => {
    const sizes = [8, 80, 800];
    const work: number[] = [];
    for (const patches of sizes) {
      work.push(
        await workOf({ tasks: 1, functions: 1 }, ({ machine, spec }) => {
          const name = (i: number) => ({ ...spec, name: `p${i}`, image: 'fixes' });
          for (let i = 0; i < patches; i++) patchAll(machine, name(i));
          patchAll(machine, { ...name(patches), replace: true });
          unpatchAll(machine, name(patches));
        }),
      );
    }
    for (const [i, more] of work.slice(1).entries()) expect(more / (work[i] ?? 0)).toBeLessThanOrEqual(GROWTH_GOAL);
  });

  test('a loop within a loop would be seen', () => {
    const square = (size: number): number => blocksEntered(() => void pairs(size), 'growth.test');
    expect(square(1000) / square(100)).toBeGreaterThan(GROWTH_GOAL);
  });
});

/** Pairs of equal numbers, found the slow way. */
function pairs(size: number): number {
  let found = 0;
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) if (i === k) found++;
  }
  return found;
}
