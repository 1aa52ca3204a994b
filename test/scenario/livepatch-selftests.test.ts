// The cases of the kernel's livepatch selftests (6.12), replayed with objects and names of our own: the exact log, and what runs.
import { describe, test } from 'vitest';
import { completeLines, disableLines, holds, loadLines, patch, runs, startLines } from './livepatch-world.ts';

const klp = (line: string): string => `livepatch: ${line}`;
const KERNEL = 'vmlinux:checksum';
const A = 'fix_a:livepatch_checksum';
const B = 'fix_b:livepatch_checksum';

/** The four callbacks of an object, each of which says its name, the object and the module's state. */
const callbacks = (name: string, object: string | null, prePatch = 0) =>
  Object.fromEntries(
    ['prePatch', 'postPatch', 'preUnpatch', 'postUnpatch'].map((key) => [
      key,
      {
        log: object === null ? `${name}: ${key}: vmlinux` : `${name}: ${key}: ${object} -> {state}`,
        returns: key === 'prePatch' ? prePatch : 0,
      },
    ]),
  );
const said = (key: string, object: string, state?: string, name = 'fix_a'): string =>
  `${name}: ${key}: ${object}${state === undefined ? '' : ` -> MODULE_STATE_${state}`}`;

const object = (name: string, owner: string | null, funcs: readonly string[] = [], prePatch = 0) => ({
  name: owner,
  funcs: funcs.map((oldName) => ({ oldName, newFunc: `livepatch_${oldName}` })),
  callbacks: callbacks(name, owner, prePatch),
});
/** Objects: the kernel and `mod` with callbacks alone, and `busy` with one function. */
const demo = (prePatch = 0) => ({
  name: 'fix_a',
  objects: [object('fix_a', null, [], prePatch), object('fix_a', 'mod'), object('fix_a', 'busy', ['fibonacci'])],
});
const demo2 = (replace: boolean) => ({ name: 'fix_b', replace, objects: [object('fix_b', null)] });
const target = (name: string) => ({
  name,
  file: 'target.o',
  kind: 'module',
  loaded: false,
  init: { log: `${name}: init` },
  exit: { log: `${name}: exit` },
});
const images = [target('mod'), target('busy')];
const applying = (name: string) => klp(`applying patch 'fix_a' to loading module '${name}'`);
const reverting = (name: string) => klp(`reverting patch 'fix_a' on unloading module '${name}'`);
const coming = (name: string) => [applying(name), said('prePatch', name, 'COMING'), said('postPatch', name, 'COMING')];
const going = (name: string) => [
  said('preUnpatch', name, 'GOING'),
  reverting(name),
  said('postUnpatch', name, 'GOING'),
];
const world = { images, patches: [demo(), demo2(false)] };
const vmlinux = (key: string, name = 'fix_a') => [said(key, 'vmlinux', undefined, name)];

describe('callbacks', () => {
  test('1: the target module is loaded before the patch', () => {
    const both = (key: string) => [...vmlinux(key), said(key, 'mod', 'LIVE')];
    return holds(
      [
        { say: '% insmod mod.ko' },
        { load: 'mod' },
        { enable: 'fix_a' },
        { log: ['% insmod mod.ko', 'mod: init', ...loadLines('fix_a', both('prePatch'), both('postPatch'))] },
        { disable: 'fix_a' },
        { log: disableLines('fix_a', both('preUnpatch'), both('postUnpatch')) },
        { unload: 'fix_a' },
        { unload: 'mod' },
        { log: ['mod: exit'] },
      ],
      world,
    );
  });

  test('2: the target comes after the patch', () => {
    const both = (key: string) => [...vmlinux(key), said(key, 'mod', 'LIVE')];
    return holds(
      [
        { enable: 'fix_a' },
        { log: loadLines('fix_a', vmlinux('prePatch'), vmlinux('postPatch')) },
        { load: 'mod' },
        { log: [...coming('mod'), 'mod: init'] },
        { disable: 'fix_a' },
        { log: disableLines('fix_a', both('preUnpatch'), both('postUnpatch')) },
      ],
      world,
    );
  });

  test('3: the target goes while it is patched', () => {
    const both = (key: string) => [...vmlinux(key), said(key, 'mod', 'LIVE')];
    return holds(
      [
        { load: 'mod' },
        { enable: 'fix_a' },
        { log: ['mod: init', ...loadLines('fix_a', both('prePatch'), both('postPatch'))] },
        { unload: 'mod' },
        { log: ['mod: exit', ...going('mod')] },
        { disable: 'fix_a' },
        { log: disableLines('fix_a', vmlinux('preUnpatch'), vmlinux('postUnpatch')) },
      ],
      world,
    );
  });

  test('4: the target comes and goes while the patch is enabled', () =>
    holds(
      [
        { enable: 'fix_a' },
        { load: 'mod' },
        { unload: 'mod' },
        {
          log: [
            ...loadLines('fix_a', vmlinux('prePatch'), vmlinux('postPatch')),
            ...coming('mod'),
            'mod: init',
            'mod: exit',
            ...going('mod'),
          ],
        },
        { disable: 'fix_a' },
        { log: disableLines('fix_a', vmlinux('preUnpatch'), vmlinux('postUnpatch')) },
      ],
      world,
    ));

  test('5: the target is never there', () =>
    holds(
      [
        { enable: 'fix_a' },
        { disable: 'fix_a' },
        {
          log: [
            ...loadLines('fix_a', vmlinux('prePatch'), vmlinux('postPatch')),
            ...disableLines('fix_a', vmlinux('preUnpatch'), vmlinux('postUnpatch')),
          ],
        },
      ],
      world,
    ));

  test('6: pre_patch fails, so the patch is not enabled and no other callback runs', () =>
    holds(
      [
        { load: 'mod' },
        { enable: 'fix_a', fails: 'ENODEV' },
        {
          log: [
            'mod: init',
            klp("enabling patch 'fix_a'"),
            klp("'fix_a': initializing patching transition"),
            ...vmlinux('prePatch'),
            klp("pre-patch callback failed for object 'vmlinux'"),
            klp("failed to enable patch 'fix_a'"),
            klp("'fix_a': canceling patching transition, going to unpatch"),
            ...completeLines('fix_a', 'unpatching'),
          ],
        },
        { patches: [] },
        { transition: null },
      ],
      { images, patches: [demo(-19)] },
    ));

  test('7: pre_patch fails for a module that comes, which is refused', () => {
    const refusing = {
      name: 'fix_a',
      objects: [object('fix_a', null), object('fix_a', 'mod', [], -19)],
    };
    return holds(
      [
        { enable: 'fix_a' },
        { load: 'mod', fails: 'ENODEV' },
        {
          log: [
            ...loadLines('fix_a', vmlinux('prePatch'), vmlinux('postPatch')),
            applying('mod'),
            said('prePatch', 'mod', 'COMING'),
            klp("pre-patch callback failed for object 'mod'"),
            klp("patch 'fix_a' failed for module 'mod', refusing to load module 'mod'"),
          ],
        },
        { disable: 'fix_a' },
        { log: disableLines('fix_a', vmlinux('preUnpatch'), vmlinux('postUnpatch')) },
      ],
      { images, patches: [refusing] },
    );
  });

  test('8: several targets, some before and some after the patch', () => {
    const first = (key: string) => [...vmlinux(key), said(key, 'busy', 'LIVE')];
    return holds(
      [
        { load: 'busy' },
        { enable: 'fix_a' },
        { load: 'mod' },
        { unload: 'mod' },
        {
          log: [
            'busy: init',
            ...loadLines('fix_a', first('prePatch'), first('postPatch')),
            ...coming('mod'),
            'mod: init',
            'mod: exit',
            ...going('mod'),
          ],
        },
        runs('busy:fibonacci', 'fix_a:livepatch_fibonacci'),
        { disable: 'fix_a' },
        { log: disableLines('fix_a', first('preUnpatch'), first('postUnpatch')) },
        runs('busy:fibonacci', 'busy:fibonacci'),
      ],
      world,
    );
  });

  test('9: a target that never lets go: the transition waits, a module comes and goes, and the patch turns round', () => {
    const both = (key: string) => [...vmlinux(key), said(key, 'busy', 'LIVE')];
    return holds(
      [
        { load: 'busy' },
        { task: 'worker', onCpu: true },
        { enable: 'fix_a' },
        { load: 'mod' },
        { unload: 'mod' },
        {
          log: [
            'busy: init',
            ...startLines('fix_a', both('prePatch')),
            applying('mod'),
            said('prePatch', 'mod', 'COMING'),
            'mod: init',
            'mod: exit',
            reverting('mod'),
            said('postUnpatch', 'mod', 'GOING'),
          ],
        },
        { transition: 'fix_a', target: 'patched', blocked: { worker: ['EBUSY'] } },
        runs('busy:fibonacci', 'busy:fibonacci', 'worker'),
        runs('busy:fibonacci', 'fix_a:livepatch_fibonacci', 'init'),
        { disable: 'fix_a' },
        {
          log: [
            klp("'fix_a': reversing transition from patching to unpatching"),
            klp("'fix_a': starting unpatching transition"),
            ...completeLines('fix_a', 'unpatching', both('postUnpatch')),
          ],
        },
        runs('busy:fibonacci', 'busy:fibonacci', 'init'),
      ],
      { ...world, machine: { tasks: ['init', 'worker'] } },
    );
  });

  test('10: two patches, the newest disabled first', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { disable: 'fix_b' },
        { disable: 'fix_a' },
        {
          log: [
            ...['fix_a', 'fix_b'].flatMap((n) => loadLines(n, vmlinux('prePatch', n), vmlinux('postPatch', n))),
            ...['fix_b', 'fix_a'].flatMap((n) => disableLines(n, vmlinux('preUnpatch', n), vmlinux('postUnpatch', n))),
          ],
        },
        { patches: [] },
      ],
      world,
    ));

  test('11: atomic replace: the replaced patch’s callbacks do not run', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { disable: 'fix_b' },
        {
          log: [
            ...['fix_a', 'fix_b'].flatMap((n) => loadLines(n, vmlinux('prePatch', n), vmlinux('postPatch', n))),
            ...disableLines('fix_b', vmlinux('preUnpatch', 'fix_b'), vmlinux('postUnpatch', 'fix_b')),
          ],
        },
        { unload: 'fix_b' },
        { unload: 'fix_a' },
        { patches: [] },
      ],
      { images, patches: [demo(), demo2(true)] },
    ));
});

describe('patching', () => {
  test('12: a function, and back', () =>
    holds([
      { enable: 'fix_a' },
      runs('checksum', A),
      { disable: 'fix_a' },
      { unload: 'fix_a' },
      runs('checksum', KERNEL),
      { log: [...loadLines('fix_a'), ...disableLines('fix_a')] },
    ]));

  test('13: two patches; removing the second leaves the first', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        runs('checksum', A),
        runs('operate', 'fix_b:livepatch_operate'),
        { disable: 'fix_b' },
        runs('checksum', A),
        runs('operate', 'vmlinux:operate'),
        { disable: 'fix_a' },
        runs('checksum', KERNEL),
        {
          log: [...loadLines('fix_a'), ...loadLines('fix_b'), ...disableLines('fix_b'), ...disableLines('fix_a')],
        },
      ],
      { patches: [patch('fix_a', ['checksum']), patch('fix_b', ['operate'])] },
    ));

  test('14: atomic replace of several; the replaced can be unloaded, and disabling gives the original', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { enable: 'fix_c' },
        { patches: [{ name: 'fix_c' }] },
        { unload: 'fix_a' },
        { unload: 'fix_b' },
        runs('checksum', KERNEL),
        runs('find_text', 'fix_c:livepatch_find_text'),
        { disable: 'fix_c' },
        runs('find_text', 'vmlinux:find_text'),
        { log: [...['fix_a', 'fix_b', 'fix_c'].flatMap((name) => loadLines(name)), ...disableLines('fix_c')] },
      ],
      {
        patches: [
          patch('fix_a', ['checksum']),
          patch('fix_b', ['operate']),
          patch('fix_c', ['find_text'], { replace: true }),
        ],
      },
    ));
});

describe('system states', () => {
  const states = (name: string, version: number) => ({
    ...patch(name, ['checksum'], { replace: true, states: [{ id: 1, version }] }),
  });

  test('17: cumulative patches of one version follow each other in both directions', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { unload: 'fix_a' },
        { enable: 'fix_a' },
        runs('checksum', A),
        { disable: 'fix_a' },
        { log: [...['fix_a', 'fix_b', 'fix_a'].flatMap((name) => loadLines(name)), ...disableLines('fix_a')] },
      ],
      { patches: [states('fix_a', 2), states('fix_b', 2)] },
    ));

  test('18: an incompatible one is refused, and the present one remains', () =>
    holds(
      [
        { enable: 'fix_b' },
        { enable: 'fix_a', fails: 'EINVAL' },
        runs('checksum', B),
        { disable: 'fix_b' },
        {
          log: [
            ...loadLines('fix_b'),
            klp('Livepatch patch (fix_a) is not compatible with the already installed livepatches.'),
            ...disableLines('fix_b'),
          ],
        },
      ],
      { patches: [states('fix_a', 1), states('fix_b', 2)] },
    ));
});

describe('ftrace and sysfs', () => {
  test('19: kernel.ftrace_enabled = 0 refuses patches, and a patch refuses 0 (F38, F43)', () =>
    holds([
      { sysctl: 'kernel.ftrace_enabled', write: 0 },
      { enable: 'fix_a', fails: 'EBUSY' },
      {
        log: [
          klp("enabling patch 'fix_a'"),
          klp("'fix_a': initializing patching transition"),
          klp("failed to register ftrace handler for function 'checksum' (-16)"),
          klp("failed to patch object 'vmlinux'"),
          klp("failed to enable patch 'fix_a'"),
          klp("'fix_a': canceling patching transition, going to unpatch"),
          ...completeLines('fix_a', 'unpatching'),
        ],
      },
      { patches: [] },
      runs('checksum', KERNEL),
      { sysctl: 'kernel.ftrace_enabled', write: 1 },
      { enable: 'fix_a' },
      runs('checksum', A),
      { sysctl: 'kernel.ftrace_enabled', write: 0, fails: 'EBUSY' },
      runs('checksum', A),
    ]));

  test('21: twenty tasks that call all the time migrate one by one', () => {
    const tasks = Array.from({ length: 20 }, (_, i) => `t${i}`);
    return holds(
      [
        { enable: 'fix_a' },
        ...tasks.flatMap((task) => [
          runs('checksum', KERNEL, task),
          { switch: task, is: { [task]: 'ok' } },
          runs('checksum', A, task),
        ]),
        { transition: null },
        { log: loadLines('fix_a') },
      ],
      { machine: { transition: 'manual', tasks } },
    );
  });

  test('22: rights and values of the files', () =>
    holds([
      { enable: 'fix_a' },
      { sysfs: 'fix_a', mode: 'drwxr-xr-x' },
      { sysfs: 'fix_a/enabled', mode: '-rw-r--r--', reads: '1' },
      { sysfs: 'fix_a/force', mode: '--w-------' },
      { sysfs: 'fix_a/transition', mode: '-r--r--r--', reads: '0' },
      { sysfs: 'fix_a/vmlinux/patched', mode: '-r--r--r--', reads: '1' },
      runs('checksum', A),
      { disable: 'fix_a' },
      { log: [...loadLines('fix_a'), ...disableLines('fix_a')] },
    ]));

  test('23: `patched` of an object follows its module', () =>
    holds(
      [
        { enable: 'fix_a' },
        { sysfs: 'fix_a/mod/patched', reads: '0' },
        { load: 'mod' },
        { sysfs: 'fix_a/mod/patched', reads: '1' },
        runs('mod:checksum', A),
        { unload: 'mod' },
        { sysfs: 'fix_a/mod/patched', reads: '0' },
        { log: [...loadLines('fix_a'), applying('mod'), 'mod: init', 'mod: exit', reverting('mod')] },
      ],
      { images, patches: [patch('fix_a', ['checksum'], {}, 'mod')] },
    ));

  test.each([
    [24, true, '1'],
    [25, false, '0'],
  ])('%i: the file `replace` of a patch with replace = %s reads %s', (_, replace, reads) =>
    holds(
      [
        { enable: 'fix_a' },
        { sysfs: 'fix_a/replace', mode: '-r--r--r--', reads },
        runs('checksum', A),
        { log: loadLines('fix_a') },
      ],
      { patches: [patch('fix_a', ['checksum'], { replace })] },
    ),
  );
});
