// The bench's reports: text, CSV, and the page in a headless browser.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BenchResult, runBench } from '../../src/measure/bench.ts';
import { benchCsv } from '../../src/report/bench-csv.ts';
import { benchHtml } from '../../src/report/bench-html.ts';
import { benchText, changesText, nanoseconds } from '../../src/report/bench-text.ts';
import { barChart, escaped, lineChart } from '../../src/report/chart.ts';

let result: BenchResult;
beforeAll(async () => {
  const only = (id: string): boolean => ['jmp', 'push-ret', 'livepatch-args'].includes(id);
  result = await runBench({
    machine: 'a <test> machine',
    kernel: '6.1',
    engines: ['wasm'],
    rounds: 2,
    sample: 0.1,
    only,
  });
});

describe('as text', () => {
  test('counts and times are in tables of their own, with a summary', () => {
    const text = benchText(result);
    expect(text).toMatch(/^One call, counted exactly \(kernel 6\.1\)/);
    expect(text).toMatch(/^livepatch-args +86 +29 +22 +184 +7 +1 +1 +11 {2}livepatch, args trampoline$/m);
    expect(text).toMatch(/^Nanoseconds per call on wasm, measured/m);
    expect(text).toContain('4 mechanisms, 4 confirmed by single steps on another engine, 0 failed');
    expect(text.match(/NaN|undefined/)).toBeNull();
  });

  test('a row that failed says why, and counts that differ say by how much', () => {
    const [first, second, ...rest] = result.counts;
    if (first?.counts === undefined || second === undefined) throw new Error('no rows');
    const { counts: _, ...uncounted } = second;
    const text = benchText({
      ...result,
      counts: [
        { ...first, differs: { ...first.counts, loads: 99 } },
        { ...uncounted, reason: 'measure: broken (EIO)' },
        ...rest,
      ],
    });
    expect(text).toContain('nop5: the two ways of counting differ: loads 3 by a run, 99 by steps');
    expect(text).toContain('jmp: measure: broken (EIO)');
    expect(text).toContain('2 failed');
  });

  test('changes say what was and what is', () => {
    const changes = [
      { id: 'jmp', what: 'instructions', before: 9, after: 10, percent: 11.1, worse: true },
      { id: 'old', what: 'instructions', before: 9, after: undefined, percent: undefined, worse: true },
    ];
    expect(changesText(changes, 5)).toMatch(/^jmp +instructions +9 +10 +\+11\.1 % +worse$/m);
    expect(changesText(changes, 5)).toContain('2 changes, 2 past the threshold of 5 %');
    expect(changesText([], 5)).toBe('no changes against the older result');
  });

  test('nanoseconds have the figures that mean something', () => {
    expect([0.123, 9.876, 12.34, 123.4, 12345].map(nanoseconds)).toEqual(['0.12', '9.88', '12.3', '123', '12,345']);
  });
});

test('as CSV every figure is a line of six cells', () => {
  const lines = benchCsv(result).trimEnd().split('\r\n');
  expect(lines[0]).toBe('table,id,engine,x,metric,value');
  expect(lines).toContain('counts,livepatch-args,,,instructions,86');
  expect(lines.filter((line) => line.startsWith('times,jmp,wasm,')).length).toBe(3);
  for (const line of lines) expect(line.split(',').length, line).toBe(6);
});

describe('charts', () => {
  test('text from outside is escaped', () => {
    expect(escaped(`<b a="1">&'`)).toBe('&#60;b a=&#34;1&#34;&#62;&#38;&#39;');
    expect(barChart('t', [{ label: '<x>', value: 1, group: 0, text: '&' }])).not.toMatch(/<x>|&"/);
  });

  test('one point and equal values give no NaN', () => {
    const chart = lineChart('t', 'x', 'y', [{ label: 'l', points: [{ x: 1, y: 5 }] }]);
    expect(chart).not.toMatch(/NaN|Infinity/);
    expect(barChart('t', [])).not.toMatch(/NaN|Infinity/);
  });
});

test('the page asks for nothing from anywhere, and escapes what it is given', () => {
  const page = benchHtml(result);
  expect(page).not.toMatch(/https?:|src=|@import|url\(/);
  expect(page).toContain('a &#60;test&#62; machine');
  expect(page.length).toBeLessThan(200_000);
});

const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find((name) => {
  try {
    execFileSync(name, ['--version'], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
});

describe.skipIf(chromium === undefined)(
  'the page in a browser (needs chromium; Debian: apt-get install chromium)',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'tramp64-page-'));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    function browse(page: string, ...flags: string[]): string {
      const file = join(folder, 'page.html');
      writeFileSync(file, page);
      const quiet = [
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--disable-quic',
      ];
      return execFileSync(
        chromium ?? '',
        [
          ...['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', ...quiet],
          ...[`--user-data-dir=${join(folder, 'profile')}`, ...flags, `file://${file}`],
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 },
      );
    }

    test('sorts a table by the column whose heading is clicked, and back', () => {
      const click = (times: number): string => {
        const script = `<script>for (let i = 0; i < ${times}; i++) document.querySelector('thead th:nth-child(2) button').click();</script>`;
        const page = browse(benchHtml(result).replace('</body>', `${script}</body>`), '--dump-dom');
        const [, body = ''] = /<tbody>(.*?)<\/tbody>/s.exec(page) ?? [];
        return [...body.matchAll(/<tr>.*?<td class="n">(\d+)<\/td>/gs)].map((match) => match[1]).join(' ');
      };
      expect(click(1)).toBe('9 9 10 86');
      expect(click(2)).toBe('86 10 9 9');
    });

    test.each([
      ['desktop', 1100],
      ['phone', 500],
    ])('is drawn, and no wider than a %s', (name, width) => {
      const picture = join(folder, `${name}.png`);
      const script = `<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth;</script>`;
      const page = benchHtml(result).replace('</body>', `${script}</body>`);
      const [, scroll, inner] =
        /<title>(\d+) of (\d+)<\/title>/.exec(browse(page, `--window-size=${width},1200`, '--dump-dom')) ?? [];
      expect(Number(scroll)).toBeLessThanOrEqual(Number(inner));
      browse(page, `--window-size=${width},1200`, `--screenshot=${picture}`);
      const bytes = readFileSync(picture);
      expect(bytes.subarray(1, 4).toString()).toBe('PNG');
      expect(bytes.readUInt32BE(16)).toBe(width);
      expect(bytes.length).toBeGreaterThan(20_000);
    });
  },
);
