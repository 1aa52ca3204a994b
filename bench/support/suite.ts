// What every suite is: one question, its goals, and what it prints; `bench/index.ts` runs them all.
import type { Goal } from './report.ts';

/** How a suite runs. */
export interface SuiteOptions {
  /** Results are checked, nothing is timed: what CI does. */
  readonly quick: boolean;
}

/** What a suite has found. */
export interface SuiteResult {
  /** Its rows with their goals; none where it has no goal, or with `quick`. */
  readonly goals: readonly Goal[];
  /** What goes into bench/results, besides the goals. */
  readonly data?: unknown;
}

/** One suite. */
export interface Suite {
  /** Its name on the command line, and of its file in bench/results. */
  readonly name: string;
  readonly question: string;
  /** What `quick` has checked, as a sentence. */
  readonly checks: string;
  run(options: SuiteOptions): Promise<SuiteResult>;
}
