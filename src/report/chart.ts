// Charts as SVG text without a library: bars side by side, and lines over a logarithmic axis.

/** One bar. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Chooses the colour, a CSS class `c0`, `c1` …; bars of one group are alike. */
  readonly group: number;
  /** What the bar says at its end. */
  readonly text: string;
}

/** One line; both coordinates above 0. */
export interface Line {
  readonly label: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

const ROW = 22;
const LABEL = 300;
const BAR = 420;
const TEXT = 110;

/** Text that may stand in HTML, inside and outside attributes. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** Horizontal bars, the longest as wide as the chart. @param title what a screen reader says */
export function barChart(title: string, bars: readonly Bar[]): string {
  const most = Math.max(1, ...bars.map(({ value }) => value));
  const height = ROW * bars.length + 4;
  const rows = bars.map(({ label, value, group, text }, i) => {
    const y = i * ROW;
    const width = Math.max(1, (value / most) * BAR);
    return [
      `<text class="label" x="${LABEL - 8}" y="${y + 15}" text-anchor="end">${escaped(label)}</text>`,
      `<rect class="c${group}" x="${LABEL}" y="${y + 3}" width="${width.toFixed(1)}" height="${ROW - 6}" rx="2"/>`,
      `<text x="${(LABEL + width + 6).toFixed(1)}" y="${y + 15}">${escaped(text)}</text>`,
    ].join('');
  });
  return `<svg role="img" aria-label="${escaped(title)}" viewBox="0 0 ${LABEL + BAR + TEXT} ${height}">${rows.join('')}</svg>`;
}

const PLOT = { left: 64, top: 10, width: 560, height: 220 } as const;

/** Lines over a logarithmic x and a y from 0. */
export function lineChart(title: string, xTitle: string, yTitle: string, lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const [least, most] = [Math.min(...all.map(({ x }) => x)), Math.max(...all.map(({ x }) => x))];
  const top = niceTop(Math.max(...all.map(({ y }) => y)));
  const span = Math.log(most / least) || 1;
  const px = (x: number): number => PLOT.left + (Math.log(x / least) / span) * PLOT.width;
  const py = (y: number): number => PLOT.top + PLOT.height * (1 - y / top);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const y = py(top * share).toFixed(1);
    const label = escaped((top * share).toLocaleString('en-US'));
    return `<line class="grid" x1="${PLOT.left}" x2="${PLOT.left + PLOT.width}" y1="${y}" y2="${y}"/><text x="${PLOT.left - 6}" y="${Number(y) + 4}" text-anchor="end">${label}</text>`;
  });
  const ticks = [...new Set(all.map(({ x }) => x))].map(
    (x) =>
      `<text x="${px(x).toFixed(1)}" y="${PLOT.top + PLOT.height + 18}" text-anchor="middle">${x.toLocaleString('en-US')}</text>`,
  );
  const drawn = lines.map(({ points }, i) => {
    const path = points.map(({ x, y }) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`);
    const dots = path.map((at) => `<circle class="c${i}" cx="${at.split(',')[0]}" cy="${at.split(',')[1]}" r="3"/>`);
    return `<polyline class="s${i}" fill="none" points="${path.join(' ')}"/>${dots.join('')}`;
  });
  const middle = PLOT.left + PLOT.width / 2;
  const titles = `<text x="${middle}" y="${PLOT.top + PLOT.height + 38}" text-anchor="middle">${escaped(xTitle)}</text><text class="label" x="${PLOT.left}" y="${PLOT.top + PLOT.height + 38}">${escaped(yTitle)}</text>`;
  const box = `0 0 ${PLOT.left + PLOT.width + 40} ${PLOT.top + PLOT.height + 48}`;
  return `<svg role="img" aria-label="${escaped(title)}" viewBox="${box}">${[...grid, ...ticks, ...drawn, titles].join('')}</svg>`;
}

/** The next of 1, 2, 2.5, 5, 10 … times a power of ten. */
function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return ([1, 2, 2.5, 5, 10].find((step) => value <= step * power) ?? 10) * power;
}
