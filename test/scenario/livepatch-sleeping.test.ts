// Tasks that sleep inside a function while a patch is enabled or disabled: what their stacks keep from switching (L69–L74).
import { describe, expect, test } from 'vitest';
import { completeLines, disableLines, holds, loadLines, patch, runSteps, runs, startLines } from './livepatch-world.ts';

const klp = (line: string): string => `livepatch: ${line}`;
const TASKS = ['t1', 't2'];
const MANUAL = { machine: { transition: 'manual', tasks: TASKS } };
const AUTO = { machine: { tasks: TASKS } };
const OLD = 'vmlinux:checksum';
const A = 'fix_a:livepatch_checksum';
const B = 'fix_b:livepatch_checksum';
const C = 'fix_c:livepatch_checksum';

/** t1 sleeps at the entry of checksum, called by operate. */
const SLEEP = { call: 'operate', args: [8, 1, 2], task: 't1', until: OLD };
/** t1 sleeps inside whatever a call of checksum runs. */
const sleepIn = (where: string) => ({ call: 'checksum', args: [{ text: 'hello' }, 5], task: 't1', until: where });
const RESUME = { task: 't1', resume: true };
const BLOCKED = { t1: ['EADDRINUSE', 'checksum'] };

describe('while a patch is enabled (L70)', () => {
  test('a task that sleeps in the original does not switch, and does when it has returned', () =>
    holds(
      [
        SLEEP,
        { enable: 'fix_a' },
        { transition: 'fix_a', target: 'patched', blocked: BLOCKED },
        { switch: '*', is: { t1: 'EADDRINUSE', t2: 'ok' }, on: 'checksum' },
        { log: startLines('fix_a') },
        { ...RESUME, runs: 'vmlinux:operate' },
        { switch: 't1', is: { t1: 'ok' } },
        { log: completeLines('fix_a', 'patching') },
        runs('checksum', A, 't1'),
      ],
      MANUAL,
    ));

  test('in auto mode a task that resumes and returns switches by itself', () =>
    holds(
      [
        SLEEP,
        { enable: 'fix_a' },
        { log: startLines('fix_a') },
        { tick: 3 },
        { transition: 'fix_a', target: 'patched', blocked: BLOCKED },
        runs('checksum', A, 't2'),
        { ...RESUME, runs: 'vmlinux:operate' },
        { transition: null },
        { log: completeLines('fix_a', 'patching') },
      ],
      AUTO,
    ));

  test('the caller’s frame counts as well as the innermost', () =>
    holds(
      [
        SLEEP,
        { enable: 'fix_b' },
        { switch: 't1', is: { t1: 'EADDRINUSE' }, on: 'operate' },
        RESUME,
        { switch: '*' },
        { transition: null },
      ],
      { ...MANUAL, patches: [patch('fix_b', ['operate'])] },
    ));

  test('of several functions on a stack the first of the patch is named', () =>
    holds([SLEEP, { enable: 'fix_b' }, { transition: 'fix_b', blocked: { t1: ['EADDRINUSE', 'operate'] } }], {
      ...MANUAL,
      patches: [patch('fix_b', ['operate', 'checksum'])],
    }));

  test('a task that sleeps elsewhere switches at once', () =>
    holds(
      [SLEEP, { enable: 'fix_a' }, { transition: null }, RESUME, runs('fibonacci', 'fix_a:livepatch_fibonacci', 't1')],
      {
        ...AUTO,
        patches: [patch('fix_a', ['fibonacci'])],
      },
    ));

  test('the next func under it is what counts, not the original', () =>
    holds(
      [
        sleepIn(OLD),
        { enable: 'fix_a' },
        { transition: 'fix_a', blocked: BLOCKED },
        { force: 'fix_a' },
        { note: 'the original is under fix_a now: nobody that fix_b waits for', enable: 'fix_b' },
        { switch: '*', is: { t1: 'ok', t2: 'ok' } },
        { transition: null },
        RESUME,
        { stack: 'checksum', is: ['fix_b', 'fix_a'] },
        sleepIn(B),
        { enable: 'fix_c' },
        { switch: '*', is: { t1: 'EADDRINUSE', t2: 'ok' }, on: 'checksum' },
        { ...RESUME, runs: B },
        { switch: '*' },
        runs('checksum', C, 't1'),
      ],
      MANUAL,
    ));
});

describe('while a patch is disabled (L70)', () => {
  test('a task that sleeps in the new function blocks until it is resumed', () =>
    holds(
      [
        { enable: 'fix_a' },
        sleepIn(A),
        { disable: 'fix_a' },
        { transition: 'fix_a', target: 'unpatched', blocked: BLOCKED },
        { tick: 40 },
        runs('checksum', OLD, 't2'),
        { task: 't1', resume: true, runs: A },
        { transition: null },
        runs('checksum', OLD, 't1'),
        { site: 'checksum', calls: 'nop' },
      ],
      AUTO,
    ));

  test('a task that sleeps in the original does not block, one under the patch neither', () =>
    holds(
      [
        { enable: 'fix_a' },
        sleepIn(A),
        { enable: 'fix_b' },
        { force: 'fix_b' },
        { disable: 'fix_b' },
        { transition: null },
        { task: 't1', resume: true, runs: A },
      ],
      AUTO,
    ));

  test('turned round, the other function is checked (L50)', () =>
    holds(
      [
        sleepIn(OLD),
        { enable: 'fix_a' },
        { switch: '*', is: { t1: 'EADDRINUSE', t2: 'ok' } },
        { reverse: 'fix_a' },
        { note: 't1 never left the original, t2 is in no call', switch: '*', is: { t1: 'ok', t2: 'ok' } },
        { transition: null },
        { ...RESUME, runs: OLD },
      ],
      MANUAL,
    ));
});

test('a func at the bottom of its stack, others above, checks the original when its disabling is turned round (L50, L70)', () =>
  holds(
    [
      SLEEP,
      { enable: 'fix_a' },
      { force: 'fix_a' },
      { enable: 'fix_b' },
      { switch: '*', is: { t1: 'ok', t2: 'ok' } },
      { disable: 'fix_a' },
      { switch: 't1', is: { t1: 'ok' } },
      { reverse: 'fix_a' },
      { stack: 'checksum', is: ['fix_b', 'fix_a'] },
      { switch: 't1', is: { t1: 'EADDRINUSE' }, on: 'checksum' },
      { ...RESUME, runs: 'vmlinux:operate' },
      { switch: 't1', is: { t1: 'ok' } },
      { transition: null },
      runs('checksum', B, 't1'),
    ],
    MANUAL,
  ));

describe('atomic replace', () => {
  const replace = [patch('fix_a', ['checksum', 'divide']), patch('fix_c', ['checksum'], { replace: true })];

  test('a nop waits for who sleeps in the function that it takes off (L56, L70)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { call: 'divide', args: [100, 7], task: 't1', until: 'fix_a:livepatch_divide' },
        { enable: 'fix_c' },
        { transition: 'fix_c', target: 'patched', blocked: { t1: ['EADDRINUSE', 'divide'] } },
        { stack: 'divide', is: ['nop:fix_c', 'fix_a'] },
        { task: 't1', resume: true, runs: 'fix_a:livepatch_divide', returns: 107 },
        { transition: null },
        runs('divide', 'vmlinux:divide', 't1'),
      ],
      { ...AUTO, patches: replace },
    ));

  test('turned round, a nop waits for who sleeps in the original (L62, L70)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { task: 't2', onCpu: true },
        { enable: 'fix_c' },
        {
          note: 't1 has switched: it runs the original',
          call: 'divide',
          args: [100, 7],
          task: 't1',
          until: 'vmlinux:divide+0x9',
        },
        { reverse: 'fix_c' },
        { transition: 'fix_c', target: 'unpatched', blocked: { t1: ['EADDRINUSE', 'divide'] } },
        { task: 't1', resume: true, runs: 'vmlinux:divide', returns: 14 },
        { transition: null },
        { patches: [{ name: 'fix_a', enabled: true }] },
      ],
      { ...AUTO, patches: replace },
    ));

  test('forced with a sleeper in the replaced function, the replaced patch stays loaded for good (L74)', () =>
    holds(
      [
        { enable: 'fix_a' },
        sleepIn(A),
        { enable: 'fix_c' },
        { force: 'fix_c' },
        { transition: null },
        { task: 't1', resume: true, runs: A },
        { unload: 'fix_a', fails: 'EBUSY' },
        runs('checksum', C, 't1'),
      ],
      { ...AUTO, patches: replace },
    ));
});

describe('tasks', () => {
  test('are tried in the kernel’s order: on a CPU before asleep (L69)', () =>
    holds(
      [
        SLEEP,
        { task: 't1', onCpu: true },
        { enable: 'fix_a' },
        { switch: 't1', is: { t1: 'EBUSY' } },
        { task: 't1', onCpu: false },
        { switch: 't1', is: { t1: 'EADDRINUSE' }, on: 'checksum' },
      ],
      MANUAL,
    ));

  test('that are forked from a sleeper start in its state and sleep in nothing (L71)', () =>
    holds(
      [
        SLEEP,
        { enable: 'fix_a' },
        { task: 't3', add: { fork: 't1', kthread: true } },
        runs('checksum', OLD, 't3'),
        { switch: '*', is: { t1: 'EADDRINUSE', t2: 'ok', t3: 'ok' } },
      ],
      MANUAL,
    ));

  test('that exit while they sleep let the transition complete (L73)', () =>
    holds([SLEEP, { enable: 'fix_a' }, { task: 't1', exit: true }, { transition: null }], AUTO));

  test('that are interrupted are judged by what the interrupt and they themselves stand in (L71)', () =>
    holds(
      [
        SLEEP,
        { enable: 'fix_a' },
        { note: 'by its own state', ...runs('checksum', OLD, 't1'), context: 'irq' },
        { switch: 't1', is: { t1: 'EADDRINUSE' }, on: 'checksum' },
        RESUME,
        { switch: '*' },
        { note: 'an interrupt of a task in no call', ...runs('checksum', A, 't1'), context: 'softirq' },
      ],
      MANUAL,
    ));

  test('go on to another function, which is what counts then', () =>
    holds(
      [
        SLEEP,
        { enable: 'fix_a' },
        { task: 't1', resume: true, until: 'vmlinux:checksum+0x9' },
        { switch: 't1', is: { t1: 'EADDRINUSE' }, on: 'checksum' },
        { task: 't1', resume: true, until: 'vmlinux:fibonacci', fails: 'EINVAL' },
      ],
      MANUAL,
    ));
});

test('the log has a line for each attempt where all debug lines are on (L69)', () =>
  holds(
    [
      SLEEP,
      { task: 't2', onCpu: true },
      { enable: 'fix_a' },
      {
        log: [
          ...startLines('fix_a'),
          klp('klp_try_switch_task: t1:1 is sleeping on function checksum'),
          klp('klp_try_switch_task: t2:2 is running'),
        ],
      },
      { task: 't2', onCpu: false },
      { log: [klp('klp_try_switch_task: t1:1 is sleeping on function checksum')] },
      RESUME,
      { log: completeLines('fix_a', 'patching') },
    ],
    { machine: { tasks: TASKS, debug: 'all' } },
  ));

test('without that, the log is the one of a task that was never asked', () =>
  holds(
    [
      SLEEP,
      { enable: 'fix_a' },
      { tick: 5 },
      RESUME,
      { disable: 'fix_a' },
      { log: [...loadLines('fix_a'), ...disableLines('fix_a')] },
    ],
    AUTO,
  ));

describe('what is expected and not found is said', () => {
  test.each([
    [{ switch: 't1', is: { t1: 'ok' } }, "expected 't1 ok', got t1 EADDRINUSE on checksum"],
    [
      { switch: 't1', is: { t1: 'EADDRINUSE' }, on: 'divide' },
      "expected 't1 EADDRINUSE on divide', got t1 EADDRINUSE on checksum",
    ],
    [
      { transition: 'fix_a', blocked: { t1: ['EADDRINUSE', 'divide'] } },
      'expected blocked t1 EADDRINUSE on divide, got t1 EADDRINUSE on checksum',
    ],
    [{ call: 'checksum', args: [0, 0], task: 't1' }, "call: task 't1' is parked; resume it first (EBUSY)"],
    [{ task: 't1', resume: true, runs: 'vmlinux:checksum' }, 'expected vmlinux:checksum to run, got vmlinux:operate'],
    [{ task: 't2', resume: true }, "resume: task 't2' is not parked (EINVAL)"],
    [
      { call: 'divide', args: [1, 2], task: 't2', until: OLD },
      "park: 'vmlinux:divide' returned without coming to vmlinux:checksum+0x0",
    ],
  ])('%j', async (step, message) => {
    const results = await runSteps([SLEEP, { enable: 'fix_a' }, step], MANUAL);
    expect(results.map(({ verdict }) => verdict)).toEqual(['holds', 'holds', 'broken']);
    expect(results.at(-1)?.message).toContain(message);
  });
});
