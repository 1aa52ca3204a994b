// A sequence as a scenario file: after each operation everything that the plain model knows is expected.
import { FUNCTIONS, Model, type PatchPlan } from './model.ts';
import { answerOf, BLIND, FIXES, NEW_FUNCS, numberOf, ZEROS } from './play.ts';
import { describeOperation, type Operation, type Sequence, TASKS } from './sequence.ts';

/** Where the objects of tests lie, as seen from the examples. */
const FIXTURES_FROM_EXAMPLES = '../../test/fixtures/objects';

/** Behind ENDBR64 and the site, where the body of every function of target.o begins. */
const BODY = '+0x9';

/**
 * The scenario of a sequence, which `tramp64 verify` runs.
 * @param objects the folder of target.o and fix-b.o, as seen from the file
 */
export function scenarioOf({ policy, auto, patches, operations }: Sequence, objects: string): object {
  const model = new Model(TASKS, auto, policy);
  const steps = operations.flatMap((operation) => stepsOf(operation, patches, model));
  steps.push(...ending(model).flatMap((next) => next().flatMap((operation) => stepsOf(operation, patches, model))));
  const file = (name: string): string => `${objects}/${name}`;
  return {
    format: 'tramp64-scenario/1',
    machine: { policy, transition: auto ? 'auto' : 'manual', tasks: TASKS },
    images: [
      { name: 'vmlinux', file: file('target.o') },
      { name: FIXES, file: file('fix-b.o'), kind: 'livepatch' },
      { name: BLIND.image, file: `${objects}/${FIXTURES_FROM_EXAMPLES}/${BLIND.file}`, kind: 'code' },
      { name: 'mod', file: file('target.o'), kind: 'module', loaded: false },
    ],
    patches: patches.map(patchOf),
    steps,
  };
}

/** An operation, and all that the model expects after it. */
function stepsOf(operation: Operation, patches: readonly PatchPlan[], model: Model): object[] {
  const step = stepOf(operation, patches, model);
  if (step === undefined) return [];
  const fails = answerOf(operation, patches, model);
  const note = describeOperation(operation);
  return [{ ...step, ...(fails === undefined ? {} : { fails }), note }, ...expectations(model)];
}

/** What ends every sequence: no task is kept from switching, each patch is disabled, the module goes. */
function ending(model: Model): (() => Operation[])[] {
  return [
    () => [...model.onCpu].map((task) => ({ do: 'onCpu', task, on: false })),
    () => [...model.sleeping.keys()].map((task) => ({ do: 'resume', task })),
    () => [{ do: 'tick', count: 1 }],
    () =>
      [...model.patches]
        .reverse()
        .filter(({ enabled }) => enabled)
        .flatMap(({ name }) => [
          { do: 'disable', patch: numberOf(name) },
          { do: 'tick', count: 1 },
        ]),
    () => (model.modLoaded ? [{ do: 'unloadModule' }] : []),
  ];
}

function patchOf({ name, replace, vmlinux, mod, refuses, version }: PatchPlan): object {
  const callbacks = (title: string): object => ({
    prePatch: { log: `${name}: pre_patch ${title}`, ...(refuses === title ? { returns: -19 } : {}) },
    postPatch: { log: `${name}: post_patch ${title}` },
    preUnpatch: { log: `${name}: pre_unpatch ${title}` },
    postUnpatch: { log: `${name}: post_unpatch ${title}` },
  });
  const object = (module: string | null, funcs: readonly string[]): object => ({
    name: module,
    funcs: funcs.map((func) => ({ oldName: func.replace(/^.*:/, ''), newFunc: NEW_FUNCS[numberOf(name)] })),
    callbacks: callbacks(module ?? 'vmlinux'),
  });
  return {
    name,
    image: FIXES,
    replace,
    ...(version === undefined ? {} : { states: [{ id: 1, version }] }),
    objects: [object(null, vmlinux), ...(mod === undefined ? [] : [object('mod', mod)])],
  };
}

/** The step of an operation; undefined where scenarios have none, since only the core can be brought to it. */
function stepOf(operation: Operation, patches: readonly PatchPlan[], model: Model): object | undefined {
  const name = 'patch' in operation ? (patches[operation.patch]?.name ?? '') : '';
  const moving = model.running?.patch.name ?? patches[0]?.name;
  switch (operation.do) {
    case 'write':
      return { sysfs: `${name}/enabled`, write: '1' };
    case 'reverse':
    case 'force':
      return { [operation.do]: moving };
    case 'load':
      return { load: 'mod' };
    case 'unloadModule':
      return { unload: 'mod' };
    case 'switch':
      return { switch: operation.task };
    case 'tick':
      return { tick: operation.count };
    case 'onCpu':
      return { task: operation.task, onCpu: operation.on };
    case 'park':
      return parkStep(operation, model);
    case 'parkBlind':
      return { call: BLIND.func, args: ZEROS, task: operation.task, until: BLIND.func };
    case 'resume':
      return { task: operation.task, resume: true };
    case 'call':
    case 'recursion':
    case 'idle':
    case 'loadVmlinux':
      return undefined;
    default:
      return { [operation.do]: name };
  }
}

/** The log, the list, the transition, every stack, and where each task's calls arrive. */
function expectations(model: Model): object[] {
  const { log } = model;
  model.log = [];
  const awake = TASKS.filter((task) => !model.sleeping.has(task));
  const there = FUNCTIONS.filter((func) => func.startsWith('vmlinux:') || model.modLoaded);
  return [
    { log },
    { patches: model.patches.map(({ name, enabled, forced }) => ({ name, enabled, forced })) },
    model.running === undefined
      ? { transition: null }
      : { transition: model.running.patch.name, target: model.running.target },
    ...there.flatMap((func) => {
      const [object, symbol] = func.split(':');
      const stack = model.stacks.get(func) ?? [];
      const is = stack.map(({ patch, nop }) => (nop ? `nop:${patch.name}` : patch.name));
      const calls = stack.length === 0 ? [] : awake.map((task) => callOf(func, task, model.runs(func, task)));
      return [{ stack: symbol, object: object === 'vmlinux' ? null : object, is }, ...calls];
    }),
  ];
}

/** Of the module's own code none sleeps, since the module may go. */
function parkStep({ func, task }: { func: string; task: string }, model: Model): object | undefined {
  if (func.startsWith('mod:') && !model.modLoaded) return undefined;
  const patch = model.runs(func, task);
  if (patch === undefined && func.startsWith('mod:')) return undefined;
  const until = patch === undefined ? func + BODY : `${FIXES}:${NEW_FUNCS[numberOf(patch)]}`;
  return { call: func, args: ZEROS, task, until };
}

function callOf(call: string, task: string, patch: string | undefined): object {
  const runs = patch === undefined ? call : `${FIXES}:${NEW_FUNCS[numberOf(patch)]}`;
  return { call, args: ZEROS, task, runs };
}
