// What a patch is made of, what is checked before anything happens, and how its originals are found (L1–L24).
import { describe, expect, test } from 'vitest';
import { opsTrampoline } from '../../src/ftrace/trampoline.ts';
import { livepatchOps } from '../../src/livepatch/attach.ts';
import type { Patch, PatchObject, PatchSpec } from '../../src/livepatch/patch.ts';
import type { Machine } from '../../src/machine.ts';
import { codeOf, fixture, func, machineWith, patchOf, patchOfObjects, shipped } from './patches.ts';

const listed = (machine: Machine, name: string): Patch => {
  const found = machine.livepatch.patches.find((one) => one.name === name);
  if (found === undefined) throw new Error(`'${name}' is not listed`);
  return found;
};

test('a patch is what its user states, and what the machine knows of it besides (L1, L2, L3, L4)', async () => {
  const machine = await machineWith();
  const spec: PatchSpec = {
    ...{ name: 'p', image: 'fixes', replace: false, states: [{ id: 7, version: 2 }] },
    objects: [
      { name: null, funcs: [func('checksum', 'livepatch_checksum', 1)], callbacks: { prePatch: () => 0 } },
      { name: 'mod', funcs: [func('divide')] },
    ],
  };
  machine.livepatch.enable(spec);
  const patch = listed(machine, 'p');
  expect(patch).toMatchObject({ name: 'p', enabled: true, forced: false });
  expect(machine.livepatch.state('p', 7)).toEqual({ id: 7, version: 2 });
  expect(machine.livepatch.state('p', 8)).toBeUndefined();
  const [vmlinux, mod] = patch.objects as [PatchObject, PatchObject];
  expect(vmlinux).toMatchObject({ name: null, loaded: true, patched: true, dynamic: false, postUnpatchEnabled: true });
  expect(mod).toMatchObject({ name: 'mod', loaded: false, patched: false, dynamic: false });
  const [one] = vmlinux.funcs;
  const { address, size } = machine.images.get('vmlinux')?.symbolsNamed('checksum')[0] ?? {};
  expect(one).toMatchObject({ oldName: 'checksum', oldSympos: 1, nop: false, transition: false });
  expect(one?.old).toMatchObject({ address, size });
  expect(one?.newFunc).toBe(machine.address('fixes:livepatch_checksum'));
  expect(one?.newSize).toBe(machine.images.get('fixes')?.symbolsNamed('livepatch_checksum')[0]?.size);
  expect(one?.handle).toBeDefined();
  expect(mod.funcs[0]?.old).toBeUndefined();
  machine.dispose();
});

test('a func goes through (patched, transition) 00, 01, 11, 10 when enabled, and 10, 11, 01, 00 when disabled (L7)', async () => {
  const machine = await machineWith({ transition: 'manual' });
  const { livepatch } = machine;
  const lives: string[] = [];
  const see = (): number => {
    const one = listed(machine, 'p').objects[0]?.funcs[0];
    lives.push(`${one?.handle === undefined ? 0 : 1}${one?.transition === true ? 1 : 0}`);
    return 0;
  };
  const callbacks = { prePatch: see, postPatch: see, preUnpatch: see, postUnpatch: see };
  livepatch.enable(patchOfObjects('p', [{ name: null, funcs: [func('checksum')], callbacks }]));
  see();
  livepatch.switchTasks();
  livepatch.disable('p');
  see();
  livepatch.switchTasks();
  // pre_patch, started, post_patch, pre_unpatch, started, post_unpatch
  expect(lives).toEqual(['01', '11', '10', '11', '11', '00']);
  lives.length = 0;
  livepatch.enable(patchOfObjects('p', [{ name: null, funcs: [func('checksum')], callbacks }]));
  // its one task has not switched, so it is complete at once
  livepatch.reverse('p');
  expect(lives).toEqual(['01', '00']);
  machine.dispose();
});

test('patch states have the numbers of the kernel: idle -1, unpatched 0, patched 1 (L8)', async () => {
  const machine = await machineWith({ transition: 'manual' });
  const { core, tasks, livepatch } = machine;
  const wasm = core.instance.exports;
  const seen = (): number => wasm.patchState(tasks.first.handle);
  expect([wasm.IDLE.value, wasm.UNPATCHED.value, wasm.PATCHED.value]).toEqual([-1, 0, 1]);
  expect(seen()).toBe(-1);
  livepatch.enable(patchOf('p', [func('checksum')]));
  expect(seen()).toBe(0);
  livepatch.switchTasks();
  expect(seen()).toBe(-1);
  livepatch.disable('p');
  expect(seen()).toBe(1);
  machine.dispose();
});

describe('before anything happens', () => {
  test('a patch without a module or without objects is EINVAL (L9)', async () => {
    const machine = await machineWith();
    expect(codeOf(() => machine.livepatch.enable({ name: 'p', image: 'nowhere', objects: [] }))).toBe('EINVAL');
    expect(codeOf(() => machine.livepatch.enable({ name: 'p', image: 'fixes' } as unknown as PatchSpec))).toBe(
      'EINVAL',
    );
    expect(machine.livepatch.patches).toEqual([]);
    machine.dispose();
  });

  test('an object without funcs is EINVAL, and one with none in its array is legal: its callbacks run (L10)', async () => {
    const machine = await machineWith();
    const none = { name: 'p', image: 'fixes', objects: [{ name: null }] } as unknown as PatchSpec;
    expect(codeOf(() => machine.livepatch.enable(none))).toBe('EINVAL');
    let ran = 0;
    machine.livepatch.enable(
      patchOfObjects('p', [{ name: null, funcs: [], callbacks: { prePatch: () => ran++, postPatch: () => ran++ } }]),
    );
    expect(ran).toBe(2);
    machine.dispose();
  });

  test('a module that cannot be held gives ENODEV, and nothing of the patch is there (L14)', async () => {
    const machine = await machineWith();
    machine.faults.inject('module-get');
    expect(codeOf(() => machine.livepatch.enable(patchOf('p', [func('checksum')])))).toBe('ENODEV');
    expect(machine.livepatch.sysfs('p')).toBeUndefined();
    expect(machine.livepatch.isInserted('p')).toBe(false);
    machine.livepatch.enable(patchOf('p', [func('checksum')]));
    machine.dispose();
  });

  test('an object name of 56 bytes is EINVAL, one of 55 is a module that may come (L16)', async () => {
    const machine = await machineWith();
    const enable = (length: number) =>
      machine.livepatch.enable(patchOfObjects('p', [{ name: 'm'.repeat(length), funcs: [func('divide')] }]));
    expect(codeOf(() => enable(56))).toBe('EINVAL');
    enable(55);
    machine.dispose();
  });

  test('a func without a name, without a new function, or with a name of 512 bytes is EINVAL (L17)', async () => {
    const machine = await machineWith();
    const enable = (one: object) => machine.livepatch.enable(patchOf('p', [{ ...func('checksum'), ...one }]));
    expect(codeOf(() => enable({ oldName: '' }))).toBe('EINVAL');
    expect(codeOf(() => enable({ newFunc: 0n }))).toBe('EINVAL');
    expect(codeOf(() => enable({ oldName: 'f'.repeat(512) }))).toBe('EINVAL');
    // one byte less is a name, of no symbol
    machine.log.take();
    expect(codeOf(() => enable({ oldName: 'f'.repeat(511) }))).toBe('EINVAL');
    expect(machine.log.take()).toEqual([`livepatch: symbol '${'f'.repeat(511)}' not found in symbol table`]);
    machine.dispose();
  });
});

describe('an original', () => {
  test('is looked up in its own object only: a function of the module is not one of the kernel (L21)', async () => {
    const machine = await machineWith({}, fixture('odd-kernel-O2.o'));
    machine.load(shipped('target.o'), { name: 'mod', kind: 'module' });
    const enable = (name: string | null) =>
      machine.livepatch.enable(patchOfObjects('p', [{ name, funcs: [func('checksum')] }]));
    expect(codeOf(() => enable(null))).toBe('EINVAL');
    enable('mod');
    expect(machine.call('mod:checksum', ['hello', 5n]).runs.name).toBe('fixes:livepatch_checksum');
    machine.dispose();
  });

  test('of an ambiguous name needs its position; each position is another function (L22, L23)', async () => {
    const machine = await machineWith({}, fixture('duplicates.o'));
    const name = 'helper';
    const many = machine.images.get('vmlinux')?.symbolsNamed(name) ?? [];
    expect(many.length).toBeGreaterThan(1);
    const enable = (position: number) =>
      machine.livepatch.enable(patchOf(`p${position}`, [func(name, undefined, position)]));
    machine.log.take();
    expect(codeOf(() => enable(0))).toBe('EINVAL');
    expect(machine.log.take()).toEqual([`livepatch: unresolvable ambiguity for symbol '${name}' in object 'vmlinux'`]);
    expect(codeOf(() => enable(many.length + 1))).toBe('EINVAL');
    expect(machine.log.take()).toEqual([
      `livepatch: symbol position ${many.length + 1} for symbol '${name}' in object 'vmlinux' not found`,
    ]);
    const ascending = many.map(({ address }) => address).sort((a, b) => (a < b ? -1 : 1));
    for (const [i, address] of ascending.entries()) {
      enable(i + 1);
      expect(machine.probe(address).name).toBe('fixes:livepatch_checksum');
      expect(listed(machine, `p${i + 1}`).objects[0]?.funcs[0]?.old?.address).toBe(address);
    }
    machine.dispose();
  });

  test('of position 0 and of position 1 is one function, as since 6.19 and in the stable kernels with that fix (L24)', async () => {
    const machine = await machineWith({ transition: 'manual' });
    const twice = [func('checksum', undefined, 0), func('checksum', undefined, 1)];
    expect(codeOf(() => machine.livepatch.enable(patchOf('p', twice)))).toBe('EEXIST');
    machine.livepatch.enable(patchOf('old', [func('checksum', undefined, 0), func('fibonacci')]));
    machine.livepatch.switchTasks();
    machine.livepatch.enable(patchOf('new', [func('checksum', undefined, 1)], { replace: true }));
    const funcs = listed(machine, 'new').objects[0]?.funcs.map(({ oldName, nop }) => `${oldName} ${nop}`);
    expect(funcs).toEqual(['checksum false', 'fibonacci true']);
    expect(machine.livepatch.sysfs('old/vmlinux/checksum,1')).toBeDefined();
    expect(machine.livepatch.sysfs('old/vmlinux/checksum,0')).toBeUndefined();
    machine.dispose();
  });

  test('twice in one patch is EEXIST, and nothing of the patch is there', async () => {
    const machine = await machineWith();
    expect(
      codeOf(() => machine.livepatch.enable(patchOf('p', [func('fibonacci'), func('checksum'), func('fibonacci')]))),
    ).toBe('EEXIST');
    expect(machine.livepatch.sysfs('p')).toBeUndefined();
    expect(machine.probe('vmlinux:checksum').name).toBe('vmlinux:checksum');
    machine.dispose();
  });
});

describe('the ops of a function', () => {
  test('changes ip, is permanent, and goes through the caller that saves the arguments (L27)', async () => {
    const machine = await machineWith();
    const { livepatch, ftrace, images } = machine;
    livepatch.enable(patchOf('p', [func('checksum')]));
    const site = images.site(machine.address('vmlinux:checksum')) ?? 0n;
    expect(codeOf(() => ftrace.register(livepatchOps('other', site, 'args')))).toBe('EBUSY');
    expect(codeOf(() => ftrace.setEnabled(false))).toBe('EBUSY');
    const place = ftrace.record(site)?.calls ?? 0n;
    const parts = {
      handler: machine.address('tramp64_gate'),
      returnThunk: machine.address('__x86_return_thunk'),
      ops: 0n,
    };
    const { bytes } = opsTrampoline({ kind: 'args', kernel: '6.12', address: place, ...parts });
    // all but the ops pointer
    expect(machine.read(place, bytes.length - 8)).toEqual(bytes.subarray(0, -8));
    machine.dispose();
  });

  test('is there from its first func on, and needs a site: a function without one is EINVAL (L29)', async () => {
    const machine = await machineWith({}, fixture('duplicates.o'));
    machine.log.take();
    const both = [func('plain'), func('untraced')];
    expect(codeOf(() => machine.livepatch.enable(patchOf('p', both)))).toBe('EINVAL');
    expect(machine.log.take()).toContain("livepatch: failed to find location for function 'untraced'");
    expect(machine.probe('vmlinux:plain').name).toMatch(/^vmlinux:plain/);
    machine.livepatch.enable(patchOf('p', [func('plain')]));
    const site = machine.images.site(machine.address('vmlinux:plain')) ?? 0n;
    expect(machine.ftrace.record(site)?.users).toEqual(['plain']);
    machine.dispose();
  });
});
