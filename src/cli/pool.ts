// Judges cases in worker processes; a worker that crashes or hangs costs its own case only.
import { availableParallelism } from 'node:os';
import { Tinypool } from 'tinypool';
import { type CaseResult, notJudged, type RawCase } from '../check/cases.ts';
import type { EngineChoice } from '../engine/confirm.ts';
import type { CheckTask } from './check-worker.ts';

/** How to spread the work. */
export interface PoolOptions {
  readonly engine: EngineChoice;
  /** Workers; the host's processors unless told. */
  readonly jobs?: number;
  /** Milliseconds that one case may take. */
  readonly timeout?: number;
  readonly onDone?: (done: number) => void;
  /** The worker's module, for tests. */
  readonly worker?: URL;
}

/** Far beyond any case that ends; the clock bounds what the budgets of the judges do not. */
export const CASE_TIMEOUT = 60_000;
export const MAX_JOBS = 64;
/** MiB of JavaScript memory for one worker; the engines' own memory is bounded by what they map. */
const WORKER_MEMORY = 1024;

/** Beside this file: bundled as .js; in the sources behind what reads .ts. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './check-worker-source.mjs' : './check-worker.js',
  import.meta.url,
);

/**
 * Judges all cases; the results are in the order of the cases, whatever the number of workers. A case whose worker
 * dies, fails or takes too long is `not-judged` with the reason, and a new worker takes the place of the old one.
 */
export async function judgeOnWorkers(cases: readonly RawCase[], options: PoolOptions): Promise<CaseResult[]> {
  const { engine, timeout = CASE_TIMEOUT, onDone, worker = WORKER } = options;
  const jobs = Math.max(1, Math.min(options.jobs ?? availableParallelism(), MAX_JOBS, cases.length));
  const results: CaseResult[] = [];
  if (cases.length === 0) return results;
  const pool = new Tinypool({
    filename: worker.href,
    // An engine may end its process (an abort inside a library) and a thread that runs WASM may never be ended
    // (nodejs/node issue 47748); a process can always be killed, and its end is told at once.
    runtime: 'child_process',
    serialization: 'advanced',
    // tinypool hands on no more than it is given
    env: childEnvironment(),
    execArgv: [`--max-old-space-size=${WORKER_MEMORY}`],
    minThreads: jobs,
    maxThreads: jobs,
  });
  const running = new Set<AbortController>();
  let done = 0;
  let unusable: string | undefined;
  // a worker has failed while it held no case
  pool.on('error', (error: unknown) => {
    if (done > 0) return;
    unusable = `no worker starts: ${reasonOf(error)}`;
    for (const controller of running) controller.abort();
  });
  const judge = async (raw: RawCase): Promise<CaseResult> => {
    if (unusable !== undefined) return notJudged(raw, unusable);
    const controller = new AbortController();
    running.add(controller);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      controller.abort();
    }, timeout);
    try {
      const task: CheckTask = { raw, engine };
      return (await pool.run(task, { signal: controller.signal })) as CaseResult;
    } catch (error) {
      const why = late ? `takes more than ${timeout / 1000} s` : `the judge failed: ${reasonOf(error)}`;
      return notJudged(raw, unusable ?? why);
    } finally {
      clearTimeout(timer);
      running.delete(controller);
    }
  };
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < cases.length; i = next++) {
      results[i] = await judge(cases[i] ?? {});
      onDone?.(++done);
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, lane));
  } finally {
    await pool.destroy();
  }
  return results;
}

function childEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** The first line, without what differs from run to run. */
function reasonOf(error: unknown): string {
  // an error that comes from another process is an object with its message
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  const text = String(message);
  return text.split('\n')[0]?.slice(0, 200) ?? '';
}
