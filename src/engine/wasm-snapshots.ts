// Snapshots of the WASM CPU: its log of changed pages (assembly/cpu/undo.ts), its state, and what is mapped.
import { EngineError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import type { EngineSnapshot, Snapshots } from './engine.ts';
import type { Mappings, Region } from './mappings.ts';

/** One snapshot; it stands somewhere in the log. */
class WasmSnapshot implements EngineSnapshot {
  readonly mark: number;
  readonly state: Uint8Array;
  readonly regions: readonly Region[];
  readonly #changes: (mark: number) => number;

  constructor(mark: number, state: Uint8Array, regions: readonly Region[], changes: (mark: number) => number) {
    this.mark = mark;
    this.state = state;
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
  readonly #mappings: Mappings;
  readonly #idle: (operation: string) => void;
  /** Those that can be gone back to, the oldest first. */
  #taken: WasmSnapshot[] = [];

  /** @param idle throws where the engine runs or is disposed */
  constructor(instance: Instance, mappings: Mappings, idle: (operation: string) => void) {
    this.#instance = instance;
    this.#mappings = mappings;
    this.#idle = idle;
  }

  take(): EngineSnapshot {
    this.#idle('snapshot');
    const { exports, u8 } = this.#instance;
    const mark = exports.takeSnapshot() >>> 0;
    const state = u8.slice(exports.STATE.value, exports.STATE.value + exports.STATE_SIZE.value);
    const snapshot = new WasmSnapshot(mark, state, this.#mappings.copy(), (from) => exports.changesSince(from) >>> 0);
    this.#taken.push(snapshot);
    return snapshot;
  }

  restore(snapshot: EngineSnapshot): void {
    this.#idle('restore');
    const at = snapshot instanceof WasmSnapshot ? this.#taken.indexOf(snapshot) : -1;
    const found = this.#taken[at];
    if (found === undefined) {
      throw new EngineError('EINVAL', 'the snapshot is gone, or of another engine', { operation: 'restore' });
    }
    const { exports, u8 } = this.#instance;
    exports.goBack(found.mark);
    u8.set(found.state, exports.STATE.value);
    this.#mappings.replace(found.regions);
    this.#taken.length = at + 1;
  }

  release(snapshot: EngineSnapshot): void {
    const before = this.#taken.length;
    this.#taken = this.#taken.filter((one) => one !== snapshot);
    if (before > 0 && this.#taken.length === 0) this.#instance.exports.forgetSnapshots();
  }
}
