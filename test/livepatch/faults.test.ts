// Every fallible call made to fail at each of its occurrences: nothing half done remains, the log is the kernel's, and a retry succeeds.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { TrampolineError } from '../../src/errors.ts';
import { FAULT_POINT_NAMES, FAULT_POINTS, type FaultPoint, Faults } from '../../src/faults.ts';
import type { FuncSpec, PatchSpec } from '../../src/livepatch/patch.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { expectInvariants, stateOf, textOf } from './invariants.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
const TARGET = object('target.o');
const FIXES = object('fix-b.o');

/** A patch of vmlinux and of the module `mod`, with callbacks that write lines. */
function patch(
  name: string,
  vmlinux: readonly string[],
  mod: readonly string[],
  more: Partial<PatchSpec> = {},
): PatchSpec {
  const funcs = (names: readonly string[]): FuncSpec[] =>
    names.map((oldName) => ({ oldName, newFunc: 'livepatch_operate' }));
  const say =
    (what: string) =>
    ({ object: title, say }: { object: string; say(line: string): void }): number => {
      say(`${name}: ${what} ${title}`);
      return 0;
    };
  const callbacks = { prePatch: say('pre_patch'), postUnpatch: say('post_unpatch') };
  return {
    name,
    image: 'fixes',
    objects: [
      { name: null, funcs: funcs(vmlinux), callbacks },
      { name: 'mod', funcs: funcs(mod), callbacks },
    ],
    ...more,
  };
}

const A = patch('a', ['checksum', 'fibonacci'], ['checksum', 'divide']);
const B = patch('b', ['fibonacci', 'operate'], ['checksum']);
const C = patch('c', ['operate'], ['divide'], { replace: true });
const NAMES = ['a', 'b', 'c'];

type Step = (machine: Machine) => void;
const enable =
  (spec: PatchSpec): Step =>
  (machine) =>
    void machine.livepatch.enable(spec);
const register =
  (spec: PatchSpec): Step =>
  (machine) =>
    void machine.livepatch.register(spec);
const disable =
  (name: string): Step =>
  (machine) =>
    machine.livepatch.disable(name);
const load: Step = (machine) => void machine.load(TARGET, { name: 'mod', kind: 'module' });
const unload: Step = (machine) => machine.unload('mod');
const tick: Step = (machine) => machine.livepatch.tick();

/** Lives of patches that reach, together, every fallible call more than once. */
const LIVES: Readonly<Record<string, { options: MachineOptions; steps: readonly Step[] }>> = {
  'two patches with a shared function, the older disabled first': {
    options: {},
    steps: [enable(A), enable(B), disable('a'), disable('b')],
  },
  'an atomic replace over two patches and a module': {
    options: {},
    steps: [load, enable(A), enable(B), enable(C), disable('c')],
  },
  'a module that comes and goes': { options: {}, steps: [enable(A), enable(B), load, unload, load] },
  'a module that comes in mid-transition': {
    options: { transition: 'manual' },
    steps: [enable(A), load, (machine) => machine.livepatch.reverse('a'), tick, enable(C), tick],
  },
  'the strict stack': {
    options: { policy: 'strict-stack' },
    steps: [register(A), register(B), enable(A), load, enable(B), disable('b'), disable('a')],
  },
  'the policy v10': {
    options: { policy: 'v10' },
    steps: [register(A), load, enable(A), register(C), enable(C), disable('c')],
  },
};

async function machineOf(options: MachineOptions): Promise<Machine> {
  const machine = await Machine.create({ engine: 'wasm', tasks: ['t0', 't1'], ...options });
  machine.load(TARGET, { name: 'vmlinux' });
  machine.load(FIXES, { name: 'fixes', kind: 'livepatch' });
  return machine;
}

function errorOf(act: () => void): TrampolineError | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof TrampolineError) return error;
    throw error;
  }
}

/** Points that failed in some life, filled by the tests below. */
const reached = new Set<FaultPoint>();

describe.each(Object.entries(LIVES))('in %s', (_title, { options, steps }) => {
  test.each(FAULT_POINT_NAMES)(
    'each failure of %s leaves all as it was, and the same call succeeds afterwards (I1–I6)',
    async (point) => {
      const idle = await machineOf(options);
      for (const step of steps) step(idle);
      const occurrences = idle.faults.calls(point);
      idle.dispose();
      for (let nth = 1; nth <= occurrences; nth++) {
        const machine = await machineOf(options);
        const text = textOf(machine);
        machine.faults.inject(point, { nth });
        for (const [at, step] of steps.entries()) failOnce(machine, step, point, `${point} ${nth}, step ${at}`);
        expect(machine.faults.pending, `${point} ${nth} came`).toBe(0);
        takeOff(machine);
        // I4
        expect(textOf(machine)).toEqual(text);
        machine.dispose();
      }
      if (occurrences > 0) reached.add(point);
    },
  );
});

/** Does a step; where the fault is due in it, what it must leave is checked, and it is done once more. */
function failOnce(machine: Machine, step: Step, point: FaultPoint, where: string): void {
  const before = machine.faults.pending === 0 ? undefined : stateOf(machine, NAMES);
  const error = errorOf(() => step(machine));
  if (before === undefined || machine.faults.pending > 0) {
    // what died of the fault stays dead (F14)
    if (point !== 'site-verify') expect(error, where).toBeUndefined();
    return;
  }
  expectInvariants(machine, where);
  // without memory for its trampoline a site calls the common caller (F28)
  if (point === 'trampoline-allocation') {
    expect(error, where).toBeUndefined();
    return;
  }
  expect(error?.code, where).toBe(FAULT_POINTS[point].errno);
  const after = stateOf(machine, NAMES);
  // a mismatch that shows up only when a transition completes leaves it running, to be completed later
  if (point === 'site-verify' && machine.livepatch.transition !== undefined) {
    machine.livepatch.tick();
    expectInvariants(machine, where);
    return;
  }
  expect(after, where).toEqual({ ...before, pending: 0 });
  const again = errorOf(() => step(machine));
  if (point !== 'site-verify') expect(again, `again: ${where}`).toBeUndefined();
  expectInvariants(machine, where);
}

function takeOff(machine: Machine): void {
  const { livepatch, images } = machine;
  livepatch.tick();
  for (const { name, enabled } of [...livepatch.patches].reverse()) {
    if (enabled) livepatch.disable(name);
    livepatch.tick();
  }
  if (images.get('mod') !== undefined) machine.unload('mod');
}

describe('the table of fallible calls', () => {
  test('has no row that the lives above do not reach', () => {
    expect(FAULT_POINT_NAMES.filter((point) => !reached.has(point))).toEqual([]);
  });

  test('fails the call that was meant, once, with the errno that was asked for', () => {
    const faults = new Faults();
    faults.inject('register', { nth: 2, errno: 'ENOMEM' });
    faults.inject('symbol');
    expect(faults.call('register', () => 1)).toBe(1);
    expect(errorOf(() => faults.pass('register'))?.code).toBe('ENOMEM');
    expect(faults.call('register', () => 2)).toBe(2);
    expect(faults.pending).toBe(1);
    faults.clear();
    expect(() => faults.pass('symbol')).not.toThrow();
    expect([faults.calls('register'), faults.calls('symbol')]).toEqual([3, 1]);
    expect(() => faults.inject('register', { nth: 0 })).toThrow(RangeError);
    expect(() => faults.inject('register', { nth: 1.5 })).toThrow(RangeError);
  });
});

/** Lines between a cancelled start and its end. */
const klp = (...lines: string[]): string[] => lines.map((line) => `livepatch: ${line}`);
const starting = [...klp("enabling patch 'a'", "'a': initializing patching transition"), 'a: pre_patch vmlinux'];
const cancelled = [
  ...klp("failed to enable patch 'a'", "'a': canceling patching transition, going to unpatch"),
  ...klp("'a': completing unpatching transition"),
];
const ended = ['a: post_unpatch vmlinux', ...klp("'a': unpatching complete")];
const unpatchable = (...lines: string[]): string[] => [
  ...starting,
  ...klp(...lines, "failed to patch object 'vmlinux'"),
  ...cancelled,
  ...ended,
];
const refused = (error: number): string[] =>
  klp(
    `failed to initialize patch 'a' for module 'mod' (${error})`,
    "patch 'a' failed for module 'mod', refusing to load module 'mod'",
  );
const unapplied = (error: number, ...lines: string[]): string[] => [
  ...klp("applying patch 'a' to loading module 'mod'"),
  'a: pre_patch mod',
  ...klp(...lines, `failed to apply patch 'a' to module 'mod' (${error})`),
  'a: post_unpatch mod',
  ...klp("patch 'a' failed for module 'mod', refusing to load module 'mod'"),
];

/** What each failure logs (3.2a): in enabling a patch of vmlinux, and in loading a module that it patches. */
/** Of all that fail; without memory for a trampoline nothing does. */
const LOGS: Readonly<
  Record<Exclude<FaultPoint, 'trampoline-allocation'>, { enable: readonly string[]; load?: readonly string[] }>
> = {
  'module-get': { enable: [] },
  'sysfs-patch': { enable: [] },
  'nop-allocation': { enable: [] },
  'sysfs-object': { enable: [] },
  'sysfs-func': { enable: [] },
  relocations: { enable: [], load: refused(-22) },
  symbol: {
    enable: klp("symbol 'checksum' not found in symbol table"),
    load: [...klp("symbol 'checksum' not found in symbol table"), ...refused(-22)],
  },
  size: {
    enable: klp("kallsyms size lookup failed for 'checksum'"),
    load: [...klp("kallsyms size lookup failed for 'checksum'"), ...refused(-2)],
  },
  'new-size': {
    enable: klp("kallsyms size lookup failed for 'checksum' replacement"),
    load: [...klp("kallsyms size lookup failed for 'checksum' replacement"), ...refused(-2)],
  },
  'pre-patch': {
    enable: [
      ...klp("enabling patch 'a'", "'a': initializing patching transition"),
      ...klp("pre-patch callback failed for object 'vmlinux'"),
      ...cancelled,
      ...klp("'a': unpatching complete"),
    ],
    load: klp(
      "applying patch 'a' to loading module 'mod'",
      "pre-patch callback failed for object 'mod'",
      "patch 'a' failed for module 'mod', refusing to load module 'mod'",
    ),
  },
  location: {
    enable: unpatchable("failed to find location for function 'checksum'"),
    load: unapplied(-22, "failed to find location for function 'checksum'"),
  },
  'ops-allocation': { enable: unpatchable(), load: unapplied(-12) },
  'set-filter': {
    enable: unpatchable("failed to set ftrace filter for function 'checksum' (-12)"),
    load: unapplied(-12, "failed to set ftrace filter for function 'checksum' (-12)"),
  },
  register: {
    enable: unpatchable("failed to register ftrace handler for function 'checksum' (-16)"),
    load: unapplied(-16, "failed to register ftrace handler for function 'checksum' (-16)"),
  },
  'site-verify': {
    enable: unpatchable("failed to register ftrace handler for function 'checksum' (-22)"),
    load: unapplied(-22, "failed to register ftrace handler for function 'checksum' (-22)"),
  },
};

describe('the log of a failure', () => {
  test.each(Object.entries(LOGS) as [FaultPoint, (typeof LOGS)[keyof typeof LOGS]][])(
    'of %s has the lines of 6.12 (L20, L31, L46, L65)',
    async (point, lines) => {
      const machine = await machineOf({});
      // nops take a patch below, relocations a module that is loaded
      if (point === 'relocations') load(machine);
      if (point === 'nop-allocation') enable(B)(machine);
      machine.log.take();
      machine.faults.inject(point);
      errorOf(() => machine.livepatch.enable(point === 'nop-allocation' ? C : A));
      expect(machine.log.take()).toEqual(lines.enable);
      machine.dispose();
    },
  );

  test.each(
    (Object.entries(LOGS) as [FaultPoint, (typeof LOGS)[keyof typeof LOGS]][]).filter(
      ([, { load }]) => load !== undefined,
    ),
  )('of %s while a module loads has the lines of 6.12 (L65)', async (point, lines) => {
    const machine = await machineOf({});
    enable(A)(machine);
    machine.log.take();
    machine.faults.inject(point);
    expect(errorOf(() => load(machine))?.code).toBe(FAULT_POINTS[point].errno);
    expect(machine.log.take()).toEqual(lines.load);
    machine.dispose();
  });
});
