// The running task as guest code sees it: current, its patch state and recursion bits, and the preempt count (F44, F50).
import type { Core, PatchState, TaskContext, TaskHandle } from '../../core/core.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Arena } from '../code-arena.ts';
import { LAYOUT } from './handler.generated.ts';
import { readU64, Struct, writeU64 } from './memory.ts';

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
  readonly #places: Map<TaskHandle, bigint>;
  #current: TaskHandle | undefined;

  /** @param from those of the machine that this one is a fork of */
  constructor(engine: Engine, core: Core, heap: Arena, perCpu: bigint, from?: GuestTasks) {
    this.#places = new Map(from === undefined ? [] : from.#places);
    this.#current = from === undefined ? undefined : from.#current;
    this.#engine = engine;
    this.#core = core;
    this.#heap = heap;
    this.#perCpu = perCpu;
  }

  /**
   * Makes a task the current one, in the context that the core has it in. An outermost call begins with an empty shadow
   * stack, and with the guard's bits as the host holds them.
   */
  begin(task: TaskHandle, outermost: boolean): void {
    this.resume(task, PREEMPT_COUNT[this.#core.context(task)]);
    if (!outermost) return;
    const place = this.#place(task);
    const held = BigInt(this.#core.recursionHeld(task)) << BigInt(LAYOUT.guardFtrace);
    writeU64(this.#engine, place + BigInt(LAYOUT.taskRecursion), held);
    this.#engine.write(place + BigInt(LAYOUT.taskRetIndex), new Struct(4).i32(0, -1).bytes);
  }

  /** Makes a task the current one that goes on where it waited. @param preemptCount that of its context by default */
  resume(task: TaskHandle, preemptCount = PREEMPT_COUNT[this.#core.context(task)]): void {
    this.#current = task;
    writeU64(this.#engine, this.#perCpu + BigInt(LAYOUT.perCpuCurrent), this.#place(task));
    this.#engine.write(this.#perCpu + BigInt(LAYOUT.perCpuPreemptCount), new Struct(4).i32(0, preemptCount).bytes);
    this.update();
  }

  /** The preempt count as it stands. */
  preemptCount(): number {
    const bytes = this.#engine.read(this.#perCpu + BigInt(LAYOUT.perCpuPreemptCount), 4);
    return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
  }

  /** Writes the current task's patch state as the core has it. */
  update(): void {
    if (this.#current === undefined) return;
    const state = PATCH_STATE[this.#core.patchState(this.#current)];
    const place = this.#place(this.#current) + BigInt(LAYOUT.taskPatchState);
    this.#engine.write(place, new Struct(4).i32(0, state).bytes);
  }

  /** The host takes or gives back a bit of a task's guard. */
  setGuard(task: TaskHandle, bit: number, held: boolean): void {
    const place = this.#place(task) + BigInt(LAYOUT.taskRecursion);
    const mask = 1n << BigInt(bit + LAYOUT.guardFtrace);
    const bits = readU64(this.#engine, place);
    writeU64(this.#engine, place, held ? bits | mask : bits & ~mask);
  }

  /** The struct of a task that has run; undefined before. */
  placeOf(task: TaskHandle): bigint | undefined {
    return this.#places.get(task);
  }

  /**
   * Takes the current task's guard that the list func and the assist func share (F44).
   * @returns the bit, or undefined: refused
   */
  enterListGuard(): number | undefined {
    return this.#enter(LAYOUT.guardList);
  }

  leaveListGuard(bit: number): void {
    this.#setCurrent(bit, false);
  }

  /** Whether the guard of handlers would refuse the current task, by what guest code has taken of it (F44). */
  refusesHandlers(): boolean {
    if (this.#current === undefined) return false;
    const held = this.#held();
    const bit = LAYOUT.guardFtrace + this.#contextBit();
    return (
      (held & (1n << BigInt(bit))) !== 0n && (held & (1n << BigInt(LAYOUT.guardFtrace + LAYOUT.guardTransition))) !== 0n
    );
  }

  #enter(guard: number): number | undefined {
    const held = this.#held();
    const bit = [guard + this.#contextBit(), guard + LAYOUT.guardTransition].find(
      (one) => (held & (1n << BigInt(one))) === 0n,
    );
    if (bit !== undefined) this.#setCurrent(bit, true);
    return bit;
  }

  /** By the preempt count, the context's bit in a guard: NMI 0, IRQ 1, softirq 2, normal 3. */
  #contextBit(): number {
    const count = this.preemptCount();
    if ((count & (LAYOUT.preemptNmi * 0xf)) !== 0) return 0;
    if ((count & (LAYOUT.preemptHardirq * 0xf)) !== 0) return 1;
    return (count & LAYOUT.preemptSoftirq) !== 0 ? 2 : 3;
  }

  #held(): bigint {
    return readU64(this.#engine, this.#place(this.#current ?? 0) + BigInt(LAYOUT.taskRecursion));
  }

  #setCurrent(bit: number, on: boolean): void {
    const mask = 1n << BigInt(bit);
    const held = this.#held();
    writeU64(
      this.#engine,
      this.#place(this.#current ?? 0) + BigInt(LAYOUT.taskRecursion),
      on ? held | mask : held & ~mask,
    );
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
