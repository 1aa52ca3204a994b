// The reference dispatcher: rules L26 to L42 and F44 in plain arrays, slow and obvious; shares no code with src/.
import type { Dispatcher, Entry } from './subjects.ts';

interface Func extends Entry {
  site: bigint;
}

interface Task {
  handle: number;
  state: 'idle' | 'unpatched' | 'patched';
  context: 'task' | 'softirq' | 'irq' | 'nmi';
  /** Bits that are taken. */
  held: number[];
}

const BITS = { nmi: 0, irq: 1, softirq: 2, task: 3 };
const TRANSITION_BIT = 4;

function refuse(code: string): never {
  throw Object.assign(new Error(code), { code });
}

export class Reference implements Dispatcher {
  /** Every Func that is on a stack, oldest first. */
  #funcs: Func[] = [];
  #tasks: Task[] = [];
  #handles = 0;
  #counts = { steady: 0, patched: 0, below: 0, exhausted: 0, idle: 0, empty: 0, recursion: 0, nops: 0 };
  #room: { sites: number; funcs: number; tasks: number };

  constructor(room: { sites: number; funcs: number; tasks: number }) {
    this.#room = room;
  }

  pushFunc(site: bigint, newFunc: bigint, owner: number, flags: { transition?: boolean; nop?: boolean } = {}): number {
    const { transition = false, nop = false } = flags;
    if (newFunc === 0n && !nop) refuse('EINVAL');
    if (this.#funcs.length === this.#room.funcs) refuse('ENOMEM');
    const sites = new Set(this.#funcs.map((func) => func.site));
    if (!sites.has(site) && sites.size === this.#room.sites) refuse('ENOMEM');
    const handle = ++this.#handles;
    this.#funcs.push({ handle, site, newFunc, owner, transition, nop });
    return handle;
  }

  removeFunc(handle: number): void {
    const func = this.#func(handle);
    this.#funcs = this.#funcs.filter((other) => other !== func);
  }

  setTransition(handle: number, on: boolean): void {
    this.#func(handle).transition = on;
  }

  stack(site: bigint): Func[] {
    return this.#funcs.filter((func) => func.site === site).reverse();
  }

  addTask(): number {
    if (this.#tasks.length === this.#room.tasks) refuse('ENOMEM');
    const handle = ++this.#handles;
    this.#tasks.push({ handle, state: 'idle', context: 'task', held: [] });
    return handle;
  }

  removeTask(handle: number): void {
    const task = this.#task(handle);
    this.#tasks = this.#tasks.filter((other) => other !== task);
  }

  setPatchState(handle: number, state: Task['state']): void {
    this.#task(handle).state = state;
  }

  setPatchStateAll(state: Task['state']): void {
    for (const task of this.#tasks) task.state = state;
  }

  patchState(handle: number): Task['state'] {
    return this.#task(handle).state;
  }

  tasksIn(state: Task['state']): number {
    return this.#tasks.filter((task) => task.state === state).length;
  }

  setContext(handle: number, context: Task['context']): void {
    this.#task(handle).context = context;
  }

  recursionEnter(handle: number): number | undefined {
    const task = this.#task(handle);
    const bit = [BITS[task.context], TRANSITION_BIT].find((wanted) => !task.held.includes(wanted)); // F44
    if (bit === undefined) this.#counts.recursion++;
    else task.held.push(bit);
    return bit;
  }

  recursionLeave(handle: number, bit: number): void {
    const task = this.#task(handle);
    if (!task.held.includes(bit)) refuse('EINVAL');
    task.held = task.held.filter((other) => other !== bit);
  }

  dispatch(site: bigint, handle: number): bigint | undefined {
    const bit = this.recursionEnter(handle);
    if (bit === undefined) return undefined; // L36
    const func = this.#choose(this.stack(site), this.#task(handle).state);
    this.recursionLeave(handle, bit);
    if (func?.nop) this.#counts.nops++;
    return func === undefined || func.nop ? undefined : func.newFunc; // L42
  }

  counters() {
    const { nops, ...exits } = this.#counts;
    const calls = Object.values(exits).reduce((sum, count) => sum + count, 0);
    return { ...this.#counts, calls };
  }

  #choose([top, below]: Func[], state: Task['state']): Func | undefined {
    const counts = this.#counts;
    if (top === undefined) {
      counts.empty++; // L37
      return undefined;
    }
    if (!top.transition) {
      counts.steady++; // L38
      return top;
    }
    switch (state) {
      case 'patched':
        counts.patched++; // L39
        return top;
      case 'unpatched':
        if (below === undefined) counts.exhausted++;
        else counts.below++;
        return below; // L40
      case 'idle':
        counts.idle++; // L41
        return top;
    }
  }

  #func(handle: number): Func {
    return this.#funcs.find((func) => func.handle === handle) ?? refuse('EINVAL');
  }

  #task(handle: number): Task {
    return this.#tasks.find((task) => task.handle === handle) ?? refuse('ENOENT');
  }
}
