// `tramp64 check` on files: objects, files of cases, shards and their merging, and what goes wrong on the way.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { EXAMPLES } from '../scenario/world.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = mkdtempSync(join(tmpdir(), 'tramp64-check-'));
const TARGET = join(EXAMPLES, 'target.o');
afterAll(() => rmSync(FOLDER, { recursive: true }));

function tramp64(...args: string[]): { status: number | null; out: string; err: string } {
  const command = ['--import', 'tsx', 'src/cli/main.ts', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: ROOT, encoding: 'utf8' });
  return { status, out: stdout, err: stderr };
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(FOLDER, name);
  writeFileSync(path, content);
  return path;
}

const HOOKS = [
  ['good', '554889e54883ec10e9f8c7ffff', 'equivalent'],
  ['broken', '554889e54883ec1083c301e9f5c7ffff', 'broken'],
  ['surprise', '554889e54883ec1083c301e9f5c7ffff', 'equivalent'],
  ['fine', '554889e54883ec10e9f8c7ffff', 'equivalent'],
  ['malformed', 'xyz', 'equivalent'],
] as const;

function cases(ids: readonly string[]): string {
  const all = HOOKS.filter(([id]) => ids.includes(id)).map(([id, bytes, verdict]) => ({
    id,
    function: { address: '0x10000800', bytes: '554889e54883ec10c9c3', padding: 'cc' },
    patchLength: 5,
    trampoline: { address: '0x10004000', bytes: bytes.replace('e9f8c7ffff', 'e9fbc7ffff').replace('e9f5c7', 'e9f8c7') },
    verdict,
  }));
  return JSON.stringify({ format: 'hook-cases/1', cases: all });
}

describe('a file of cases', () => {
  const all = file('all.json', cases(HOOKS.map(([id]) => id)));

  test('as JSON is one document, with one entry for each case and nothing more', () => {
    const { status, out } = tramp64('check', '--cases', all, '--json');
    expect(status).toBe(1);
    const document = JSON.parse(out);
    expect(Object.keys(document)).toEqual(['format', 'cases', 'summary']);
    for (const item of document.cases) {
      expect(Object.keys(item)).toEqual(['id', 'kind', 'verdict', 'expected', 'agrees', 'reason', 'findings']);
    }
    const verdicts = document.cases.map((item: { verdict: string }) => item.verdict);
    expect(verdicts).toEqual(['equivalent', 'broken', 'broken', 'equivalent', 'not-judged']);
  });

  test('in shards, merged again, is byte for byte the same, also as SARIF and JUnit XML', () => {
    const parts = [1, 2, 3].map((i) => {
      const { out } = tramp64('check', '--cases', all, '--shard', `${i}/3`, '--json', '--jobs', '1');
      return file(`shard${i}.json`, out);
    });
    const merged = tramp64('report', 'merge', ...parts);
    expect(merged).toMatchObject({ status: 1, out: tramp64('check', '--cases', all, '--json').out });
    expect(tramp64('report', 'merge', '--junit', ...parts).out).toBe(tramp64('check', '--cases', all, '--junit').out);
    expect(JSON.parse(tramp64('report', 'merge', '--sarif', ...parts).out).version).toBe('2.1.0');
    const incomplete = tramp64('report', 'merge', ...parts.slice(1));
    expect(incomplete.status).toBe(2);
    expect(incomplete.err).toContain('shard 1/3 is missing (EINVAL)');
  });

  test('that all agree exits with 0, or with --strict with 3 where one was not judged', () => {
    const some = file('some.json', cases(['good', 'broken', 'malformed']));
    const { status, out } = tramp64('check', some);
    expect(status).toBe(0);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(/1 not judged$/);
    expect(tramp64('check', some, '--strict').status).toBe(3);
    expect(tramp64('check', file('none.json', cases(['malformed']))).status).toBe(3);
  });

  test('beside another one names the file of each case', () => {
    const other = file('other.json', cases(['good']));
    const document = JSON.parse(tramp64('check', '--json', all, other).out);
    expect(document.cases.at(-1).file).toBe(other);
    expect(document.cases).toHaveLength(6);
  });
});

describe('an object', () => {
  test('is judged by the tables of its sites and by its entries, and holds', () => {
    const { status, out } = tramp64('check', TARGET);
    expect(status).toBe(0);
    expect(out).toMatch(/^checksum:site: accepted/m);
    expect(out).toMatch(/^checksum:hook: hookable/m);
    expect(out).toMatch(/^hook: \d+ hold, 0 do not, 0 not judged$/m);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(/not judged$/);
  });

  test('gives its functions as places, with offsets', () => {
    const accepted = tramp64('check', 'site', 'ftrace-site', `${TARGET}:checksum`, '--offset', '4');
    expect(accepted.status, accepted.out).toBe(0);
    const { out } = tramp64('check', 'site', 'hook', `${TARGET}:checksum+0x4`, '--json');
    expect(JSON.parse(out).cases[0].verdict).toBe('hookable');
  });

  test('gives poke as many of its bytes as the new ones are, and site as many as are asked for', () => {
    expect(tramp64('check', 'poke', `${TARGET}:checksum+0x4`, 'e8fb0f0000').status).toBe(0);
    expect(tramp64('check', 'site', 'nop', `${TARGET}:checksum+0x4`, '--length', '5').status).toBe(0);
  });

  test('with a function that can be hooked gives the hook judge its bytes', () => {
    const { out, status } = tramp64(
      'check',
      'hook',
      '--function',
      `${TARGET}:checksum`,
      '--trampoline',
      '0x10000:c3',
      '--json',
    );
    expect(status).toBe(1);
    expect(JSON.parse(out).cases[0].findings[0].rule).toMatch(/^C\d+$/);
  });
});

describe('what a new user gets wrong:', () => {
  const bad = file('bad.json', '{"format": "hook-cases/1", "cases": [1]}');
  for (const [name, args, message] of [
    ['a file that is not there', ['no.json'], "no file 'no.json'"],
    ['a file that is neither', [file('text.txt', 'hello')], 'is no JSON'],
    ['another format', [file('x.json', '{}')], '$.format: expected "redirect-cases/1"'],
    ['a case that is no object', [bad], '$.cases[0]: expected an object'],
    ['a shard beyond the last', ['--cases', bad, '--shard', '3/2'], "--shard '3/2' must read i/n"],
    ['no workers', ['--cases', bad, '--jobs', '0'], "--jobs '0' must be a number from 1 to 64"],
    ['two outputs', ['--cases', bad, '--json', '--sarif'], "'--json' cannot be used with option '--sarif'"],
    ['a symbol that is not there', ['site', 'nop', `${TARGET}:nobody`], "has no symbol 'nobody'"],
    ['an offset beyond the function', ['site', 'nop', `${TARGET}:checksum+0x9999`], 'none at +39321'],
    ['a place that is none', ['site', 'nop', 'hello'], "'hello' must read ADDRESS:BYTES"],
    ['a symbol of a file that is no object', ['site', 'nop', `${bad}:f`], 'is no ELF file'],
    ['a device without an end', ['site', 'nop', '0x1000:@/dev/zero'], 'is no file and gives more than'],
    [
      'code beyond the last address',
      ['relocation', '--from', '0xffffffffffffffff:eb02', '--to', '0x0:eb02'],
      'check: ',
    ],
    ['nothing at all', [], 'Usage:'],
  ] as const) {
    test(name, () => {
      const { status, err } = tramp64('check', ...args);
      expect(err).toContain(message);
      expect(status).toBe(2);
    });
  }

  test('results that are no results', () => {
    expect(tramp64('report', 'merge', bad)).toMatchObject({ status: 2 });
    expect(readFileSync(bad, 'utf8')).toContain('hook-cases/1');
  });
});
