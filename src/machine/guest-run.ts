// One call of a guest function, in as many pieces as it takes: what it is, where it waits, and what it did so far.
import type { TaskContext } from '../core/core.ts';
import type { RegisterName } from '../engine/engine.ts';
import type { Models } from '../engine/models.ts';
import type { ArrivalWatch } from '../ftrace/arrival.ts';
import type { Task } from '../livepatch/tasks.ts';
import type { Arrival } from './call.ts';
import type { CpuState } from './cpu-state.ts';
import type { Location } from './images.ts';

/** How a run is made. */
export interface GuestRunParts {
  /** For messages: `call`, `probe` … */
  readonly operation: string;
  /** For messages: the function as the caller named it. */
  readonly target: string;
  readonly task: Task;
  readonly context: TaskContext;
  /** All general registers at the function's entry. */
  readonly entry: ReadonlyMap<RegisterName, bigint>;
  readonly buffers: readonly (bigint | undefined)[];
  /** One past the last buffer. */
  readonly dataEnd: bigint;
  /** The address whose reaching is the return. */
  readonly returnTo: bigint;
  readonly budget: number;
}

/**
 * A run has the CPU, or waits with its registers in `cpu`:
 *
 * | cpu       | parked | it                                                                |
 * |-----------|--------|-------------------------------------------------------------------|
 * | undefined | false  | has the CPU, or has ended                                         |
 * | set       | false  | is suspended: its task is in a service, or in an interrupt        |
 * | set       | true   | is parked: its task sleeps until it is resumed                    |
 */
export class GuestRun {
  readonly parts: GuestRunParts;
  /** Instructions retired so far. */
  instructions = 0;
  cpu: CpuState | undefined;
  /** The preempt count with which it waits, where guest code reads it. */
  preemptCount: number | undefined;
  parked = false;
  /** Pieces it ran in: more than one where it was served or slept. */
  pieces = 0;
  /** It is stepped by hand: between two steps the CPU's registers are those with which it waits. */
  stepped = false;
  /** It slept, and has not executed an instruction since. */
  resumed = false;
  /** Where the run parks when it comes there. */
  stopAt: bigint | undefined;
  /** In order; those of calls that a handler made before the call itself arrived are nested. */
  readonly arrivals: { arrival: Arrival; dispatched: boolean; nested: boolean }[] = [];
  watch: ArrivalWatch | undefined;
  /** Whom the caller has told of arrivals. */
  onArrival: ((arrival: Location) => void) | undefined;
  models: Models | undefined;
  /** Arrivals are found block by block, though the engine could find them itself: its handlers may lie anywhere. */
  followed = false;

  constructor(parts: GuestRunParts) {
    this.parts = parts;
  }

  /** The run of a fork, of the same task there; how it is watched is left to whoever has the engine. */
  copy(task: Task): GuestRun {
    const copy = new GuestRun({ ...this.parts, task });
    copy.instructions = this.instructions;
    copy.cpu = this.cpu;
    copy.preemptCount = this.preemptCount;
    copy.parked = this.parked;
    copy.pieces = this.pieces;
    copy.stepped = this.stepped;
    copy.resumed = this.resumed;
    copy.stopAt = this.stopAt;
    copy.followed = this.followed;
    copy.arrivals.push(...this.arrivals);
    return copy;
  }

  /** Where the call itself arrived; undefined before. */
  get arrival(): Arrival | undefined {
    return this.arrivals.find(({ nested }) => !nested)?.arrival;
  }

  /** Instructions that it may still take. */
  get left(): number {
    return Math.max(0, this.parts.budget - this.instructions);
  }
}
