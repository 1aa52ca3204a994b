// Many dispatches at once, over site addresses that lie in WASM memory.
import { PatchError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import type { TaskHandle } from './transition.ts';

/** Room in WASM memory for a number of site addresses and their answers. */
export class Batch {
  /** How many dispatches fit. */
  readonly capacity: number;
  readonly #instance: Instance;
  readonly #sites: number;
  readonly #answers: number;

  /**
   * Reserves the room; memory may grow, so do this while loading.
   * @throws {RangeError} `capacity` is not a positive integer
   * @throws {PatchError} ENOMEM
   */
  constructor(instance: Instance, capacity: number) {
    if (!Number.isSafeInteger(capacity) || capacity <= 0) {
      throw new RangeError(`"capacity" expected a positive integer, got ${capacity}`);
    }
    const bytes = capacity * 16;
    const at = bytes < 2 ** 32 ? instance.exports.reserve(bytes) >>> 0 : 0;
    if (at === 0) {
      throw new PatchError('ENOMEM', `no room for ${capacity} sites and their answers`, { operation: 'batch' });
    }
    this.capacity = capacity;
    this.#instance = instance;
    this.#sites = at;
    this.#answers = at + capacity * 8;
  }

  /** The site addresses, to be filled by the caller; ask again after memory grew. */
  get sites(): BigUint64Array {
    return new BigUint64Array(this.#instance.memory.buffer, this.#sites, this.capacity);
  }

  /** The new instruction pointers of the last run; 0 where the original runs. Ask again after memory grew. */
  get answers(): BigUint64Array {
    return new BigUint64Array(this.#instance.memory.buffer, this.#answers, this.capacity);
  }

  /**
   * Dispatches the first `count` sites as `task`.
   *
   * @returns how many of them left the original
   * @throws {RangeError} `count` is more than the capacity
   */
  run(task: TaskHandle, count: number = this.capacity): number {
    if (count >>> 0 !== count || count > this.capacity) {
      throw new RangeError(`"count" expected 0 to ${this.capacity}, got ${count}`);
    }
    return this.#instance.exports.dispatchBatch(this.#sites, this.#answers, count, task) >>> 0;
  }
}
