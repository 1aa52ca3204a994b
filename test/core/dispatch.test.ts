// One suite for the release build, the debug build and the reference: which implementation a call runs.
import { beforeEach, describe, expect, test } from 'vitest';
import { colliding, EXTREMES, sameHigh, sameLow } from './addresses.ts';
import { codeOf, type Dispatcher, makeSubject, SUBJECTS } from './subjects.ts';

const SITE = 0xffff_ffff_8100_0004n;
const [A, B, C] = [0xffff_ffff_c000_0010n, 0xffff_ffff_c000_1010n, 0xffff_ffff_c000_2010n];

describe.each(SUBJECTS)('%s', (name) => {
  let core: Dispatcher;
  let task: number;
  const call = (site = SITE) => core.dispatch(site, task);

  beforeEach(async () => {
    core = await makeSubject(name, { sites: 4096, funcs: 8192, tasks: 16 });
    task = core.addTask();
  });

  test('a function without a patch runs its original (L37)', () => {
    expect(call()).toBe(undefined);
    expect(core.counters()).toMatchObject({ calls: 1, empty: 1 });
  });

  test('the newest of three implementations runs (L38)', () => {
    for (const newFunc of [A, B, C]) core.pushFunc(SITE, newFunc, 1);
    expect(call()).toBe(C);
    expect(core.stack(SITE).map((entry) => entry.newFunc)).toEqual([C, B, A]);
    expect(core.counters()).toMatchObject({ calls: 1, steady: 1 });
  });

  test.each([
    [
      [0, 1, 2],
      [C, C, undefined],
    ],
    [
      [0, 2, 1],
      [C, B, undefined],
    ],
    [
      [1, 0, 2],
      [C, C, undefined],
    ],
    [
      [1, 2, 0],
      [C, A, undefined],
    ],
    [
      [2, 0, 1],
      [B, B, undefined],
    ],
    [
      [2, 1, 0],
      [B, A, undefined],
    ],
  ])('removing in the order %j always leaves the newest of the rest running (L35)', (order, expected) => {
    const funcs = [A, B, C].map((newFunc) => core.pushFunc(SITE, newFunc, 1));
    const seen = order.map((index) => {
      core.removeFunc(funcs[index] ?? 0);
      return call();
    });
    expect(seen).toEqual(expected);
  });

  test('during a transition a patched task runs the new code, an unpatched one the old (L39, L40)', () => {
    core.pushFunc(SITE, A, 1);
    core.pushFunc(SITE, B, 2, { transition: true });
    core.setPatchState(task, 'patched');
    expect(call()).toBe(B);
    core.setPatchState(task, 'unpatched');
    expect(call()).toBe(A);
    expect(core.counters()).toMatchObject({ calls: 2, patched: 1, below: 1 });
  });

  test('an unpatched task runs the original where nothing lies below (L40)', () => {
    core.pushFunc(SITE, A, 1, { transition: true });
    core.setPatchState(task, 'unpatched');
    expect(call()).toBe(undefined);
    expect(core.counters()).toMatchObject({ calls: 1, exhausted: 1 });
  });

  test('the entry below is taken although it is in transition itself (L40)', () => {
    core.pushFunc(SITE, A, 1, { transition: true });
    core.pushFunc(SITE, B, 2, { transition: true });
    core.pushFunc(SITE, C, 3, { transition: true });
    core.setPatchState(task, 'unpatched');
    expect(call()).toBe(B);
  });

  test('an idle task runs the top during a transition, and that is counted (L41)', () => {
    core.pushFunc(SITE, A, 1);
    core.pushFunc(SITE, B, 2, { transition: true });
    expect(call()).toBe(B);
    expect(core.counters()).toMatchObject({ calls: 1, idle: 1 });
  });

  test('without a transition the task state does not matter (L38)', () => {
    core.pushFunc(SITE, A, 1);
    for (const state of ['idle', 'unpatched', 'patched'] as const) {
      core.setPatchState(task, state);
      expect(call()).toBe(A);
    }
  });

  test('a transition that begins and ends shows at once', () => {
    core.pushFunc(SITE, A, 1);
    const newer = core.pushFunc(SITE, B, 2);
    core.setPatchState(task, 'unpatched');
    core.setTransition(newer, true);
    expect(call()).toBe(A);
    core.setTransition(newer, false);
    expect(call()).toBe(B);
  });

  test('a nop on top runs the original, for patched tasks only while in transition (L42, L57)', () => {
    core.pushFunc(SITE, A, 1);
    core.pushFunc(SITE, 0n, 2, { nop: true, transition: true });
    core.setPatchState(task, 'patched');
    expect(call()).toBe(undefined);
    core.setPatchState(task, 'unpatched');
    expect(call()).toBe(A);
    expect(core.counters()).toMatchObject({ calls: 2, patched: 1, below: 1, nops: 1 });
  });

  test('a nop below is a nop as well (L40, L42)', () => {
    core.pushFunc(SITE, SITE, 1, { nop: true });
    core.pushFunc(SITE, B, 2, { transition: true });
    core.setPatchState(task, 'unpatched');
    expect(call()).toBe(undefined);
    expect(core.counters()).toMatchObject({ below: 1, nops: 1 });
  });

  test('one task switches without the other', () => {
    const other = core.addTask();
    core.pushFunc(SITE, A, 1);
    core.pushFunc(SITE, B, 2, { transition: true });
    core.setPatchStateAll('unpatched');
    core.setPatchState(other, 'patched');
    expect([call(), core.dispatch(SITE, other)]).toEqual([A, B]);
    expect([core.tasksIn('unpatched'), core.tasksIn('patched'), core.tasksIn('idle')]).toEqual([1, 1, 0]);
  });

  test('in one context the second entry is let in and the third runs the original (F44, L36)', () => {
    core.pushFunc(SITE, A, 1);
    const first = core.recursionEnter(task);
    expect(call()).toBe(A);
    const second = core.recursionEnter(task);
    expect([first, second]).toEqual([3, 4]);
    expect(call()).toBe(undefined);
    expect(core.recursionEnter(task)).toBe(undefined);
    expect(core.counters()).toMatchObject({ calls: 3, steady: 1, recursion: 2 });
    core.recursionLeave(task, 4);
    expect(call()).toBe(A);
  });

  test('an interrupt is a context of its own, and another task has its own guard (F44)', () => {
    const other = core.addTask();
    core.pushFunc(SITE, A, 1);
    core.recursionEnter(task);
    core.recursionEnter(task);
    const seen = (['task', 'softirq', 'irq', 'nmi'] as const).map((context) => {
      core.setContext(task, context);
      return call();
    });
    expect(seen).toEqual([undefined, A, A, A]);
    expect(core.dispatch(SITE, other)).toBe(A);
  });

  test('a bit that is not held cannot be given back', () => {
    expect(codeOf(() => core.recursionLeave(task, 3))).toBe('EINVAL');
    const bit = core.recursionEnter(task) ?? -1;
    core.recursionLeave(task, bit);
    expect(codeOf(() => core.recursionLeave(task, bit))).toBe('EINVAL');
  });

  test('a new task starts idle, in task context and with a free guard, even in a used place', () => {
    core.pushFunc(SITE, A, 1, { transition: true });
    core.setPatchState(task, 'unpatched');
    core.setContext(task, 'nmi');
    core.recursionEnter(task);
    core.recursionEnter(task);
    core.removeTask(task);
    task = core.addTask();
    expect(core.patchState(task)).toBe('idle');
    expect(core.recursionEnter(task)).toBe(3);
    expect(call()).toBe(A);
  });

  test.each([
    ['the ends of the address space', EXTREMES],
    ['a thousand addresses with one high half', sameHigh(1000)],
    ['a thousand addresses with one low half', sameLow(1000)],
    ['a thousand addresses that collide', colliding(1000)],
  ])('%s are kept apart while half of them are removed', (_, sites) => {
    const answer = (site: bigint) => (site ^ 0x5555n) | 1n;
    const funcs = sites.map((site) => core.pushFunc(site, answer(site), 1));
    expect(sites.map(call)).toEqual(sites.map(answer));
    sites.forEach((_, i) => {
      if (i % 2 === 0) core.removeFunc(funcs[i] ?? 0);
    });
    const left = sites.map((site, i) => (i % 2 === 0 ? undefined : answer(site)));
    expect(sites.map(call)).toEqual(left);
    for (const site of sites) core.pushFunc(site, answer(site) ^ 2n, 2);
    expect(sites.map(call)).toEqual(sites.map((site) => answer(site) ^ 2n));
  });

  test('new functions at the ends of the address space come back as they are', () => {
    const ends = [1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n];
    ends.forEach((newFunc, i) => {
      core.pushFunc(BigInt(i), newFunc, 1);
    });
    expect(ends.map((_, i) => call(BigInt(i)))).toEqual(ends);
  });

  test('a removed handle is refused, and so is a new function of 0', () => {
    const func = core.pushFunc(SITE, A, 1);
    core.removeFunc(func);
    expect(codeOf(() => core.removeFunc(func))).toBe('EINVAL');
    expect(codeOf(() => core.setTransition(func, true))).toBe('EINVAL');
    expect(codeOf(() => core.pushFunc(SITE, 0n, 1))).toBe('EINVAL');
    core.removeTask(task);
    expect(codeOf(() => core.removeTask(task))).toBe('ENOENT');
    expect(codeOf(() => core.setPatchState(task, 'idle'))).toBe('ENOENT');
  });

  test('a full pool refuses, changes nothing, and takes again after a removal', async () => {
    core = await makeSubject(name, { sites: 2, funcs: 3, tasks: 1 });
    task = core.addTask();
    const first = core.pushFunc(1n, A, 1);
    core.pushFunc(2n, B, 1);
    expect(codeOf(() => core.pushFunc(3n, C, 1))).toBe('ENOMEM');
    core.pushFunc(2n, C, 2);
    expect(codeOf(() => core.pushFunc(2n, A, 3))).toBe('ENOMEM');
    expect(codeOf(() => core.addTask())).toBe('ENOMEM');
    expect([1n, 2n, 3n].map((site) => call(site))).toEqual([A, C, undefined]);
    core.removeFunc(first);
    core.pushFunc(3n, A, 1);
    expect([1n, 2n, 3n].map((site) => call(site))).toEqual([undefined, C, A]);
  });
});
