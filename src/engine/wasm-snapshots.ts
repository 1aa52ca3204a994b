// Snapshots of the WASM CPU: its log of changed pages (assembly/cpu/undo.ts), its state, and what is mapped.
import { EngineError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import type { EngineSnapshot, Snapshots } from './engine.ts';
import type { Mappings, Region } from './mappings.ts';
import type { CpuStates, WasmCpus } from './wasm-cpus.ts';

/** What a snapshot is made of, beside guest memory. */
export interface SnapshotsParts {
  readonly mappings: Mappings;
  readonly cpus: WasmCpus;
  /** @throws {EngineError} EBUSY the engine runs · EINVAL it is disposed */
  idle(operation: string): void;
}

/** One snapshot; it stands somewhere in the log. */
class WasmSnapshot implements EngineSnapshot {
  readonly mark: number;
  readonly cpus: CpuStates;
  readonly regions: readonly Region[];
  readonly #changes: (mark: number) => number;

  constructor(mark: number, cpus: CpuStates, regions: readonly Region[], changes: (mark: number) => number) {
    this.mark = mark;
    this.cpus = cpus;
    this.regions = regions;
    this.#changes = changes;
  }

  get changes(): number {
    return this.#changes(this.mark);
  }
}

/** See Snapshots. */
export class WasmSnapshots implements Snapshots {
  readonly #instance: Instance;
  readonly #parts: SnapshotsParts;
  /** Those that can be gone back to, the oldest first. */
  #taken: WasmSnapshot[] = [];

  constructor(instance: Instance, parts: SnapshotsParts) {
    this.#instance = instance;
    this.#parts = parts;
  }

  take(): EngineSnapshot {
    this.#parts.idle('snapshot');
    const { mappings, cpus } = this.#parts;
    const mark = this.#instance.exports.takeSnapshot() >>> 0;
    const changes = (from: number): number => this.#instance.exports.changesSince(from) >>> 0;
    const snapshot = new WasmSnapshot(mark, cpus.save(), mappings.copy(), changes);
    this.#taken.push(snapshot);
    return snapshot;
  }

  restore(snapshot: EngineSnapshot): void {
    this.#parts.idle('restore');
    const at = snapshot instanceof WasmSnapshot ? this.#taken.indexOf(snapshot) : -1;
    const found = this.#taken[at];
    if (found === undefined) {
      throw new EngineError('EINVAL', 'the snapshot is gone, or of another engine', { operation: 'restore' });
    }
    this.#instance.exports.goBack(found.mark);
    this.#parts.cpus.restore(found.cpus);
    this.#parts.mappings.replace(found.regions);
    this.#taken.length = at + 1;
  }

  release(snapshot: EngineSnapshot): void {
    const before = this.#taken.length;
    this.#taken = this.#taken.filter((one) => one !== snapshot);
    if (before > 0 && this.#taken.length === 0) this.#instance.exports.forgetSnapshots();
  }
}
