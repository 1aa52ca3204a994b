// Tasks: their patch state (L8), the context they run in and their recursion guard (F44).
import { PatchError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import { check, NO_MEMORY } from './errno.ts';

/** A caller: its offset in WASM memory, never 0. It is used again after the task is removed. */
export type TaskHandle = number;

/** Where a task stands in a transition (L8). */
export type PatchState = 'idle' | 'unpatched' | 'patched';

/** What a task is doing; `task` is the kernel's normal context (F44). */
export type TaskContext = 'task' | 'softirq' | 'irq' | 'nmi';

/** The tasks of one core. */
export class Tasks {
  readonly #instance: Instance;
  readonly #states: Readonly<Record<PatchState, number>>;
  readonly #contexts: Readonly<Record<TaskContext, number>>;
  readonly #refused: number;

  constructor(instance: Instance) {
    const wasm = instance.exports;
    this.#instance = instance;
    this.#states = { idle: wasm.IDLE.value, unpatched: wasm.UNPATCHED.value, patched: wasm.PATCHED.value };
    this.#contexts = {
      task: wasm.CONTEXT_NORMAL.value,
      softirq: wasm.CONTEXT_SOFTIRQ.value,
      irq: wasm.CONTEXT_IRQ.value,
      nmi: wasm.CONTEXT_NMI.value,
    };
    this.#refused = wasm.RECURSION_REFUSED.value;
  }

  /**
   * Adds a task, idle and in task context.
   * @throws {PatchError} ENOMEM the pool is full
   */
  add(): TaskHandle {
    const wasm = this.#instance.exports;
    const result = wasm.addTask();
    if (result === NO_MEMORY) {
      const fact = `no room for a task, the pool of ${wasm.taskCapacity() >>> 0} tasks is full`;
      throw new PatchError('ENOMEM', fact, { operation: 'add task' });
    }
    return result;
  }

  /** @throws {PatchError} ENOENT no such task */
  remove(task: TaskHandle): void {
    check(this.#instance.exports.removeTask(task), 'remove task', () => unknownTask(task));
  }

  /** @throws {PatchError} ENOENT no such task */
  setPatchState(task: TaskHandle, state: PatchState): void {
    check(this.#instance.exports.setPatchState(task, this.#states[state]), 'switch', () => unknownTask(task));
  }

  /** Sets the patch state of every task (L45, L48). */
  setPatchStateAll(state: PatchState): void {
    this.#instance.exports.setPatchStateAll(this.#states[state]);
  }

  /** @throws {PatchError} ENOENT no such task */
  patchState(task: TaskHandle): PatchState {
    const value = this.#instance.exports.patchState(task);
    const name = nameOf(this.#states, value);
    if (name === undefined) throw new PatchError('ENOENT', unknownTask(task), { operation: 'patch state' });
    return name;
  }

  /** How many tasks are in this patch state (L73). */
  count(state: PatchState): number {
    return this.#instance.exports.tasksIn(this.#states[state]) >>> 0;
  }

  /** @throws {PatchError} ENOENT no such task */
  setContext(task: TaskHandle, context: TaskContext): void {
    check(this.#instance.exports.setContext(task, this.#contexts[context]), 'context', () => unknownTask(task));
  }

  /** @throws {PatchError} ENOENT no such task */
  context(task: TaskHandle): TaskContext {
    const value = this.#instance.exports.context(task);
    const name = nameOf(this.#contexts, value);
    if (name === undefined) throw new PatchError('ENOENT', unknownTask(task), { operation: 'context' });
    return name;
  }

  /**
   * Takes the recursion guard for a handler that runs code which may be traced itself (F44).
   *
   * @returns the bit to give back, or undefined: refused and counted as recursion, so the caller runs the original (L36)
   * @throws {PatchError} ENOENT no such task
   */
  enter(task: TaskHandle): number | undefined {
    const bit = this.#instance.exports.recursionEnter(task);
    if (bit === this.#refused) return undefined;
    return check(bit, 'enter', () => unknownTask(task));
  }

  /** The bits of its guard that a task holds. @throws {PatchError} ENOENT no such task */
  held(task: TaskHandle): number {
    return check(this.#instance.exports.recursionHeld(task), 'held', () => unknownTask(task));
  }

  /** @throws {PatchError} ENOENT no such task · EINVAL the bit is not held */
  leave(task: TaskHandle, bit: number): void {
    const result = this.#instance.exports.recursionLeave(task, bit);
    check(result, 'leave', () => `task ${task} does not exist or does not hold bit ${bit}`);
  }
}

function unknownTask(task: TaskHandle): string {
  return `handle ${task} names no task`;
}

function nameOf<Name extends string>(values: Readonly<Record<Name, number>>, value: number): Name | undefined {
  return (Object.keys(values) as Name[]).find((name) => values[name] === value);
}
