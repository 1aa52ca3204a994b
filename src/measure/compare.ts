// Two results side by side: which exact counts changed, and which times did beyond their spread.
import { JsonNode } from '../json.ts';
import { BENCH_FORMAT, type BenchResult } from './bench.ts';
import { COUNT_NAMES } from './counts.ts';

/** One figure that is not what it was. */
export interface Change {
  readonly id: string;
  /** A count's name, or `ns on wasm`. */
  readonly what: string;
  readonly before: number | undefined;
  readonly after: number | undefined;
  /** Per cent of the old figure, more is worse; undefined where one of the two is missing. */
  readonly percent: number | undefined;
  /** Whether it is past the threshold. */
  readonly worse: boolean;
}

/**
 * Compares two results of one kernel.
 *
 * Counts are exact, so each difference is listed; times are ratios to the unpatched call, and one is listed only where
 * the middle halves of its samples do not overlap. A row that is gone, or can no longer be counted, is worse.
 *
 * @param threshold per cent that a figure may grow
 * @returns changes in the order of the new result, rows that are gone at the end
 */
export function compareBench(before: BenchResult, after: BenchResult, threshold: number): Change[] {
  const changes: Change[] = [];
  const note = (id: string, what: string, old: number | undefined, now: number | undefined): void => {
    const percent = old === undefined || now === undefined ? undefined : percentOf(old, now);
    changes.push({
      id,
      what,
      before: old,
      after: now,
      percent,
      worse: old !== undefined && (percent ?? Infinity) > threshold,
    });
  };
  for (const { id, counts } of after.counts) {
    const old = before.counts.find((row) => row.id === id);
    if (old?.counts === undefined || counts === undefined) {
      if (old?.counts !== counts) note(id, 'instructions', old?.counts?.instructions, counts?.instructions);
      continue;
    }
    for (const name of COUNT_NAMES)
      if (old.counts[name] !== counts[name]) note(id, name, old.counts[name], counts[name]);
  }
  for (const { id, counts } of before.counts) {
    if (counts !== undefined && !after.counts.some((row) => row.id === id))
      note(id, 'instructions', counts.instructions, undefined);
  }
  for (const { engine, rows } of after.times) {
    const old = before.times.find((times) => times.engine === engine)?.rows ?? [];
    for (const row of rows) {
      const was = old.find(({ id }) => id === row.id);
      if (was === undefined || row.ratio === was.ratio) continue;
      const apart = row.summary.low > was.summary.high || row.summary.high < was.summary.low;
      if (apart && Math.abs(percentOf(was.ratio, row.ratio)) > threshold)
        note(row.id, `ratio on ${engine}`, was.ratio, row.ratio);
    }
  }
  return changes;
}

function percentOf(before: number, after: number): number {
  if (before === after) return 0;
  return before === 0 ? Number.POSITIVE_INFINITY : ((after - before) / before) * 100;
}

/**
 * An older result as it was printed: as much of it as is compared.
 * @throws {ScenarioError} EINVAL it is no result; `jsonPath` says where
 */
export function readBench(value: unknown, file?: string): BenchResult {
  const root = new JsonNode(value, '$', file, 'bench');
  root.need('format').oneOf([BENCH_FORMAT]);
  for (const row of root.need('counts').array()) {
    row.need('id').name();
    const counts = row.get('counts');
    for (const name of counts === undefined ? [] : COUNT_NAMES) counts?.need(name).count(0, Number.MAX_SAFE_INTEGER);
  }
  for (const times of root.need('times').array()) {
    times.need('engine').name();
    for (const row of times.need('rows').array()) {
      row.need('id').name();
      row.need('ratio').number();
      for (const name of ['median', 'low', 'high']) row.need('summary').need(name).number();
    }
  }
  return value as BenchResult;
}
