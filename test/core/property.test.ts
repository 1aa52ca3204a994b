// Random operations: the release and the debug build do what the reference does, step by step.
import { expect, test } from 'vitest';
import { firstDifference, ROOM, randomOperations, shrink } from './operations.ts';
import { chooseSeed, randomIntegers } from './random.ts';
import { Reference } from './reference.ts';
import { type Dispatcher, makeCore } from './subjects.ts';

const OPERATIONS = 100_000;

async function allSides(): Promise<Dispatcher[]> {
  return [new Reference(ROOM), await makeCore('release', ROOM), await makeCore('debug', ROOM)];
}

test('over 100,000 random operations both builds do what the reference does', async () => {
  const seed = chooseSeed();
  console.log(`property: seed ${seed}; TRAMP64_SEED=${seed} repeats it`);
  const operations = randomOperations(randomIntegers(seed), OPERATIONS);
  const difference = firstDifference(operations, await allSides());
  if (difference === undefined) return;
  const shortest = await shrink(operations.slice(0, difference.step + 1), allSides);
  const seen = firstDifference(shortest, await allSides())?.seen.join('\n');
  expect.fail(`seed ${seed}\n${shortest.map((operation) => JSON.stringify(operation)).join('\n')}\n${seen}`);
});

/** A core whose answers are replaced from outside. */
async function sabotaged(answer: (core: Dispatcher, site: bigint, task: number) => bigint | undefined) {
  const core = await makeCore('release', ROOM);
  return new Proxy<Dispatcher>(core, {
    get: (_, name) => {
      if (name === 'dispatch') return (site: bigint, task: number) => answer(core, site, task);
      const member: unknown = Reflect.get(core, name);
      return typeof member === 'function' ? member.bind(core) : member;
    },
  });
}

const cache = new Map<bigint, bigint | undefined>();

test.each<[string, (core: Dispatcher, site: bigint, task: number) => bigint | undefined]>([
  ['a constant', () => 0x1000n],
  ['always the original', () => undefined],
  [
    'a cached answer',
    (core, site, task) => {
      if (!cache.has(site)) cache.set(site, core.dispatch(site, task));
      return cache.get(site);
    },
  ],
  [
    'the entry below the top',
    (core, site, task) => {
      core.dispatch(site, task);
      return core.stack(site)[1]?.newFunc;
    },
  ],
])('%s in place of the dispatch is noticed, and shrunk to a few steps', async (_, answer) => {
  const fresh = async () => {
    cache.clear();
    return [new Reference(ROOM), await sabotaged(answer)];
  };
  const operations = randomOperations(randomIntegers(1), 500);
  expect(firstDifference(operations, await fresh())).toBeDefined();
  expect((await shrink(operations, fresh)).length).toBeLessThan(12);
});
