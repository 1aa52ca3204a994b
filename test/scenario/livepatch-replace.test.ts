// Atomic replace: nops, what unpatched and patched tasks run, and what becomes of the replaced patches (L54–L62).
import { describe, test } from 'vitest';
import { holds, patch, runs } from './livepatch-world.ts';

const A = 'fix_a:livepatch_checksum';
const MANUAL = { transition: 'manual', tasks: ['t1', 't2'] };
/** A replaces four functions, C only one of them. */
const patches = [
  patch('fix_a', ['checksum', 'fibonacci', 'divide']),
  patch('fix_b', ['checksum', 'operate']),
  patch('fix_c', ['checksum'], { replace: true }),
];

describe('a patch that replaces', () => {
  test('alone is left, and what it lacks runs the original from an idle site (L55, L58, L60)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { enable: 'fix_c' },
        { patches: [{ name: 'fix_c', enabled: true }] },
        { stack: 'checksum', is: ['fix_c'] },
        { stack: 'fibonacci', is: [] },
        { site: 'fibonacci', calls: 'nop' },
        { site: 'operate', calls: 'nop' },
        runs('fibonacci', 'vmlinux:fibonacci'),
        runs('checksum', 'fix_c:livepatch_checksum'),
        { sysfs: 'fix_a', exists: false },
        { unload: 'fix_a' },
        { unload: 'fix_b' },
        { unload: 'fix_c', fails: 'EBUSY' },
      ],
      { patches },
    ));

  test('pushes nops that only patched tasks see (L56, L57)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: '*' },
        { enable: 'fix_c' },
        { stack: 'fibonacci', is: ['nop:fix_c', 'fix_a'] },
        { stack: 'checksum', is: ['fix_c', 'fix_a'] },
        { switch: 't1' },
        runs('fibonacci', 'vmlinux:fibonacci', 't1'),
        runs('fibonacci', 'fix_a:livepatch_fibonacci', 't2'),
        runs('checksum', 'fix_c:livepatch_checksum', 't1'),
        runs('checksum', A, 't2'),
        { switch: 't2' },
        { stack: 'fibonacci', is: [] },
      ],
      { patches, machine: MANUAL },
    ));

  test('disabled gives the original, not the patches it replaced (L61)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_c' },
        { disable: 'fix_c' },
        runs('checksum', 'vmlinux:checksum'),
        { site: 'checksum', calls: 'nop' },
        { patches: [] },
      ],
      { patches },
    ));

  test('reversed before it completes keeps the old ones (L62)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: '*' },
        { enable: 'fix_c' },
        { switch: 't1' },
        { reverse: 'fix_c' },
        { switch: '*' },
        { transition: null },
        { patches: [{ name: 'fix_a', enabled: true }] },
        { stack: 'fibonacci', is: ['fix_a'] },
        runs('fibonacci', 'fix_a:livepatch_fibonacci', 't1'),
        runs('checksum', A, 't1'),
      ],
      { patches, machine: MANUAL },
    ));

  test('an older patch after its superset: replacing is a silent downgrade, otherwise it goes on top (L54)', async () => {
    const superset = patch('fix_b', ['checksum', 'fibonacci', 'operate'], { replace: true });
    const older = (replace: boolean) => ({ patches: [superset, patch('fix_a', ['checksum'], { replace })] });
    await holds(
      [
        { enable: 'fix_b' },
        { enable: 'fix_a' },
        { patches: [{ name: 'fix_a' }] },
        runs('checksum', A),
        runs('fibonacci', 'vmlinux:fibonacci'),
      ],
      older(true),
    );
    await holds(
      [
        { enable: 'fix_b' },
        { enable: 'fix_a' },
        { stack: 'checksum', is: ['fix_a', 'fix_b'] },
        runs('checksum', A),
        runs('fibonacci', 'fix_b:livepatch_fibonacci'),
      ],
      older(false),
    );
  });

  test('runs its own callbacks only (L59)', async () => {
    const line = (text: string) => ({ log: text });
    const withCallbacks = (name: string, replace: boolean) => ({
      name,
      replace,
      objects: [
        {
          name: null,
          funcs: [{ oldName: 'checksum', newFunc: 'livepatch_checksum' }],
          callbacks: {
            prePatch: line(`${name} pre`),
            postPatch: line(`${name} post`),
            preUnpatch: line(`${name} pre_un`),
          },
        },
      ],
    });
    await holds([{ enable: 'fix_a' }, { log: logOf('fix_a') }, { enable: 'fix_b' }, { log: logOf('fix_b') }], {
      patches: [withCallbacks('fix_a', false), withCallbacks('fix_b', true)],
    });
  });
});

describe('system states (L13, L79, L80)', () => {
  const states = (name: string, version: number | undefined, replace = true) =>
    patch(name, ['checksum'], { replace, states: version === undefined ? [] : [{ id: 1, version }] });

  test('an older version, or a replacing patch without the state, is refused; a newer one takes over', () =>
    holds(
      [
        { enable: 'fix_b' },
        { log: logOf('fix_b', false) },
        { enable: 'fix_a', fails: 'EINVAL' },
        {
          log: ['livepatch: Livepatch patch (fix_a) is not compatible with the already installed livepatches.'],
        },
        { enable: 'fix_c', fails: 'EINVAL' },
        { patches: [{ name: 'fix_b' }] },
        { state: 1, of: 'fix_b', version: 2 },
        { state: 2, of: 'fix_b', version: null },
      ],
      { patches: [states('fix_a', 1), states('fix_b', 2), states('fix_c', undefined)] },
    ));

  test('the state before the transition is that of the last patch that had it', () =>
    holds(
      [
        { state: 1, previous: true, version: null },
        { enable: 'fix_a' },
        { switch: '*' },
        { enable: 'fix_b' },
        { state: 1, previous: true, version: 1 },
        { switch: '*' },
        { state: 1, previous: true, version: null },
      ],
      { patches: [states('fix_a', 1), states('fix_b', 2)], machine: MANUAL },
    ));
});

function logOf(name: string, callbacks = true): string[] {
  const klp = (line: string) => `livepatch: ${line}`;
  const said = (line: string) => (callbacks ? [`${name} ${line}`] : []);
  return [
    klp(`enabling patch '${name}'`),
    klp(`'${name}': initializing patching transition`),
    ...said('pre'),
    klp(`'${name}': starting patching transition`),
    klp(`'${name}': completing patching transition`),
    ...said('post'),
    klp(`'${name}': patching complete`),
  ];
}
