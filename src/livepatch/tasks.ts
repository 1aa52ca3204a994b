// The tasks of a machine by name: who may call, and who must switch in a transition (L8, L71).
import type { Core, TaskHandle } from '../core/core.ts';
import { PatchError } from '../errors.ts';
import type { Twins } from '../twins.ts';

/** A task. */
export interface Task {
  readonly name: string;
  readonly handle: TaskHandle;
  /** A number for the log; the first task is 1. */
  readonly pid: number;
  /** Runs on another CPU now, so its stack cannot be read (L69). */
  onCpu: boolean;
  /** A kernel thread: it is woken where a user task gets a signal (L72). */
  readonly kthread: boolean;
  /** What klp_send_signals left with it while it had not switched (L72). */
  pending: 'signal' | 'wakeup' | undefined;
}

/** The task of a fork that stands for one of its parent. */
export function copyTask(task: Task): Task {
  return { ...task };
}

/** All tasks of one machine, in the order of their making. */
export class TaskList {
  readonly #core: Core;
  readonly #tasks = new Map<string, Task>();
  #nextPid = 1;

  /**
   * @param names `['init']` where there are none
   * @param fork those of the machine that this one is a fork of: the same tasks, by the same handles
   */
  constructor(core: Core, names: readonly string[] = [], fork?: { readonly from: TaskList; readonly twins: Twins }) {
    this.#core = core;
    if (fork !== undefined) {
      for (const [name, task] of fork.from.#tasks) this.#tasks.set(name, fork.twins.of(task, copyTask));
      this.#nextPid = fork.from.#nextPid;
      return;
    }
    for (const name of names.length === 0 ? ['init'] : names) this.#make(name);
  }

  /** A copy of the list; loops over many tasks use the list itself. */
  get all(): readonly Task[] {
    return [...this.#tasks.values()];
  }

  get size(): number {
    return this.#tasks.size;
  }

  [Symbol.iterator](): Iterator<Task> {
    return this.#tasks.values();
  }

  /** The task that calls unless a call names another: the oldest. */
  get first(): Task {
    const [first] = this.#tasks.values();
    if (first === undefined) throw new PatchError('ENOENT', 'there are no tasks', { operation: 'task' });
    return first;
  }

  get(name: string): Task | undefined {
    return this.#tasks.get(name);
  }

  /** @throws {PatchError} ENOENT no such task */
  need(name: string): Task {
    const task = this.#tasks.get(name);
    if (task === undefined) throw new PatchError('ENOENT', `no task is named '${name}'`, { operation: 'task' });
    return task;
  }

  /**
   * Adds a task; it starts in its parent's patch state (L71).
   *
   * @param parent the first task by default
   * @param kthread it is a kernel thread
   * @throws {PatchError} EEXIST the name is taken · ENOENT no such parent · ENOMEM the pool is full
   */
  add(name: string, parent?: string, kthread = false): Task {
    if (this.#tasks.has(name)) {
      throw new PatchError('EEXIST', `a task is named '${name}' already`, { operation: 'task' });
    }
    const from = parent === undefined ? this.first : this.need(parent);
    const task = this.#make(name, kthread);
    this.#core.setPatchState(task.handle, this.#core.patchState(from.handle));
    return task;
  }

  /** Ends a task. @throws {PatchError} ENOENT no such task · EBUSY it is the last one */
  exit(name: string): void {
    const task = this.need(name);
    if (this.#tasks.size === 1) {
      throw new PatchError('EBUSY', `'${name}' is the last task`, { operation: 'task' });
    }
    this.#core.removeTask(task.handle);
    this.#tasks.delete(name);
  }

  #make(name: string, kthread = false): Task {
    const handle = this.#core.addTask();
    const task: Task = { name, handle, pid: this.#nextPid++, onCpu: false, kthread, pending: undefined };
    this.#tasks.set(name, task);
    return task;
  }
}
