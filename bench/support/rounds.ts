// One short benny suite per round, in rotated order: benny runs cases in sequence, so drift would favour some of them.
import { add, configure, suite } from 'benny';

/** Name → what is timed; it does many calls per run. */
export type Cases = Readonly<Record<string, () => void>>;

/** Name → seconds per run, one figure per round. */
export type Figures = Map<string, number[]>;

/**
 * Times every case once and adds its figure, the shortest sample: samples of a few milliseconds fit between the slices of
 * time that a busy machine gives to others.
 *
 * @param round which case comes first, modulo their number
 * @param seconds time per case
 */
export async function timeRound(
  name: string,
  cases: Cases,
  round: number,
  seconds: number,
  to: Figures,
): Promise<void> {
  const entries = Object.entries(cases);
  const first = round % entries.length;
  const rotated = [...entries.slice(first), ...entries.slice(0, first)];
  const summary = await suite(
    name,
    ...rotated.map(([name, run]) => add(name, () => run())),
    configure({ cases: { maxTime: seconds, minSamples: 5, minTime: 0.002, delay: 0 } }),
  );
  for (const { name, details } of summary.results) to.set(name, [...(to.get(name) ?? []), details.min]);
}

/** The middle figure, the upper one of two; NaN of none. */
export function median(figures: readonly number[] = []): number {
  return [...figures].sort((a, b) => a - b)[figures.length >> 1] ?? Number.NaN;
}
