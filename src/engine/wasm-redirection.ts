// Redirected calls that never leave WASM: the core answers at the gate, and the CPU finds where calls arrive.
import { address as checked } from '../address.ts';
import { EngineError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import { join } from './blocks.ts';
import {
  type ArrivalState,
  type ArrivalWatcher,
  type Exit,
  type ExpectedEnd,
  GENERAL_REGISTERS,
  type Redirection,
  type RunOptions,
} from './engine.ts';

/** Of Reason in assembly/cpu/state.ts. */
const UNTIL = 1;
// The order of Watch in assembly/cpu/arrival.ts.
const OFF = 0;
const KEEP = 1;
const TELL = 2;
/** Quads of a kept arrival. */
const ARRIVAL = 2;

/** What it needs of the engine that it belongs to. */
export interface WasmRunner {
  /** @throws {EngineError} EBUSY, EINVAL */
  idle(operation: string): void;
  placeGate(address: bigint): void;
  execute(options: RunOptions | undefined, body: () => number): Exit;
  start(options: RunOptions, leaves: boolean): number;
}

/** See Redirection. */
export class WasmRedirection implements Redirection {
  readonly #instance: Instance;
  readonly #runner: WasmRunner;
  #watch: ArrivalWatcher | undefined;

  constructor(instance: Instance, runner: WasmRunner) {
    this.#instance = instance;
    this.#runner = runner;
  }

  useCore(address: bigint): void {
    this.#runner.idle('gate');
    this.#runner.placeGate(address);
    this.#instance.exports.setGateInWasm(true);
  }

  setTask(task: number): void {
    this.#instance.u32[this.#instance.exports.TASK.value / 4] = task;
  }

  setGlue(ranges: BigUint64Array, trampolines: { readonly start: bigint; readonly end: bigint }): void {
    this.#runner.idle('set glue');
    const { exports } = this.#instance;
    const at = exports.glueRanges(ranges.length / 2, trampolines.start, trampolines.end) >>> 0;
    if (at === 0) throw new EngineError('ENOMEM', 'no memory for ranges of code', { operation: 'set glue' });
    this.#instance.u64.set(ranges, at / 8);
    // what was decoded is marked by the ranges of before
    exports.dropAll();
  }

  setStop(address: bigint, on: boolean): void {
    checked(address, 'address');
    if (this.#instance.exports.setStop(address, on)) return;
    throw new EngineError('ENOMEM', 'there are as many stops as fit', { operation: 'set stop' });
  }

  run(options: RunOptions, watch: ArrivalWatcher | undefined, leaves: boolean): Exit {
    this.#runner.idle('run');
    if (watch === undefined) return this.#runner.execute(options, () => this.#runner.start(options, leaves));
    const { exports } = this.#instance;
    exports.watchArrivals(watch.atOnce ? TELL : KEEP, watch.awaited, watch.dispatched, watch.first, watch.entrySp);
    this.#watch = watch;
    try {
      return this.#runner.execute(options, () => this.#runner.start(options, leaves));
    } finally {
      this.#take(watch);
      this.#watch = undefined;
      const state = exports.arrivalState();
      watch.awaited = (state & 1) !== 0;
      watch.dispatched = (state & 2) !== 0;
      exports.watchArrivals(OFF, false, false, false, 0n);
    }
  }

  repeat({ from, until, budget }: RunOptions, times: number, frame: number, expected: ExpectedEnd): number {
    this.#runner.idle('run');
    const { exports, u64 } = this.#instance;
    const { rax, rdx, instructions, arrivals } = expected;
    const at = exports.EXPECTED.value / 8;
    u64.set([rax, rdx, ...arrivals.flatMap(([address, passed]) => [address, passed ? 1n : 0n])], at);
    let done = 0;
    try {
      this.#runner.execute(undefined, () => {
        done = exports.repeat(times, from, until, budget, frame, instructions, arrivals.length) >>> 0;
        return UNTIL;
      });
    } finally {
      exports.watchArrivals(OFF, false, false, false, 0n);
    }
    return done;
  }

  /** The CPU's call; see HostCalls. */
  arrived(low: number, high: number, dispatched: number): number {
    const watch = this.#watch;
    if (watch === undefined) return 0;
    if (watch.atOnce) return watch.arrived(join(low, high), dispatched !== 0, undefined) ? 1 : 0;
    this.#take(watch);
    return 0;
  }

  /** Hands on what the CPU has kept. */
  #take(watch: ArrivalWatcher): void {
    const { exports, u64 } = this.#instance;
    const from = (exports.arrivals() >>> 0) / 8;
    const count = exports.takeArrivals() >>> 0;
    for (let at = from; at < from + count * ARRIVAL; at += ARRIVAL) {
      watch.arrived(u64[at] ?? 0n, u64[at + 1] === 1n, watch.first ? this.#first() : undefined);
    }
  }

  /** The registers at the first arrival. */
  #first(): ArrivalState {
    const at = this.#instance.exports.FIRST_ARRIVAL.value / 8;
    const kept = this.#instance.u64.slice(at, at + GENERAL_REGISTERS.length + 2);
    return {
      register: (name) => kept[GENERAL_REGISTERS.indexOf(name)] ?? 0n,
      returnAddress: kept[17] === 1n ? kept[16] : undefined,
    };
  }
}
