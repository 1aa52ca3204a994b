// Runs a scenario: makes its machine, does the steps in order and judges each one.

import type { EngineName } from '../engine/engine.ts';
import { EngineError, type ErrnoName, ScenarioError, TrampolineError } from '../errors.ts';
import type { HandlerKind } from '../ftrace/guest/handlers.ts';
import type { TrampolineKind } from '../ftrace/trampoline.ts';
import type { Parameters } from '../machine/parameters.ts';
import { Machine, type MachineOptions } from '../machine.ts';
import { checkFunctions } from './known-functions.ts';
import type { Guest, Outcome, Scenario, ScenarioImage, Step } from './scenario.ts';

/** Reads a file; `from` is the scenario file that names it. Rejects where it cannot. */
export type FileReader = (path: string, from: string | undefined) => Promise<Uint8Array>;

/** What was found out: never `holds` for what was not judged. */
export type Verdict = 'holds' | 'broken' | 'not judged';

/** How to run a scenario; the machine's own options win over those of the file. */
export interface RunScenarioOptions {
  readonly read: FileReader;
  readonly engine?: EngineName;
  readonly kernel?: MachineOptions['kernel'];
  readonly trampoline?: TrampolineKind;
  readonly handler?: HandlerKind;
  /** Told of each step as it is done. */
  readonly onStep?: (result: StepResult) => void;
}

/** What became of one step. */
export interface StepResult {
  readonly index: number;
  /** The step as it stands in the file. */
  readonly step: unknown;
  readonly verdict: Verdict;
  readonly runs?: string;
  readonly returns?: bigint;
  readonly instructions?: number;
  readonly error?: { readonly code: ErrnoName; readonly message: string };
  /** What was seen; for a step that does not hold: expected, got, and the func stack. */
  readonly message: string;
}

/** What became of a scenario. */
export interface ScenarioResult {
  readonly file: string | undefined;
  readonly engine: EngineName;
  readonly steps: readonly StepResult[];
  /** Nothing is broken and something was judged. */
  readonly ok: boolean;
  readonly summary: { readonly steps: number; readonly failed: number; readonly notJudged: number };
}

/** A scenario with its machine, ready to do its steps. */
export class ScenarioRun {
  readonly machine: Machine;
  readonly #scenario: Scenario;
  readonly #guest: Guest;
  readonly #results: StepResult[] = [];

  private constructor(scenario: Scenario, machine: Machine, load: Guest['load']) {
    this.#scenario = scenario;
    this.machine = machine;
    this.#guest = { machine, patches: scenario.patches, load };
  }

  /**
   * Makes the machine and loads the images.
   *
   * @throws {ScenarioError} ENOENT an image file cannot be read, or a step calls what none of them defines · and with the image's own code where it cannot be loaded
   * @throws {EngineError} as `Machine.create`
   */
  static async create(scenario: Scenario, options: RunScenarioOptions): Promise<ScenarioRun> {
    const files: Uint8Array[] = [];
    for (const { file, at } of scenario.images) {
      try {
        files.push(await options.read(file, scenario.file));
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw at.need('file').error('ENOENT', `cannot read '${file}': ${why}`, cause);
      }
    }
    const { engine, kernel, trampoline, handler } = options;
    const machine = await Machine.create({
      ...scenario.machine,
      ...(engine === undefined ? {} : { engine }),
      ...(kernel === undefined ? {} : { kernel }),
      ...(trampoline === undefined ? {} : { trampoline }),
      ...(handler === undefined ? {} : { handler }),
    });
    try {
      const load = (image: string, params: Parameters = {}): void => {
        const i = scenario.images.findIndex((one) => one.name === image);
        const { init, exit, ...options } = scenario.images[i] as ScenarioImage;
        machine.load(files[i] ?? new Uint8Array(), {
          ...options,
          params: { ...options.params, ...params },
          ...(init === undefined ? {} : { init }),
          ...(exit === undefined ? {} : { exit }),
        });
      };
      for (const image of scenario.images) if (image.loaded) loadAtStart(image, () => load(image.name));
      checkFunctions(scenario, files, machine);
      return new ScenarioRun(scenario, machine, load);
    } catch (error) {
      machine.dispose();
      throw error;
    }
  }

  /** Steps not done yet. */
  get left(): number {
    return this.#scenario.steps.length - this.#results.length;
  }

  /**
   * Does the next step. Undefined at the end.
   * @throws {ScenarioError} the step names something that no loaded image defines
   */
  next(): StepResult | undefined {
    const index = this.#results.length;
    const step = this.#scenario.steps[index];
    if (step === undefined) return undefined;
    const result = { index, step: step.source, ...judge(step, this.#guest) };
    this.#results.push(result);
    return result;
  }

  /** What the steps done so far add up to. */
  result(): ScenarioResult {
    const steps = [...this.#results];
    const failed = steps.filter((step) => step.verdict === 'broken').length;
    const notJudged = steps.filter((step) => step.verdict === 'not judged').length;
    return {
      file: this.#scenario.file,
      engine: this.machine.engine.name,
      steps,
      ok: failed === 0 && steps.length > notJudged,
      summary: { steps: steps.length, failed, notJudged },
    };
  }

  /** Frees the machine; twice is harmless. */
  dispose(): void {
    this.machine.dispose();
  }
}

/** An image that is wrong is a mistake of the file that names it; what its init returned is one as well. */
function loadAtStart({ at }: ScenarioImage, load: () => void): void {
  try {
    load();
  } catch (cause) {
    if (!(cause instanceof TrampolineError) || cause instanceof ScenarioError || isNotJudged(cause)) throw cause;
    throw at.error(cause.code, cause.message, cause);
  }
}

/**
 * Runs a scenario from its first step to its last; a failed step does not end it.
 * @throws as `ScenarioRun.create` and `ScenarioRun.next`
 */
export async function runScenario(scenario: Scenario, options: RunScenarioOptions): Promise<ScenarioResult> {
  const run = await ScenarioRun.create(scenario, options);
  try {
    for (let step = run.next(); step !== undefined; step = run.next()) options.onStep?.(step);
    return run.result();
  } finally {
    run.dispose();
  }
}

/** True for an instruction or part that this engine is not trusted with: neither right nor wrong. */
export function isNotJudged(error: unknown): error is EngineError {
  return error instanceof EngineError && error.engineCode === 'not-judged';
}

function judge(step: Step, guest: Guest): Omit<StepResult, 'index' | 'step'> {
  let outcome: Outcome;
  try {
    outcome = step.act(guest);
  } catch (thrown) {
    if (!(thrown instanceof TrampolineError) || thrown instanceof ScenarioError) throw thrown;
    const error = { code: thrown.code, message: thrown.message };
    if (isNotJudged(thrown)) return { verdict: 'not judged', error, message: thrown.message };
    if (step.fails === thrown.code) return { verdict: 'holds', error, message: thrown.message };
    const message = step.fails === undefined ? thrown.message : `expected ${step.fails}, got ${thrown.message}`;
    return { verdict: 'broken', error, message };
  }
  const { runs, returns, instructions } = outcome;
  const seen = {
    ...(runs === undefined ? {} : { runs }),
    ...(returns === undefined ? {} : { returns }),
    ...(instructions === undefined ? {} : { instructions }),
  };
  const broken =
    step.fails === undefined ? outcome.broken : [`expected ${step.fails}, but the step succeeded`, ...outcome.broken];
  if (broken.length > 0) return { verdict: 'broken', ...seen, message: broken.join('; ') };
  return { verdict: 'holds', ...seen, message: outcome.seen ?? '' };
}
