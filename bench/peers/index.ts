// Compares look-ups and CPUs with those of others: `npm run bench:peers`, which installs them beside this file first.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Core } from '../../src/core/core.ts';
import { createEngine } from '../../src/engine/create.ts';
import type { EngineName } from '../../src/engine/engine.ts';
import { machineLine } from '../support/report.ts';
import { median } from '../support/rounds.ts';

const ROUNDS = 9;
const LOOKUPS = 1 << 18;
const SITE = 0xffff_ffff_8100_0004n;
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Name → nanoseconds per look-up or instruction, a figure a round; undefined where it is not present. */
type Contestants = Record<string, () => number | Promise<number>>;

/** Runs every contestant once a round, in rotated order, and prints the medians. */
async function compete(title: string, unit: string, contestants: Contestants): Promise<void> {
  const names = Object.keys(contestants);
  const figures = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length] ?? '';
      const figure = (await contestants[name]?.()) ?? Number.NaN;
      // the first round warms up
      if (round > 0) figures.get(name)?.push(figure);
    }
  }
  console.log(title);
  for (const [name, all] of figures) console.log(`  ${name.padEnd(42)} ${median(all).toFixed(2).padStart(10)} ${unit}`);
}

/** Open addressing in a typed array, keyed by the low half: what JavaScript alone can do. */
class TypedTable {
  readonly #mask: number;
  readonly #slots: Uint32Array;

  constructor(functions: number) {
    const size = 2 ** Math.ceil(Math.log2(functions * 2));
    this.#mask = size - 1;
    this.#slots = new Uint32Array(2 * size);
  }

  set(low: number, answer: number): void {
    const at = this.#find(low);
    this.#slots[at] = low;
    this.#slots[at + 1] = answer;
  }

  get(low: number): number {
    return this.#slots[this.#find(low) + 1] ?? 0;
  }

  #find(low: number): number {
    const slots = this.#slots;
    let at = (Math.imul(low, 0x9e3779b1) >>> 8) & this.#mask;
    while (slots[2 * at] !== 0 && slots[2 * at] !== low) at = (at + 1) & this.#mask;
    return 2 * at;
  }
}

async function lookups(functions: number, table: string | undefined): Promise<void> {
  const core = await Core.create();
  const task = core.addTask();
  const map = new Map<bigint, bigint>();
  const typed = new TypedTable(functions);
  for (let i = 0; i < functions; i++) {
    const site = SITE + 32n * BigInt(i);
    const newFunc = 0xffff_ffff_c000_0010n + 64n * BigInt(i);
    core.pushFunc(site, newFunc, 1);
    map.set(site, newFunc);
    typed.set(Number(BigInt.asUintN(32, site)), Number(BigInt.asUintN(32, newFunc)));
  }
  let state = 1;
  const keys = Array.from({ length: LOOKUPS }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return SITE + 32n * BigInt(Math.floor((state / 2 ** 32) * functions));
  });
  const lows = Uint32Array.from(keys, (key) => Number(BigInt.asUintN(32, key)));
  const high = Number(SITE >> 32n);
  const batch = core.batch(LOOKUPS);
  batch.sites.set(keys);
  let sum = 0;
  const timed = (body: () => void) => (): number => {
    const start = performance.now();
    body();
    return ((performance.now() - start) * 1e6) / LOOKUPS;
  };
  await compete(`look-ups in random order, ${functions.toLocaleString('en')} functions`, 'ns', {
    'Map<bigint>': timed(() => {
      for (const key of keys) sum += Number(BigInt.asUintN(31, map.get(key) ?? 0n));
    }),
    'typed-array table, low halves only': timed(() => {
      for (let i = 0; i < LOOKUPS; i++) sum += typed.get(lows[i] ?? 0);
    }),
    'core from JavaScript, pairs': timed(() => {
      for (let i = 0; i < LOOKUPS; i++) sum += core.dispatchPair(lows[i] ?? 0, high, task);
    }),
    'core, batch in WASM': timed(() => {
      batch.run(task);
      sum += Number(BigInt.asUintN(31, batch.answers[0] ?? 0n));
    }),
    ...(table === undefined
      ? {}
      : {
          'C, lists and hash as in the kernel': () =>
            Number(execFileSync(table, [String(functions), String(LOOKUPS)], { encoding: 'utf8' }).split(' ')[0]),
        }),
  });
  if (sum === 0) throw new Error('peers: nothing was found');
}

/** `mov ecx, n; loop: dec rcx; jnz loop`, and where it ends. */
const LOOP = { base: 0x1000n, size: 10 };
function hotLoop(count: number): Uint8Array {
  const bytes = Uint8Array.of(0xb9, 0, 0, 0, 0, 0x48, 0xff, 0xc9, 0x75, 0xfb);
  new DataView(bytes.buffer).setUint32(1, count, true);
  return bytes;
}

async function engineLoop(name: EngineName, count: number): Promise<() => number> {
  const engine = await createEngine(name);
  engine.map(LOOP.base, 0x1000n, 'rx');
  engine.write(LOOP.base, hotLoop(count));
  return () => {
    const start = performance.now();
    const { instructions } = engine.run({ from: LOOP.base, until: LOOP.base + BigInt(LOOP.size), budget: 1e9 });
    if (instructions !== 2 * count + 1) throw new Error(`peers: ${name} retired ${instructions} instructions`);
    return ((performance.now() - start) * 1e6) / instructions;
  };
}

/** What is used of ax-x86 0.3.0. */
interface Ax {
  default(wasm: Uint8Array): Promise<unknown>;
  Axecutor: new (
    code: Uint8Array,
    at: bigint,
    rip: bigint,
  ) => {
    execute(): Promise<void>;
    reg_read_64(register: number): bigint;
    free(): void;
  };
  Register: { RCX: number };
}

async function axLoop(count: number): Promise<() => Promise<number>> {
  const folder = here('node_modules/ax-x86/');
  const ax = (await import(join(folder, 'ax_x86.js'))) as Ax;
  await ax.default(readFileSync(join(folder, 'ax_x86_bg.wasm')));
  return async () => {
    const cpu = new ax.Axecutor(hotLoop(count), LOOP.base, LOOP.base);
    const start = performance.now();
    await cpu.execute();
    const ns = ((performance.now() - start) * 1e6) / (2 * count + 1);
    if (cpu.reg_read_64(ax.Register.RCX) !== 0n) throw new Error('peers: ax-x86 left the loop early');
    cpu.free();
    return ns;
  };
}

/** A contestant, or a line that says why it is not here. */
async function present<Run>(name: string, make: () => Promise<Run>): Promise<Record<string, Run>> {
  try {
    return { [name]: await make() };
  } catch (error) {
    console.log(`${name} is not here: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    return {};
  }
}

const folder = mkdtempSync(join(tmpdir(), 'tramp64-peers-'));
try {
  const table = await present('C', async () => {
    const program = join(folder, 'table');
    execFileSync('gcc', ['-O2', '-std=gnu11', '-o', program, here('table.c')], { stdio: 'pipe' });
    return program;
  });
  for (const functions of [1_000, 50_000]) await lookups(functions, table.C);
  await compete('a loop of two instructions', 'ns per instruction', {
    ...(await present('tramp64, WASM CPU', () => engineLoop('wasm', 200_000))),
    ...(await present('native Unicorn', () => engineLoop('unicorn-native', 200_000))),
    ...(await present('unicorn.js', () => engineLoop('unicorn', 20_000))),
    ...(await present('ax-x86 (no pushf or leave: it cannot run a trampoline)', () => axLoop(5_000))),
  });
  console.log(machineLine());
} finally {
  rmSync(folder, { recursive: true, force: true });
}
