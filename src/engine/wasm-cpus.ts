// Several vCPUs over one guest memory: register files that take turns in the CPU's state, as their scheduler says.
import { address as checked } from '../address.ts';
import { EngineError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import type { Exit, VirtualCpus } from './engine.ts';

/** What they need of the engine that they belong to. */
export interface CpusParts {
  /** @throws {EngineError} EBUSY, EINVAL */
  idle(operation: string): void;
  execute(body: () => number): Exit;
}

/** All register files, and whose is current. */
export interface CpuStates {
  readonly current: number;
  readonly states: readonly Uint8Array[];
}

/** See VirtualCpus. */
export class WasmCpus implements VirtualCpus {
  readonly #instance: Instance;
  readonly #parts: CpusParts;
  /** Of those that are not current; that of the current one is stale. */
  #states: Uint8Array[] = [new Uint8Array()];
  #current = 0;

  /** @param from the register files of those of another engine, of which `instance` is a fork */
  constructor(instance: Instance, parts: CpusParts, from?: WasmCpus) {
    this.#instance = instance;
    this.#parts = parts;
    if (from === undefined) return;
    this.#states = [...from.#states];
    this.#current = from.#current;
  }

  get count(): number {
    return this.#states.length;
  }

  get current(): number {
    return this.#current;
  }

  add(): number {
    this.#parts.idle('add vCPU');
    this.#states.push(this.#read());
    return this.#states.length - 1;
  }

  select(cpu: number): void {
    this.#parts.idle('select vCPU');
    const state = this.#states[cpu];
    if (state === undefined) {
      throw new EngineError('EINVAL', `there is no vCPU ${cpu}, but 0 to ${this.count - 1}`, {
        operation: 'select vCPU',
      });
    }
    if (cpu === this.#current) return;
    this.#states[this.#current] = this.#read();
    this.#write(state);
    this.#current = cpu;
  }

  advance(cpu: number, instructions: number, until: bigint): Exit {
    checked(until, 'until');
    if (!Number.isSafeInteger(instructions) || instructions < 0) {
      throw new RangeError(`"instructions" expected a count, got ${instructions}`);
    }
    this.select(cpu);
    const { exports } = this.#instance;
    return this.#parts.execute(() => exports.advance(until, instructions));
  }

  /** What all of them hold now, for a snapshot. */
  save(): CpuStates {
    const states = this.#states.map((state, cpu) => (cpu === this.#current ? this.#read() : state));
    return { current: this.#current, states };
  }

  /** Goes back to what `save` gave; those added since are gone. */
  restore({ current, states }: CpuStates): void {
    this.#states = [...states];
    this.#current = current;
    this.#write(states[current] ?? this.#read());
  }

  #read(): Uint8Array {
    const { exports, u8 } = this.#instance;
    return u8.slice(exports.STATE.value, exports.STATE.value + exports.STATE_SIZE.value);
  }

  #write(state: Uint8Array): void {
    this.#instance.u8.set(state, this.#instance.exports.STATE.value);
  }
}
