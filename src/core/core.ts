// The typed façade over the tables in WASM memory: func stacks, tasks, dispatch and its counters.
import { ERRNO, PatchError } from '../errors.ts';
import { type CoreExports, Instance } from '../wasm/instance.ts';
import { DispatchCounters, type DispatchCounts, type Warning } from './counters.ts';
import { Batch } from './dispatch.ts';
import { type FuncEntry, type FuncFlags, type FuncHandle, FuncStacks } from './func-stacks.ts';
import { type Layout, readLayout } from './layout.ts';
import { type PatchState, type TaskContext, type TaskHandle, Tasks } from './transition.ts';

export type { DispatchCounts, Warning } from './counters.ts';
export type { Batch } from './dispatch.ts';
export type { FuncEntry, FuncFlags, FuncHandle } from './func-stacks.ts';
export type { PatchState, TaskContext, TaskHandle } from './transition.ts';

/** Capacities of the pools, fixed for the core's life. */
export interface CoreOptions {
  /** Sites with a func stack; 65,536 by default. */
  sites?: number;
  /** Funcs on all stacks; 262,144 by default. */
  funcs?: number;
  /** Tasks; 16,384 by default. */
  tasks?: number;
  /** The WASM instance to use, which no other core may share; a new one by default. */
  instance?: Instance;
}

/** Told of each change of stacks and tasks after it is done: whoever keeps a copy of them. */
export interface CoreObserver {
  pushed(func: FuncHandle, site: bigint, newFunc: bigint, flags: FuncFlags): void;
  removed(func: FuncHandle): void;
  transitioned(func: FuncHandle, on: boolean): void;
  /** The patch state of a task, or of all. */
  taskChanged(): void;
  taskRemoved(task: TaskHandle): void;
  /** A bit of a task's guard was taken or given back. */
  guardChanged(task: TaskHandle, bit: number, held: boolean): void;
}

/** Which implementation a patched call runs: the core of redirection. */
export class Core {
  /** At most one. */
  observer: CoreObserver | undefined;
  /** The instance it lives in; the WASM CPU shares it. */
  readonly instance: Instance;
  readonly layout: Layout;
  /**
   * Dispatches a call whose site is held as two 32-bit halves, without making a bigint (L36 to L42).
   * Returns the Func that runs and leaves its new function in `answer`; returns 0, and leaves `answer` alone, where the
   * original runs. A fork replaces it, so do not keep it beyond one.
   */
  dispatchPair: (low: number, high: number, task: TaskHandle) => FuncHandle;
  /** What the module exports, while nobody shares the instance: without asking whose turn it is, a look-up takes 1.5 ns less. */
  #own: CoreExports | undefined;
  readonly #stacks: FuncStacks;
  readonly #tasks: Tasks;
  readonly #counters: DispatchCounters;
  #answer = new Uint32Array(0);
  #version = 0;

  /** Differs after each change of stacks, tasks and patch states; contexts, guards and counters do not count. */
  get version(): number {
    return this.#version;
  }

  /**
   * Makes a core with pools of the given capacities.
   *
   * @throws {RangeError} a capacity is not a positive integer
   * @throws {PatchError} ENOMEM the pools do not fit into memory · EBUSY the instance has a core already
   */
  static async create(options: CoreOptions = {}): Promise<Core> {
    const { sites = 65_536, funcs = 262_144, tasks = 16_384 } = options;
    for (const [name, value] of Object.entries({ sites, funcs, tasks })) {
      if (value >>> 0 !== value || value === 0) {
        throw new RangeError(`"${name}" expected a positive 32-bit integer, got ${value}`);
      }
    }
    const instance = options.instance ?? (await Instance.create());
    const result = instance.exports.init(sites, funcs, tasks);
    if (result === -ERRNO.EBUSY)
      throw new PatchError('EBUSY', 'the instance has a core already', { operation: 'create' });
    if (result < 0) {
      const fact = `no room for pools of ${sites} sites, ${funcs} funcs and ${tasks} tasks`;
      throw new PatchError('ENOMEM', fact, { operation: 'create' });
    }
    return new Core(instance);
  }

  private constructor(instance: Instance, from?: Core) {
    this.instance = instance;
    this.layout = readLayout(instance.exports);
    const shared = (low: number, high: number, task: TaskHandle): FuncHandle =>
      instance.exports.dispatchPair(low, high, task);
    this.dispatchPair = shared;
    if (from === undefined) {
      this.#own = instance.exports;
      this.dispatchPair = this.#own.dispatchPair;
      instance.onShared = () => {
        this.#own = undefined;
        this.dispatchPair = shared;
      };
    }
    this.#stacks = new FuncStacks(instance, this.layout);
    this.#tasks = new Tasks(instance);
    this.#counters = new DispatchCounters(instance, this.layout, from === undefined ? undefined : from.#counters);
    this.#version = from?.version ?? 0;
  }

  /**
   * The core of a fork: its stacks, tasks and counters are as they are here, and so are all handles. Nobody observes it.
   *
   * @param instance a fork of this core's
   */
  fork(instance: Instance): Core {
    return new Core(instance, this);
  }

  /**
   * Pushes an implementation on top of a site's func stack (L29, L30).
   *
   * @param site address of the site
   * @param newFunc where calls go; 0 only for a nop
   * @param owner the caller's number for the patch
   * @throws {PatchError} ENOMEM a pool is full; nothing is changed · EINVAL `newFunc` is 0 and not a nop
   * @throws {RangeError} an address or `owner` is out of range
   */
  pushFunc(site: bigint, newFunc: bigint, owner: number, flags: FuncFlags = {}): FuncHandle {
    const func = this.#stacks.push(site, newFunc, owner, flags);
    this.#version++;
    this.observer?.pushed(func, site, newFunc, flags);
    return func;
  }

  /**
   * Removes an implementation from any position of its stack (L32).
   * @throws {PatchError} EINVAL the handle names none
   */
  removeFunc(func: FuncHandle): void {
    this.#stacks.remove(func);
    this.#version++;
    this.observer?.removed(func);
  }

  /**
   * Makes an implementation visible to patched tasks only, or to all.
   * @throws {PatchError} EINVAL the handle names none
   */
  setTransition(func: FuncHandle, on: boolean): void {
    this.setTransitionMany([func], on);
  }

  /**
   * The same for many; all or none.
   * @throws {PatchError} EINVAL a handle names none
   */
  setTransitionMany(funcs: readonly FuncHandle[], on: boolean): void {
    this.#stacks.setTransition(funcs, on);
    this.#version++;
    if (this.observer !== undefined) for (const func of funcs) this.observer.transitioned(func, on);
  }

  /** A site's func stack, newest first. */
  stack(site: bigint): FuncEntry[] {
    return this.#stacks.stack(site);
  }

  /** The Func on top of a site's stack; 0: the stack is empty. */
  top(site: bigint): FuncHandle {
    return this.#stacks.top(site);
  }

  /**
   * One implementation by its handle.
   * @throws {PatchError} EINVAL the handle names none
   */
  func(func: FuncHandle): FuncEntry {
    return this.#stacks.entry(func);
  }

  /**
   * Adds a task: idle, in task context.
   * @throws {PatchError} ENOMEM the pool is full
   */
  addTask(): TaskHandle {
    this.#version++;
    return this.#tasks.add();
  }

  /** @throws {PatchError} ENOENT no such task */
  removeTask(task: TaskHandle): void {
    this.#tasks.remove(task);
    this.#version++;
    this.observer?.taskRemoved(task);
  }

  /** @throws {PatchError} ENOENT no such task */
  setPatchState(task: TaskHandle, state: PatchState): void {
    this.#tasks.setPatchState(task, state);
    this.#version++;
    this.observer?.taskChanged();
  }

  /** Sets the patch state of every task (L45, L48). */
  setPatchStateAll(state: PatchState): void {
    this.#tasks.setPatchStateAll(state);
    this.#version++;
    this.observer?.taskChanged();
  }

  /** @throws {PatchError} ENOENT no such task */
  patchState(task: TaskHandle): PatchState {
    return this.#tasks.patchState(task);
  }

  /** How many tasks are in this patch state (L73). */
  tasksIn(state: PatchState): number {
    return this.#tasks.count(state);
  }

  /** @throws {PatchError} ENOENT no such task */
  setContext(task: TaskHandle, context: TaskContext): void {
    this.#tasks.setContext(task, context);
  }

  /** @throws {PatchError} ENOENT no such task */
  context(task: TaskHandle): TaskContext {
    return this.#tasks.context(task);
  }

  /**
   * Takes a task's recursion guard, for a handler that runs code which may be traced itself (F44).
   *
   * @returns the bit for recursionLeave, or undefined: refused and counted, so the original runs (L36)
   * @throws {PatchError} ENOENT no such task
   */
  recursionEnter(task: TaskHandle): number | undefined {
    const bit = this.#tasks.enter(task);
    if (bit !== undefined) this.observer?.guardChanged(task, bit, true);
    return bit;
  }

  /** @throws {PatchError} ENOENT no such task · EINVAL the bit is not held */
  recursionLeave(task: TaskHandle, bit: number): void {
    this.#tasks.leave(task, bit);
    this.observer?.guardChanged(task, bit, false);
  }

  /** The bits of its guard that a task holds. @throws {PatchError} ENOENT no such task */
  recursionHeld(task: TaskHandle): number {
    return this.#tasks.held(task);
  }

  /** Where a patched call of `site` by `task` goes, or undefined for the original (L36 to L42). */
  dispatch(site: bigint, task: TaskHandle): bigint | undefined {
    const newIp = BigInt.asUintN(64, (this.#own ?? this.instance.exports).dispatch(site, task));
    return newIp === 0n ? undefined : newIp;
  }

  /**
   * The new function that the last dispatchPair chose: low half, high half. Ask again after each dispatch, since memory
   * may have grown. It lies in one fixed place that is always cached; reading the chosen Func itself costs half as much
   * again at 50,000 functions.
   */
  get answer(): Uint32Array {
    if (this.#answer.length === 0) this.#answer = new Uint32Array(this.instance.memory.buffer, this.layout.answer, 2);
    return this.#answer;
  }

  /**
   * Room for many dispatches in one call. Memory may grow: make it while loading.
   * @throws {PatchError} ENOMEM
   */
  batch(capacity: number): Batch {
    return new Batch(this.instance, capacity);
  }

  /** How often each exit of the ladder was taken. */
  counters(): DispatchCounts {
    return this.#counters.read();
  }

  /** Sets the counters to 0. */
  clearCounters(): void {
    this.instance.exports.clearCounters();
  }

  /** Warnings that came up for the first time: each is returned once (L36, L37, L41). */
  takeWarnings(): Warning[] {
    return this.#counters.takeWarnings();
  }
}
