// A scenario on several engines, step by step side by side: a difference fails the step.
import { hex } from '../address.ts';
import { agree, type EngineChoice, isTogether, type Jury, presentEngines, type Testimony } from '../engine/confirm.ts';
import type { EngineName } from '../engine/engine.ts';
import { type RunScenarioOptions, runScenario, type ScenarioResult, ScenarioRun, type StepResult } from './run.ts';
import type { Scenario } from './scenario.ts';

/** A step that several engines did. */
export interface JointStepResult extends StepResult {
  /** Why one engine alone stands for it; undefined where two or more agree, and where nothing was judged. */
  readonly unconfirmed?: string;
}

/** What became of a scenario; with `jury` where several engines ran it. */
export interface JointScenarioResult extends Omit<ScenarioResult, 'engine' | 'steps' | 'summary'> {
  readonly engine: EngineChoice;
  readonly jury?: Jury;
  readonly steps: readonly JointStepResult[];
  readonly summary: ScenarioResult['summary'] & { readonly unconfirmed?: number };
}

/** How to run a scenario. */
export interface RunTogetherOptions extends Omit<RunScenarioOptions, 'engine' | 'onStep'> {
  readonly engine?: EngineChoice;
  readonly onStep?: (result: JointStepResult) => void;
}

/**
 * Runs a scenario as `runScenario`, on one engine or on several.
 * @throws as `runScenario`
 */
export async function runTogether(scenario: Scenario, options: RunTogetherOptions): Promise<JointScenarioResult> {
  const { engine: choice, onStep, ...rest } = options;
  if (!isTogether(choice)) {
    const one = choice === undefined ? {} : { engine: choice };
    return runScenario(scenario, { ...rest, ...one, ...(onStep === undefined ? {} : { onStep }) });
  }
  const jury = await presentEngines(choice);
  const runs: ScenarioRun[] = [];
  try {
    for (const engine of jury.engines) runs.push(await ScenarioRun.create(scenario, { ...rest, engine }));
    const steps: JointStepResult[] = [];
    const doubtful = new Set<EngineName>();
    while ((runs[0]?.left ?? 0) > 0) {
      const step = joint(runs, doubtful);
      steps.push(step);
      onStep?.(step);
    }
    return { ...total(steps), file: scenario.file, engine: choice, jury };
  } finally {
    for (const run of runs) run.dispose();
  }
}

/** Lets every engine do the next step, and weighs what they say. */
function joint(runs: readonly ScenarioRun[], doubtful: Set<EngineName>): JointStepResult {
  const results: StepResult[] = [];
  const testimonies: Testimony[] = [];
  for (const run of runs) {
    const result = run.next();
    if (result === undefined) throw new Error('an engine has fewer steps than the others');
    const engine = run.machine.engine.name;
    results.push(result);
    testimonies.push(testimonyOf(engine, result, doubtful.has(engine)));
  }
  for (const { engine, verdict } of testimonies) if (verdict === 'not judged') doubtful.add(engine);
  const { leader, differences, unconfirmed } = agree(testimonies);
  const result = results[leader] as StepResult;
  if (differences.length > 0) {
    return { ...result, verdict: 'broken', message: `engines differ: ${differences.join('; ')}` };
  }
  return unconfirmed === undefined ? result : { ...result, unconfirmed };
}

function testimonyOf(engine: EngineName, result: StepResult, doubtful: boolean): Testimony {
  const { verdict, runs, returns, instructions, error, message } = result;
  const facts = {
    runs,
    returns: returns === undefined ? undefined : hex(returns),
    instructions,
    error: error?.code,
    // an error's words may name where exactly an engine noticed it
    seen: error === undefined ? message : undefined,
  };
  return { engine, verdict, facts, reason: message, doubtful };
}

function total(steps: readonly JointStepResult[]): Pick<JointScenarioResult, 'steps' | 'ok' | 'summary'> {
  const failed = steps.filter((step) => step.verdict === 'broken').length;
  const notJudged = steps.filter((step) => step.verdict === 'not judged').length;
  const unconfirmed = steps.filter((step) => step.unconfirmed !== undefined).length;
  const ok = failed === 0 && steps.length > notJudged;
  return { steps, ok, summary: { steps: steps.length, failed, notJudged, unconfirmed } };
}
