// `tramp64 check FILE…` and `--cases FILE…`: judges all cases of files, and all entries and sites of objects.
import { type CaseResult, casesOf, documentOf, notJudged, type RawCase } from '../check/cases.ts';
import { type EngineChoice, isTogether } from '../engine/confirm.ts';
import { createEngine } from '../engine/create.ts';
import { type OutputChoice, report, totalOf } from './check-output.ts';
import { isElf, parseJson, readInput } from './files.ts';
import { objectCases } from './object-cases.ts';
import { exitStatus } from './options.ts';
import { usage } from './place.ts';
import { judgeOnWorkers, MAX_JOBS } from './pool.ts';
import { progress } from './terminal.ts';

/** The options of `check FILE…`. */
export interface CheckFilesOptions extends OutputChoice {
  engine: EngineChoice;
  cases?: string[];
  shard?: string;
  jobs?: string;
  strict?: boolean;
}

/** A case, where it comes from, and what becomes of its result. */
interface Job {
  readonly file: string;
  readonly raw: RawCase;
  readonly isObject: boolean;
  readonly unjudged?: string;
}

/** Judges and prints; returns the exit status. */
export async function checkFiles(files: readonly string[], options: CheckFilesOptions): Promise<number> {
  const shard = shardOf(options.shard);
  const jobs = jobsOf(options.jobs);
  const all: Job[] = [];
  for (const file of files) {
    const bytes = await readInput(file);
    const isObject = isElf(bytes);
    const cases = isObject
      ? objectCases(bytes, file)
      : casesOf(parseJson(bytes, file, 'check'), file).map((raw) => ({ raw }));
    for (const one of cases) all.push({ file, isObject, ...one });
  }
  // an engine that is not there is one error, not one for each case
  if (options.engine !== 'unicorn' && !isTogether(options.engine)) (await createEngine(options.engine)).dispose();
  // every n-th, so that the parts take about the same time
  const mine = all.filter((_, index) => index % shard.of === shard.index - 1);
  const judged = mine.filter(({ unjudged }) => unjudged === undefined);
  const bar = progress('check', 'cases');
  let results: CaseResult[];
  try {
    results = await judgeOnWorkers(
      judged.map(({ raw }) => raw),
      {
        engine: options.engine,
        ...(jobs === undefined ? {} : { jobs }),
        onDone: (done) => bar.update(done, judged.length),
      },
    );
  } finally {
    bar.end();
  }
  let next = 0;
  const told = mine.map((job) => {
    const item = job.unjudged === undefined ? results[next++] : undefined;
    return toldOf(item ?? notJudged(job.raw, job.unjudged ?? 'no worker answered'), job, files.length > 1);
  });
  const document = documentOf(told, options.shard === undefined ? undefined : shard);
  report(document, options, files.length === 1 ? files[0] : undefined);
  return exitStatus(totalOf(document), options.strict === true);
}

/** Names the file where there are several. A prologue that cannot be hooked is no defect of an object: a note. */
function toldOf({ id, ...rest }: CaseResult, job: Job, several: boolean): CaseResult {
  const item = { id, ...(several ? { file: job.file } : {}), ...rest };
  if (!job.isObject || item.kind !== 'hook') return item;
  return {
    ...item,
    findings: item.findings.map((one) => ({ ...one, level: one.level === 'error' ? 'note' : one.level })),
  };
}

function shardOf(text: string | undefined): { index: number; of: number } {
  if (text === undefined) return { index: 1, of: 1 };
  const [, part = '', parts = ''] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? [];
  const [index, of] = [Number(part), Number(parts)];
  if (of < 1 || index < 1 || index > of) throw usage(`--shard '${text.slice(0, 40)}' must read i/n with i from 1 to n`);
  return { index, of };
}

function jobsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const jobs = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (jobs < 1 || jobs > MAX_JOBS) throw usage(`--jobs '${text.slice(0, 40)}' must be a number from 1 to ${MAX_JOBS}`);
  return jobs;
}
