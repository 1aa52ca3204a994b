// How long do large patches and large transitions take? Many tasks, and many functions in one patch, at three sizes each.
import { performance } from 'node:perf_hooks';
import type { PatchSpec } from '../src/livepatch/patch.ts';
import { Machine } from '../src/machine.ts';
import { manyFunctions } from '../src/measure/object.ts';
import type { Goal } from './support/report.ts';
import type { SuiteOptions, SuiteResult } from './support/suite.ts';

/** One size of one question. */
export interface Size {
  readonly tasks: number;
  readonly functions: number;
}

/** What grows, at three sizes, each ten times the one before. */
export const LIVEPATCH_GROWTH: Readonly<Record<string, readonly Size[]>> = {
  'a full transition of 10,000 tasks over 1,000 functions': [100, 1000, 10_000].map((tasks) => ({
    ...{ tasks, functions: 1000 },
  })),
  '50,000 patched functions in one patch': [500, 5000, 50_000].map((functions) => ({ tasks: 1, functions })),
};
/** Ten times the size may take that many times as long. */
export const GROWTH_GOAL = 13;
const ROUNDS = 7;

/** A machine with as many functions and tasks, and the patch that replaces all of them. */
export async function largeMachine({ tasks, functions }: Size): Promise<{ machine: Machine; spec: PatchSpec }> {
  const names = Array.from({ length: tasks }, (_, i) => `t${i}`);
  const machine = await Machine.create({ engine: 'wasm', tasks: names, transition: 'manual' });
  machine.load(manyFunctions(functions, 1, true), { name: 'vmlinux' });
  machine.load(manyFunctions(functions, 2, false), { name: 'fixes', kind: 'livepatch' });
  const funcs = Array.from({ length: functions }, (_, i) => ({ oldName: `f${i}`, newFunc: `f${i}` }));
  return { machine, spec: { name: 'fixes', objects: [{ name: null, funcs }] } };
}

/** Enables the patch and lets every task switch. @throws {Error} the transition does not complete */
export function patchAll(machine: Machine, spec: PatchSpec): void {
  machine.livepatch.enable(spec);
  machine.livepatch.tick();
  if (machine.livepatch.transition !== undefined) throw new Error('bench: the transition is not complete');
}

/** Takes the patch off the same way. @throws {Error} it does not leave */
export function unpatchAll(machine: Machine, { name }: PatchSpec): void {
  machine.livepatch.disable(name);
  machine.livepatch.tick();
  if (machine.livepatch.patches.length > 0) throw new Error('bench: the patch is still there');
}

/** Measures, or with `quick` plays the two smaller sizes once. */
export async function benchLivepatch({ quick }: SuiteOptions): Promise<SuiteResult> {
  const goals: Goal[] = [];
  const data: Record<string, object[]> = {};
  for (const [question, all] of Object.entries(LIVEPATCH_GROWTH)) {
    const rows: (Size & { seconds: number })[] = [];
    for (const size of quick ? all.slice(0, 2) : all) rows.push({ ...size, seconds: await secondsOf(size, quick) });
    if (quick) continue;
    data[question] = rows;
    console.log(`  ${question}: ${rows.map(({ seconds }) => `${(seconds * 1e3).toFixed(0)} ms`).join(', ')}`);
    goals.push({ what: `${question}, of a second`, figure: rows.at(-1)?.seconds ?? Infinity, goal: 1, better: 'less' });
    for (const [i, { seconds }] of rows.slice(1).entries()) {
      const figure = seconds / (rows[i]?.seconds ?? Number.NaN);
      goals.push({
        what: `… ten times the ${i === 0 ? 'smallest' : 'middle'} size`,
        figure,
        goal: GROWTH_GOAL,
        better: 'less',
      });
    }
  }
  return { goals, data };
}

/** Enabling with its transition, taken off again untimed: the median of some rounds. */
async function secondsOf(size: Size, quick: boolean): Promise<number> {
  const { machine, spec } = await largeMachine(size);
  const times: number[] = [];
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    const start = performance.now();
    patchAll(machine, spec);
    times.push((performance.now() - start) / 1e3);
    unpatchAll(machine, spec);
  }
  machine.dispose();
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}
