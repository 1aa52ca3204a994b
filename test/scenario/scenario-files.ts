// The scenario files among the tests: reading them, and running each with either handler.
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseScenario } from '../../src/scenario/read.ts';
import { type FileReader, type RunScenarioOptions, ScenarioRun, type StepResult } from '../../src/scenario/run.ts';

/** Files are read where the scenario that names them lies. */
const read: FileReader = async (path, from) => new Uint8Array(readFileSync(new URL(path, `file://${from}`)));

/** The scenario files of a folder beside this file, in order. */
export function scenarioFiles(folder: string): string[] {
  const path = fileURLToPath(new URL(`${folder}/`, import.meta.url));
  return readdirSync(path)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => `${path}${name}`);
}

/** `01-callbacks …`, for titles. */
export function titleOf(file: string): string {
  return basename(file, '.json').replaceAll('-', ' ');
}

/** Makes the machine of a scenario file. */
export function openScenario(file: string, options: Partial<RunScenarioOptions> = {}): Promise<ScenarioRun> {
  return ScenarioRun.create(parseScenario(readFileSync(file, 'utf8'), file), { read, ...options });
}

/** Does all steps of a scenario and frees it; those that do not hold. */
export function failures(run: ScenarioRun): readonly StepResult[] {
  try {
    while (run.next() !== undefined);
    return run.result().steps.filter((step) => step.verdict !== 'holds');
  } finally {
    run.dispose();
  }
}
