// Runs cases in many short benny suites of rotated order: benny runs cases in sequence, so drift would favour some.
import { add, configure, suite } from 'benny';

/** Name → what is timed; it does many calls per run. */
export type Cases = Readonly<Record<string, () => void>>;

/** How long and how often. */
export interface RoundOptions {
  /** Suites; at least 7 for figures. */
  rounds: number;
  /** Seconds per case and suite. */
  maxTime: number;
}

/**
 * Times every case once per round, each round starting one case later.
 *
 * @returns name → seconds per run, one figure per round: its shortest sample, since samples are shorter than the slices
 * of time that a busy machine gives to others
 */
export async function timeRounds(
  cases: Cases,
  { rounds, maxTime }: RoundOptions,
  before: (round: number) => void = () => {},
): Promise<Map<string, number[]>> {
  const names = Object.keys(cases);
  const figures = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    before(round);
    const order = names.map((_, i) => names[(i + round) % names.length] ?? '');
    const summary = await suite(
      `round ${round}`,
      ...order.map((name) =>
        add(name, () => {
          cases[name]?.();
        }),
      ),
      configure({ cases: { maxTime, minSamples: 5, minTime: 0.002, delay: 0 } }),
    );
    for (const { name, details } of summary.results) figures.get(name)?.push(details.min);
  }
  return figures;
}

/** The middle figure, the upper one of two. */
export function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[figures.length >> 1] ?? Number.NaN;
}
