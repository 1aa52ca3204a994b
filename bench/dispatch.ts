// How much faster than Map<bigint> is the core's look-up? Random sites, counters and guard and task state on.
import { pathToFileURL } from 'node:url';
import { Core, type FuncHandle } from '../src/core/core.ts';
import { type Goal, isMet, machineLine, printGoals } from './support/report.ts';
import { type Cases, median, type RoundOptions, timeRounds } from './support/rounds.ts';

/** Calls per run of a case. */
const CALLS = 32_768;
const DEPTH = 16;
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
  /** The same keys as numbers: low half, high half. */
  readonly halves = new Uint32Array(2 * CALLS);
  /** Sum over the halves of the answers to pairs, and of the keys. */
  total = 0;
  keyTotal = 0;
  /** The last answer as a bigint, and the last key. */
  last: bigint | undefined;
  lastKey: bigint | undefined;
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
      this.halves.set([Number(key & 0xffff_ffffn), Number(key >> 32n)], 2 * i);
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
  cases(): Cases {
    const { core, task, map, keys, halves } = this;
    return {
      'bigint loop': () => {
        this.lastKey = lastBigint(keys);
      },
      map: () => {
        this.last = askMap(map, keys);
      },
      bigint: () => {
        this.last = askBigints(core, task, keys);
      },
      'pair loop': () => {
        this.keyTotal = addPairs(halves);
      },
      pair: () => {
        this.total = askPairs(core, task, halves);
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
   * Asks in every way and compares the answers with what the Map says is on top: each one of the batch and of the bigint
   * form, the sum of the pairs', and what the timed loops keep.
   * @throws {Error} an answer is wrong, or a call is not counted
   */
  check(depth: number): void {
    const { core, task, map, keys } = this;
    const cases = this.cases();
    const onTop = depth === 1 ? 0n : 0x1000_0000n + BigInt(depth - 1);
    const expected = keys.map((key) => (map.get(key) ?? 0n) + onTop);
    const before = core.counters().steady;

    cases.batch?.();
    const { answers } = this.batch;
    const wrong = expected.findIndex(
      (answer, i) => answer !== answers[i] || answer !== core.dispatch(keys[i] ?? 0n, task),
    );
    if (wrong >= 0) throw new Error(`bench: call ${wrong} gets a wrong answer`);
    cases.bigint?.();
    if (this.last !== expected.at(-1)) throw new Error('bench: the bigint loop gets a wrong answer');
    cases.pair?.();
    const total = expected.reduce((sum, answer) => (sum + Number(BigInt.asIntN(32, answer ^ (answer >> 32n)))) | 0, 0);
    if (this.total !== total) throw new Error(`bench: the pairs sum to ${this.total}, the Map's answers to ${total}`);

    const counted = core.counters().steady - before;
    if (counted !== 4 * CALLS) throw new Error(`bench: ${counted} calls counted instead of ${4 * CALLS}`);
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

// The loops are functions of their own: V8 optimises each once, with everything it uses in registers.

// The bigint forms keep their last answer only: an array of answers would charge the collector's work to the new ones.

function lastBigint(keys: readonly bigint[]): bigint | undefined {
  let last: bigint | undefined;
  for (let i = 0; i < CALLS; i++) last = keys[i];
  return last;
}

function askMap(map: ReadonlyMap<bigint, bigint>, keys: readonly bigint[]): bigint | undefined {
  let last: bigint | undefined;
  for (let i = 0; i < CALLS; i++) last = map.get(keys[i] ?? 0n);
  return last;
}

function askBigints(core: Core, task: number, keys: readonly bigint[]): bigint | undefined {
  let last: bigint | undefined;
  for (let i = 0; i < CALLS; i++) last = core.dispatch(keys[i] ?? 0n, task);
  return last;
}

function addPairs(halves: Uint32Array): number {
  let total = 0;
  for (let i = 0; i < 2 * CALLS; i += 2) total = (total + ((halves[i] ?? 0) ^ (halves[i + 1] ?? 0))) | 0;
  return total;
}

function askPairs(core: Core, task: number, halves: Uint32Array): number {
  let total = 0;
  for (let i = 0; i < 2 * CALLS; i += 2) {
    core.dispatchPair(halves[i] ?? 0, halves[i + 1] ?? 0, task);
    const { answer } = core;
    total = (total + ((answer[0] ?? 0) ^ (answer[1] ?? 0))) | 0;
  }
  return total;
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
