// Random operations on several dispatchers at once, compared step by step; a difference is shrunk.
import { colliding, EXTREMES, sameHigh, sameLow } from './addresses.ts';
import { codeOf, type Dispatcher, type Entry } from './subjects.ts';

/** One step: every number is taken modulo what there is, so a step means something after others are left out. */
export interface Operation {
  verb: (typeof VERBS)[number];
  a: number;
  b: number;
  c: number;
}

const VERBS = [
  'enable',
  'disable',
  'transition',
  'switch',
  'switch-all',
  'add-task',
  'remove-task',
  'context',
  'enter',
  'leave',
  'call',
] as const;

/** Of 100 steps: enable and disable about as often, most of them calls. */
const WEIGHTS = [14, 12, 8, 7, 1, 2, 1, 4, 5, 6, 40];
const WEIGHTED = VERBS.flatMap((verb, i) => Array<Operation['verb']>(WEIGHTS[i] ?? 0).fill(verb));

const SITES = [...EXTREMES, ...sameHigh(12), ...sameLow(12), ...colliding(30)];
const STATES = ['idle', 'unpatched', 'patched'] as const;
const CONTEXTS = ['task', 'softirq', 'irq', 'nmi'] as const;

/** Small enough for the pools to fill up now and then. */
export const ROOM = { sites: 40, funcs: 90, tasks: 6 };

export function randomOperations(random: (limit: number) => number, count: number): Operation[] {
  return Array.from({ length: count }, () => ({
    verb: WEIGHTED[random(WEIGHTED.length)] ?? 'call',
    a: random(2 ** 30),
    b: random(2 ** 30),
    c: random(2 ** 30),
  }));
}

/** The first step at which the dispatchers differ, or undefined. */
export function firstDifference(
  operations: readonly Operation[],
  dispatchers: readonly Dispatcher[],
): { step: number; seen: string[] } | undefined {
  const sides = dispatchers.map((dispatcher) => new Side(dispatcher));
  for (const [step, operation] of operations.entries()) {
    const seen = sides.map((side) => side.perform(operation));
    if (seen.some((text) => text !== seen[0])) return { step, seen };
  }
  return undefined;
}

/** Leaves out steps as long as the rest still shows a difference. */
export async function shrink(
  operations: readonly Operation[],
  fresh: () => Promise<Dispatcher[]>,
): Promise<readonly Operation[]> {
  let failing = operations;
  for (let chunk = failing.length >> 1; chunk > 0; chunk >>= 1) {
    for (let at = 0; at < failing.length; ) {
      const shorter = [...failing.slice(0, at), ...failing.slice(at + chunk)];
      const difference = firstDifference(shorter, await fresh());
      if (difference === undefined) at += chunk;
      else failing = shorter.slice(0, difference.step + 1);
    }
  }
  return failing;
}

/** One dispatcher with its own handles, which stand in the same places on every side. */
export class Side {
  readonly #core: Dispatcher;
  readonly #tasks: number[];
  #funcs: number[] = [];

  /** @param from the side that this one is a fork of; its handles are good here too */
  constructor(core: Dispatcher, from?: Side) {
    this.#core = core;
    this.#tasks = from === undefined ? [core.addTask()] : [...from.#tasks];
    if (from !== undefined) this.#funcs = [...from.#funcs];
  }

  /** Performs a step and says everything that can be seen of it. */
  perform(operation: Operation): string {
    let result: unknown;
    const code = codeOf(() => {
      result = this.#act(operation);
    });
    const site = pick(SITES, operation.a);
    const stack = this.#core.stack(site).map((entry) => this.#describe(entry));
    return [operation.verb, code ?? result, site, ...stack, ...Object.values(this.#counts())].join(' ');
  }

  #act({ verb, a, b, c }: Operation): unknown {
    const core = this.#core;
    const task = pick(this.#tasks, b);
    switch (verb) {
      case 'enable': {
        const newFunc = (pick(SITES, b) ^ BigInt(c)) & (c % 64 === 0 ? 0n : ~0n);
        const flags = { transition: (c & 1) === 0, nop: c % 5 === 0 };
        this.#funcs.push(core.pushFunc(pick(SITES, a), BigInt.asUintN(64, newFunc), c, flags));
        return 'pushed';
      }
      case 'disable':
        return this.#funcs.length > 0 && core.removeFunc(this.#take(b));
      case 'transition':
        return this.#funcs.length > 0 && core.setTransition(pick(this.#funcs, b), (c & 1) === 0);
      case 'switch':
        core.setPatchState(task, pick(STATES, c));
        return core.patchState(task);
      case 'switch-all':
        core.setPatchStateAll(pick(STATES, c));
        return STATES.map((state) => core.tasksIn(state)).join();
      case 'add-task':
        this.#tasks.push(core.addTask());
        return 'added';
      case 'remove-task':
        return this.#tasks.length > 1 && core.removeTask(this.#tasks.splice(b % this.#tasks.length, 1)[0] ?? 0);
      case 'context':
        return core.setContext(task, pick(CONTEXTS, c));
      case 'enter':
        return core.recursionEnter(task);
      case 'leave':
        return core.recursionLeave(task, c % 5);
      case 'call':
        return core.dispatch(pick(SITES, a), task);
    }
  }

  #take(index: number): number {
    return this.#funcs.splice(index % this.#funcs.length, 1)[0] ?? 0;
  }

  #describe({ handle, site, newFunc, owner, transition, nop }: Entry): string {
    return `${this.#funcs.indexOf(handle)}:${site}:${newFunc}:${owner}:${transition}:${nop}`;
  }

  #counts() {
    const { calls, steady, patched, below, exhausted, idle, empty, recursion, nops } = this.#core.counters();
    return { calls, steady, patched, below, exhausted, idle, empty, recursion, nops };
  }
}

function pick<T>(from: readonly T[], index: number): T {
  const item = from[index % from.length];
  if (item === undefined) throw new RangeError('pick: nothing to pick from');
  return item;
}
