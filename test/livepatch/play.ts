// Plays a sequence on a machine and on the plain model, and compares all that can be seen after each step (I1, I2, I4, I6).
import { readFileSync } from 'node:fs';
import type { EngineName } from '../../src/engine/engine.ts';
import { TrampolineError } from '../../src/errors.ts';
import type { Callbacks, PatchSpec } from '../../src/livepatch/patch.ts';
import { Machine } from '../../src/machine.ts';
import { fixture } from '../fixtures/manifest.ts';
import { type Answer, FUNCTIONS, Model, type PatchPlan } from './model.ts';
import { describeOperation, type Operation, type Sequence, TASKS } from './sequence.ts';

/** The image that holds the new functions, and one new function for each patch, so that an address tells whose it is. */
export const FIXES = 'fixes';
export const NEW_FUNCS = ['checksum', 'fibonacci', 'sum_eight', 'sort_items', 'operate'].map(
  (one) => `livepatch_${one}`,
);

/** The image without call frame information, and where a task sleeps in it. */
export const BLIND = { image: 'blind', file: 'blind.o', func: 'blind:fibonacci' } as const;

/** As many zeros as any of the functions has arguments in registers; none of them minds. */
export const ZEROS = [0, 0, 0, 0, 0, 0];

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
const TARGET = object('target.o');
const FIX_B = object('fix-b.o');

/** How calls are judged: the core's answer at every step, or also where a call arrives on the CPU. */
export type Judge = 'core' | 'cpu';

/** Machine and model differ. */
export class Difference extends Error {
  /** The operation after which they did, counted from 0. */
  readonly at: number;
  constructor(at: number, fact: string) {
    super(`after operation ${at}: ${fact}`);
    this.at = at;
  }
}

/** A function as the machine knows it while its image is loaded. */
interface Place {
  readonly func: string;
  readonly site: bigint;
}

/** A machine that plays one sequence after another of the same policy and way of switching. */
export class Player {
  readonly #machine: Machine;
  readonly #options: Pick<Sequence, 'policy' | 'auto'>;
  readonly #handles: readonly number[];
  readonly #newFuncs: readonly bigint[];
  readonly #idle: Uint8Array;
  readonly #vmlinux: readonly Place[];
  #mod: readonly Place[] = [];
  #generation = 0;
  /** What the last attempt to switch a task gave. */
  #attempt: string | undefined;
  /** What was written in one operation, for the order of writes (L43). */
  readonly #writes: string[] = [];

  private constructor(machine: Machine, options: Pick<Sequence, 'policy' | 'auto'>) {
    this.#machine = machine;
    this.#options = options;
    machine.load(TARGET, { name: 'vmlinux' });
    machine.load(FIX_B, { name: FIXES, kind: 'livepatch' });
    machine.load(fixture(BLIND.file), { name: BLIND.image, kind: 'code' });
    this.#handles = TASKS.map((task) => machine.tasks.need(task).handle);
    this.#newFuncs = NEW_FUNCS.map((name) => machine.address(`${FIXES}:${name}`));
    this.#vmlinux = this.#places('vmlinux:');
    this.#idle = this.#text();
    const write = (what: string) => () => void this.#writes.push(what);
    machine.core.observer = {
      pushed: write('push'),
      transitioned: (_func, on) => void this.#writes.push(on ? 'transition' : 'clear'),
      taskChanged: write('state'),
      removed: () => {},
      taskRemoved: () => {},
      guardChanged: () => {},
    };
  }

  static async create(engine: EngineName, options: Pick<Sequence, 'policy' | 'auto'>): Promise<Player> {
    const { policy, auto } = options;
    const machine = await Machine.create({ engine, policy, tasks: TASKS, transition: auto ? 'auto' : 'manual' });
    return new Player(machine, options);
  }

  dispose(): void {
    this.#machine.dispose();
  }

  /**
   * Plays a sequence of this player's policy and leaves the machine idle.
   * @param hits counts the rules that decided something
   * @throws {Difference} the machine is not to be used again then
   */
  play({ patches, operations }: Sequence, judge: Judge, hits: Map<string, number>): void {
    // what was forced keeps its name for good
    const prefix = this.#generation === 0 ? '' : `g${this.#generation}_`;
    const plans = patches.map((plan) => ({ ...plan, name: prefix + plan.name }));
    const specs = plans.map(specOf);
    const model = new Model(TASKS, this.#options.auto, this.#options.policy, hits);
    this.#machine.log.take();
    for (const [at, operation] of operations.entries()) {
      this.#step(at, operation, plans, specs, model);
      this.#compare(at, model);
      if (judge === 'cpu') this.#compareOnCpu(at, operation, model);
    }
    this.#cleanUp(model);
    if (model.held.size > 0) this.#generation++;
    if (!same(this.#text(), this.#idle)) throw new Difference(operations.length, 'the text is not as it was (I4)');
  }

  #step(
    at: number,
    operation: Operation,
    plans: readonly PatchPlan[],
    specs: readonly PatchSpec[],
    model: Model,
  ): void {
    if (operation.do === 'recursion') this.#recursion(at, operation, model);
    if (operation.do === 'idle') this.#idleTask(at, operation, model);
    this.#writes.length = 0;
    // of the module's own code none sleeps, since the module may go
    if (operation.do === 'park' && !this.#mayPark(operation, model)) return;
    const before = model.running;
    const blocked = operation.do === 'switch' ? model.blocked(operation.task) : undefined;
    this.#attempt = undefined;
    const got = codeOf(() => this.#act(operation, specs, model));
    const expected = answerOf(operation, plans, model);
    if (this.#attempt !== undefined && this.#attempt !== (blocked ?? 'ok')) {
      throw new Difference(
        at,
        `${describeOperation(operation)} expected ${blocked ?? 'ok'}, got ${this.#attempt} (L69, L70)`,
      );
    }
    if (got !== expected) {
      throw new Difference(at, `${describeOperation(operation)} expected ${expected ?? 'ok'}, got ${got ?? 'ok'}`);
    }
    if (operation.do === 'load' || operation.do === 'unloadModule') this.#mod = this.#places('mod:');
    if (before === undefined && this.#writes.includes('push')) this.#compareOrder(at, operation, model);
  }

  /** Patch states first, then transition flags, then pushes (L43). */
  #compareOrder(at: number, operation: Operation, model: Model): void {
    if (operation.do !== 'enable' && operation.do !== 'write') return;
    model.hit('L43');
    const order = this.#writes.slice(0, this.#writes.indexOf('push'));
    if (order[0] !== 'state')
      throw new Difference(at, `a func was pushed before the tasks had a state (L43): ${order}`);
  }

  #act(operation: Operation, specs: readonly PatchSpec[], model: Model): void {
    const machine = this.#machine;
    const { livepatch } = machine;
    const spec = 'patch' in operation ? specs[operation.patch] : undefined;
    const name = spec?.name ?? '';
    const running = livepatch.transition?.patch ?? specs[0]?.name ?? '';
    switch (operation.do) {
      case 'enable':
        if (spec !== undefined) livepatch.enable(spec);
        break;
      case 'register':
        if (spec !== undefined) livepatch.register(spec);
        break;
      case 'disable':
        livepatch.disable(name);
        break;
      case 'unregister':
        livepatch.unregister(name);
        break;
      case 'unload':
        livepatch.unload(name);
        break;
      case 'write':
        livepatch.writeSysfs(`${name}/enabled`, '1');
        break;
      case 'reverse':
        livepatch.reverse(running);
        break;
      case 'force':
        livepatch.force(running);
        break;
      case 'load':
        machine.load(TARGET, { name: 'mod', kind: 'module' });
        break;
      case 'unloadModule':
        machine.unload('mod');
        break;
      case 'park':
        this.#park(operation, model);
        break;
      case 'parkBlind':
        machine.park(BLIND.func, ZEROS.map(BigInt), BLIND.func, { task: operation.task });
        break;
      case 'resume':
        machine.resume(operation.task);
        livepatch.settle();
        break;
      case 'loadVmlinux':
        livepatch.moduleComing('vmlinux');
        break;
      case 'switch':
        this.#attempt = livepatch.switchTasks([operation.task])[0]?.answer;
        break;
      case 'tick':
        livepatch.tick(operation.count);
        break;
      case 'onCpu':
        machine.tasks.need(operation.task).onCpu = operation.on;
        livepatch.settle();
        break;
      default:
    }
  }

  #mayPark({ func, task }: { func: string; task: string }, model: Model): boolean {
    return (
      this.#placeOf(func, model) !== undefined && (model.runs(func, task) !== undefined || !func.startsWith('mod:'))
    );
  }

  /** Calls a function and stops where the model says that it arrives; EINVAL where the call does not come there. */
  #park({ func, task }: { func: string; task: string }, model: Model): void {
    const site = this.#placeOf(func, model)?.site ?? 0n;
    const until = this.#addressOf(model.runs(func, task)) ?? site + 5n;
    this.#machine.park(func, ZEROS.map(BigInt), until, { task });
  }

  #compare(at: number, model: Model): void {
    const { livepatch, log } = this.#machine;
    const differ = (what: string, expected: string, got: string): void => {
      if (expected !== got) throw new Difference(at, `${what}: expected ${expected || 'none'}, got ${got || 'none'}`);
    };
    const title = ({ name, enabled, forced }: { name: string; enabled: boolean; forced: boolean }): string =>
      `${name} ${enabled} ${forced}`;
    differ('patches', model.patches.map(title).join(', '), livepatch.patches.map(title).join(', '));
    const running = livepatch.transition;
    const { running: wanted } = model;
    differ(
      'transition',
      wanted ? `${wanted.patch.name} ${wanted.target}` : '',
      running ? `${running.patch} ${running.target}` : '',
    );
    differ('log', model.log.join('\n'), log.take().join('\n'));
    model.log = [];
    for (const place of this.#vmlinux) this.#compareFunction(at, place, model, differ);
    if (model.modLoaded) for (const place of this.#mod) this.#compareFunction(at, place, model, differ);
  }

  #compareFunction(
    at: number,
    { func, site }: Place,
    model: Model,
    differ: (...three: [string, string, string]) => void,
  ): void {
    const { livepatch, core, engine } = this.#machine;
    const stack = model.stacks.get(func) ?? [];
    const entry = (patch: string, nop: boolean): string => (nop ? `nop:${patch}` : patch);
    // I6, L34
    differ(
      `func stack of ${func}`,
      stack.map((one) => entry(one.patch.name, one.nop)).join(' > '),
      livepatch
        .stack(site)
        .map((one) => entry(one.patch, one.nop))
        .join(' > '),
    );
    // I1: without patches a NOP5, with patches a call
    const first = engine.read(site, 1)[0];
    if (first !== (stack.length > 0 ? 0xe8 : 0x0f))
      throw new Difference(at, `the site of ${func} starts with ${first} (I1)`);
    for (const [i, task] of TASKS.entries()) {
      const found = core.dispatch(site, this.#handles[i] ?? 0);
      if (found !== this.#addressOf(model.runs(func, task))) {
        throw new Difference(at, `${func} by ${task}: expected ${model.runs(func, task) ?? 'the original'} (I2)`);
      }
    }
  }

  /** Where the CPU arrives: the call of the operation, and one function after another. */
  #compareOnCpu(at: number, operation: Operation, model: Model): void {
    const places = [...this.#vmlinux, ...(model.modLoaded ? this.#mod : [])];
    const turn = places[at % places.length];
    const calls = [{ func: turn?.func ?? '', task: TASKS[at % TASKS.length] ?? '' }];
    if (operation.do === 'call') calls.push(operation);
    for (const { func, task } of calls) {
      if ((func.startsWith('mod:') && !model.modLoaded) || model.sleeping.has(task)) continue;
      const wanted = model.runs(func, task);
      const { name, changed, returnsToCaller } = this.#machine.probe(func, { task });
      const expected = wanted === undefined ? func : `${FIXES}:${NEW_FUNCS[numberOf(wanted)]}`;
      if (name !== expected)
        throw new Difference(at, `${func} by ${task} on the CPU: expected ${expected}, got ${name} (I2)`);
      if (changed.length > 0 || !returnsToCaller)
        throw new Difference(at, `${func} did not arrive as in a plain call (I3)`);
    }
  }

  /** The third entry in one context runs the original (L36). */
  #recursion(at: number, { func, task }: { func: string; task: string }, model: Model): void {
    const place = this.#placeOf(func, model);
    const handle = this.#handles[TASKS.indexOf(task)] ?? 0;
    if (place === undefined) return;
    const { core } = this.#machine;
    const bits = [core.recursionEnter(handle), core.recursionEnter(handle)];
    model.hit('L36');
    const found = core.dispatch(place.site, handle);
    for (const bit of bits.reverse()) if (bit !== undefined) core.recursionLeave(handle, bit);
    if (found !== undefined) throw new Difference(at, `${func} by ${task}: expected the original in recursion (L36)`);
  }

  /** A task that no transition has reached sees the top of a stack (L41). */
  #idleTask(at: number, { func, task }: { func: string; task: string }, model: Model): void {
    const place = this.#placeOf(func, model);
    const handle = this.#handles[TASKS.indexOf(task)] ?? 0;
    const state = model.tasks.get(task);
    if (place === undefined || state === undefined) return;
    const { core } = this.#machine;
    core.setPatchState(handle, 'idle');
    model.tasks.set(task, 'idle');
    const found = core.dispatch(place.site, handle);
    const wanted = this.#addressOf(model.runs(func, task));
    core.setPatchState(handle, state);
    model.tasks.set(task, state);
    if (found !== wanted) throw new Difference(at, `${func} by ${task}, idle: expected the top of the stack (L41)`);
  }

  #placeOf(func: string, model: Model): Place | undefined {
    if (func.startsWith('mod:') && !model.modLoaded) return undefined;
    return [...this.#vmlinux, ...this.#mod].find((one) => one.func === func);
  }

  #addressOf(patch: string | undefined): bigint | undefined {
    return patch === undefined ? undefined : this.#newFuncs[numberOf(patch)];
  }

  #places(image: string): Place[] {
    const { images } = this.#machine;
    return FUNCTIONS.filter((func) => func.startsWith(image)).flatMap((func) => {
      const address = images.address(func);
      return address === undefined ? [] : [{ func, site: images.site(address) ?? 0n }];
    });
  }

  #text(): Uint8Array {
    const text = this.#machine.images.get('vmlinux')?.segments.find((one) => one.access === 'rx');
    return this.#machine.read(text?.address ?? 0n, text?.bytes.length ?? 0);
  }

  /** Ends the transition, and takes every patch and the module away. */
  #cleanUp(model: Model): void {
    const machine = this.#machine;
    const { livepatch, tasks } = machine;
    for (const task of TASKS) tasks.need(task).onCpu = false;
    for (const task of model.sleeping.keys()) machine.resume(task);
    livepatch.tick();
    for (const { name, enabled } of [...livepatch.patches].reverse()) {
      if (enabled) livepatch.disable(name);
      livepatch.tick();
    }
    if (this.#options.policy !== 'independent') {
      for (const { name } of [...livepatch.patches, ...model.replaced]) livepatch.unregister(name);
    }
    for (const name of model.inserted) if (codeOf(() => livepatch.unload(name)) === undefined) model.held.delete(name);
    if (model.modLoaded) machine.unload('mod');
    this.#mod = [];
  }
}

/** What the model answers to an operation. */
export function answerOf(operation: Operation, plans: readonly PatchPlan[], model: Model): Answer {
  const plan = 'patch' in operation ? plans[operation.patch] : undefined;
  const name = plan?.name ?? '';
  switch (operation.do) {
    case 'enable':
      return plan && model.enable(plan);
    case 'register':
      return plan && model.register(plan);
    case 'disable':
      return model.disable(name);
    case 'unregister':
      return model.unregister(name);
    case 'unload':
      return model.unloadPatch(name);
    case 'write':
      return model.writeEnabled(name);
    case 'reverse':
      return model.reverse();
    case 'force':
      return model.force();
    case 'load':
      return model.load();
    case 'unloadModule':
      return model.unloadModule();
    case 'loadVmlinux':
      return model.loadVmlinux();
    case 'switch':
      return model.switchTask(operation.task);
    case 'tick':
      return model.tick(operation.count);
    case 'park':
      return model.park(operation.func, operation.task);
    case 'parkBlind':
      return model.parkBlind(operation.task);
    case 'resume':
      return model.resume(operation.task);
    case 'onCpu':
      return model.setOnCpu(operation.task, operation.on);
    default:
      return undefined;
  }
}

/** A plan as livepatch takes it; its callbacks write lines. */
function specOf({ name, replace, vmlinux, mod, refuses, version }: PatchPlan, _i: number): PatchSpec {
  const newFunc = NEW_FUNCS[numberOf(name)] ?? '';
  const bare = (funcs: readonly string[]) => funcs.map((func) => ({ oldName: func.replace(/^.*:/, ''), newFunc }));
  const callbacks = (title: string): Callbacks => ({
    prePatch: callback(name, 'pre_patch', refuses === title ? -19 : 0),
    postPatch: callback(name, 'post_patch', 0),
    preUnpatch: callback(name, 'pre_unpatch', 0),
    postUnpatch: callback(name, 'post_unpatch', 0),
  });
  return {
    name,
    image: FIXES,
    replace,
    ...(version === undefined ? {} : { states: [{ id: 1, version }] }),
    objects: [
      { name: null, funcs: bare(vmlinux), callbacks: callbacks('vmlinux') },
      ...(mod === undefined ? [] : [{ name: 'mod', funcs: bare(mod), callbacks: callbacks('mod') }]),
    ],
  };
}

function callback(patch: string, what: string, result: number) {
  return ({ object: title, say }: { object: string; say(line: string): void }): number => {
    say(`${patch}: ${what} ${title}`);
    return result;
  };
}

/** The number at the end of a patch's name. */
export function numberOf(patch: string): number {
  return Number(patch.slice(patch.lastIndexOf('p') + 1));
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

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
