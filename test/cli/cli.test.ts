// What a user of the command sees: output, exit status, and one line for each mistake.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { EXAMPLES, scenario } from '../scenario/world.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const COMMAND = ['--import', 'tsx', 'src/cli/main.ts'];
const FOLDER = mkdtempSync(join(tmpdir(), 'tramp64-cli-'));
const TARGET = join(EXAMPLES, 'target.o');

afterAll(() => rmSync(FOLDER, { recursive: true }));

/** Runs the command as a user would, without a terminal. */
function tramp64(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...COMMAND, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return { status, out: stdout, err: stderr };
}

/** What the command says about a mistake, without the diagnostics that the built package silences. */
function complaint({ err }: { err: string }): string {
  return err
    .split('\n')
    .filter((line) => /^(tramp64|error):/.test(line))
    .join('\n');
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(FOLDER, name);
  writeFileSync(path, content);
  return path;
}

/** A scenario over the shipped objects, in another folder. */
function scenarioFile(name: string, steps: readonly object[]): string {
  const images = ['vmlinux', 'fix_a', 'fix_b', 'fix_c'].map((image) => ({
    name: image,
    file: join(EXAMPLES, image === 'vmlinux' ? 'target.o' : `${image.replace('_', '-')}.o`),
  }));
  return file(name, scenario(steps, { images }));
}

const CALL = { call: 'checksum', args: [{ text: 'hello' }, 5] };

describe('plan', () => {
  const QUESTION = join(EXAMPLES, 'debate/2-the-middle-disabled-then-the-top.independent.json');

  test('prints after each step one row per function, and warnings', () => {
    const { status, out } = tramp64('plan', QUESTION, '--engine', 'wasm');
    expect(status).toBe(0);
    expect(out).toMatch(/vmlinux:checksum +fix_c > fix_a +fix_c:livepatch_checksum/);
    expect(out).toContain("warning (middle): 'fix_b' was disabled below 'fix_c'");
    expect(tramp64('verify', '--table', QUESTION, '--engine', 'wasm').out).toContain(out.trimEnd());
  });

  test('prints one JSON document, and fails where a step fails', () => {
    const file = scenarioFile('plan.json', [{ enable: 'fix_a' }, { stack: 'checksum', is: [] }]);
    const { status, out } = tramp64('plan', '--json', file);
    expect(status).toBe(1);
    const { format, steps } = JSON.parse(out);
    expect(format).toBe('tramp64-plan/1');
    expect(steps[0].rows[0]).toMatchObject({ original: 'vmlinux:checksum', patched: 'fix_a:livepatch_checksum' });
  });

  test('of what is no scenario says so', () => {
    expect(tramp64('plan', TARGET).status).toBe(2);
    expect(tramp64('plan').status).toBe(2);
  });
});

describe('verify', () => {
  test('on all engines says who judged, in text and in JSON', () => {
    const file = join(EXAMPLES, '1-patch-and-unpatch.json');
    const { status, out } = tramp64('verify', '--engine', 'all', '--strict', file);
    expect(status).toBe(0);
    expect(out).toMatch(/^judged by wasm, unicorn/m);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(
      /^ok: (\d+) of \1 judged hold, 0 failed, 0 not judged, 0 unconfirmed$/,
    );
    const document = JSON.parse(tramp64('verify', '--engine', 'auto', '--json', file).out);
    expect(document).toMatchObject({ ok: true, engine: 'auto', engines: ['wasm', 'unicorn'], absent: [] });
    expect(tramp64('trace', '--engine', 'auto', '--finding', 'x.json#1').status).toBe(2);
  });

  test('without arguments runs the shipped examples, call by call, and ends with what was not judged', () => {
    const { status, out } = tramp64('verify');
    expect(status).toBe(0);
    expect(out).toContain('ran fix_b:livepatch_checksum, top of the func stack [fix_b, fix_a]');
    expect(out).toMatch(/ok {4}checksum /);
    expect(out).toMatch(/ok +2-the-middle-disabled-then-the-top.independent +Disabling the middle one changes no call/);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(/^ok: (\d+) of \1 judged hold, 0 failed, \d+ not judged$/);
    expect(out).not.toContain('\x1b');
  });

  test('a scenario as JSON is one document of the published form', () => {
    const { status, out } = tramp64('verify', '--json', join(EXAMPLES, '1-patch-and-unpatch.json'));
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      format: 'tramp64-result/1',
      ok: true,
      summary: { failed: 0, notJudged: 0 },
    });
  });

  test('several files as JSON are one document', () => {
    const { status, out } = tramp64('verify', '--json', TARGET, join(EXAMPLES, '1-patch-and-unpatch.json'));
    expect(status).toBe(0);
    const { format, results } = JSON.parse(out);
    expect(format).toBe('tramp64-verify/1');
    expect(results.map((one: { result: { format: string } }) => one.result.format)).toEqual([
      'tramp64-image/1',
      'tramp64-result/1',
    ]);
  });

  test('a wrong expectation is exit status 1 and says expected, got and the func stack', () => {
    const wrong = scenarioFile('wrong.json', [{ enable: 'fix_a' }, { ...CALL, runs: 'vmlinux:checksum' }]);
    const { status, out } = tramp64('verify', wrong);
    expect(status).toBe(1);
    expect(out).toMatch(
      /expected vmlinux:checksum to run, got fix_a:livepatch_checksum; func stack of checksum: fix_a/,
    );
    expect(out.trimEnd().split('\n').at(-1)).toBe('FAILED: 1 of 2 judged hold, 1 failed, 0 not judged');
  });

  test('with --strict, something not judged is exit status 3', () => {
    expect(tramp64('verify', TARGET).status).toBe(0);
    expect(tramp64('verify', '--strict', TARGET).status).toBe(3);
  });

  test('nothing to judge is exit status 3, never ok', () => {
    const { status, out } = tramp64('verify', scenarioFile('empty.json', []));
    expect(status).toBe(3);
    expect(out).toContain('nothing judged: 0 of 0 judged hold, 0 failed, 0 not judged');
  });

  test.each([
    ['6.1', 'args', 35],
    ['6.12', 'args', 38],
  ])('the trampoline of %s takes its own number of instructions', (kernel, trampoline, patched) => {
    const { out } = tramp64(
      'verify',
      '--json',
      '--kernel',
      kernel,
      '--trampoline',
      trampoline,
      join(EXAMPLES, 'user.o'),
    );
    const { functions } = JSON.parse(out);
    const checksum = functions.find(({ name }: { name: string }) => name === 'checksum');
    expect(checksum.instructions).toEqual({ plain: 1, patched });
  });
});

describe('inspect', () => {
  test('lists functions, sites and entries, and says why one cannot be patched', () => {
    const { status, out } = tramp64('inspect', TARGET);
    expect(status).toBe(0);
    expect(out).toMatch(/checksum +0x[0-9a-f]+ +\d+ +\+0x4 +f30f1efae8\w+ +endbr64; call __fentry__/);
    expect(out).toMatch(/operate\.cold .*not patchable: /);
    expect(out).toMatch(/\d+ functions, \d+ patchable, 1 not\n$/);
  });

  test('as JSON', () => {
    const { status, out } = tramp64('inspect', '--json', join(EXAMPLES, 'patchable.o'));
    expect(status).toBe(0);
    const { format, functions } = JSON.parse(out);
    expect(format).toBe('tramp64-inspect/1');
    expect(functions.some((one: { patchable: boolean }) => one.patchable)).toBe(true);
  });
});

describe('trace', () => {
  test('shows site, trampoline, gate, routine and the new function in the order of the call', () => {
    const { status, out } = tramp64('trace', '--json', TARGET, 'checksum');
    expect(status).toBe(0);
    const parts: string[] = JSON.parse(out).steps.map((one: { part: string }) => one.part);
    const order = parts.filter((part, i) => part !== parts[i - 1]);
    expect(order).toEqual(['site', 'trampoline', 'gate', 'trampoline', 'routine', 'function']);
  });

  test('on several engines: the path is the same on each', () => {
    const { status, out } = tramp64('trace', '--engine', 'all', '--json', TARGET, 'checksum');
    expect(status).toBe(0);
    const { engines, differences, steps, unconfirmed } = JSON.parse(out);
    expect(engines.slice(0, 2)).toEqual(['wasm', 'unicorn']);
    expect(differences).toEqual([]);
    expect(unconfirmed).toBeUndefined();
    // the gate's bytes belong to the engine
    const path = (all: { part: string; ip: string }[]) => all.map(({ part, ip }) => `${part} ${ip}`);
    expect(path(steps)).toEqual(path(JSON.parse(tramp64('trace', '--json', TARGET, 'checksum').out).steps));
    expect(tramp64('trace', '--engine', 'auto', TARGET, 'checksum').out).toMatch(/^judged by wasm, unicorn$/m);
  });

  test('as text', () => {
    const { status, out } = tramp64('trace', TARGET, 'checksum');
    expect(status).toBe(0);
    expect(out).toMatch(/gate +0x[0-9a-f]+ +tramp64_gate +asks the core where to go/);
    expect(out).toMatch(/function +0x[0-9a-f]+ +probes:probe_a +48c7c001000000 +mov rax, 0x1/);
  });
});

test('an engine that is not installed is named with what to install', () => {
  const { status, stderr } = spawnSync(process.execPath, [...COMMAND, 'verify', '--engine', 'unicorn-native', TARGET], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, TRAMP64_LIBUNICORN: '/none.so' },
  });
  expect(status).toBe(2);
  expect(complaint({ err: stderr })).toMatch(/^tramp64: .*apt-get install libunicorn2.*\(ENODEV\)$/);
});

describe('a mistake is one line that says what and where, and exit status 2', () => {
  const cases: [string, () => string[], RegExp][] = [
    ['an unknown command', () => ['conquer'], /unknown command 'conquer'/],
    ['an unknown option', () => ['verify', '--quickly'], /unknown option '--quickly'/],
    ['an unknown engine', () => ['verify', '--engine', 'abacus'], /argument 'abacus' is invalid/],
    ['a missing argument', () => ['inspect'], /missing required argument 'FILE'/],
    ['a file that is not there', () => ['verify', join(FOLDER, 'none.o')], /no file '.*none\.o'.*\(ENOENT\)/],
    ['a folder', () => ['verify', FOLDER], /cannot be read: EISDIR \(EINVAL\)/],
    ['neither ELF nor JSON', () => ['verify', file('text.txt', 'hello')], /text\.txt: \$: not JSON: .*\(EINVAL\)/],
    [
      'a truncated object',
      () => ['verify', file('cut.o', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2))],
      /cut\.o.*\(ENOEXEC\)/,
    ],
    ['inspecting text', () => ['inspect', file('text.o', 'hello')], /'text\.o' at file offset 0x0: .*\(ENOEXEC\)/],
    [
      'a key that no argument has',
      () => ['verify', scenarioFile('odd.json', [{ call: 'f', args: [{ f32: 1 }] }])],
      /odd\.json: \$\.steps\[0\]\.args\[0\]\.f32: unknown key 'f32'; allowed are .* \(EINVAL\)/,
    ],
    [
      'a function that is not there',
      () => ['trace', TARGET, 'nothing'],
      /no function 'nothing'; `tramp64 inspect` lists them/,
    ],
    [
      'a function without a site',
      () => ['trace', TARGET, 'operate.cold'],
      /'operate\.cold' cannot be patched: .*\(ENODEV\)/,
    ],
  ];
  test.each(cases)('%s', (_, args, message) => {
    const result = tramp64(...args());
    expect(result.status).toBe(2);
    expect(complaint(result)).toMatch(message);
    expect(complaint(result).split('\n')).toHaveLength(1);
    expect(result.err).not.toMatch(/^ {4}at /m);
  });
});

test('help and version are no mistakes', () => {
  expect(tramp64('--version')).toMatchObject({ status: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  const help = tramp64('--help');
  expect(help.status).toBe(0);
  for (const word of ['verify', 'inspect', 'trace', 'Exit status']) expect(help.out).toContain(word);
});

test('a reader that goes away early is no error', async () => {
  const child = spawn(process.execPath, [...COMMAND, 'verify'], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let err = '';
  child.stderr.on('data', (data) => {
    err += data;
  });
  child.stdout.once('data', () => child.stdout.destroy());
  const status = await new Promise((resolve) => child.once('close', resolve));
  expect(status).toBe(0);
  expect(err).not.toContain('EPIPE');
});

describe('isa', () => {
  test('lists every row with its cases, and exits 0 when none has too few', () => {
    const { status, out } = tramp64('isa');
    expect(status).toBe(0);
    expect(out).toMatch(/^50\+r +\d+ {2}metal {3}PUSH r16 · PUSH r64$/m);
    expect(out).toMatch(/^\d+ rows; /m);
    const document = JSON.parse(tramp64('isa', '--json').out) as { rows: { cases: number }[]; thin: string[] };
    expect(document.rows.length).toBeGreaterThan(600);
    expect(document.thin).toEqual([]);
  });
});
