// The policy of the series that led to 5.1: registered patches, atomic replace, replaced patches on a list of their own (L53).
import { describe, test } from 'vitest';
import { holds, patch, runs } from './livepatch-world.ts';

const V10 = { machine: { policy: 'v10' } };
const KERNEL = 'vmlinux:checksum';
const A = 'fix_a:livepatch_checksum';
const B = 'fix_b:livepatch_checksum';
const C = 'fix_c:livepatch_checksum';
const REPLACING = {
  ...V10,
  patches: [
    patch('fix_a', ['checksum', 'fibonacci']),
    patch('fix_b', ['checksum']),
    patch('fix_c', ['checksum'], { replace: true }),
  ],
};

describe('v10', () => {
  test('keeps the order of a stack, as 5.0 did (L52, L53)', () =>
    holds(
      [
        { enable: 'fix_a', fails: 'EINVAL' },
        { register: 'fix_a' },
        { register: 'fix_b' },
        { enable: 'fix_b', fails: 'EBUSY' },
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { disable: 'fix_a', fails: 'EBUSY' },
        runs('checksum', B),
        { disable: 'fix_b' },
        runs('checksum', A),
        { enable: 'fix_b' },
        { stack: 'checksum', is: ['fix_b', 'fix_a'] },
      ],
      V10,
    ));

  test('a replacing patch need not wait for those it replaces, enabled or not (L53)', () =>
    holds(
      [
        { register: 'fix_a' },
        { register: 'fix_b' },
        { register: 'fix_c' },
        { enable: 'fix_a' },
        { enable: 'fix_c' },
        runs('checksum', C),
        runs('fibonacci', 'vmlinux:fibonacci'),
        { patches: [{ name: 'fix_c', enabled: true }] },
        { stack: 'checksum', is: ['fix_c'] },
        { site: 'fibonacci', calls: 'nop' },
      ],
      REPLACING,
    ));

  test('a replaced patch cannot be enabled again, keeps its module and its files, and is unregistered (L53)', () =>
    holds(
      [
        { register: 'fix_a' },
        { register: 'fix_c' },
        { enable: 'fix_a' },
        { enable: 'fix_c' },
        { enable: 'fix_a', fails: 'EINVAL' },
        { sysfs: 'fix_a/enabled', reads: '0' },
        { sysfs: 'fix_a/enabled', write: '1', fails: 'EINVAL' },
        { disable: 'fix_a', fails: 'EINVAL' },
        { register: 'fix_a', fails: 'EEXIST' },
        { unload: 'fix_a', fails: 'EBUSY' },
        { unregister: 'fix_a' },
        { sysfs: 'fix_a', exists: false },
        { unload: 'fix_a' },
        { register: 'fix_a' },
        { enable: 'fix_a' },
        { stack: 'checksum', is: ['fix_a', 'fix_c'] },
        runs('fibonacci', 'fix_a:livepatch_fibonacci'),
      ],
      REPLACING,
    ));

  test('disabling the replacing patch gives the original, and it may be enabled again (L53, L61)', () =>
    holds(
      [
        { register: 'fix_a' },
        { register: 'fix_c' },
        { enable: 'fix_a' },
        { enable: 'fix_c' },
        { disable: 'fix_c' },
        runs('checksum', KERNEL),
        { site: 'checksum', calls: 'nop' },
        { enable: 'fix_c' },
        runs('checksum', C),
      ],
      REPLACING,
    ));

  test('nops are made at registration, over all registered patches (L53, L55)', () =>
    holds(
      [
        { register: 'fix_a' },
        { register: 'fix_c' },
        { enable: 'fix_a' },
        { task: 'init', onCpu: true },
        { enable: 'fix_c' },
        { stack: 'fibonacci', is: ['nop:fix_c', 'fix_a'] },
        runs('fibonacci', 'fix_a:livepatch_fibonacci', 'init'),
        runs('fibonacci', 'vmlinux:fibonacci', 'other'),
        { reverse: 'fix_c' },
        { task: 'init', onCpu: false },
        { stack: 'fibonacci', is: ['fix_a'] },
        {
          patches: [
            { name: 'fix_a', enabled: true },
            { name: 'fix_c', enabled: false },
          ],
        },
        { enable: 'fix_c' },
        { site: 'fibonacci', calls: 'nop' },
      ],
      { ...REPLACING, machine: { policy: 'v10', tasks: ['init', 'other'] } },
    ));

  test('after force no patch can be removed, as before 5.18 (L74)', () =>
    holds(
      [
        { register: 'fix_a' },
        { register: 'fix_b' },
        { enable: 'fix_a' },
        { task: 'init', onCpu: true },
        { enable: 'fix_b' },
        { force: 'fix_b' },
        runs('checksum', B),
        {
          patches: [
            { name: 'fix_a', forced: true },
            { name: 'fix_b', forced: true },
          ],
        },
        { task: 'init', onCpu: false },
        { disable: 'fix_b' },
        { unregister: 'fix_b' },
        { unload: 'fix_b', fails: 'EBUSY' },
      ],
      V10,
    ));
});
