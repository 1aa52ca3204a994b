// Transitions: which implementation a task runs before and after it switches, and what keeps it from switching (L36–L50, L69–L74).
import { describe, test } from 'vitest';
import { completeLines, disableLines, holds, loadLines, patch, runs, startLines } from './livepatch-world.ts';

const MANUAL = { machine: { transition: 'manual', tasks: ['t1', 't2'] } };
const AUTO = { machine: { tasks: ['t1', 't2'] } };
const OLD = 'vmlinux:checksum';
const A = 'fix_a:livepatch_checksum';
const B = 'fix_b:livepatch_checksum';

describe('the log', () => {
  test('of enabling and disabling has the lines of the kernel in order (L45–L49)', () =>
    holds([
      { say: '% insmod fix_a.ko' },
      { enable: 'fix_a' },
      { log: ['% insmod fix_a.ko', ...loadLines('fix_a')] },
      { disable: 'fix_a' },
      { log: disableLines('fix_a') },
      { log: [] },
    ]));
});

describe('while a patch is enabled task by task', () => {
  test('a task runs the original until it switches, and the new function from then on (L39, L40)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { log: startLines('fix_a') },
        { transition: 'fix_a', target: 'patched' },
        runs('checksum', OLD, 't1'),
        { switch: 't1', is: { t1: 'ok' } },
        runs('checksum', A, 't1'),
        runs('checksum', OLD, 't2'),
        { switch: '*', is: { t1: 'ok', t2: 'ok' } },
        { transition: null },
        { log: completeLines('fix_a', 'patching') },
        runs('checksum', A, 't2'),
      ],
      MANUAL,
    ));

  test('an unpatched task runs the next patch below (L40), whose own order stays', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: '*' },
        { enable: 'fix_b' },
        { stack: 'checksum', is: ['fix_b', 'fix_a'] },
        runs('checksum', A, 't1'),
        { switch: 't1' },
        runs('checksum', B, 't1'),
        runs('checksum', A, 't2'),
        { switch: 't2' },
        { disable: 'fix_a' },
        runs('checksum', B, 't1'),
        { switch: '*' },
        { stack: 'checksum', is: ['fix_b'] },
      ],
      MANUAL,
    ));

  test('nothing else is enabled or disabled (L19, L47): EBUSY, and the refused patch leaves nothing', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: '*' },
        { enable: 'fix_b' },
        { enable: 'fix_c', fails: 'EBUSY' },
        { disable: 'fix_a', fails: 'EBUSY' },
        {
          patches: [
            { name: 'fix_a', enabled: true },
            { name: 'fix_b', enabled: true },
          ],
        },
        { sysfs: 'fix_c', exists: false },
        { unload: 'fix_c', fails: 'ENOENT' },
        { switch: '*' },
        { enable: 'fix_c' },
      ],
      MANUAL,
    ));

  test('a new task is in its parent’s state (L71), and a transition ends when the last unpatched task exits (L73)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: 't1' },
        { task: 't3', add: { fork: 't1' } },
        { task: 't4', add: { fork: 't2' } },
        runs('checksum', A, 't3'),
        runs('checksum', OLD, 't4'),
        { task: 't4', exit: true },
        { task: 't2', exit: true },
        { transition: 'fix_a', target: 'patched', blocked: {} },
        { tick: 1 },
        { transition: null },
      ],
      MANUAL,
    ));
});

describe('a task on another CPU', () => {
  test('does not switch (L69), and its leaving the CPU lets the transition complete', () =>
    holds(
      [
        { task: 't2', onCpu: true },
        { enable: 'fix_a' },
        { transition: 'fix_a', blocked: { t2: ['EBUSY'] } },
        { switch: '*', is: { t1: 'ok', t2: 'EBUSY' } },
        runs('checksum', A, 't1'),
        runs('checksum', OLD, 't2'),
        { task: 't2', onCpu: false },
        { transition: null },
      ],
      AUTO,
    ));

  test('is signalled once, at the 15th retry (L72)', () =>
    holds(
      [
        { task: 't2', onCpu: true },
        { enable: 'fix_a' },
        { tick: 14 },
        { log: startLines('fix_a') },
        { tick: 1 },
        { log: ['livepatch: signaling remaining tasks'] },
        { tick: 40 },
        { log: [] },
      ],
      AUTO,
    ));

  test('is switched by force all the same, and the patch being disabled can never be unloaded (L74)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { unload: 'fix_a', fails: 'EBUSY' },
        { task: 't2', onCpu: true },
        { disable: 'fix_a' },
        { force: 'fix_a' },
        { transition: null },
        { patches: [] },
        { unload: 'fix_a', fails: 'EBUSY' },
        { enable: 'fix_a', fails: 'EEXIST' },
        { force: 'fix_a', fails: 'EINVAL' },
        runs('checksum', OLD, 't2'),
      ],
      AUTO,
    ));

  test('forcing an enable marks nothing as forced (L74)', () =>
    holds(
      [
        { task: 't2', onCpu: true },
        { enable: 'fix_a' },
        { force: 'fix_a' },
        { patches: [{ name: 'fix_a', enabled: true, forced: false }] },
        runs('checksum', A, 't2'),
        { task: 't2', onCpu: false },
        { disable: 'fix_a' },
        { unload: 'fix_a' },
      ],
      AUTO,
    ));

  test('forcing a replace marks the replaced patches (L74)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { task: 't2', onCpu: true },
        { enable: 'fix_b' },
        { force: 'fix_b' },
        { patches: [{ name: 'fix_b', enabled: true, forced: false }] },
        { unload: 'fix_a', fails: 'EBUSY' },
      ],
      { ...AUTO, patches: [patch('fix_a', ['checksum']), patch('fix_b', ['checksum'], { replace: true })] },
    ));
});

describe('reversing', () => {
  const reversing = (from: string, to: string) => `livepatch: 'fix_a': reversing transition from ${from} to ${to}`;

  test('an enable takes the patch away again, without its module being held (L50)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: 't1' },
        { log: startLines('fix_a') },
        { reverse: 'fix_a' },
        { transition: 'fix_a', target: 'unpatched' },
        { patches: [{ name: 'fix_a', enabled: false }] },
        { log: [reversing('patching', 'unpatching'), "livepatch: 'fix_a': starting unpatching transition"] },
        runs('checksum', A, 't1'),
        { switch: 't1' },
        { transition: null },
        { log: completeLines('fix_a', 'unpatching') },
        runs('checksum', OLD, 't1'),
        { unload: 'fix_a' },
      ],
      MANUAL,
    ));

  test('works again and again, and disabling a patch in its own transition is the same (L50, L83)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: 't1' },
        { disable: 'fix_a' },
        { disable: 'fix_a', fails: 'EINVAL' },
        { reverse: 'fix_a' },
        { transition: 'fix_a', target: 'patched' },
        { reverse: 'fix_a' },
        { reverse: 'fix_a' },
        { switch: '*' },
        { transition: null },
        { patches: [{ name: 'fix_a', enabled: true }] },
        runs('checksum', A, 't2'),
        { reverse: 'fix_a', fails: 'EINVAL' },
      ],
      MANUAL,
    ));
});
