// `tramp64 bench` as a user types it.
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COMMAND = ['--import', 'tsx', 'src/cli/main.ts', 'bench'];
const EXAMPLES = fileURLToPath(new URL('../../src/examples/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tramp64-bench-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...COMMAND, ...args], { cwd: ROOT, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function file(name: string, content: object): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}

const QUICK = ['--quick', '--no-series'];

describe('bench --quick', () => {
  test('prints the same on every run: the figures are exact', async () => {
    const runs = await Promise.all([bench(...QUICK, '--only', 'jmp'), bench(...QUICK, '--only', 'jmp')]);
    expect(runs[0]?.stdout).toBe(runs[1]?.stdout);
    expect(runs[0]).toMatchObject({ status: 0 });
    expect(runs[0]?.stdout).toMatch(/^jmp +9 +3 +2 +16 +2 +0 +0 +2 {2}jmp rel32/m);
    expect(runs[0]?.stdout).not.toContain('Nanoseconds');
  });

  test('as JSON is a document that --compare takes; a changed count ends with 1', async () => {
    const { stdout, status } = await bench(...QUICK, '--only', 'livepatch-args', '--json');
    expect(status).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ format: 'tramp64-bench/1', finished: true, times: [], series: [] });
    const same = await bench(...QUICK, '--only', 'livepatch-args', '--compare', file('same.json', document));
    expect(same.status).toBe(0);
    expect(same.stdout).toContain('no changes against the older result');
    document.counts[1].counts.instructions -= 1;
    const older = file('older.json', document);
    const worse = await bench(...QUICK, '--only', 'livepatch-args', '--compare', older);
    expect(worse.status).toBe(1);
    expect(worse.stdout).toMatch(/livepatch-args +instructions +\d+ +\d+ +\+1\.\d % +worse/);
    expect((await bench(...QUICK, '--only', 'livepatch-args', '--compare', older, '--threshold', '2')).status).toBe(0);
  });

  test('as CSV has a header and no text besides', async () => {
    const { stdout, status } = await bench(...QUICK, '--only', 'jmp', '--csv');
    expect(status).toBe(0);
    expect(stdout.startsWith('table,id,engine,x,metric,value\r\n')).toBe(true);
  });
});

test('bench times on the engines that are named, and writes a page', async () => {
  const page = join(folder, 'page.html');
  const args = [
    '--only',
    'jmp',
    '--no-series',
    '--rounds',
    '1',
    '--sample',
    '1',
    '--engine',
    'wasm,unicorn',
    '--html',
    page,
  ];
  const { stdout, status } = await bench(...args);
  expect(status).toBe(0);
  expect(stdout).toMatch(/Nanoseconds per call on wasm[\s\S]*Nanoseconds per call on unicorn/);
  expect(readFileSync(page, 'utf8')).toContain('<h2>Nanoseconds per call on unicorn</h2>');
});

describe('a function of one’s own', () => {
  const own = [
    join(EXAMPLES, 'target.o'),
    '--function',
    'checksum',
    '--new',
    `${join(EXAMPLES, 'fix-a.o')}:livepatch_checksum`,
  ];

  test('is counted unpatched, called directly, livepatched and jumped to', async () => {
    const args = [...own, '--arg', 'text:hello', '--arg', '5', ...QUICK, '--only', 'none', '--kernel', '6.1', '--json'];
    const { stdout, status } = await bench(...args);
    expect(status).toBe(0);
    const counts = Object.fromEntries(
      JSON.parse(stdout).counts.map((row: { id: string; counts: { instructions: number } }) => [
        row.id,
        row.counts.instructions,
      ]),
    );
    expect(Object.keys(counts)).toEqual([
      'nop5',
      'own-old',
      'own-new',
      'own-livepatch',
      'own-livepatch-core',
      'own-jmp',
    ]);
    // the way to the new function, and its own ENDBR64 and site that a plain call of it runs as well
    expect(counts['own-livepatch'] - counts['own-new']).toBe(79);
    expect(counts['own-jmp'] - counts['own-new']).toBe(2);
  });

  test.each([
    [['--function', 'nothing_of_that_name'], /nothing_of_that_name/],
    [['--new', 'fix-a.o'], /--new expects FILE:FUNCTION/],
    [['--new', `${join(EXAMPLES, 'none.o')}:f`], /no file/],
  ])('that is named wrongly (%j) is told so', async (more, message) => {
    const { status, stdout, stderr } = await bench(...own, ...more, ...QUICK, '--only', 'none');
    expect(status === 2 || (status === 1 && message.test(stdout)), stdout + stderr).toBe(true);
    expect(stdout + stderr).toMatch(message);
  });

  test('wants all three of FILE, --function and --new', async () => {
    const { status, stderr } = await bench(join(EXAMPLES, 'target.o'), ...QUICK);
    expect(status).toBe(2);
    expect(stderr).toContain('needs FILE, --function NAME and --new FILE:FUNCTION');
  });
});

describe('bytes of one’s own', () => {
  const row = {
    id: 'mine',
    code: [
      { address: '0x10000000', bytes: 'e9fb0f0000' },
      { address: '0x10001000', bytes: 'b801000000c3' },
    ],
    entry: '0x10000000',
    reaches: '0x10001000',
    returns: 1,
  };
  const bytes = (name: string, mechanism: object): string =>
    file(name, { format: 'tramp64-bench-bytes/1', mechanisms: [mechanism] });

  test('stand beside the others', async () => {
    const { stdout, status } = await bench(...QUICK, '--only', 'none', '--bytes', bytes('mine.json', row));
    expect(status).toBe(0);
    expect(stdout).toMatch(/^mine +3 +1 +0 +0 +2 +0 +0 +2 {2}mine$/m);
  });

  test('that lead elsewhere are refused with the check’s finding', async () => {
    const wrong = bytes('wrong.json', { ...row, reaches: '0x10002000' });
    const { status, stderr, stdout } = await bench(...QUICK, '--only', 'none', '--bytes', wrong);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain("'mine' does not redirect and is not timed: C9: goes to 0x10001000 instead of 0x10002000");
  });

  // mov edi, 7; jmp: the function gets another argument · the function itself: another result · jmp to itself · a fault
  const jump = { address: '0x10000000', bytes: 'bf07000000e9f60f0000' };
  const twice = { address: '0x10001000', bytes: '8d043fc3' };
  test.each([
    [
      'spoil an argument',
      { code: [jump, twice], args: [2], returns: 4 },
      'C21: rdi is 0x7 instead of 0x2 at 0x10001000',
    ],
    [
      'return something else',
      { returns: 2 },
      'C21: rax is 0x1 instead of 0x2 when the call returns, at 0x10001000 "mov eax,',
    ],
    [
      'loop for ever',
      { code: [row.code[0], { address: '0x10001000', bytes: 'ebfe' }] },
      'C9: the call does not end, at 0x10001000 "jmp short 0x10001000"',
    ],
    [
      'fault behind the redirection',
      { code: [row.code[0], { address: '0x10001000', bytes: '0f0b' }] },
      'C9: ends with a fault at 0x10001000, at 0x10001000 "ud2"',
    ],
    [
      'do not redirect with these arguments',
      // test edi, edi; je +5: only random registers lead on
      { code: [{ address: '0x10000000', bytes: '83ff2a7405e9f60f0000c3' }, row.code[1]], args: [0x2a] },
      'C9: ',
    ],
  ])('that %s are refused with a finding', async (_what, change, finding) => {
    const { status, stderr, stdout } = await bench(
      ...QUICK,
      '--only',
      'none',
      '--bytes',
      bytes('bad.json', { ...row, ...change }),
    );
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`'mine' does not redirect and is not timed: ${finding}`);
  });

  test('with the id of another row are refused', async () => {
    const taken = bytes('taken.json', { ...row, id: 'jmp' });
    const { status, stderr } = await bench(...QUICK, '--bytes', taken);
    expect(status).toBe(2);
    expect(stderr).toContain("the id 'jmp' is taken");
  });
});

describe('wrong usage ends with 2:', () => {
  test.each([
    [['--engine', 'qemu'], 'engines are'],
    [['--rounds', '0'], '1 to 10000'],
    [['--threshold', 'much'], '0 or more'],
    [['--arg', 'x'], 'an integer, or text:'],
    [['--json', '--csv'], 'choose one of'],
    [['--html', join(folder, 'missing', 'page.html')], 'no folder'],
    [['--html', folder], 'is a folder'],
    [['--only', 'nosuch'], "no row's id contains 'nosuch'"],
    [['--compare', join(folder, 'none.json')], 'no file'],
    [['--compare', join(EXAMPLES, 'target.o')], 'is no JSON'],
    [['--kernel', '5.10'], '6.1'],
  ])('%j', async (args, message) => {
    const { status, stderr } = await bench(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  test('an older result that is none', async () => {
    const { status, stderr } = await bench(...QUICK, '--compare', file('other.json', { format: 'tramp64-check/1' }));
    expect(status).toBe(2);
    expect(stderr).toContain("$.format: expected 'tramp64-bench/1'");
  });
});

test('Ctrl-C prints what is finished and ends with 130', async () => {
  /** A measurement of many minutes that is told to stop after a while. */
  const stopped = (after: number) =>
    new Promise<{ status: number | null; stdout: string }>((resolve) => {
      const child = spawn(
        process.execPath,
        [...COMMAND, '--rounds', '10000', '--sample', '50', '--only', 'jmp', '--no-series'],
        { cwd: ROOT },
      );
      let stdout = '';
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
      });
      setTimeout(() => child.kill('SIGINT'), after);
      child.on('close', (status) => resolve({ status, stdout }));
    });
  let run = await stopped(6_000);
  // on a loaded machine the command may not have begun to measure by then: it is given more time
  for (const after of [15_000, 40_000]) if (!/^jmp +9/m.test(run.stdout)) run = await stopped(after);
  expect(run.status).toBe(130);
  expect(run.stdout).toMatch(/^jmp +9/m);
  expect(run.stdout).toContain('stopped early: this is what was finished');
});

test('bench --list names every row once', async () => {
  const { stdout, status } = await bench('--list');
  expect(status).toBe(0);
  const ids = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[0]);
  expect(ids).toContain('livepatch-args');
  expect(new Set(ids).size).toBe(ids.length);
});
