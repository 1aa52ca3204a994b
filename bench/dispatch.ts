// How much faster than Map<bigint> is the core's look-up? Random sites, counters and guard and task state on.
import { pathToFileURL } from 'node:url';
import { Core, type FuncHandle } from '../src/core/core.ts';
import { type Goal, isMet, machineLine, printGoals } from './support/report.ts';
import { type Cases, median, type RoundOptions, timeRounds } from './support/rounds.ts';

/** Calls per run of a case. */
const CALLS = 32_768;
const DEPTH = 16;
/** Timed runs keep this many answers (a power of two), so that writing them does not displace what is looked up. */
const KEPT = 64;
const FULL: RoundOptions = { rounds: 9, maxTime: 0.15 };

const GOALS = [
  { functions: 1_000, batch: 4, pair: 4, bigint: 3 },
  { functions: 50_000, batch: 10, pair: 2.5, bigint: 1.2 },
];
const DEPTH_GOAL = 1.3;

/** One core and one Map over the same functions, the calls to make, and a place for every case's answers. */
class Field {
  readonly core: Core;
  readonly task: number;
  readonly map = new Map<bigint, bigint>();
  readonly sites: bigint[] = [];
  readonly keys: bigint[] = Array(CALLS).fill(0n);
  readonly low = new Uint32Array(CALLS);
  readonly high = new Uint32Array(CALLS);
  readonly answers: (bigint | undefined)[] = Array(CALLS).fill(undefined);
  readonly answersLow = new Uint32Array(CALLS);
  readonly answersHigh = new Uint32Array(CALLS);
  readonly batch;
  readonly #random = randomIntegers(1);
  #above: FuncHandle[] = [];

  constructor(core: Core) {
    this.core = core;
    this.task = core.addTask();
    this.batch = core.batch(CALLS);
  }

  /** Patches functions until there are so many, and draws the calls anew. Sites lie as in a kernel's text. */
  grow(functions: number): void {
    let site = this.sites.at(-1) ?? 0xffff_ffff_8100_0004n;
    while (this.sites.length < functions) {
      site += 16n * BigInt(1 + this.#random(30));
      const newFunc = 0xffff_ffff_c000_0010n + 64n * BigInt(this.sites.length);
      this.sites.push(site);
      this.core.pushFunc(site, newFunc, 1);
      this.map.set(site, newFunc);
    }
    for (let i = 0; i < CALLS; i++) {
      const key = this.sites[this.#random(functions)] ?? 0n;
      this.keys[i] = key;
      this.low[i] = Number(key & 0xffff_ffffn);
      this.high[i] = Number(key >> 32n);
    }
    this.batch.sites.set(this.keys);
  }

  /** Piles new implementations on every site, or takes them off again; the answers follow. */
  setDepth(depth: number): void {
    for (const func of this.#above.reverse()) this.core.removeFunc(func);
    this.#above = [];
    for (let level = 1; level < depth; level++) {
      for (const [i, site] of this.sites.entries()) {
        const newFunc = 0xffff_ffff_d000_0010n + 64n * BigInt(i) + BigInt(level);
        this.#above.push(this.core.pushFunc(site, newFunc, level + 1));
      }
    }
  }

  /** Everything timed at depth 1, each with the loop it has to be net of. */
  cases(kept = KEPT): Cases {
    const { core, task, map, keys, low, high, answers, answersLow, answersHigh } = this;
    const mask = kept - 1;
    return {
      'bigint loop': () => {
        for (let i = 0; i < CALLS; i++) answers[i & mask] = keys[i];
      },
      map: () => {
        for (let i = 0; i < CALLS; i++) answers[i & mask] = map.get(keys[i] ?? 0n);
      },
      bigint: () => {
        for (let i = 0; i < CALLS; i++) answers[i & mask] = core.dispatch(keys[i] ?? 0n, task);
      },
      'pair loop': () => {
        for (let i = 0; i < CALLS; i++) {
          answersLow[i & mask] = low[i] ?? 0;
          answersHigh[i & mask] = high[i] ?? 0;
        }
      },
      pair: () => {
        for (let i = 0; i < CALLS; i++) {
          core.dispatchPair(low[i] ?? 0, high[i] ?? 0, task);
          answersLow[i & mask] = core.answerLow;
          answersHigh[i & mask] = core.answerHigh;
        }
      },
      batch: () => {
        this.batch.run(task);
      },
    };
  }

  /** What is timed at depth 16. */
  deepCases(): Cases {
    const { batch, pair } = this.cases();
    return { batch: batch ?? noCase, pair: pair ?? noCase };
  }

  /**
   * Runs each way of asking once and compares every answer with what is on top, and their sum with the Map's.
   * @throws {Error} an answer is wrong
   */
  check(depth: number): void {
    const cases = this.cases(CALLS);
    const above = BigInt(depth - 1);
    const expected = this.keys.map((key) => {
      const newFunc = this.map.get(key) ?? 0n;
      return depth === 1 ? newFunc : newFunc + 0x1000_0000n + above;
    });
    const total = sum(expected);
    const before = this.core.counters().steady;
    const seen: Record<string, () => Iterable<bigint | undefined>> = {
      ...(depth === 1 ? { map: () => this.answers } : {}),
      bigint: () => this.answers,
      pair: () => Array.from(this.answersLow, (low, i) => (BigInt(this.answersHigh[i] ?? 0) << 32n) | BigInt(low)),
      batch: () => this.batch.answers,
    };
    for (const [name, answers] of Object.entries(seen)) {
      cases[name]?.();
      const got = [...answers()];
      const wrong = expected.findIndex((answer, i) => answer !== got[i]);
      if (wrong >= 0 || sum(got) !== total) throw new Error(`bench: ${name} gives a wrong answer for call ${wrong}`);
    }
    const counted = this.core.counters().steady - before;
    if (counted !== 3 * CALLS) throw new Error(`bench: ${counted} calls counted instead of ${3 * CALLS}`);
  }
}

/**
 * Measures, or with `quick` only checks that every way of asking gives the right answers.
 * @returns the rows; none with `quick`
 */
export async function benchDispatch({ quick = false }: { quick?: boolean } = {}): Promise<Goal[]> {
  const rows: Goal[] = [];
  // One core for all sizes: V8 calls into WASM 4 ns slower from a place that has seen two instances.
  const most = Math.max(...GOALS.map(({ functions }) => functions));
  const field = new Field(await Core.create({ funcs: most * DEPTH }));
  for (const goals of GOALS) {
    field.setDepth(1);
    field.grow(goals.functions);
    rows.push(...(await measure(field, goals, quick)));
  }
  return rows;
}

async function measure(field: Field, goals: (typeof GOALS)[number], quick: boolean): Promise<Goal[]> {
  field.check(1);
  field.setDepth(DEPTH);
  field.check(DEPTH);
  field.setDepth(1);
  field.check(1);
  if (quick) return [];

  const shallow = new Map<string, number[]>();
  const deep = new Map<string, number[]>();
  for (let round = 0; round < FULL.rounds; round++) {
    field.setDepth(1);
    append(shallow, await timeRounds(rotate(field.cases(), round), { ...FULL, rounds: 1 }));
    field.setDepth(DEPTH);
    append(deep, await timeRounds(rotate(field.deepCases(), round), { ...FULL, rounds: 1 }));
  }
  field.check(DEPTH);

  const ns = (figures: Map<string, number[]>, name: string) => (median(figures.get(name) ?? []) / CALLS) * 1e9;
  const map = ns(shallow, 'map') - ns(shallow, 'bigint loop');
  const bigint = ns(shallow, 'bigint') - ns(shallow, 'bigint loop');
  const pair = ns(shallow, 'pair') - ns(shallow, 'pair loop');
  const batch = ns(shallow, 'batch');
  const deepPair = ns(deep, 'pair') - ns(shallow, 'pair loop');
  const deepBatch = ns(deep, 'batch');
  const at = `at ${goals.functions.toLocaleString('en')}`;
  const times = [
    ['Map', map],
    ['bigint', bigint],
    ['pair', pair],
    ['batch', batch],
  ] as const;
  console.log(`${at} functions, ns per call: ${times.map(([name, time]) => `${name} ${time.toFixed(1)}`).join(', ')}`);
  return [
    { what: `batch in WASM memory, ${at}`, figure: map / batch, goal: goals.batch, better: 'more' },
    { what: `u32 pair from JS, ${at}`, figure: map / pair, goal: goals.pair, better: 'more' },
    { what: `bigint from JS, ${at}`, figure: map / bigint, goal: goals.bigint, better: 'more' },
    { what: `batch, depth 16 to depth 1, ${at}`, figure: deepBatch / batch, goal: DEPTH_GOAL, better: 'less' },
    { what: `u32 pair, depth 16 to depth 1, ${at}`, figure: deepPair / pair, goal: DEPTH_GOAL, better: 'less' },
  ];
}

function rotate(cases: Cases, by: number): Cases {
  const entries = Object.entries(cases);
  return Object.fromEntries(entries.map((_, i) => entries[(i + by) % entries.length] ?? ['', noCase]));
}

function append(to: Map<string, number[]>, from: Map<string, number[]>): void {
  for (const [name, figures] of from) to.set(name, [...(to.get(name) ?? []), ...figures]);
}

function noCase(): void {
  throw new Error('bench: no such case');
}

function sum(values: readonly (bigint | undefined)[]): bigint {
  return values.reduce<bigint>((total, value) => total + (value ?? 0n), 0n);
}

/** Seeded, so that every run makes the same calls (a linear congruential generator, Numerical Recipes' constants). */
function randomIntegers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  benchDispatch({ quick: process.argv.includes('--quick') }).then((rows) => {
    printGoals('dispatch against Map<bigint>, net of the empty loop', rows);
    console.log(machineLine());
    if (!rows.every(isMet)) process.exitCode = 1;
  });
}
