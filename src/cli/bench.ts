// `tramp64 bench`: what redirection costs, counted and measured, as a table, JSON, CSV or a page.
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { EngineName } from '../engine/engine.ts';
import { TrampolineError } from '../errors.ts';
import type { KernelVersion } from '../ftrace/trampoline.ts';
import { type BenchResult, mechanisms, runBench } from '../measure/bench.ts';
import { compareBench, readBench } from '../measure/compare.ts';
import type { Mechanism } from '../measure/mechanism.ts';
import { ownFunctionRows } from '../measure/mechanisms/object.ts';
import { parseOwn } from '../measure/own.ts';
import { benchCsv } from '../report/bench-csv.ts';
import { benchHtml } from '../report/bench-html.ts';
import { benchText, changesText } from '../report/bench-text.ts';
import { checkWritable, readInput, readJson } from './files.ts';
import { refuseOthers } from './own-refusal.ts';
import { paint, print, printJson, progress } from './terminal.ts';

const ENGINES = ['unicorn', 'unicorn-native', 'wasm'] as const satisfies readonly EngineName[];

interface BenchCliOptions {
  kernel: KernelVersion;
  engine: readonly EngineName[];
  quick?: boolean;
  rounds: number;
  sample: number;
  series: boolean;
  only?: string;
  bytes?: string;
  new?: string;
  function?: string;
  arg: readonly (bigint | string)[];
  list?: boolean;
  json?: boolean;
  csv?: boolean;
  html?: string;
  compare?: string;
  threshold: number;
}

/** Adds the command to the program. */
export function addBench(program: Command): void {
  program
    .command('bench')
    .summary('count and time what call redirection costs')
    .description(
      'Counts instructions, accesses, branches and mispredicted returns of each way to redirect or visit a call: exactly,\n' +
        'confirmed by single steps on another engine. Then times them in interleaved rounds. With FILE, --function and --new\n' +
        'a function of your own, unpatched and patched.',
    )
    .argument('[FILE]', 'an object with the function that is to be patched')
    .option('--function <name>', 'the function in FILE')
    .option('--new <file:function>', 'its replacement in another object')
    .option('--arg <value>', 'an argument of the call, an integer or text:…; repeat it', collectArgument, [])
    .option('--bytes <file>', 'mechanisms of your own (tramp64-bench-bytes/1)')
    .option('--only <pattern>', 'only rows whose id contains this, and the unpatched call')
    .addOption(new Option('--kernel <version>', 'whose trampolines').choices(['6.1', '6.12']).default('6.12'))
    .option('--engine <names>', 'engines to time on, separated by commas', engineList, [
      'wasm',
    ] as readonly EngineName[])
    .option('--quick', 'counts only: what is the same on every machine')
    .option('--rounds <n>', 'rounds of samples', count, 9)
    .option('--sample <ms>', 'milliseconds per sample', count, 10)
    .option('--no-series', 'leave the series out')
    .option('--list', 'print the mechanisms and end')
    .option('--json', 'print one JSON document (tramp64-bench/1)')
    .option('--csv', 'print CSV, a figure a line')
    .option('--html <file>', 'write a page that needs nothing else')
    .option('--compare <file>', 'print what changed since an older --json; exit with 1 past the threshold')
    .option('--threshold <percent>', 'how much a figure may grow', percent, 0)
    .action(async (file: string | undefined, options: BenchCliOptions) => {
      process.exitCode = await bench(file, options);
    });
}

async function bench(file: string | undefined, options: BenchCliOptions): Promise<number> {
  if (options.json === true && options.csv === true) throw usage('choose one of --json and --csv');
  if (options.list === true) {
    for (const { id, family, title } of mechanisms(options.kernel))
      print(`${id.padEnd(20)} ${family.padEnd(12)} ${title}`);
    return 0;
  }
  const { only } = options;
  if (only !== undefined && file === undefined && options.bytes === undefined) {
    const known = mechanisms(options.kernel).some(({ id }) => id.includes(only));
    if (!known) throw usage(`no row's id contains '${only}'; bench --list prints them`);
  }
  if (options.html !== undefined) await checkWritable(options.html, 'bench');
  const older =
    options.compare === undefined ? undefined : readBench(await readJson(options.compare, 'bench'), options.compare);
  const own = [...(await ownBytes(options)), ...(await ownFunction(file, options))];
  const result = await measure(options, own);
  if (options.html !== undefined) await writePage(options.html, result);
  if (options.json === true) printJson(result);
  else if (options.csv === true) process.stdout.write(benchCsv(result));
  else print(benchText(result, paint));
  const changes = older === undefined ? [] : compareBench(older, result, options.threshold);
  if (older !== undefined) {
    const text = changesText(changes, options.threshold, paint);
    if (options.json === true || options.csv === true) process.stderr.write(`${text}\n`);
    else print(`\n${text}`);
  }
  if (!result.finished) return STOPPED;
  const wrong = result.counts.some(({ counts, differs }) => counts === undefined || differs !== undefined);
  return wrong || changes.some(({ worse }) => worse) ? 1 : 0;
}

/** As a shell says that a command ended by SIGINT. */
const STOPPED = 130;

/** Measures until it is done or Ctrl-C is pressed; a second Ctrl-C ends the process at once. */
async function measure(options: BenchCliOptions, own: readonly Mechanism[]): Promise<BenchResult> {
  let stopped = false;
  const onSignal = (): void => {
    stopped = true;
  };
  process.once('SIGINT', onSignal);
  const line = progress('bench', 'samples');
  const { only } = options;
  const all = cpus();
  try {
    return await runBench({
      machine: `${all[0]?.model.trim() ?? 'unknown processor'}, ${all.length} processors, ${process.platform}, Node ${process.versions.node}`,
      kernel: options.kernel,
      engines: options.quick === true ? [] : options.engine,
      rounds: options.rounds,
      sample: options.sample,
      series: options.series,
      own,
      ...(only === undefined ? {} : { only: (id: string) => id.includes(only) || own.some((row) => row.id === id) }),
      stop: () => stopped,
      onProgress: (what, done, total) => line.update(done, total, what),
    });
  } finally {
    line.end();
    process.removeListener('SIGINT', onSignal);
  }
}

/** The user's own bytes; those that do not redirect are refused with the check's finding. */
async function ownBytes({ bytes: file, kernel }: BenchCliOptions): Promise<Mechanism[]> {
  if (file === undefined) return [];
  const rows = parseOwn(new TextDecoder().decode(await readInput(file)), file);
  const taken = new Set(mechanisms(kernel).map(({ id }) => id));
  for (const row of rows) {
    if (taken.has(row.id)) throw usage(`'${file}': the id '${row.id}' is taken; bench --list prints those that are`);
    await refuseOthers(row);
  }
  return rows;
}

async function ownFunction(file: string | undefined, options: BenchCliOptions): Promise<Mechanism[]> {
  const { function: oldName, new: replacement } = options;
  if (file === undefined && oldName === undefined && replacement === undefined) return [];
  if (file === undefined || oldName === undefined || replacement === undefined) {
    throw usage('a function of your own needs FILE, --function NAME and --new FILE:FUNCTION');
  }
  const colon = replacement.lastIndexOf(':');
  if (colon <= 0 || colon === replacement.length - 1) throw usage(`--new expects FILE:FUNCTION, got '${replacement}'`);
  return ownFunctionRows({
    kernel: options.kernel,
    target: await readInput(file),
    fix: await readInput(replacement.slice(0, colon)),
    oldName,
    newFunc: replacement.slice(colon + 1),
    args: options.arg,
  });
}

async function writePage(path: string, result: BenchResult): Promise<void> {
  try {
    await writeFile(path, benchHtml(result));
  } catch (cause) {
    throw new TrampolineError('EINVAL', `'${path}' cannot be written: ${String(cause)}`, { operation: 'bench', cause });
  }
}

function usage(fact: string): TrampolineError {
  return new TrampolineError('EINVAL', fact, { operation: 'bench' });
}

function collectArgument(text: string, before: readonly (bigint | string)[]): (bigint | string)[] {
  if (text.startsWith('text:')) return [...before, text.slice('text:'.length)];
  if (!/^-?(?:0x[0-9a-f]{1,16}|[0-9]{1,19})$/i.test(text)) throw new InvalidArgumentError('an integer, or text:…');
  return [...before, text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text)];
}

function engineList(text: string): EngineName[] {
  return text.split(',').map((one) => {
    const name = ENGINES.find((engine) => engine === one.trim());
    if (name === undefined) throw new InvalidArgumentError(`engines are ${ENGINES.join(', ')}`);
    return name;
  });
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 10_000) throw new InvalidArgumentError('1 to 10000');
  return value;
}

function percent(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) throw new InvalidArgumentError('0 or more');
  return value;
}
