// How many hook cases per second does `check --cases` judge on two cores, on Unicorn and on the WASM CPU, and how does it grow?
import { existsSync, readFileSync } from 'node:fs';
import { casesOf, type RawCase } from '../src/check/cases.ts';
import { judgeOnWorkers } from '../src/cli/pool.ts';
import type { EngineName } from '../src/engine/engine.ts';
import type { Goal } from './support/report.ts';
import { median } from './support/rounds.ts';
import type { SuiteOptions, SuiteResult } from './support/suite.ts';

const FILE = new URL('../test/check/cases/hook-cases.json', import.meta.url);
const KNOWN = new URL('../test/check/disagreements/known.json', import.meta.url);
/** The worker as it is shipped: from the sources each worker would compile them first. */
const WORKER = new URL('../dist/check-worker.js', import.meta.url);
const JOBS = 2;
const ROUNDS = 5;
const ENGINES: readonly { name: EngineName; goal: number }[] = [
  { name: 'unicorn', goal: 10 },
  { name: 'wasm', goal: 100 },
];
/** Four times the cases may take half as much again for each one: pools start and engines are made once. */
const GROWTH_GOAL = 1.5;

/**
 * Judges the whole file on each engine in turn; every run must give the recorded verdicts.
 *
 * @throws {Error} the package is not built · a verdict is neither the recorded one nor a known disagreement
 */
export async function benchValidate({ quick }: SuiteOptions): Promise<SuiteResult> {
  if (!existsSync(WORKER)) throw new Error('bench: dist/ is missing; run npm run build');
  const cases = casesOf(JSON.parse(readFileSync(FILE, 'utf8')), 'hook-cases.json');
  const seconds = new Map<string, number[]>();
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    for (const { name } of ENGINES) {
      for (const times of quick ? [1] : [1, 4]) {
        const took = await judgeAll(cases, name, times);
        const key = `${name} ${times}`;
        seconds.set(key, [...(seconds.get(key) ?? []), took / (cases.length * times)]);
      }
    }
  }
  if (quick) return { goals: [] };
  const perCase = (name: EngineName, times: number): number => median(seconds.get(`${name} ${times}`));
  const goals = ENGINES.flatMap(({ name, goal }): Goal[] => [
    { what: `${name}: hook cases per second`, figure: 1 / perCase(name, 1), goal, better: 'more', unit: '/s' },
    {
      what: `${name}: time per case, 4 times the file`,
      figure: perCase(name, 4) / perCase(name, 1),
      goal: GROWTH_GOAL,
      better: 'less',
    },
  ]);
  return { goals, data: { secondsPerCase: Object.fromEntries(seconds) } };
}

async function judgeAll(cases: readonly RawCase[], engine: EngineName, times: number): Promise<number> {
  const many = Array.from({ length: times }, () => cases).flat();
  const start = process.hrtime.bigint();
  const results = await judgeOnWorkers(many, { engine, jobs: JOBS, worker: WORKER });
  const took = Number(process.hrtime.bigint() - start) / 1e9;
  const known = new Set(
    (JSON.parse(readFileSync(KNOWN, 'utf8')) as { 'hook-cases': { id: string }[] })['hook-cases'].map(({ id }) => id),
  );
  const wrong = results.filter(({ id, agrees }) => !agrees && !known.has(id));
  if (wrong.length > 0) throw new Error(`${engine}: ${wrong.map(({ id, reason }) => `${id}: ${reason}`).join('; ')}`);
  return took;
}
