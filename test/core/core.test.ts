// The façade on both builds: pools at their full size, batches and pairs, asserts, and two cores side by side.
import { describe, expect, test } from 'vitest';
import { Core } from '../../src/core/core.ts';
import { PatchError } from '../../src/errors.ts';
import { codeOf, makeCore, makeInstance } from './subjects.ts';

const SITE = 0xffff_ffff_8100_0004n;
const NEW = 0xffff_ffff_c000_0010n;
const SMALL = { sites: 8, funcs: 16, tasks: 4 };

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(PatchError);
    return error instanceof Error ? error.message : '';
  }
  return '';
}

describe.each(['release', 'debug'] as const)('%s', (name) => {
  test('65,536 sites and 262,144 funcs fit; one more is ENOMEM naming pool and capacity', async () => {
    const core = await makeCore(name, { sites: 65_536, funcs: 262_144, tasks: 1 });
    const task = core.addTask();
    const site = (i: number) => SITE + 16n * BigInt(i);
    for (let i = 0; i < 65_536; i++) core.pushFunc(site(i), NEW + BigInt(i), i);
    expect(messageOf(() => core.pushFunc(1n, NEW, 0))).toMatch(/pool of 65536 sites is full \(ENOMEM\)/);
    for (let i = 65_536; i < 262_144; i++) core.pushFunc(site(i % 65_536), NEW + BigInt(i), i);
    expect(messageOf(() => core.pushFunc(SITE, NEW, 0))).toMatch(/pool of 262144 funcs is full \(ENOMEM\)/);
    expect(core.stack(SITE)).toHaveLength(4);
    expect(core.stack(1n)).toEqual([]);
    for (let i = 0; i < 65_536; i += 97) expect(core.dispatch(site(i), task)).toBe(NEW + BigInt(i + 3 * 65_536));
  });

  test('10,000 tasks fit and each keeps its own state', async () => {
    const core = await makeCore(name, { ...SMALL, tasks: 10_000 });
    const tasks = Array.from({ length: 10_000 }, () => core.addTask());
    expect(messageOf(() => core.addTask())).toMatch(/pool of 10000 tasks is full \(ENOMEM\)/);
    core.setPatchStateAll('unpatched');
    for (const task of tasks.filter((_, i) => i % 3 === 0)) core.setPatchState(task, 'patched');
    expect([core.tasksIn('patched'), core.tasksIn('unpatched')]).toEqual([3334, 6666]);
    expect([core.patchState(tasks[3] ?? 0), core.patchState(tasks[4] ?? 0)]).toEqual(['patched', 'unpatched']);
  });

  test('the pair, the batch and the bigint form give one answer', async () => {
    const core = await makeCore(name, SMALL);
    const task = core.addTask();
    const func = core.pushFunc(SITE, NEW, 7);
    core.pushFunc(0n, 2n ** 64n - 1n, 8);
    const batch = core.batch(3);
    batch.sites.set([SITE, SITE + 1n, 0n]);
    expect(batch.run(task)).toBe(2);
    expect([...batch.answers]).toEqual([NEW, 0n, 2n ** 64n - 1n]);
    expect(core.dispatchPair(0x8100_0004, 0xffff_ffff, task)).toBe(func);
    expect([...core.answer]).toEqual([0xc000_0010, 0xffff_ffff]);
    expect(core.dispatchPair(0x8100_0005, 0xffff_ffff, task)).toBe(0);
    expect(core.func(func)).toMatchObject({ site: SITE, newFunc: NEW, owner: 7 });
    expect(core.counters()).toMatchObject({ calls: 5, steady: 3, empty: 2 });
  });

  test('in a transition the pair and the batch follow the task', async () => {
    const core = await makeCore(name, SMALL);
    const task = core.addTask();
    const older = core.pushFunc(SITE, NEW, 1);
    const newer = core.pushFunc(SITE, NEW + 16n, 2, { transition: true });
    const batch = core.batch(1);
    batch.sites[0] = SITE;
    const seen = (['unpatched', 'patched'] as const).map((state) => {
      core.setPatchState(task, state);
      batch.run(task);
      return [core.dispatchPair(0x8100_0004, 0xffff_ffff, task), batch.answers[0]];
    });
    expect(seen).toEqual([
      [older, NEW],
      [newer, NEW + 16n],
    ]);
  });

  test('views and stacks stay right when memory grows', async () => {
    const core = await makeCore(name, SMALL);
    const task = core.addTask();
    core.pushFunc(SITE, NEW, 1);
    core.dispatchPair(0x8100_0004, 0xffff_ffff, task);
    expect(core.answer[0]).toBe(0xc000_0010);
    const bytes = core.instance.memory.buffer.byteLength;
    core.batch(1_000_000);
    expect(core.instance.memory.buffer.byteLength).toBeGreaterThan(bytes);
    expect(core.answer[0]).toBe(0xc000_0010);
    expect(core.dispatch(SITE, task)).toBe(NEW);
  });

  test('a batch that memory cannot hold is ENOMEM, and the core goes on', async () => {
    const core = await makeCore(name, SMALL);
    expect(codeOf(() => core.batch(2 ** 29))).toBe('ENOMEM');
    expect(() => core.batch(0)).toThrow(RangeError);
    expect(() => core.batch(4).run(core.addTask(), 5)).toThrow(RangeError);
    core.pushFunc(SITE, NEW, 1);
    expect(core.stack(SITE)).toHaveLength(1);
  });

  test('pools that memory cannot hold are ENOMEM, and the instance still takes smaller ones', async () => {
    const instance = await makeInstance(name);
    const huge = Core.create({ sites: 2 ** 32 - 1, funcs: 1, tasks: 1, instance });
    await expect(huge).rejects.toMatchObject({ code: 'ENOMEM' });
    await expect(Core.create({ sites: 1, funcs: 2 ** 31, tasks: 1, instance })).rejects.toMatchObject({
      code: 'ENOMEM',
    });
    await expect(Core.create({ sites: 0, instance })).rejects.toThrow(RangeError);
    const core = await Core.create({ ...SMALL, instance });
    expect(core.addTask()).toBeGreaterThan(0);
    await expect(Core.create({ ...SMALL, instance })).rejects.toMatchObject({ code: 'EBUSY' });
  });

  test('handles that name nothing are refused, whatever number they are', async () => {
    const core = await makeCore(name, SMALL);
    const [task, func] = [core.addTask(), core.pushFunc(SITE, NEW, 1)];
    for (const handle of [0, -1, 1, func + 8, func + 32, task, 2 ** 31 - 8]) {
      expect(codeOf(() => core.removeFunc(handle))).toBe('EINVAL');
      expect(codeOf(() => core.func(handle))).toBe('EINVAL');
    }
    for (const handle of [0, -1, 1, task + 8, task + 24, func]) {
      expect(codeOf(() => core.removeTask(handle))).toBe('ENOENT');
      expect(codeOf(() => core.recursionEnter(handle))).toBe('ENOENT');
    }
    expect(codeOf(() => core.setTransitionMany([func, 1], true))).toBe('EINVAL');
    expect(core.stack(SITE)).toMatchObject([{ handle: func, transition: false }]);
  });

  test('addresses outside 64 bits are refused', async () => {
    const core = await makeCore(name, SMALL);
    expect(() => core.pushFunc(2n ** 64n, NEW, 1)).toThrow(RangeError);
    expect(() => core.pushFunc(SITE, -1n, 1)).toThrow(RangeError);
    expect(() => core.pushFunc(SITE, NEW, -1)).toThrow(RangeError);
    expect(core.stack(SITE)).toEqual([]);
  });

  test('each warning comes up once (L36, L37, L41)', async () => {
    const core = await makeCore(name, SMALL);
    const task = core.addTask();
    expect(core.takeWarnings()).toEqual([]);
    core.dispatch(SITE, task);
    core.dispatch(SITE, task);
    expect(core.takeWarnings()).toEqual(['empty']);
    core.pushFunc(SITE, NEW, 1, { transition: true });
    core.dispatch(SITE, task);
    core.dispatch(1n, task);
    expect(core.takeWarnings()).toEqual(['idle']);
    core.clearCounters();
    expect(core.counters().calls).toBe(0);
    core.dispatch(SITE, task);
    expect(core.takeWarnings()).toEqual([]);
  });
});

test('two cores know nothing of each other', async () => {
  const [one, two] = [await Core.create(SMALL), await Core.create(SMALL)];
  const [taskOne, taskTwo] = [one.addTask(), two.addTask()];
  one.pushFunc(SITE, NEW, 1);
  one.recursionEnter(taskOne);
  one.setPatchState(taskOne, 'patched');
  expect([one.dispatch(SITE, taskOne), two.dispatch(SITE, taskTwo)]).toEqual([NEW, undefined]);
  expect(two.patchState(taskTwo)).toBe('idle');
  expect([one.counters().steady, two.counters().steady]).toEqual([1, 0]);
});

test('an assert of the debug build surfaces with its file and line', async () => {
  const core = await makeCore('debug', SMALL);
  const task = core.addTask();
  core.removeTask(task);
  expect(() => core.dispatch(SITE, task)).toThrow(/no live task at assembly\/dispatch\.ts:\d+:\d+/);
});
