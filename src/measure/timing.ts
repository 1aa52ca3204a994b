// Nanoseconds per call, in interleaved rounds: every row once in each round, in an order that rotates.
import type { EngineName } from '../engine/engine.ts';
import { TrampolineError } from '../errors.ts';
import { installDriver, timeCalls } from './driver.ts';
import type { Mechanism } from './mechanism.ts';
import { type Summary, summary } from './statistics.ts';
import type { Subject } from './subject.ts';

/** One mechanism on one engine. */
export interface TimedRow {
  readonly id: string;
  /** Calls in each sample. */
  readonly calls: number;
  /** Nanoseconds per call, one a round, the loop included. */
  readonly ns: readonly number[];
  readonly summary: Summary;
  /** To the unpatched call, or the row's own baseline, in the same round; the median over the rounds. */
  readonly ratio: number;
}

/** What was timed on one engine. */
export interface EngineTimes {
  readonly engine: EngineName | 'bare CPU';
  readonly rows: readonly TimedRow[];
  /** What could not be timed there, and why. */
  readonly left: readonly { readonly id: string; readonly reason: string }[];
}

/** How long it may take. */
export interface TimingOptions {
  readonly rounds: number;
  /** Milliseconds that one sample should last. */
  readonly sample: number;
  /** True once what is finished is enough: asked between samples. */
  readonly stop?: () => boolean;
  /** Told after each sample. */
  readonly onSample?: (done: number, total: number) => void;
}

/** The row that all ratios are to. */
export const BASELINE = 'nop5';
const LEAST_CALLS = 64;
const MOST_CALLS = 1 << 22;
/** Samples' worth of calls before the first one counts. */
const WARM_UP = 20;

interface Lane {
  readonly id: string;
  readonly baseline: string;
  readonly subject: Subject;
  calls: number;
  readonly ns: number[];
}

/**
 * Times mechanisms on one engine, each result checked. Between samples the event loop runs.
 *
 * @param mechanisms the baseline must be among them
 */
export async function timeRows(
  mechanisms: readonly Mechanism[],
  engine: EngineName,
  options: TimingOptions,
): Promise<EngineTimes> {
  const left: { id: string; reason: string }[] = [];
  const lanes: Lane[] = [];
  try {
    for (const mechanism of mechanisms) {
      try {
        lanes.push(await laneOf(mechanism, engine, options.sample));
      } catch (error) {
        left.push({ id: mechanism.id, reason: reasonOf(error) });
      }
    }
    const total = options.rounds * lanes.length;
    for (let sample = 0; sample < total && options.stop?.() !== true; sample++) {
      const round = Math.floor(sample / lanes.length);
      const lane = lanes[(sample + round) % lanes.length];
      if (lane !== undefined) lane.ns.push(timeCalls(lane.subject, lane.calls) / lane.calls);
      options.onSample?.(sample + 1, total);
      await new Promise((resolve) => setTimeout(resolve));
    }
  } finally {
    for (const { subject } of lanes) subject.dispose();
  }
  return { engine, rows: rowsOf(lanes), left };
}

/** Rows with their ratios, from samples in the order of rounds. */
export function rowsOf(lanes: readonly Pick<Lane, 'id' | 'baseline' | 'calls' | 'ns'>[]): TimedRow[] {
  return lanes
    .filter(({ ns }) => ns.length > 0)
    .map(({ id, baseline, calls, ns }) => {
      const base = lanes.find((lane) => lane.id === baseline)?.ns ?? [];
      const ratios = ns.slice(0, base.length).map((time, i) => time / (base[i] ?? Number.NaN));
      return { id, calls, ns, summary: summary(ns), ratio: summary(ratios).median };
    });
}

async function laneOf(mechanism: Mechanism, engine: EngineName, sample: number): Promise<Lane> {
  const subject = await mechanism.make(engine);
  try {
    installDriver(subject);
    let calls = LEAST_CALLS;
    // guest code is translated and the engine compiled while it warms up; its last run tells how many calls fill a sample
    for (let spent = 0; spent < WARM_UP * sample * 1e6; ) {
      const ns = timeCalls(subject, calls);
      spent += ns;
      calls = Math.max(LEAST_CALLS, Math.min(MOST_CALLS, Math.round((calls * sample * 1e6) / Math.max(ns, 1))));
    }
    return { id: mechanism.id, baseline: mechanism.baseline ?? BASELINE, subject, calls, ns: [] };
  } catch (error) {
    subject.dispose();
    throw error;
  }
}

/** Why a row is left out. @throws what is no error of ours */
export function reasonOf(error: unknown): string {
  if (error instanceof TrampolineError) return error.message;
  throw error;
}
