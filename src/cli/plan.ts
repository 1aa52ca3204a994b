// `tramp64 plan`: a scenario as a what-if, with what each function's calls would run after each step.
import type { Command } from 'commander';
import { PLAN_LEGEND, planJson, planText } from '../report/plan.ts';
import { scenarioSummary } from '../report/text.ts';
import { type PlanResult, planScenario } from '../scenario/plan.ts';
import { parseScenario } from '../scenario/read.ts';
import { readBeside, readInput } from './files.ts';
import { exitStatus, type MachineChoice, machineOptions } from './options.ts';
import { paint, print, printJson } from './terminal.ts';

/** Adds the command to the program. */
export function addPlan(program: Command): void {
  const command = program
    .command('plan')
    .summary('show what every function would run after each step of a scenario')
    .description(
      'Runs a scenario and prints after each step one row per function: its func stack, what a patched and an\n' +
        'unpatched task would run, and warnings: shared functions, downgrades, patches disabled in the middle.',
    )
    .argument('<SCENARIO>', 'a scenario (JSON)')
    .option('--json', 'print one JSON document');
  machineOptions(command).action(async (file: string, { json, ...choice }: MachineChoice & { json?: boolean }) => {
    const bytes = await readInput(file);
    const plan = await printPlan(file, bytes, choice, json === true);
    if (json === true) printJson(planJson(plan));
    const { steps, failed, notJudged } = plan.result.summary;
    process.exitCode = exitStatus({ judged: steps - notJudged, failed, notJudged }, false);
  });
}

/** Runs a scenario and, unless `quiet`, prints its plan as it goes. @throws as `planScenario` */
export async function printPlan(
  file: string,
  bytes: Uint8Array,
  choice: MachineChoice,
  quiet: boolean,
): Promise<PlanResult> {
  const scenario = parseScenario(new TextDecoder().decode(bytes), file);
  if (!quiet) print(`${paint('bold', file)}  ${paint('dim', PLAN_LEGEND)}`);
  const onStep = quiet ? {} : { onStep: (step: PlanResult['steps'][number]) => print(planText(step, paint)) };
  const plan = await planScenario(scenario, { ...choice, read: readBeside, ...onStep });
  if (!quiet) print(scenarioSummary(plan.result));
  return plan;
}
