// `tramp64 verify`: runs scenarios and verifies object files; without arguments, the shipped examples.
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { type EngineChoice, isTogether } from '../engine/confirm.ts';
import { TrampolineError } from '../errors.ts';
import { imageJson, scenarioJson, totalJson } from '../report/json.ts';
import { planJson } from '../report/plan.ts';
import {
  type Answered,
  answersText,
  imageText,
  juryText,
  scenarioSummary,
  stepText,
  totalText,
} from '../report/text.ts';
import { parseScenario } from '../scenario/read.ts';
import { type JointScenarioResult, runTogether } from '../scenario/run-together.ts';
import { verifyTogether } from '../scenario/verify-together.ts';
import { isElf, readBeside, readInput } from './files.ts';
import { exitStatus, type MachineChoice, machineOptions, TOGETHER, type Total } from './options.ts';
import { printPlan } from './plan.ts';
import { paint, print, printJson, progress } from './terminal.ts';

interface VerifyOptions extends MachineChoice<EngineChoice> {
  json?: boolean;
  strict?: boolean;
  table?: boolean;
}

/** Where the examples lie that ask one question each, and are reported as one line each. */
const QUESTIONS = 'debate';

/** The result of one input, as JSON, and what it adds to the total. */
interface Verified {
  result: object;
  total: Total;
}

/** Adds the command to the program. */
export function addVerify(program: Command): void {
  const command = program
    .command('verify')
    .summary('prove that each patched call reaches the top of its func stack')
    .description(
      'Runs scenario files; of an ELF object, patches every traceable function with one and three probes, removed in\n' +
        'every order, and reads off the CPU where each call arrives. Without FILE: the examples that tramp64 brings.',
    )
    .argument('[FILE...]', 'ELF objects and scenarios (JSON)')
    .option('--json', 'print one JSON document')
    .option('--strict', 'exit with 3 where anything was not judged or is unconfirmed')
    .option('--table', 'after each step of a scenario, a table of what every function would run, as `plan`');
  machineOptions(command, TOGETHER).action(async (files: string[], options: VerifyOptions) => {
    process.exitCode = files.length > 0 ? await verify(files, [], options) : await verifyExamples(options);
  });
}

/** @param questions scenarios of which only the answer is printed */
async function verify(files: readonly string[], questions: readonly string[], options: VerifyOptions): Promise<number> {
  const results: { file: string; result: object }[] = [];
  const total: Total = { judged: 0, failed: 0, notJudged: 0 };
  const add = (file: string, one: Verified): void => {
    results.push({ file, result: one.result });
    total.judged += one.total.judged;
    total.failed += one.total.failed;
    total.notJudged += one.total.notJudged;
    if (one.total.unconfirmed !== undefined) total.unconfirmed = (total.unconfirmed ?? 0) + one.total.unconfirmed;
  };
  for (const file of files) {
    const bytes = await readInput(file);
    add(file, isElf(bytes) ? await verifyObject(file, bytes, options) : await verifyScenario(file, bytes, options));
    if (options.json !== true) print('');
  }
  const answers: Answered[] = [];
  for (const file of questions) {
    const one = await answer(file, await readInput(file), options);
    add(file, one);
    answers.push(one.answered);
  }
  if (options.json !== true && answers.length > 0) print(`${answersText(answers, paint)}\n`);
  const [only] = results;
  if (options.json !== true) print(totalText(total, paint));
  else printJson(results.length === 1 && only !== undefined ? only.result : totalJson(results, total));
  return exitStatus(total, options.strict === true);
}

async function verifyScenario(file: string, bytes: Uint8Array, options: VerifyOptions): Promise<Verified> {
  const { json, strict: _, table, ...machine } = options;
  if (table === true) {
    const { engine, ...choice } = machine;
    if (isTogether(engine)) {
      const fact = `--table runs on one engine, '${engine}' is several`;
      throw new TrampolineError('EINVAL', fact, { operation: 'verify' });
    }
    const plan = await printPlan(file, bytes, engine === undefined ? choice : { ...choice, engine }, json === true);
    return verified(plan.result, planJson(plan));
  }
  const scenario = parseScenario(new TextDecoder().decode(bytes), file);
  if (json !== true) print(paint('bold', file));
  const onStep =
    json === true ? {} : { onStep: (step: Parameters<typeof stepText>[0]) => print(stepText(step, paint)) };
  const result = await runTogether(scenario, { ...machine, read: readBeside, ...onStep });
  if (json !== true) print([scenarioSummary(result), ...juryText(result.jury)].join('\n'));
  return verified(result, scenarioJson(result));
}

/** Runs a scenario that asks a question, without a word. */
async function answer(
  file: string,
  bytes: Uint8Array,
  { json: _, strict: __, table: ___, ...machine }: VerifyOptions,
): Promise<Verified & { answered: Answered }> {
  const scenario = parseScenario(new TextDecoder().decode(bytes), file);
  const result = await runTogether(scenario, { ...machine, read: readBeside });
  return { ...verified(result, scenarioJson(result)), answered: { name: basename(file, '.json'), scenario, result } };
}

function verified({ summary }: JointScenarioResult, result: object): Verified {
  const { steps, failed, notJudged, unconfirmed } = summary;
  const total = { judged: steps - notJudged, failed, notJudged };
  return { result, total: unconfirmed === undefined ? total : { ...total, unconfirmed } };
}

async function verifyObject(file: string, bytes: Uint8Array, options: VerifyOptions): Promise<Verified> {
  const { json, strict: _, table: __, ...machine } = options;
  const line = progress(basename(file));
  const result = await verifyTogether(bytes, basename(file), { ...machine, onFunction: line.update }).finally(line.end);
  if (json !== true) print([imageText(result, paint), ...juryText(result.jury)].join('\n'));
  const { holds, failed, notJudged, unconfirmed } = result.summary;
  const total = { judged: holds + failed, failed, notJudged };
  return { result: imageJson(result), total: unconfirmed === undefined ? total : { ...total, unconfirmed } };
}

/** The shipped scenarios, the shipped objects, then the questions. They lie beside the code, in src/ as in dist/. */
async function verifyExamples(options: VerifyOptions): Promise<number> {
  const here = fileURLToPath(new URL('.', import.meta.url));
  for (const folder of [join(here, 'examples'), join(here, '..', 'examples')]) {
    const scenarios = await namesIn(folder, '.json');
    if (scenarios.length === 0) continue;
    const questions = await namesIn(join(folder, QUESTIONS), '.json');
    return verify([...scenarios, ...(await namesIn(folder, '.o'))], questions, options);
  }
  return verify([], [], options);
}

/** The files of a folder with an ending, in the order of their names; none where there is no folder. */
async function namesIn(folder: string, ending: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(folder, name));
}
