// The whole measurement: exact counts of every mechanism with a second opinion, times per engine, series.
import type { EngineName } from '../engine/engine.ts';
import type { KernelVersion } from '../ftrace/trampoline.ts';
import { COUNT_NAMES, type Counts, countCall } from './counts.ts';
import type { Effect, Family, Mechanism } from './mechanism.ts';
import { ENTRIES } from './mechanisms/entries.ts';
import { ftraceRows } from './mechanisms/ftrace.ts';
import { livepatchRows } from './mechanisms/livepatch.ts';
import { measureSeries, type Series } from './series.ts';
import { countBySteps } from './stepped.ts';
import { BASELINE, type EngineTimes, reasonOf, timeRows } from './timing.ts';

export const BENCH_FORMAT = 'tramp64-bench/1';

/** The exact costs of one mechanism. */
export interface CountedRow {
  readonly id: string;
  readonly title: string;
  readonly family: Family;
  readonly effect: Effect;
  readonly note?: string;
  readonly baseline?: string;
  /** Absent where it could not be counted; `reason` says why. */
  readonly counts?: Counts;
  /** The engine that single-stepped to the same counts; absent where none did. */
  readonly confirmedBy?: EngineName;
  readonly reason?: string;
  /** The second opinion's counts, where they differ: one of the two is wrong. */
  readonly differs?: Counts;
}

/** What was measured; `JSON.stringify` of it is the file format. */
export interface BenchResult {
  readonly format: typeof BENCH_FORMAT;
  /** Processor, number of processors, system and runtime: times mean nothing without them. */
  readonly machine: string;
  readonly kernel: KernelVersion;
  /** False where it was stopped early. */
  readonly finished: boolean;
  readonly counts: readonly CountedRow[];
  readonly times: readonly EngineTimes[];
  readonly series: readonly Series[];
}

/** What to measure, and how long. */
export interface BenchOptions {
  readonly machine: string;
  readonly kernel?: KernelVersion;
  /** Engines to time on; none: counts only. */
  readonly engines?: readonly EngineName[];
  /** Rounds and milliseconds per sample. */
  readonly rounds?: number;
  readonly sample?: number;
  readonly series?: boolean;
  /** Rows of the user's own, after the others. */
  readonly own?: readonly Mechanism[];
  /** Only rows whose id it accepts; the unpatched call is always there. */
  readonly only?: (id: string) => boolean;
  readonly stop?: () => boolean;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

/** Counts are read off a run on this engine … */
const COUNTED_ON: EngineName = 'wasm';
/** … and confirmed by single steps on this one. */
const STEPPED_ON: EngineName = 'unicorn';
const ROUNDS = 9;
const SAMPLE = 10;
const SERIES_CALLS = 50_000;

/** Every mechanism there is, as a kernel of that version does it. */
export function mechanisms(kernel: KernelVersion): Mechanism[] {
  return [...ENTRIES, ...ftraceRows(kernel), ...livepatchRows(kernel)];
}

/**
 * Measures. Rows that fail are in the result with the reason; a stop keeps what is finished.
 *
 * @throws {RangeError} two rows have one id
 */
export async function runBench(options: BenchOptions): Promise<BenchResult> {
  const { kernel = '6.12', engines = [], rounds = ROUNDS, sample = SAMPLE, own = [], only = () => true } = options;
  const { stop = () => false, onProgress = () => {} } = options;
  const rows = [...mechanisms(kernel), ...own].filter(({ id }) => id === BASELINE || only(id));
  const twice = rows.find(({ id }, i) => rows.findIndex((row) => row.id === id) !== i);
  if (twice !== undefined) throw new RangeError(`"own" has the id '${twice.id}', which is taken`);

  const counts: CountedRow[] = [];
  for (const [i, row] of rows.entries()) {
    if (stop()) break;
    onProgress('counting', i, rows.length);
    counts.push(await countRow(row));
    await new Promise((resolve) => setTimeout(resolve));
  }
  const times: EngineTimes[] = [];
  for (const engine of engines) {
    if (stop()) break;
    const onSample = (done: number, total: number): void => onProgress(`timing on ${engine}`, done, total);
    times.push(await timeRows(rows, engine, { rounds, sample, stop, onSample }));
  }
  const series =
    options.series === false || stop()
      ? []
      : await measureSeries({
          engine: engines[0] ?? COUNTED_ON,
          kernel,
          rounds,
          calls: engines.length === 0 ? 0 : SERIES_CALLS,
          stop,
          onPoint: (done, total) => onProgress('series', done, total),
        });
  return { format: BENCH_FORMAT, machine: options.machine, kernel, finished: !stop(), counts, times, series };
}

/** Counts one row twice, by a run and by steps on another engine. */
export async function countRow({ make, ...row }: Mechanism): Promise<CountedRow> {
  try {
    const counts = await withSubject(make, COUNTED_ON, countCall);
    try {
      const stepped = await withSubject(make, STEPPED_ON, countBySteps);
      const same = COUNT_NAMES.every((name) => counts[name] === stepped[name]);
      return same ? { ...row, counts, confirmedBy: STEPPED_ON } : { ...row, counts, differs: stepped };
    } catch (error) {
      return { ...row, counts, reason: reasonOf(error) };
    }
  } catch (error) {
    return { ...row, reason: reasonOf(error) };
  }
}

async function withSubject<Result>(
  make: Mechanism['make'],
  engine: EngineName,
  use: (subject: Awaited<ReturnType<Mechanism['make']>>) => Result,
): Promise<Result> {
  const subject = await make(engine);
  try {
    return use(subject);
  } finally {
    subject.dispose();
  }
}
