// A measurement as one page that needs nothing else: tables that sort, charts as SVG, light and dark.
import type { BenchResult, CountedRow } from '../measure/bench.ts';
import { COUNT_NAMES } from '../measure/counts.ts';
import type { Family } from '../measure/mechanism.ts';
import type { Series } from '../measure/series.ts';
import type { EngineTimes } from '../measure/timing.ts';
import { PAGE_SCRIPT, PAGE_STYLE } from './bench-page.ts';
import { COUNT_TITLES, nanoseconds } from './bench-text.ts';
import { barChart, escaped, lineChart } from './chart.ts';

const FAMILIES: readonly Family[] = ['plain', 'ftrace', 'livepatch', 'entry patch', 'inline hook', 'call site', 'own'];

/** The page. */
export function benchHtml(result: BenchResult): string {
  const { counts, times, series, machine, kernel, finished } = result;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What call redirection costs</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>What call redirection costs</h1>
<p>tramp64 bench, kernel ${escaped(kernel)}${finished ? '' : ', <strong>stopped early</strong>'}. Counts are exact: the same on every machine and in every run, read off a run and
confirmed by single steps on another engine. Times are measured: ${escaped(machine)}.</p>
</header>
<main>
<section><h2>Instructions per call</h2>${legend(counts)}<div class="scroll">${instructionChart(counts)}</div></section>
<section><h2>Exact counts</h2>${countsTable(counts)}</section>
${times.map((one) => timesSection(one, counts)).join('\n')}
${seriesSections(series)}
</main>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function groupOf({ family }: CountedRow): number {
  return FAMILIES.indexOf(family);
}

function legend(rows: readonly CountedRow[]): string {
  const used = FAMILIES.filter((family) => rows.some((row) => row.family === family));
  return `<p class="legend">${used.map((family) => `<span><span class="key c${FAMILIES.indexOf(family)}"></span>${escaped(family)}</span>`).join(' ')}</p>`;
}

function instructionChart(rows: readonly CountedRow[]): string {
  const bars = rows.flatMap((row) =>
    row.counts === undefined
      ? []
      : [
          {
            label: row.title,
            value: row.counts.instructions,
            group: groupOf(row),
            text: String(row.counts.instructions),
          },
        ],
  );
  return barChart('Instructions per call by mechanism', bars);
}

function countsTable(rows: readonly CountedRow[]): string {
  const body = rows.map((row) => {
    const cells =
      row.counts === undefined
        ? `<td class="bad" colspan="${COUNT_NAMES.length}">${escaped(row.reason ?? 'not counted')}</td>`
        : COUNT_NAMES.map((name) => `<td class="n">${row.counts?.[name] ?? ''}</td>`).join('');
    const confirmed = row.confirmedBy === undefined ? '<span class="bad">no</span>' : escaped(row.confirmedBy);
    return `<tr><th scope="row">${name(row)}</th>${cells}<td>${confirmed}</td></tr>`;
  });
  const headings = ['mechanism', ...COUNT_NAMES.map((one) => COUNT_TITLES[one]), 'confirmed on'];
  return sortable(headings, COUNT_NAMES.length, body);
}

function name({ title, note }: Pick<CountedRow, 'title' | 'note'>): string {
  return note === undefined ? escaped(title) : `${escaped(title)}<small>${escaped(note)}</small>`;
}

function timesSection({ engine, rows, left }: EngineTimes, counted: readonly CountedRow[]): string {
  const known = new Map(counted.map((row) => [row.id, row]));
  const body = rows.map(({ id, summary: { median, low, high }, ratio }) => {
    const row = known.get(id);
    const title = row === undefined ? escaped(id) : name(row);
    const spread = `${nanoseconds(low)}–${nanoseconds(high)}`;
    return `<tr><th scope="row">${title}</th><td class="n" data-value="${median}">${nanoseconds(median)}</td><td class="n" data-value="${low}">${spread}</td><td class="n" data-value="${ratio}">${ratio.toFixed(2)}x</td></tr>`;
  });
  const missing = left.map(({ id, reason }) => `<p><small>${escaped(id)} is left out: ${escaped(reason)}</small></p>`);
  return `<section><h2>Nanoseconds per call on ${escaped(engine)}</h2>${sortable(['mechanism', 'ns', 'middle half', 'ratio'], 3, body)}${missing.join('')}</section>`;
}

function seriesSections(series: readonly Series[]): string {
  return series.map((one) => `<section><h2>${escaped(one.title)}</h2>${seriesBody(one)}</section>`).join('\n');
}

/** Counts that are the same at every size are a sentence, not a chart. */
function seriesBody({ title, x, per, engine, points }: Series): string {
  const timed = points.flatMap((point) => (point.ns === undefined ? [] : [{ x: point.x, y: point.ns.median }]));
  const counted = points.flatMap(({ x: size, counts }) =>
    counts === undefined ? [] : [{ x: size, y: counts.instructions }],
  );
  const figures = new Set(counted.map(({ y }) => y));
  const [only] = figures;
  const parts = [
    ...(figures.size === 1 ? [`<p>${only} instructions per call at every size.</p>`] : []),
    ...(figures.size > 1
      ? [lineChart(title, x, 'instructions per call', [{ label: 'instructions', points: counted }])]
      : []),
    ...(timed.length > 1
      ? [lineChart(title, x, `ns per ${per} on ${engine}`, [{ label: engine, points: timed }])]
      : []),
  ];
  return `<div class="charts">${parts.join('')}</div>`;
}

/** @param numbers columns after the first that hold numbers */
function sortable(headings: readonly string[], numbers: number, rows: readonly string[]): string {
  const head = headings.map((heading, i) => {
    const aligned = i > 0 && i <= numbers ? ' class="n"' : '';
    return `<th scope="col"${aligned}><button type="button">${escaped(heading)}</button></th>`;
  });
  return `<div class="scroll"><table><thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}
