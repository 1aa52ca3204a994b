// The running task as guest code sees it: current, its patch state and recursion bits, and the preempt count (F44, F50).
import type { Core, PatchState, TaskContext, TaskHandle } from '../../core/core.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Arena } from '../code-arena.ts';
import { LAYOUT } from './handler.generated.ts';
import { Struct, writeU64 } from './memory.ts';

const PATCH_STATE: Readonly<Record<PatchState, number>> = { idle: -1, unpatched: 0, patched: 1 };
const PREEMPT_COUNT: Readonly<Record<TaskContext, number>> = {
  nmi: LAYOUT.preemptNmi,
  irq: LAYOUT.preemptHardirq,
  softirq: LAYOUT.preemptSoftirq,
  task: 0,
};

/** The task structs of one guest; one is made when its task first runs. */
export class GuestTasks {
  readonly #engine: Engine;
  readonly #core: Core;
  readonly #heap: Arena;
  readonly #perCpu: bigint;
  readonly #places = new Map<TaskHandle, bigint>();
  #current: TaskHandle | undefined;

  constructor(engine: Engine, core: Core, heap: Arena, perCpu: bigint) {
    this.#engine = engine;
    this.#core = core;
    this.#heap = heap;
    this.#perCpu = perCpu;
  }

  /** Makes a task the current one; its shadow stack and recursion bits stay as they are. */
  enter(task: TaskHandle): void {
    this.#current = task;
    writeU64(this.#engine, this.#perCpu + BigInt(LAYOUT.perCpuCurrent), this.#place(task));
    this.update();
  }

  /** Empties the current task's shadow stack and sets its recursion bits, for a call from outside. */
  begin(): void {
    if (this.#current === undefined) return;
    const place = this.#place(this.#current);
    const held = BigInt(this.#core.recursionHeld(this.#current)) << BigInt(LAYOUT.guardFtrace);
    writeU64(this.#engine, place + BigInt(LAYOUT.taskRecursion), held);
    this.#engine.write(place + BigInt(LAYOUT.taskRetIndex), new Struct(4).i32(0, -1).bytes);
  }

  /** Writes what the core knows of the current task: its patch state and context. */
  update(): void {
    if (this.#current === undefined) return;
    const place = this.#place(this.#current);
    const state = PATCH_STATE[this.#core.patchState(this.#current)];
    this.#engine.write(place + BigInt(LAYOUT.taskPatchState), new Struct(4).i32(0, state).bytes);
    const count = PREEMPT_COUNT[this.#core.context(this.#current)];
    this.#engine.write(this.#perCpu + BigInt(LAYOUT.perCpuPreemptCount), new Struct(4).i32(0, count).bytes);
  }

  /** A task that is gone is no longer the current one. */
  removed(task: TaskHandle): void {
    if (this.#current === task) this.#current = undefined;
  }

  #place(task: TaskHandle): bigint {
    let place = this.#places.get(task);
    if (place === undefined) {
      place = this.#heap.allocate(LAYOUT.task);
      this.#engine.write(place, new Struct(LAYOUT.task).i32(LAYOUT.taskRetIndex, -1).bytes);
      this.#places.set(task, place);
    }
    return place;
  }
}
