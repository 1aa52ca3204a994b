// When each of the four callbacks of an object runs (L75–L78).
import { expect, test } from 'vitest';
import type { Callbacks, PatchSpec } from '../../src/livepatch/patch.ts';
import type { Machine } from '../../src/machine.ts';
import { codeOf, func, machineWith, patchOfObjects, shipped } from './patches.ts';

/** A patch of vmlinux and mod whose callbacks write a word each; pre_patch of `refuses` fails. */
function spoken(refuses?: string): PatchSpec {
  const callbacks = (title: string): Callbacks => {
    const say =
      (what: string, result = 0) =>
      ({ say: write }: { say(line: string): void }) => {
        write(`${what} ${title}`);
        return result;
      };
    return {
      prePatch: say('pre_patch', refuses === title ? -19 : 0),
      postPatch: say('post_patch'),
      preUnpatch: say('pre_unpatch'),
      postUnpatch: say('post_unpatch'),
    };
  };
  return patchOfObjects('p', [
    { name: null, funcs: [func('checksum')], callbacks: callbacks('vmlinux') },
    { name: 'mod', funcs: [func('checksum')], callbacks: callbacks('mod') },
  ]);
}

/** The callbacks and the ends of transitions since the last call. */
function words(machine: Machine): string[] {
  return machine.log
    .take()
    .map((line) => line.replace(/^livepatch: 'p': /, ''))
    .filter((line) => /^(pre|post)_|^starting|complete$/.test(line));
}

async function manual(): Promise<Machine> {
  const machine = await machineWith({ transition: 'manual' });
  machine.load(shipped('target.o'), { name: 'mod', kind: 'module' });
  return machine;
}

test('pre_* run before the transition starts, post_* when it is complete, object by object (L75)', async () => {
  const machine = await manual();
  machine.livepatch.enable(spoken());
  expect(words(machine)).toEqual(['pre_patch vmlinux', 'pre_patch mod', 'starting patching transition']);
  machine.livepatch.switchTasks();
  expect(words(machine)).toEqual(['post_patch vmlinux', 'post_patch mod', 'patching complete']);
  machine.livepatch.disable('p');
  expect(words(machine)).toEqual(['pre_unpatch vmlinux', 'pre_unpatch mod', 'starting unpatching transition']);
  machine.livepatch.switchTasks();
  expect(words(machine)).toEqual(['post_unpatch vmlinux', 'post_unpatch mod', 'unpatching complete']);
  machine.dispose();
});

test('post_unpatch runs once for each pre_patch that succeeded or is absent, and not again (L76)', async () => {
  const machine = await manual();
  machine.livepatch.enable(spoken());
  machine.livepatch.switchTasks();
  words(machine);
  machine.unload('mod');
  expect(words(machine)).toEqual(['pre_unpatch mod', 'post_unpatch mod']);
  machine.livepatch.disable('p');
  machine.livepatch.switchTasks();
  // the module's was run when it went
  expect(words(machine).filter((line) => line.startsWith('post_'))).toEqual(['post_unpatch vmlinux']);

  let ran = 0;
  const bare = patchOfObjects('q', [{ name: null, funcs: [], callbacks: { postUnpatch: () => ran++ } }]);
  machine.livepatch.enable(bare);
  machine.livepatch.switchTasks();
  machine.livepatch.disable('q');
  machine.livepatch.switchTasks();
  expect(ran).toBe(1);
  machine.dispose();
});

test('an object whose pre_patch failed gets nothing, those before it post_unpatch (L77)', async () => {
  const machine = await manual();
  expect(codeOf(() => machine.livepatch.enable(spoken('mod')))).toBe('ENODEV');
  expect(words(machine)).toEqual(['pre_patch vmlinux', 'pre_patch mod', 'post_unpatch vmlinux', 'unpatching complete']);
  expect(codeOf(() => machine.livepatch.enable(spoken('vmlinux')))).toBe('ENODEV');
  expect(words(machine)).toEqual(['pre_patch vmlinux', 'unpatching complete']);
  machine.dispose();
});

test('turning round runs no pre_*: an enable ends with post_unpatch, a disable with post_patch (L78)', async () => {
  const machine = await manual();
  machine.livepatch.enable(spoken());
  words(machine);
  // no task has switched, so it is complete at once
  machine.livepatch.reverse('p');
  expect(words(machine)).toEqual([
    'starting unpatching transition',
    ...['post_unpatch vmlinux', 'post_unpatch mod', 'unpatching complete'],
  ]);
  machine.livepatch.enable(spoken());
  machine.livepatch.switchTasks();
  machine.livepatch.disable('p');
  words(machine);
  // no task has switched, so it is complete at once
  machine.livepatch.reverse('p');
  expect(words(machine)).toEqual([
    'starting patching transition',
    ...['post_patch vmlinux', 'post_patch mod', 'patching complete'],
  ]);
  machine.dispose();
});

test('post_unpatch of an earlier life is not due in a later one that failed before it (L76, L77)', async () => {
  const machine = await machineWith({ policy: 'strict-stack' });
  const { livepatch } = machine;
  machine.load(shipped('target.o'), { name: 'mod', kind: 'module' });
  let answer = 0;
  let ran = 0;
  const patch = patchOfObjects('p', [
    { name: null, funcs: [func('checksum')], callbacks: { prePatch: () => answer } },
    { name: 'mod', funcs: [func('checksum')], callbacks: { postUnpatch: () => ran++ } },
  ]);
  livepatch.register(patch);
  livepatch.enable(patch);
  livepatch.disable('p');
  expect(ran).toBe(1);
  answer = -19;
  expect(codeOf(() => livepatch.enable(patch))).toBe('ENODEV');
  expect(ran).toBe(1);
  machine.dispose();
});
