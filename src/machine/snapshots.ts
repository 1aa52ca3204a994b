// Snapshots of a machine: guest memory and registers go back, and nothing else may have changed meanwhile.
import type { Engine, EngineSnapshot, Snapshots } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';

/** A machine at one moment. */
export interface MachineSnapshot {
  /** Guest pages that changed since. */
  readonly changes: number;
}

/** What they work with. */
export interface MachineSnapshotsParts {
  readonly engine: Engine;
  /** @throws {EngineError} EBUSY a call runs or a task waits in one */
  idle(operation: string): void;
  /** All that is not in the guest and that calls leave alone: equal where nothing of it changed. */
  outside(): readonly unknown[];
  /** How many stacks are mapped; `reset` sets it back. */
  readonly areas: { made: number };
}

class Taken implements MachineSnapshot {
  readonly guest: EngineSnapshot;
  readonly outside: readonly unknown[];
  readonly areas: number;

  constructor(guest: EngineSnapshot, outside: readonly unknown[], areas: number) {
    this.guest = guest;
    this.outside = outside;
    this.areas = areas;
  }

  get changes(): number {
    return this.guest.changes;
  }
}

/** See Machine.snapshot. */
export class MachineSnapshots {
  readonly #parts: MachineSnapshotsParts;

  constructor(parts: MachineSnapshotsParts) {
    this.#parts = parts;
  }

  /** See Machine.snapshot. */
  take(): MachineSnapshot {
    const { idle, outside, areas } = this.#parts;
    const snapshots = this.#snapshots('snapshot');
    idle('snapshot');
    return new Taken(snapshots.take(), outside(), areas.made);
  }

  /** See Machine.reset. */
  reset(snapshot: MachineSnapshot): void {
    const { idle, outside, areas } = this.#parts;
    const snapshots = this.#snapshots('reset');
    idle('reset');
    if (!(snapshot instanceof Taken)) {
      throw new EngineError('EINVAL', 'that is no snapshot of a machine', { operation: 'reset' });
    }
    const now = outside();
    if (now.length !== snapshot.outside.length || now.some((fact, i) => fact !== snapshot.outside[i])) {
      const fact = 'images, patches, tasks or services changed since the snapshot; take another one';
      throw new EngineError('EINVAL', fact, { operation: 'reset' });
    }
    snapshots.restore(snapshot.guest);
    areas.made = snapshot.areas;
  }

  /** See Machine.release. */
  release(snapshot: MachineSnapshot): void {
    if (snapshot instanceof Taken) this.#parts.engine.snapshots?.release(snapshot.guest);
  }

  #snapshots(operation: string): Snapshots {
    const { snapshots, name } = this.#parts.engine;
    if (snapshots !== undefined) return snapshots;
    throw new EngineError('EOPNOTSUPP', `engine '${name}' keeps no snapshots; use 'wasm'`, { operation });
  }
}
