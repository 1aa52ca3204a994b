// What does a redirected call cost through the library, with arguments, result, arrival and registers looked at?
import { readFileSync } from 'node:fs';
import type { EngineName } from '../src/engine/engine.ts';
import { EngineError } from '../src/errors.ts';
import { Machine } from '../src/machine.ts';
import { type Cases, type Figures, median, timeRound } from './support/rounds.ts';
import type { SuiteOptions, SuiteResult } from './support/suite.ts';

const ROUNDS = 7;
const SECONDS = 0.2;
/** Calls in one run of a case, by how fast the engine is. */
const CALLS: Readonly<Record<EngineName, number>> = { wasm: 200, 'unicorn-native': 100, unicorn: 20 };
const ENGINES = Object.keys(CALLS) as EngineName[];
const example = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../src/examples/${name}`, import.meta.url)));

/** One machine with one patched function. */
class PatchedCall {
  readonly #machine: Machine;
  readonly #calls: number;

  constructor(machine: Machine, calls: number) {
    this.#machine = machine;
    this.#calls = calls;
    machine.load(example('target.o'), { name: 'vmlinux' });
    machine.load(example('fix-a.o'), { name: 'fix_a', kind: 'livepatch' });
    machine.livepatch.enable({
      name: 'fix_a',
      objects: [{ name: null, funcs: [{ oldName: 'fibonacci', newFunc: 'livepatch_fibonacci' }] }],
    });
  }

  /** @throws {Error} a call ran something else, or the core was not asked for each one */
  run(): void {
    const before = this.#machine.core.counters().steady;
    let dispatches = 0;
    for (let i = 0; i < this.#calls; i++) {
      const { runs, visits } = this.#machine.call('vmlinux:fibonacci', [1n]);
      if (runs.name !== 'fix_a:livepatch_fibonacci') throw new Error(`bench: the call ran ${runs.name}`);
      dispatches += visits.length;
    }
    const asked = this.#machine.core.counters().steady - before;
    if (asked !== dispatches) throw new Error(`bench: ${asked} dispatches counted, ${dispatches} seen`);
  }

  dispose(): void {
    this.#machine.dispose();
  }
}

/** Measures, or with `quick` makes the calls once on every engine that is present. */
export async function benchPatchedCall({ quick }: SuiteOptions): Promise<SuiteResult> {
  const machines = new Map<EngineName, PatchedCall>();
  for (const engine of ENGINES) {
    try {
      machines.set(engine, new PatchedCall(await Machine.create({ engine }), CALLS[engine]));
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== 'ENODEV') throw error;
      console.log(`patched-call: ${error.message}`);
    }
  }
  try {
    for (const machine of machines.values()) machine.run();
    if (quick) return { goals: [] };
    const cases: Cases = Object.fromEntries([...machines].map(([engine, machine]) => [engine, () => machine.run()]));
    const figures: Figures = new Map();
    for (let round = 0; round < ROUNDS; round++) {
      await timeRound(`patched-call, round ${round + 1} of ${ROUNDS}`, cases, round, SECONDS, figures);
    }
    const us = Object.fromEntries(
      [...machines.keys()].map((engine) => [engine, (median(figures.get(engine)) / CALLS[engine]) * 1e6]),
    );
    console.log('microseconds per Machine.call, everything it tells included:');
    for (const [engine, value] of Object.entries(us))
      console.log(`  ${engine.padEnd(16)} ${value.toFixed(1).padStart(8)}`);
    return { goals: [], data: { microseconds: us } };
  } finally {
    for (const machine of machines.values()) machine.dispose();
  }
}
