// A measurement as CSV (RFC 4180): one figure a line, so that any tool can turn it into any table.
import type { BenchResult } from '../measure/bench.ts';
import { COUNT_NAMES } from '../measure/counts.ts';

/** Columns: table (counts, times or series), id, engine, x, metric, value. Every sample is a line. */
export function benchCsv({ counts, times, series }: BenchResult): string {
  const lines: (string | number)[][] = [['table', 'id', 'engine', 'x', 'metric', 'value']];
  for (const { id, counts: exact } of counts) {
    if (exact !== undefined) for (const name of COUNT_NAMES) lines.push(['counts', id, '', '', name, exact[name]]);
  }
  for (const { engine, rows } of times) {
    for (const { id, ns, ratio } of rows) {
      for (const [round, value] of ns.entries()) lines.push(['times', id, engine, round, 'ns', value]);
      lines.push(['times', id, engine, '', 'ratio', ratio]);
    }
  }
  for (const { id, engine, points } of series) {
    for (const { x, counts: exact, ns } of points) {
      if (exact !== undefined) lines.push(['series', id, engine, x, 'instructions', exact.instructions]);
      if (ns !== undefined) lines.push(['series', id, engine, x, 'ns', ns.median]);
    }
  }
  return `${lines.map((line) => line.map(cell).join(',')).join('\r\n')}\r\n`;
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
