// Random operations on a machine and on the plain model: errors, patches, stacks, sites and every task's calls agree (I2, I4, I6).
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TrampolineError } from '../../src/errors.ts';
import { NOP5 } from '../../src/ftrace/site.ts';
import type { PatchSpec } from '../../src/livepatch/patch.ts';
import { Machine } from '../../src/machine.ts';
import { type Answer, FUNCTIONS, Model } from './model.ts';

const SEED = Number(process.env.LIVEPATCH_SEED ?? 20240613);
/** Sequences for each way of switching. */
const SEQUENCES = Number(process.env.LIVEPATCH_SEQUENCES ?? 60);
const TASKS = ['t0', 't1', 't2'];
/** One new function for each patch, so that an address tells whose it is. */
const NEW_FUNCS = ['checksum', 'fibonacci', 'sum_eight', 'sort_items', 'operate'];

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
const target = object('target.o');

/** mulberry32. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

for (const transition of ['auto', 'manual'] as const) {
  test(`any sequence of operations does what the rules say, tasks switching in ${transition} mode (seed ${SEED})`, async () => {
    const machine = await Machine.create({ tasks: TASKS, transition });
    machine.load(target, { name: 'vmlinux' });
    machine.load(object('fix-b.o'), { name: 'fixes', kind: 'livepatch' });
    const text = machine.images.get('vmlinux')?.segments.find((one) => one.access === 'rx');
    const idle = machine.read(text?.address ?? 0n, text?.bytes.length ?? 0);
    for (let sequence = 0; sequence < SEQUENCES; sequence++) {
      const pick = random(SEED + sequence);
      const model = new Model(TASKS, transition === 'auto');
      const history: string[] = [];
      for (let i = 20 + pick(41); i > 0; i--) step(machine, model, sequence, pick, history);
      cleanUp(machine, model);
      expect(machine.read(text?.address ?? 0n, text?.bytes.length ?? 0), history.join('; ')).toEqual(idle);
    }
    machine.dispose();
  });
}

function step(machine: Machine, model: Model, sequence: number, pick: (n: number) => number, history: string[]): void {
  const { livepatch } = machine;
  // a patch that was forced stays for good: each sequence has names of its own
  const number = pick(NEW_FUNCS.length);
  const name = `p${sequence}_${number}`;
  const task = TASKS[pick(TASKS.length)] ?? '';
  const running = livepatch.transition?.patch ?? name;
  const operations: readonly [string, () => void, () => Answer][] = [
    ...Array.from({ length: 4 }, (): [string, () => void, () => Answer] => {
      const funcs = FUNCTIONS.filter(() => pick(2) === 1);
      const replace = pick(3) === 0;
      return [
        `enable ${name} ${funcs.join(' ')}${replace ? ' replace' : ''}`,
        () => livepatch.enable(spec(name, number, funcs, replace)),
        () => model.enable(name, funcs, replace),
      ];
    }),
    [`disable ${name}`, () => livepatch.disable(name), () => model.disable(name)],
    [`disable ${name}`, () => livepatch.disable(name), () => model.disable(name)],
    ['reverse', () => livepatch.reverse(running), () => model.reverse()],
    ['force', () => livepatch.force(running), () => model.force()],
    [`switch ${task}`, () => livepatch.switchTasks([task]), () => model.switchTask(task)],
    [`switch ${task}`, () => livepatch.switchTasks([task]), () => model.switchTask(task)],
    ['tick', () => livepatch.tick(), () => model.tick()],
    ...[true, false].map((on): [string, () => void, () => Answer] => [
      `${task} on CPU: ${on}`,
      () => {
        machine.tasks.need(task).onCpu = on;
        livepatch.settle();
      },
      () => model.setOnCpu(task, on),
    ]),
    ['load mod', () => machine.load(target, { name: 'mod', kind: 'module' }), () => model.load()],
    ['unload mod', () => machine.unload('mod'), () => model.unloadModule()],
    [`unload ${name}`, () => livepatch.unload(name), () => model.unloadPatch(name)],
  ];
  const [title, act, expected] = operations[pick(operations.length)] ?? ['', () => {}, () => undefined];
  history.push(title);
  const where = `sequence ${sequence}: ${history.join('; ')}`;
  expect(codeOf(act), where).toBe(expected());
  compare(machine, model, where);
  if (pick(20) === 0) compareOnCpu(machine, model, FUNCTIONS[pick(FUNCTIONS.length)] ?? '', task, where);
}

function spec(name: string, number: number, funcs: readonly string[], replace: boolean): PatchSpec {
  const of = (image: string) =>
    funcs
      .filter((func) => func.startsWith(`${image}:`))
      .map((func) => ({ oldName: func.slice(image.length + 1), newFunc: `livepatch_${NEW_FUNCS[number]}` }));
  return {
    name,
    image: 'fixes',
    replace,
    objects: [
      { name: null, funcs: of('vmlinux') },
      { name: 'mod', funcs: of('mod') },
    ],
  };
}

function compare(machine: Machine, model: Model, where: string): void {
  const { livepatch, core } = machine;
  const title = ({ name, enabled, forced }: { name: string; enabled: boolean; forced: boolean }) =>
    `${name} ${enabled} ${forced}`;
  expect(livepatch.patches.map(title), where).toEqual(model.patches.map(title));
  expect(livepatch.transition?.patch, where).toBe(model.running?.patch.name);
  expect(livepatch.transition?.target, where).toBe(model.running?.target);
  for (const func of FUNCTIONS) {
    if (func.startsWith('mod:') && !model.modLoaded) continue;
    const site = machine.images.site(machine.address(func)) ?? 0n;
    const stack = model.stacks.get(func) ?? [];
    const entry = (patch: string, nop: boolean) => (nop ? `nop:${patch}` : patch);
    expect(
      livepatch.stack(site).map((one) => entry(one.patch, one.nop)),
      `${func}, ${where}`,
    ).toEqual(stack.map((one) => entry(one.patch.name, one.nop)));
    // I1, L34
    const bytes = machine.read(site, 5);
    expect(bytes[0] === 0xe8, `site of ${func}, ${where}`).toBe(stack.length > 0);
    if (stack.length === 0) expect(bytes, where).toEqual(NOP5);
    if (stack.length === 0) continue;
    for (const task of TASKS) {
      const found = core.dispatch(site, machine.tasks.need(task).handle);
      expect(found, `${func} by ${task}, ${where}`).toBe(addressOf(machine, model.runs(func, task)));
    }
  }
}

/** The same question put to the CPU: where a call arrives. */
function compareOnCpu(machine: Machine, model: Model, func: string, task: string, where: string): void {
  if (func.startsWith('mod:') && !model.modLoaded) return;
  const wanted = model.runs(func, task);
  const { name } = machine.probe(func, { task });
  const number = Number(wanted?.split('_')[1]);
  expect(name, `${func} by ${task}, ${where}`).toBe(
    wanted === undefined ? func : `fixes:livepatch_${NEW_FUNCS[number]}`,
  );
}

function addressOf(machine: Machine, patch: string | undefined): bigint | undefined {
  if (patch === undefined) return undefined;
  return machine.address(`fixes:livepatch_${NEW_FUNCS[Number(patch.split('_')[1])]}`);
}

function codeOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof TrampolineError) return error.code;
    throw error;
  }
}

/** Ends every transition and disables every patch. */
function cleanUp(machine: Machine, model: Model): void {
  const { livepatch, tasks } = machine;
  for (const task of TASKS) tasks.need(task).onCpu = false;
  livepatch.tick();
  for (const { name } of livepatch.patches) {
    livepatch.disable(name);
    livepatch.tick();
  }
  if (model.modLoaded) machine.unload('mod');
}
