// `tramp64 verify`: runs scenarios and verifies object files; without arguments, the shipped examples.
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { imageJson, scenarioJson, totalJson } from '../report/json.ts';
import { imageText, juryText, scenarioSummary, stepText, totalText } from '../report/text.ts';
import type { EngineChoice } from '../scenario/confirm.ts';
import { parseScenario } from '../scenario/read.ts';
import { runTogether } from '../scenario/run-together.ts';
import { verifyTogether } from '../scenario/verify-together.ts';
import { isElf, readBeside, readInput } from './files.ts';
import { exitStatus, type MachineChoice, machineOptions, type Total } from './options.ts';
import { paint, print, printJson, progress } from './terminal.ts';

interface VerifyOptions extends MachineChoice<EngineChoice> {
  json?: boolean;
  strict?: boolean;
}

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
    .option('--strict', 'exit with 3 where anything was not judged or is unconfirmed');
  machineOptions(command, {
    all: 'every engine that is here, and a difference fails',
    auto: 'wasm, confirmed on unicorn as far as that is trusted',
  }).action(async (files: string[], options: VerifyOptions) => {
    process.exitCode = await verify(files.length > 0 ? files : await examples(), options);
  });
}

async function verify(files: readonly string[], options: VerifyOptions): Promise<number> {
  const results: { file: string; result: object }[] = [];
  const total: Total = { judged: 0, failed: 0, notJudged: 0 };
  for (const file of files) {
    const bytes = await readInput(file);
    const one = isElf(bytes) ? await verifyObject(file, bytes, options) : await verifyScenario(file, bytes, options);
    results.push({ file, result: one.result });
    total.judged += one.total.judged;
    total.failed += one.total.failed;
    total.notJudged += one.total.notJudged;
    if (one.total.unconfirmed !== undefined) total.unconfirmed = (total.unconfirmed ?? 0) + one.total.unconfirmed;
    if (options.json !== true) print('');
  }
  const [only] = results;
  if (options.json !== true) print(totalText(total, paint));
  else printJson(results.length === 1 && only !== undefined ? only.result : totalJson(results, total));
  return exitStatus(total, options.strict === true);
}

async function verifyScenario(file: string, bytes: Uint8Array, options: VerifyOptions): Promise<Verified> {
  const { json, strict: _, ...machine } = options;
  const scenario = parseScenario(new TextDecoder().decode(bytes), file);
  if (json !== true) print(paint('bold', file));
  const onStep =
    json === true ? {} : { onStep: (step: Parameters<typeof stepText>[0]) => print(stepText(step, paint)) };
  const result = await runTogether(scenario, { ...machine, read: readBeside, ...onStep });
  if (json !== true) print([scenarioSummary(result), ...juryText(result.jury)].join('\n'));
  const { steps, failed, notJudged, unconfirmed } = result.summary;
  const total = { judged: steps - notJudged, failed, notJudged };
  return { result: scenarioJson(result), total: unconfirmed === undefined ? total : { ...total, unconfirmed } };
}

async function verifyObject(file: string, bytes: Uint8Array, options: VerifyOptions): Promise<Verified> {
  const { json, strict: _, ...machine } = options;
  const line = progress(basename(file));
  const result = await verifyTogether(bytes, basename(file), { ...machine, onFunction: line.update }).finally(line.end);
  if (json !== true) print([imageText(result, paint), ...juryText(result.jury)].join('\n'));
  const { holds, failed, notJudged, unconfirmed } = result.summary;
  const total = { judged: holds + failed, failed, notJudged };
  return { result: imageJson(result), total: unconfirmed === undefined ? total : { ...total, unconfirmed } };
}

/** The shipped scenarios, then the shipped objects. They lie beside the code, in src/ as in dist/. */
async function examples(): Promise<string[]> {
  const here = fileURLToPath(new URL('.', import.meta.url));
  for (const folder of [join(here, 'examples'), join(here, '..', 'examples')]) {
    const names = await readdir(folder).catch(() => []);
    const sorted = [...names].sort();
    const found = [...sorted.filter((name) => name.endsWith('.json')), ...sorted.filter((name) => name.endsWith('.o'))];
    if (found.length > 0) return found.map((name) => join(folder, name));
  }
  return [];
}
