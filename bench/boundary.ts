// In what form do 64-bit addresses cross from JavaScript to WASM fastest? Each form asks the core's look-up.
import { Core } from '../src/core/core.ts';
import { type Cases, type Figures, median, timeRound } from './support/rounds.ts';
import type { SuiteOptions, SuiteResult } from './support/suite.ts';

const CALLS = 4096;
const FUNCTIONS = 1000;
const ROUNDS = 9;
const SECONDS = 0.12;
const SITE = 0xffff_ffff_8100_0004n;
const NEW = 0xffff_ffff_c000_0010n;

/** The calls in every form, and the sum of their answers' low halves. */
class Crossing {
  readonly #core: Core;
  readonly #task: number;
  readonly #keys: bigint[];
  readonly #halves: Uint32Array;
  readonly #slots = new BigUint64Array(2);
  readonly #view = new DataView(new ArrayBuffer(16));
  sum = 0;

  constructor(core: Core) {
    this.#core = core;
    this.#task = core.addTask();
    for (let i = 0; i < FUNCTIONS; i++) core.pushFunc(SITE + 16n * BigInt(i), NEW + 64n * BigInt(i), 1);
    this.#keys = Array.from({ length: CALLS }, (_, i) => SITE + 16n * BigInt((i * 389) % FUNCTIONS));
    this.#halves = Uint32Array.from(this.#keys.flatMap((key) => [Number(key & 0xffff_ffffn), Number(key >> 32n)]));
  }

  readonly cases: Cases = {
    bigint: () => this.#bigint(),
    slot: () => this.#slot(),
    'data view': () => this.#dataView(),
    'u32 pair': () => this.#pair(),
    'split and join': () => this.#splitAndJoin(),
  };

  #bigint(): void {
    const core = this.#core;
    const task = this.#task;
    let sum = 0;
    for (const key of this.#keys) sum = (sum + Number(BigInt.asIntN(32, core.dispatch(key, task) ?? 0n))) | 0;
    this.sum = sum;
  }

  /** Through a BigUint64Array and back, as a host would that keeps registers in one. */
  #slot(): void {
    const core = this.#core;
    const task = this.#task;
    const slots = this.#slots;
    let sum = 0;
    for (const key of this.#keys) {
      slots[0] = key;
      slots[1] = core.dispatch(slots[0], task) ?? 0n;
      sum = (sum + Number(BigInt.asIntN(32, slots[1]))) | 0;
    }
    this.sum = sum;
  }

  #dataView(): void {
    const core = this.#core;
    const task = this.#task;
    const view = this.#view;
    let sum = 0;
    for (const key of this.#keys) {
      view.setBigUint64(0, key, true);
      view.setBigUint64(8, core.dispatch(view.getBigUint64(0, true), task) ?? 0n, true);
      sum = (sum + view.getInt32(8, true)) | 0;
    }
    this.sum = sum;
  }

  #pair(): void {
    const core = this.#core;
    const task = this.#task;
    const halves = this.#halves;
    let sum = 0;
    for (let i = 0; i < halves.length; i += 2) {
      core.dispatchPair(halves[i] ?? 0, halves[i + 1] ?? 0, task);
      sum = (sum + (core.answer[0] ?? 0)) | 0;
    }
    this.sum = sum;
  }

  /** From a bigint to halves and back: what a caller pays that holds the other form. */
  #splitAndJoin(): void {
    const core = this.#core;
    const task = this.#task;
    let sum = 0;
    for (const key of this.#keys) {
      core.dispatchPair(Number(key & 0xffff_ffffn), Number(key >> 32n), task);
      const { answer } = core;
      const joined = (BigInt(answer[1] ?? 0) << 32n) | BigInt(answer[0] ?? 0);
      sum = (sum + Number(BigInt.asIntN(32, joined))) | 0;
    }
    this.sum = sum;
  }
}

/**
 * Measures each form, or with `quick` only that all of them give the same answers.
 * @throws {Error} two forms differ
 */
export async function benchBoundary({ quick }: SuiteOptions): Promise<SuiteResult> {
  const crossing = new Crossing(await Core.create());
  const sums = Object.entries(crossing.cases).map(([name, run]) => {
    run();
    return [name, crossing.sum] as const;
  });
  const different = sums.find(([, sum]) => sum !== sums[0]?.[1]);
  if (different !== undefined || sums[0]?.[1] === 0) throw new Error(`bench: the form '${different?.[0]}' differs`);
  if (quick) return { goals: [] };
  const figures: Figures = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    await timeRound(`boundary, round ${round + 1} of ${ROUNDS}`, crossing.cases, round, SECONDS, figures);
  }
  const ns = Object.fromEntries([...figures].map(([name, seconds]) => [name, (median(seconds) / CALLS) * 1e9]));
  console.log('ns per look-up, crossing included:');
  for (const [name, value] of Object.entries(ns)) console.log(`  ${name.padEnd(16)} ${value.toFixed(1).padStart(7)}`);
  return { goals: [], data: { ns } };
}
