// Interleaved rounds over subjects: within a round every subject runs every program, each figure the shortest sample.
import type { GuestRun } from './guest.ts';
import type { Subject } from './subjects.ts';

/** A subject, and the programs it is timed on: by row, the run in the size that suits its speed. */
export interface Entrant {
  readonly name: string;
  readonly subject: Subject;
  readonly runs: Readonly<Record<string, GuestRun>>;
}

/** Nanoseconds per call by subject and program, one figure per round. */
export class Figures {
  readonly #rounds = new Map<string, number[]>();

  add(subject: string, row: string, nanoseconds: number): void {
    const key = `${subject}/${row}`;
    this.#rounds.set(key, [...(this.#rounds.get(key) ?? []), nanoseconds]);
  }

  /** The median of the rounds, in nanoseconds; undefined where it was not measured. */
  of(subject: string, row: string): number | undefined {
    return median(this.#rounds.get(`${subject}/${row}`) ?? []);
  }

  /** The median over the rounds of the ratio within each. */
  ratio(slower: readonly [string, string], faster: readonly [string, string]): number | undefined {
    const above = this.#rounds.get(slower.join('/')) ?? [];
    const below = this.#rounds.get(faster.join('/')) ?? [];
    return median(above.slice(0, below.length).map((figure, i) => figure / (below[i] ?? Number.NaN)));
  }

  /** Every median, for the JSON. */
  all(): Record<string, number> {
    return Object.fromEntries([...this.#rounds].map(([key, figures]) => [key, median(figures) ?? Number.NaN]));
  }
}

/** The middle figure, the upper one of two; undefined of none. */
export function median(figures: readonly number[]): number | undefined {
  return [...figures].sort((a, b) => a - b)[figures.length >> 1];
}

/**
 * Runs every program of every entrant once and compares what it leaves.
 * @throws {Error} a result is wrong
 */
export async function checkAll(entrants: readonly Entrant[]): Promise<void> {
  for (const { name, subject, runs } of entrants) {
    for (const run of Object.values(runs)) await timeChecked(name, subject, run);
  }
}

/** Runs every program for so long that V8 has compiled what runs with its best compiler, a busy machine included. */
export async function warmUp(entrants: readonly Entrant[], milliseconds: number): Promise<void> {
  for (const { name, subject, runs } of entrants) {
    for (const run of Object.values(runs)) {
      const end = performance.now() + milliseconds;
      while (performance.now() < end) await timeChecked(name, subject, run);
    }
  }
}

/** One round; the subject that comes first changes from round to round. */
export async function timeRound(
  entrants: readonly Entrant[],
  round: number,
  samples: number,
  figures: Figures,
): Promise<void> {
  const first = round % entrants.length;
  const rotated = [...entrants.slice(first), ...entrants.slice(0, first)];
  for (const { name, subject, runs } of rotated) {
    for (const [row, run] of Object.entries(runs)) {
      let shortest = Number.POSITIVE_INFINITY;
      // the first one warms the caches and is left out
      for (let sample = 0; sample <= samples; sample++) {
        const nanoseconds = await timeChecked(name, subject, run);
        if (sample > 0) shortest = Math.min(shortest, nanoseconds);
      }
      figures.add(name, row, shortest / run.calls);
    }
  }
}

async function timeChecked(name: string, subject: Subject, run: GuestRun): Promise<number> {
  const { nanoseconds, sum } = await subject.time(run);
  if (sum !== run.sum) throw new Error(`${name}, ${run.name}: the results add up to ${sum}, not ${run.sum}`);
  return nanoseconds;
}
