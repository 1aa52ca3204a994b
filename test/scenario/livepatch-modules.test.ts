// Target modules that come and go while patches are loaded, and what refuses one (L63–L68).
import { describe, test } from 'vitest';
import { disableLines, holds, loadLines, patch, runs, startLines } from './livepatch-world.ts';

const klp = (line: string): string => `livepatch: ${line}`;
/** A module with functions of the kernel's names: an object's scope keeps them apart (L21). */
const module = (name: string, more: object = {}) => ({ name, file: 'target.o', kind: 'module', ...more });
const later = (name: string, more: object = {}) => module(name, { loaded: false, ...more });
const A = 'fix_a:livepatch_checksum';
const B = 'fix_b:livepatch_checksum';
const images = [later('mod')];
const patches = [patch('fix_a', ['checksum'], {}, 'mod'), patch('fix_b', ['checksum', 'fibonacci'], {}, 'mod')];

describe('an object that is not loaded', () => {
  test('is patched when its module comes, and forgotten when it goes (L6, L64, L66)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { sysfs: 'fix_a/mod/patched', reads: '0' },
        runs('vmlinux:checksum', 'vmlinux:checksum'),
        { log: loadLines('fix_a') },
        { load: 'mod' },
        { log: [klp("applying patch 'fix_a' to loading module 'mod'")] },
        { sysfs: 'fix_a/mod/patched', reads: '1', mode: '-r--r--r--' },
        { stack: 'checksum', object: 'mod', is: ['fix_a'] },
        runs('mod:checksum', A),
        runs('vmlinux:checksum', 'vmlinux:checksum'),
        { unload: 'mod' },
        { log: [klp("reverting patch 'fix_a' on unloading module 'mod'")] },
        { sysfs: 'fix_a/mod/patched', reads: '0' },
        { load: 'mod' },
        runs('mod:checksum', A),
        { disable: 'fix_a' },
        runs('mod:checksum', 'mod:checksum'),
        { site: 'mod:checksum', calls: 'nop' },
      ],
      { images, patches },
    ));

  test('gets every patch in the order of the list, the newest on top', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { log: [...loadLines('fix_a'), ...loadLines('fix_b')] },
        { load: 'mod' },
        { log: ['fix_a', 'fix_b'].map((name) => klp(`applying patch '${name}' to loading module 'mod'`)) },
        { stack: 'checksum', object: 'mod', is: ['fix_b', 'fix_a'] },
        runs('mod:checksum', B),
        { disable: 'fix_b' },
        runs('mod:checksum', A),
      ],
      { images, patches },
    ));

  test('that is loaded already is patched at once', () =>
    holds([{ enable: 'fix_a' }, runs('mod:checksum', A)], { images: [module('mod')], patches }));
});

describe('a module that comes during a transition (L68)', () => {
  test('is patched for patched tasks only, and post_patch waits for the end', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: 't1' },
        { log: startLines('fix_a') },
        { load: 'mod' },
        { log: [klp("applying patch 'fix_a' to loading module 'mod'"), 'pre MODULE_STATE_COMING'] },
        runs('mod:checksum', A, 't1'),
        runs('mod:checksum', 'mod:checksum', 't2'),
        { switch: 't2' },
        {
          log: [
            klp("'fix_a': completing patching transition"),
            'post MODULE_STATE_LIVE',
            klp("'fix_a': patching complete"),
          ],
        },
        runs('mod:checksum', A, 't2'),
      ],
      {
        images,
        machine: { transition: 'manual', tasks: ['t1', 't2'] },
        patches: [
          {
            name: 'fix_a',
            objects: [
              {
                name: 'mod',
                funcs: [{ oldName: 'checksum', newFunc: 'livepatch_checksum' }],
                callbacks: { prePatch: { log: 'pre {state}' }, postPatch: { log: 'post {state}' } },
              },
            ],
          },
        ],
      },
    ));

  test('nops of a replacing patch reach it too, and are gone at the end (L55, L58)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: '*' },
        { enable: 'fix_c' },
        { load: 'mod' },
        { stack: 'checksum', object: 'mod', is: ['nop:fix_c', 'fix_a'] },
        { switch: 't1' },
        runs('mod:checksum', 'mod:checksum', 't1'),
        runs('mod:checksum', A, 't2'),
        { switch: 't2' },
        { stack: 'checksum', object: 'mod', is: [] },
        { site: 'mod:checksum', calls: 'nop' },
      ],
      {
        images,
        machine: { transition: 'manual', tasks: ['t1', 't2'] },
        patches: [...patches, patch('fix_c', ['operate'], { replace: true })],
      },
    ));
});

describe('a module that a patch cannot be applied to is refused (L65)', () => {
  const bad = {
    name: 'fix_b',
    objects: [{ name: 'mod', funcs: [{ oldName: 'none', newFunc: 'livepatch_checksum' }] }],
  };
  test('a missing symbol: earlier patches are taken off it, and stay enabled elsewhere', () =>
    holds(
      [
        { enable: 'fix_a' },
        { enable: 'fix_b' },
        { log: [...loadLines('fix_a'), ...loadLines('fix_b')] },
        { load: 'mod', fails: 'EINVAL' },
        {
          log: [
            klp("applying patch 'fix_a' to loading module 'mod'"),
            klp("symbol 'none' not found in symbol table"),
            klp("failed to initialize patch 'fix_b' for module 'mod' (-22)"),
            klp("patch 'fix_b' failed for module 'mod', refusing to load module 'mod'"),
            klp("reverting patch 'fix_a' on unloading module 'mod'"),
          ],
        },
        { call: 'mod:checksum', args: [], fails: 'ENOENT' },
        { patches: [{ name: 'fix_a' }, { name: 'fix_b' }] },
        { disable: 'fix_b' },
        { load: 'mod' },
        runs('mod:checksum', A),
      ],
      { images, patches: [patches[0] as object, bad] },
    ));

  test('an init that fails takes the patches off again, and the module does not stay', () =>
    holds(
      [
        { enable: 'fix_a' },
        { log: loadLines('fix_a') },
        { load: 'mod', fails: 'ENODEV' },
        {
          log: [
            klp("applying patch 'fix_a' to loading module 'mod'"),
            'mod: init',
            klp("reverting patch 'fix_a' on unloading module 'mod'"),
          ],
        },
        { sysfs: 'fix_a/mod/patched', reads: '0' },
        { unload: 'mod', fails: 'ENOENT' },
      ],
      { images: [later('mod', { init: { log: 'mod: init', returns: -19 } })], patches },
    ));
});

describe('symbols that cannot be resolved (L18, L22, L23)', () => {
  test('are named in the log, and the patch leaves nothing', () =>
    holds(
      [
        { enable: 'fix_a', fails: 'EINVAL' },
        { enable: 'fix_b', fails: 'EINVAL' },
        {
          log: [
            klp("symbol 'none' not found in symbol table"),
            klp("symbol position 2 for symbol 'checksum' in object 'vmlinux' not found"),
          ],
        },
        { patches: [] },
        { unload: 'fix_a', fails: 'ENOENT' },
      ],
      {
        patches: [
          { name: 'fix_a', objects: [{ name: null, funcs: [{ oldName: 'none', newFunc: 'livepatch_checksum' }] }] },
          {
            name: 'fix_b',
            objects: [{ name: null, funcs: [{ oldName: 'checksum', oldSympos: 2, newFunc: 'livepatch_checksum' }] }],
          },
        ],
      },
    ));
});

describe('files under /sys/kernel/livepatch (L82–L84)', () => {
  test('have the kernel’s modes, values and errors', () =>
    holds(
      [
        { enable: 'fix_a' },
        { sysfs: 'fix_a', mode: 'drwxr-xr-x' },
        { sysfs: 'fix_a/enabled', mode: '-rw-r--r--', reads: '1' },
        { sysfs: 'fix_a/transition', mode: '-r--r--r--', reads: '0' },
        { sysfs: 'fix_a/force', mode: '--w-------' },
        { sysfs: 'fix_a/replace', mode: '-r--r--r--', reads: '0' },
        { sysfs: 'fix_a/vmlinux/patched', reads: '1' },
        { sysfs: 'fix_a/vmlinux/checksum,1', mode: 'drwxr-xr-x' },
        { sysfs: 'fix_a/vmlinux/checksum,0', exists: false },
        { sysfs: 'fix_a/enabled', write: '1', fails: 'EINVAL' },
        { sysfs: 'fix_a/enabled', write: 'maybe', fails: 'EINVAL' },
        { sysfs: 'fix_a/force', write: '1', fails: 'EINVAL' },
        { sysfs: 'fix_a/force', write: '0' },
        { sysfs: 'fix_a/force', write: 'x', fails: 'EINVAL' },
        { sysfs: 'fix_a/transition', write: '1', fails: 'EACCES' },
        { sysfs: 'fix_b/enabled', write: '0', fails: 'ENOENT' },
        { log: loadLines('fix_a') },
        { sysfs: 'fix_a/enabled', write: 'off', exists: false },
        { log: disableLines('fix_a') },
      ],
      {},
    ));

  test('6.1 has no file `replace`', () =>
    holds([{ enable: 'fix_a' }, { sysfs: 'fix_a/replace', exists: false }], { machine: { kernel: '6.1' } }));

  test('a write in the patch’s own transition turns it round, but the same value is refused first (L83)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { switch: 't1' },
        { sysfs: 'fix_a/transition', reads: '1' },
        { sysfs: 'fix_a/enabled', write: '1', fails: 'EINVAL' },
        { sysfs: 'fix_a/enabled', write: '0', reads: '0' },
        { sysfs: 'fix_a/enabled', write: '1', reads: '1' },
        { sysfs: 'fix_a/force', write: '0' },
        { transition: 'fix_a', target: 'patched' },
        { sysfs: 'fix_a/force', write: '1' },
        { transition: null },
      ],
      { machine: { transition: 'manual', tasks: ['t1', 't2'] } },
    ));
});
