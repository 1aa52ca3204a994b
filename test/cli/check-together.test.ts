// `tramp64 check --engine auto` and `all` as a user sees them.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** mov ecx, 1 and popcnt eax, edi change places: both sides must run, and unicorn.js knows no popcnt. */
const SWAPPED = ['relocation', '--from', '0x401000:b901000000f30fb8c7', '--to', '0x10000000:f30fb8c7b901000000'];

function check(...args: string[]): { status: number | null; out: string } {
  return checkIn({}, ...args);
}

function checkIn(variables: NodeJS.ProcessEnv, ...args: string[]): { status: number | null; out: string } {
  const command = ['--import', 'tsx', 'src/cli/main.ts', 'check', ...args];
  const env = { ...process.env, ...variables };
  const { status, stdout } = spawnSync(process.execPath, command, { cwd: ROOT, env, encoding: 'utf8' });
  return { status, out: stdout };
}

test('the text says which engines judged, so that one that is missing shows', () => {
  const { status, out } = checkIn({ TRAMP64_LIBUNICORN: '/none.so' }, '--engine', 'all', ...SWAPPED);
  expect(status).toBe(0);
  expect(out.trimEnd().split('\n').at(-1)).toBe('judged by wasm, unicorn');
});

test('what only wasm could judge is unconfirmed in text and JSON, and fails --strict alone', () => {
  const { status, out } = check('--engine', 'auto', ...SWAPPED);
  expect(status).toBe(0);
  expect(out).toMatch(/unconfirmed: unicorn does not judge it: .*popcnt/);
  expect(out).toContain('1 hold, 0 do not, 0 not judged, 1 unconfirmed');
  const strict = check('--engine', 'auto', '--strict', '--json', ...SWAPPED);
  expect(strict.status).toBe(3);
  expect(JSON.parse(strict.out)).toMatchObject({
    cases: [{ verdict: 'equivalent', engines: { wasm: 'equivalent', unicorn: 'not-judged' } }],
    summary: { unconfirmed: 1, differ: 0 },
  });
});

test('cases of files are judged on every engine that is here', () => {
  const { status, out } = check(
    '--engine',
    'all',
    '--json',
    '--jobs',
    '1',
    '--shard',
    '3/40',
    '--cases',
    'test/check/cases/hook-cases.json',
  );
  expect(status).toBe(0);
  const { cases, summary } = JSON.parse(out) as { cases: { engines: object }[]; summary: { differ: number } };
  expect(cases.length).toBeGreaterThan(1);
  for (const { engines } of cases) expect(engines).toHaveProperty('wasm');
  expect(summary.differ).toBe(0);
});
