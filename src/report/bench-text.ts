// A measurement as text: exact counts, times and series, never in one table.
import type { BenchResult, CountedRow } from '../measure/bench.ts';
import type { Change } from '../measure/compare.ts';
import type { Counts } from '../measure/counts.ts';
import type { Series } from '../measure/series.ts';
import type { EngineTimes } from '../measure/timing.ts';
import { count, type Paint, plain, table } from './table.ts';

/** Headings of the exact counts, in the order of a table. */
export const COUNT_TITLES: Readonly<Record<keyof Counts, string>> = {
  instructions: 'instr',
  loads: 'loads',
  stores: 'stores',
  stackBytes: 'stack B',
  takenBranches: 'taken',
  returnMispredicts: 'ret mispr',
  shadowStackViolations: 'shadow',
  codeLines: 'lines',
};
const NAMES = Object.keys(COUNT_TITLES) as (keyof Counts)[];

/** The whole result. */
export function benchText(result: BenchResult, paint: Paint = plain): string {
  const { counts, times, series, finished, machine, kernel } = result;
  return [
    paint('bold', `One call, counted exactly (kernel ${kernel})`),
    ...countsTable(counts, paint),
    ...counts.flatMap((row) => remarks(row, paint)),
    ...times.flatMap((one) => ['', ...timesTable(one, counts, paint)]),
    ...series.flatMap((one) => ['', ...seriesTable(one, paint)]),
    '',
    ...(times.length > 0 ? [paint('dim', `machine: ${machine}`)] : []),
    summaryLine(result, paint),
    ...(finished ? [] : [paint('bad', 'stopped early: this is what was finished')]),
  ].join('\n');
}

function countsTable(rows: readonly CountedRow[], paint: Paint): string[] {
  const counted = rows.flatMap(({ id, title, counts }) =>
    counts === undefined ? [] : [[id, ...NAMES.map((name) => counts[name].toLocaleString('en-US')), title]],
  );
  const headings = ['', ...NAMES.map((name) => COUNT_TITLES[name]), ''];
  return table(
    headings,
    counted,
    NAMES.map((_, i) => i + 1),
    paint,
  );
}

function remarks({ id, counts, reason, differs }: CountedRow, paint: Paint): string[] {
  if (differs !== undefined && counts !== undefined) {
    const names = NAMES.filter((name) => counts[name] !== differs[name]);
    const what = names.map((name) => `${COUNT_TITLES[name]} ${counts[name]} by a run, ${differs[name]} by steps`);
    return [paint('bad', `${id}: the two ways of counting differ: ${what.join('; ')}`)];
  }
  if (counts === undefined) return [paint('bad', `${id}: ${reason ?? 'not counted'}`)];
  return reason === undefined ? [] : [paint('dim', `${id}: unconfirmed: ${reason}`)];
}

function timesTable({ engine, rows, left }: EngineTimes, counted: readonly CountedRow[], paint: Paint): string[] {
  const titles = new Map(counted.map(({ id, title }) => [id, title]));
  const lines = rows.map(({ id, summary: { median, low, high }, ratio }) => [
    id,
    nanoseconds(median),
    `${nanoseconds(low)}–${nanoseconds(high)}`,
    `${ratio.toFixed(2)}x`,
    titles.get(id) ?? '',
  ]);
  return [
    paint('bold', `Nanoseconds per call on ${engine}, measured: median, middle half, ratio to the unpatched call`),
    ...table(['', 'ns', 'middle half', 'ratio', ''], lines, [1, 2, 3], paint),
    ...left.map(({ id, reason }) => paint('dim', `${id} is left out: ${reason}`)),
  ];
}

function seriesTable({ title, x, per, engine, points }: Series, paint: Paint): string[] {
  const timed = points.some(({ ns }) => ns !== undefined);
  const counted = points.some(({ counts }) => counts !== undefined);
  const headings = [x, ...(counted ? ['instr'] : []), ...(timed ? [`ns per ${per} on ${engine}`] : [])];
  const rows = points.map((point) => [
    point.x.toLocaleString('en-US'),
    ...(counted ? [String(point.counts?.instructions ?? '')] : []),
    ...(timed ? [point.ns === undefined ? '' : nanoseconds(point.ns.median)] : []),
  ]);
  return [paint('bold', title), ...table(headings, rows, [0, 1, 2], paint)];
}

/** `3.42`, `128`, `5,410`: three figures that mean something. */
export function nanoseconds(value: number): string {
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en-US');
}

function summaryLine({ counts }: BenchResult, paint: Paint): string {
  const confirmed = counts.filter(({ confirmedBy }) => confirmedBy !== undefined).length;
  const wrong = counts.filter((row) => row.counts === undefined || row.differs !== undefined).length;
  const line = `${count(counts.length, 'mechanism')}, ${confirmed} confirmed by single steps on another engine, ${wrong} failed`;
  return wrong > 0 ? paint('bad', line) : line;
}

/** What changed against an older result. */
export function changesText(changes: readonly Change[], threshold: number, paint: Paint = plain): string {
  if (changes.length === 0) return 'no changes against the older result';
  const rows = changes.map(({ id, what, before, after, percent, worse }) => [
    id,
    what,
    figure(before),
    figure(after),
    percent === undefined || !Number.isFinite(percent) ? '' : `${percent > 0 ? '+' : ''}${percent.toFixed(1)} %`,
    worse ? paint('bad', 'worse') : '',
  ]);
  const worse = changes.filter((change) => change.worse).length;
  return [
    ...table(['', 'what', 'before', 'after', 'change', ''], rows, [2, 3, 4], paint),
    `${count(changes.length, 'change')}, ${worse} past the threshold of ${threshold} %`,
  ].join('\n');
}

function figure(value: number | undefined): string {
  if (value === undefined) return 'none';
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}
