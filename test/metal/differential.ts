// Many seeded cases of every instruction, and programs, on the bare CPU and on every engine: nothing may differ unexplained.
//
// Run: npm run isa:differential -- [--cases 500000] [--seed N] [--engines wasm,unicorn,unicorn-native] [--codes REGEX]
// Exit 1 where something differs that explained.ts and the engines' tables do not explain; 3 without a bare CPU to ask.

import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { createEngine } from '../../src/engine/create.ts';
import type { Engine, EngineName } from '../../src/engine/engine.ts';
import * as unicornMeasured from '../../src/engine/unicorn-measured.ts';
import * as nativeMeasured from '../../src/engine/unicorn-native-measured.ts';
import { table } from '../../src/report/table.ts';
import { branchingPrograms } from './branching.ts';
import type { CodeRow } from './codes.ts';
import { MetalBench, type Mismatch } from './compare.ts';
import { explained, UNICORN_STATED } from './explained.ts';
import { casesOf } from './generate.ts';
import type { Case } from './layout.ts';
import { buildNative, type Native, runNative } from './native.ts';
import { PROGRAM, programRows, programs } from './programs.ts';
import { allRows } from './sections.ts';
import { pairsOf } from './vectors.ts';

/** Part of the cases that are programs, half of them with control flow. */
const PROGRAM_SHARE = 1 / 8;
/** Cases that are held in memory at a time. */
const CHUNK = 2000;

/** What one engine did. */
export interface Tally {
  cases: number;
  judged: number;
  /** Explained differences, by kind. */
  explained: Map<string, number>;
  /** The first unexplained one of each code, and how many there are. */
  unexplained: Map<string, { count: number; example: Mismatch }>;
}

/** An engine, made anew after what it does not survive. */
class Subject {
  readonly name: EngineName;
  readonly tally: Tally = { cases: 0, judged: 0, explained: new Map(), unexplained: new Map() };
  readonly #seed: number;
  #engine: Engine | undefined;
  #bench: MetalBench | undefined;

  constructor(name: EngineName, seed: number) {
    this.name = name;
    this.#seed = seed;
  }

  /** @throws {EngineError} the engine is not here */
  async run(pairs: Iterable<{ input: Case; result: Parameters<MetalBench['run']>[1] }>): Promise<void> {
    for (const { input, result } of pairs) {
      const bench = await this.#open();
      const mismatch = bench.run(input, result);
      this.tally.cases++;
      if (mismatch?.kind !== 'refused') this.tally.judged++;
      if (mismatch !== undefined) this.#note(mismatch, input, result.rip);
      // Unicorn keeps an exception that it has raised, and makes a double fault of the next one
      const spent = this.name !== 'wasm' && result.vector !== undefined && result.vector !== 14;
      if (mismatch?.kind === 'broken' || spent) this.dispose();
    }
  }

  dispose(): void {
    this.#engine?.dispose();
    this.#engine = undefined;
    this.#bench = undefined;
  }

  async #open(): Promise<MetalBench> {
    if (this.#bench !== undefined) return this.#bench;
    this.#engine = await createEngine(this.name);
    this.#bench = new MetalBench(this.#engine, this.#seed);
    return this.#bench;
  }

  #note(mismatch: Mismatch, input: Case, rip: bigint): void {
    const { kind } = mismatch;
    const known =
      kind === 'refused' || (this.name === 'wasm' ? explained(mismatch, input, rip) : UNICORN_STATED.has(kind));
    if (known) {
      this.tally.explained.set(kind, (this.tally.explained.get(kind) ?? 0) + 1);
      return;
    }
    const entry = this.tally.unexplained.get(input.code) ?? { count: 0, example: mismatch };
    entry.count++;
    this.tally.unexplained.set(input.code, entry);
  }
}

/** Floating-point arithmetic: where two NaNs met, Unicorn's programs go on with another one. */
const FLOAT = /^(Add|Sub|Mul|Div|Hadd|Hsub|Addsub|Dp|Min|Max|Sqrt|Round|Cvt\w*?)[ps][sd]/;

/** Rows for programs on every engine: those that no engine's table keeps out. */
function commonRows(rows: readonly CodeRow[]): CodeRow[] {
  const tables = [unicornMeasured, nativeMeasured];
  const kept = new Set(tables.flatMap(({ WRONG, WRONG_WITH }) => [...WRONG, ...WRONG_WITH].map(([name]) => name)));
  return programRows(rows).filter(
    (row) => !kept.has(row.name) && !kept.has(row.mnemonic.toLowerCase()) && !FLOAT.test(row.name),
  );
}

/** What to compare. */
export interface DifferentialOptions {
  /** Cases on each engine, at least, where `codes` leaves any. */
  cases: number;
  seed: number;
  engines: readonly EngineName[];
  /** Codes to compare, by name; programs are made of all of them, and only where that matches `program`. */
  codes?: RegExp;
  /** Called after each code. */
  onCode?: (done: number, total: number) => void;
}

/** Runs seeded cases on the bare CPU and on every engine. @throws {EngineError} an engine is not here */
export async function differential(native: Native, options: DifferentialOptions): Promise<Map<EngineName, Tally>> {
  const { cases, seed, codes = /./ } = options;
  const present = new Set(native.host.features);
  const rows = allRows().filter((row) => codes.test(row.name) && row.features.every((feature) => present.has(feature)));
  const subjects = options.engines.map((name) => new Subject(name, seed));
  const perRow = Math.ceil((cases * (1 - PROGRAM_SHARE)) / rows.length);
  const all = new Batch(native, seed, subjects);
  const wasm = new Batch(
    native,
    seed,
    subjects.filter(({ name }) => name === 'wasm'),
  );
  for (const [done, row] of rows.entries()) {
    await (row.privileged ? wasm : all).add(casesOf(row, perRow, seed));
    options.onCode?.(done + 1, rows.length);
  }
  await all.flush();
  if (codes.test(PROGRAM)) {
    const fewest = Math.min(...subjects.map(({ tally }) => tally.cases));
    // some operand forms cannot be encoded for some codes: programs make up for them
    const common = Math.ceil((cases - fewest) / 2);
    const own = Math.ceil((cases * PROGRAM_SHARE) / 8);
    for (const make of [programs, branchingPrograms]) {
      await all.add(make(commonRows(rows), common, seed));
      await wasm.add(make(programRows(rows), own, seed + 1));
    }
    await all.flush();
  }
  await wasm.flush();
  for (const subject of subjects) subject.dispose();
  return new Map(subjects.map(({ name, tally }) => [name, tally]));
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '500000' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
      engines: { type: 'string', default: 'wasm,unicorn,unicorn-native' },
      codes: { type: 'string', default: '.' },
    },
  });
  const native = buildNative();
  if (typeof native === 'string') {
    console.error(`differential: ${native}`);
    return 3;
  }
  const seed = Number(values.seed);
  console.log(`seed ${seed}, at least ${values.cases} cases on each engine, against ${native.host.cpu}`);
  const tallies = await differential(native, {
    cases: Number(values.cases),
    seed,
    engines: values.engines.split(',').map((name) => name as EngineName),
    codes: new RegExp(values.codes),
    onCode: (done, total) => {
      if (process.stderr.isTTY && done % 10 === 0) process.stderr.write(`\r${done}/${total}`);
    },
  });
  return report(tallies);
}

/** Cases on their way to the bare CPU, which is asked many at a time, and then to the engines. */
class Batch {
  readonly #native: Native;
  readonly #seed: number;
  readonly #subjects: readonly Subject[];
  #held: Case[] = [];

  constructor(native: Native, seed: number, subjects: readonly Subject[]) {
    this.#native = native;
    this.#seed = seed;
    this.#subjects = subjects;
  }

  async add(cases: Iterable<Case>): Promise<void> {
    for (const one of cases) {
      this.#held.push(one);
      if (this.#held.length === CHUNK) await this.flush();
    }
  }

  async flush(): Promise<void> {
    const section = runNative(this.#native, 'batch', this.#held, this.#seed);
    for (const subject of this.#subjects) await subject.run(pairsOf(section, this.#held));
    this.#held = [];
  }
}

function report(tallies: ReadonlyMap<EngineName, Tally>): number {
  let failed = false;
  const cells = [...tallies].map(([name, tally]) => {
    const explainedText = [...tally.explained].map(([kind, count]) => `${kind} ${count}`).join(', ');
    const unexplained = [...tally.unexplained.values()].reduce((sum, { count }) => sum + count, 0);
    failed ||= unexplained > 0;
    return [name, String(tally.cases), String(tally.judged), String(unexplained), explainedText];
  });
  console.log(table(['engine', 'cases', 'judged', 'unexplained', 'explained'], cells, [1, 2, 3]).join('\n'));
  for (const [name, tally] of tallies) {
    for (const [code, { count, example }] of tally.unexplained) {
      console.log(
        `${name} ${code}: ${count}, such as ${example.id} ${example.bytes}: ${example.kind}, ${example.detail}`,
      );
    }
  }
  return failed ? 1 : 0;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main();
}
