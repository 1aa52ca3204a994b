// What does each way to redirect a call cost: counted, on the engines, and on the bare CPU? `tramp64 bench` and metal.
import { mkdirSync, writeFileSync } from 'node:fs';
import { type BenchResult, mechanisms, runBench } from '../src/measure/bench.ts';
import { benchHtml } from '../src/report/bench-html.ts';
import { benchText } from '../src/report/bench-text.ts';
import { type MetalTimes, metalMissing, timeOnMetal } from './support/metal.ts';
import { machineLine } from './support/report.ts';
import type { SuiteOptions, SuiteResult } from './support/suite.ts';

/** The kernel whose real figures are known (real-kernel.md of the specification). */
const KERNEL = '6.1';
const ROUNDS = 9;
const RESULTS = new URL('results/', import.meta.url);

/**
 * Counts everything, times it on the WASM CPU, unicorn.js and the bare CPU, and writes the page.
 * @throws {Error} a row fails, or its two counts differ
 */
export async function benchMechanisms({ quick }: SuiteOptions): Promise<SuiteResult> {
  const options = { machine: machineLine(), kernel: KERNEL, series: !quick, rounds: ROUNDS } as const;
  const result = await runBench({ ...options, engines: quick ? [] : ['wasm', 'unicorn'] });
  const wrong = result.counts.find(({ counts, confirmedBy }) => counts === undefined || confirmedBy === undefined);
  if (wrong !== undefined) throw new Error(`bench: ${wrong.id}: ${wrong.reason ?? 'the two ways of counting differ'}`);
  const metal = await onMetal(quick ? 1 : ROUNDS);
  if (quick) return { goals: [] };
  const whole: BenchResult = metal === undefined ? result : { ...result, times: [metal, ...result.times] };
  console.log(benchText(whole));
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(new URL('mechanisms.html', RESULTS), benchHtml(whole));
  return { goals: [], data: whole };
}

async function onMetal(rounds: number): Promise<MetalTimes | undefined> {
  const missing = metalMissing();
  if (missing === undefined) return timeOnMetal(mechanisms(KERNEL), rounds);
  console.log(`mechanisms: not run on the bare CPU: ${missing}`);
  // there gcc is installed, so this part was not checked
  if (process.env.CI !== undefined) process.exitCode = 1;
  return undefined;
}
