// Cores that share an instance: after a fork each does what a core of its own with the same past does.
import { expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { createWasm } from '../../src/engine/wasm.ts';
import { type Operation, ROOM, randomOperations, Side } from './operations.ts';
import { chooseSeed, randomIntegers } from './random.ts';
import { Reference } from './reference.ts';
import { makeCore } from './subjects.ts';

/** Operations of each, from one fork to the next. */
const STRETCH = 300;

/** A core, and what it is compared with: a reference that is given all that happened to it from the start. */
interface Line {
  readonly core: Core;
  readonly side: Side;
  readonly past: Operation[];
  readonly replay: Side;
}

function fork({ core, side, past }: Line): Line {
  const other = core.fork(core.instance.fork());
  const replay = new Side(new Reference(ROOM));
  for (const operation of past) replay.perform(operation);
  return { core: other, side: new Side(other, side), past: [...past], replay };
}

test.each(['release', 'debug'] as const)(
  'forks of forks, used in turns, do what the reference does, %s build',
  async (build) => {
    const seed = chooseSeed();
    console.log(`fork: seed ${seed}; TRAMP64_SEED=${seed} repeats it`);
    const random = randomIntegers(seed);
    const core = await makeCore(build, ROOM);
    await createWasm(core.instance, false);
    const lines: Line[] = [{ core, side: new Side(core), past: [], replay: new Side(new Reference(ROOM)) }];
    for (let stretch = 0; stretch < 12; stretch++) {
      for (const operation of randomOperations(random, STRETCH)) {
        const line = lines[random(lines.length)];
        if (line === undefined) continue;
        line.past.push(operation);
        expect(line.side.perform(operation), `seed ${seed}, stretch ${stretch}`).toBe(line.replay.perform(operation));
      }
      const parent = lines[random(lines.length)];
      if (parent !== undefined) lines.push(fork(parent));
      if (lines.length < 5) continue;
      const [gone] = lines.splice(random(lines.length), 1);
      gone?.core.instance.dispose();
    }
  },
);

test('handles of before the fork name the same funcs and tasks on both sides, and each side removes its own', async () => {
  const core = await makeCore('release', ROOM);
  await createWasm(core.instance, false);
  const task = core.addTask();
  const func = core.pushFunc(0x1000n, 0x2000n, 1);
  const other = core.fork(core.instance.fork());
  other.removeFunc(func);
  other.setPatchState(task, 'patched');
  const newer = other.pushFunc(0x1000n, 0x3000n, 2, { transition: true });
  expect(newer).toBe(func);
  for (let turn = 0; turn < 2; turn++) {
    expect(core.dispatch(0x1000n, task)).toBe(0x2000n);
    expect(other.dispatch(0x1000n, task)).toBe(0x3000n);
    expect([core.dispatchPair(0x1000, 0, task), core.answer[0]]).toEqual([func, 0x2000]);
    expect([other.dispatchPair(0x1000, 0, task), other.answer[0]]).toEqual([func, 0x3000]);
  }
  expect([core.patchState(task), other.patchState(task)]).toEqual(['idle', 'patched']);
  expect([core.counters().steady, other.counters().patched]).toEqual([4, 4]);
  expect([core.func(func).owner, other.func(func).owner]).toEqual([1, 2]);
  core.instance.dispose();
  expect(other.stack(0x1000n).map(({ newFunc }) => newFunc)).toEqual([0x3000n]);
});
