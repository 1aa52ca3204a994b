// A what-if for reviewers: after each step of a scenario, what every function's stack is and what calls of it would run.
import type { PatchState } from '../core/core.ts';
import { PatchError } from '../errors.ts';
import { eventText } from '../livepatch/events.ts';
import { type Func, funcsOf, identityOf, objectTitle, type Patch } from '../livepatch/patch.ts';
import { findSymbol } from '../livepatch/symbols.ts';
import type { Machine } from '../machine.ts';
import { type PlanWarning, warningsOf } from './plan-warnings.ts';
import { type RunScenarioOptions, type ScenarioResult, ScenarioRun, type StepResult } from './run.ts';
import type { Scenario } from './scenario.ts';

export type { PlanWarning, PlanWarningKind } from './plan-warnings.ts';

/** One entry of a func stack. */
export interface PlanEntry {
  readonly patch: string;
  /** `image:symbol` of the new function; of a nop the original. */
  readonly runs: string;
  /** It stands for the original (L56). */
  readonly nop: boolean;
  /** Only patched tasks see it. */
  readonly transition: boolean;
}

/** A function that some patch names. */
export interface PlanRow {
  /** `object:symbol`; `symbol,N` by its position where a patch says so. */
  readonly original: string;
  /** Why it can have no stack now: its object is not loaded (L6), there is no such symbol, it has no site. Else empty. */
  readonly reason: string;
  /** Top first. */
  readonly stack: readonly PlanEntry[];
  /** `image:symbol` of what a call runs, by a task that is patched and by one that is not (L38–L42). */
  readonly patched: string;
  readonly unpatched: string;
}

/** What stands after a step. */
export interface PlanStep {
  readonly result: StepResult;
  readonly rows: readonly PlanRow[];
  readonly warnings: readonly PlanWarning[];
}

/** How to plan. */
export interface PlanOptions extends Omit<RunScenarioOptions, 'onStep'> {
  /** Told of each step as it is done. */
  readonly onStep?: (step: PlanStep) => void;
}

/** What became of a scenario, step by step. */
export interface PlanResult {
  readonly result: ScenarioResult;
  readonly steps: readonly PlanStep[];
}

/**
 * Runs a scenario and says after each step what calls would run, and what a reviewer should know.
 * @throws as `runScenario`
 */
export async function planScenario(scenario: Scenario, { onStep, ...options }: PlanOptions): Promise<PlanResult> {
  const run = await ScenarioRun.create(scenario, options);
  try {
    const named = new Map<string, NamedFunc>();
    for (const { objects } of scenario.patches.values()) {
      for (const { name, funcs } of objects) {
        for (const { oldName, oldSympos = 0 } of funcs) keep(named, { object: name, oldName, oldSympos });
      }
    }
    const steps: PlanStep[] = [];
    let before = snapshotOf(run.machine, named);
    for (let result = run.next(); result !== undefined; result = run.next()) {
      const after = snapshotOf(run.machine, named);
      const step = { result, rows: after.rows, warnings: warningsOf(before, after) };
      before = after;
      steps.push(step);
      onStep?.(step);
    }
    return { result: run.result(), steps };
  } finally {
    run.dispose();
  }
}

/** A function by what patches call it. */
type NamedFunc = Pick<Func, 'object' | 'oldName' | 'oldSympos'>;

/** The listed patches and the rows at one moment. */
export interface Snapshot {
  readonly patches: readonly PlanPatch[];
  readonly rows: readonly PlanRow[];
  /** Tasks that sleep in a function for which the transition that runs must wait (L70). */
  readonly blocked: readonly { readonly task: string; readonly on: string }[];
}

/** A listed patch as it was then; the machine's own changes. */
export interface PlanPatch {
  readonly name: string;
  readonly replace: boolean;
  readonly enabled: boolean;
  readonly funcs: readonly { readonly title: string; readonly address: bigint | undefined }[];
}

function keep(named: Map<string, NamedFunc>, func: NamedFunc): void {
  const title = titleOf(func);
  if (!named.has(title)) named.set(title, func);
}

/** @param named what has a row, by title; what only a struct in a module names joins when its patch is listed */
function snapshotOf(machine: Machine, named: Map<string, NamedFunc>): Snapshot {
  const { livepatch } = machine;
  for (const patch of livepatch.patches) {
    for (const { object, oldName, oldSympos } of funcsOf(patch)) keep(named, { object, oldName, oldSympos });
  }
  const rows = [...named].map(([title, func]) => rowOf(machine, title, func));
  const blocked = (livepatch.transition?.left ?? []).flatMap(({ task, on }) =>
    on === undefined ? [] : [{ task, on }],
  );
  return { patches: livepatch.patches.map(planPatch), rows, blocked };
}

function planPatch(patch: Patch): PlanPatch {
  const { name, spec, enabled } = patch;
  const funcs = [...funcsOf(patch)]
    .filter(({ nop }) => !nop)
    .map((func) => ({ title: titleOf(func), address: func.old?.address }));
  return { name, replace: spec.replace === true, enabled, funcs };
}

/** `image:symbol`, with the position where it is not the only one or the first. */
function titleOf(func: NamedFunc): string {
  const [name, position] = identityOf(func).split(',');
  return `${objectTitle(func.object)}:${position === '1' ? name : identityOf(func)}`;
}

function rowOf(machine: Machine, original: string, func: NamedFunc): PlanRow {
  const place = placeOf(machine, func);
  if (typeof place === 'string') {
    return { original, reason: place, stack: [], patched: original, unpatched: original };
  }
  const nameAt = (at: bigint): string => machine.images.locate(at).name;
  const stack = machine.livepatch.stack(place).map(({ patch, address, nop, transition }) => {
    return { patch, runs: nop ? original : nameAt(address), nop, transition };
  });
  const runs = (state: PatchState): string => {
    const found = stack.length === 0 ? undefined : dispatchAs(machine, place, state);
    return found === undefined ? original : nameAt(found);
  };
  return { original, reason: '', stack, patched: runs('patched'), unpatched: runs('unpatched') };
}

/** The site of a function, or why it has none. */
function placeOf({ images }: Machine, { object, oldName, oldSympos }: NamedFunc): bigint | string {
  const scope = images.object(object);
  if (scope === undefined) return `'${objectTitle(object)}' is not loaded`;
  let missing: string | undefined;
  try {
    const { address } = findSymbol(scope, { name: oldName, sympos: BigInt(oldSympos) }, (code, event) => {
      missing = eventText(event);
      return new PatchError(code, missing, { operation: 'plan' });
    });
    return images.site(address) ?? 'no ftrace site';
  } catch (error) {
    if (missing === undefined) throw error;
    return missing;
  }
}

/** The core's own answer for a task in a patch state; such a task is there for this one question. */
function dispatchAs({ core }: Machine, site: bigint, state: PatchState): bigint | undefined {
  const task = core.addTask();
  try {
    core.setPatchState(task, state);
    return core.dispatch(site, task);
  } finally {
    core.removeTask(task);
  }
}
