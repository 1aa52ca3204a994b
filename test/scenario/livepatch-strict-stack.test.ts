// The policy of 5.0 and earlier: patches are registered, and enabled and disabled like a stack (L52).
import { describe, test } from 'vitest';
import { holds, patch, runs } from './livepatch-world.ts';

const STRICT = { machine: { policy: 'strict-stack' } };
const KERNEL = 'vmlinux:checksum';
const A = 'fix_a:livepatch_checksum';
const B = 'fix_b:livepatch_checksum';

describe('strict-stack', () => {
  test('a registered patch changes nothing until it is enabled, and may be enabled again', () =>
    holds(
      [
        { enable: 'fix_a', fails: 'EINVAL' },
        { register: 'fix_a' },
        { register: 'fix_a', fails: 'EEXIST' },
        runs('checksum', KERNEL),
        { patches: [{ name: 'fix_a', enabled: false }] },
        { enable: 'fix_a' },
        runs('checksum', A),
        { unregister: 'fix_a', fails: 'EBUSY' },
        { unload: 'fix_a', fails: 'EBUSY' },
        { disable: 'fix_a' },
        runs('checksum', KERNEL),
        { sysfs: 'fix_a/enabled', write: '1', reads: '1' },
        runs('checksum', A),
        { disable: 'fix_a' },
        { unregister: 'fix_a' },
        { unregister: 'fix_a', fails: 'EINVAL' },
        { unload: 'fix_a' },
        { patches: [] },
      ],
      STRICT,
    ));

  test('only the first disabled patch is enabled, and only the last enabled one disabled', () =>
    holds(
      [
        { register: 'fix_a' },
        { register: 'fix_b' },
        { register: 'fix_c' },
        { enable: 'fix_b', fails: 'EBUSY' },
        { enable: 'fix_a' },
        { enable: 'fix_c', fails: 'EBUSY' },
        { enable: 'fix_b' },
        { disable: 'fix_a', fails: 'EBUSY' },
        runs('checksum', B),
        { disable: 'fix_b' },
        runs('checksum', A),
        { disable: 'fix_a' },
        { site: 'checksum', calls: 'nop' },
        { unregister: 'fix_b' },
        { enable: 'fix_a' },
        { enable: 'fix_c' },
        { stack: 'checksum', is: ['fix_c', 'fix_a'] },
      ],
      STRICT,
    ));

  test('a module that comes gets only the enabled patches; the others when they are enabled', () =>
    holds(
      [
        { register: 'fix_a' },
        { load: 'mod' },
        runs('mod:checksum', 'mod:checksum'),
        { unload: 'mod' },
        { load: 'mod' },
        { enable: 'fix_a' },
        runs('mod:checksum', A),
        { unload: 'mod' },
        { disable: 'fix_a' },
        { load: 'mod' },
        runs('mod:checksum', 'mod:checksum'),
      ],
      {
        ...STRICT,
        images: [{ name: 'mod', file: 'target.o', kind: 'module', loaded: false }],
        patches: [patch('fix_a', ['checksum'], {}, 'mod')],
      },
    ));

  test('atomic replace is unknown to it, and registering to 5.1 and later', async () => {
    const patches = [patch('fix_a', ['checksum'], { replace: true })];
    await holds([{ register: 'fix_a', fails: 'ENOTSUPP' }, { patches: [] }], { ...STRICT, patches });
    await holds([
      { register: 'fix_a', fails: 'ENOTSUPP' },
      { unregister: 'fix_a', fails: 'ENOTSUPP' },
    ]);
  });
});
