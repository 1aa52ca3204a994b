// The packed package: its size, what is in it, that it installs and runs alone, and that its library runs in a browser.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MIB = 1024 * 1024;

describe('the packed package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tramp64-package-'));
  const installed = join(folder, 'node_modules', 'tramp64');
  let packed: { filename: string; size: number; unpackedSize: number; files: { path: string }[] };

  const npm = (args: string[], cwd: string) =>
    execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const node = (args: string[]) => execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });

  beforeAll(() => {
    if (!existsSync('dist/index.js')) throw new Error('dist/ is missing: run npm run build first');
    const report = npm(['pack', '--ignore-scripts', '--json', '--pack-destination', folder], '.');
    packed = (JSON.parse(report) as [typeof packed])[0];
    writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }');
    npm(['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, packed.filename)], folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('packs to at most 2 MiB and installs to at most 10 MiB', () => {
    expect(packed.size).toBeLessThanOrEqual(2 * MIB);
    expect(sizeOf(join(folder, 'node_modules'))).toBeLessThanOrEqual(10 * MIB);
  });

  test('brings the pool of workers and, where it can be had, the caller of native libraries: nothing else', () => {
    const brought = readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'));
    expect(brought.filter((name) => name !== 'koffi' && name !== '@koromix')).toEqual(['tinypool', 'tramp64']);
  });

  test('holds no tests and no sources', () => {
    const outside = packed.files.map(({ path }) => path).filter((path) => !/^(dist|docs)\//.test(path));
    expect(outside.filter((path) => !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path))).toEqual([]);
    const own = /^(docs\/bench\.md)$/; // about a command, no suite
    const tests = packed.files.filter(({ path }) => /(?<!vi)test|bench|fixture|\.map$/i.test(path) && !own.test(path));
    expect(tests).toEqual([]);
  });

  test('carries the licences of what it bundles', () => {
    const text = readFileSync(join(installed, 'dist', 'THIRD-PARTY.md'), 'utf8');
    expect(text).toContain('GNU GENERAL PUBLIC LICENSE');
    expect(text).toContain('https://github.com/unicorn-engine/unicorn');
    expect(text).toContain('Permission is hereby granted, free of charge');
  });

  test('the command runs', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(npm(['exec', '--offline', '--', 'tramp64', '--version'], folder).trim()).toBe(version);
  });

  test('the library runs on import, and prints nothing of its own', () => {
    expect(node(['--input-type=module', '-e', program('tramp64')])).toBe('rax 1, until\n');
  });

  test('has types for what it exports', () => {
    const types = readFileSync(join(installed, 'dist', 'index.d.ts'), 'utf8');
    expect(types).toContain('createEngine');
    expect(types).not.toMatch(/from ['"](?!\.)/);
  });

  test('the command judges a file of cases on the workers of the bundle', () => {
    writeFileSync(join(folder, 'cases.json'), JSON.stringify(CASES));
    const command = join(installed, 'dist', 'cli.js');
    const document = JSON.parse(node([command, 'check', '--cases', 'cases.json', '--jobs', '2', '--json']));
    expect(document.summary).toMatchObject({ cases: 2, agree: 2, notJudged: 0 });
  });

  describe('beside vitest', () => {
    const project = mkdtempSync(join(tmpdir(), 'tramp64-matchers-'));
    const modules = join(project, 'node_modules');
    beforeAll(() => {
      mkdirSync(modules);
      cpSync(installed, join(modules, 'tramp64'), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules', 'vitest'), join(modules, 'vitest'));
      writeFileSync(join(project, 'package.json'), '{ "name": "project", "private": true, "type": "module" }');
      writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(TSCONFIG));
      writeFileSync(join(project, 'hook.test.ts'), MATCHERS);
    });
    afterAll(() => rmSync(project, { recursive: true, force: true }));

    const run = (path: string, ...args: string[]) =>
      spawnSync(process.execPath, [join(ROOT, 'node_modules', path), ...args], { cwd: project, encoding: 'utf8' });

    test('gives its matchers', () => {
      const { stdout, stderr } = run('vitest/vitest.mjs', 'run', '--reporter=json');
      const { numPassedTests, numFailedTests, testResults } = JSON.parse(stdout.slice(stdout.indexOf('{')) || stderr);
      expect(numPassedTests, stderr).toBe(1);
      expect(numFailedTests).toBe(1);
      const [{ assertionResults }] = testResults;
      expect(assertionResults[1].failureMessages[0]).toContain('first difference: rbx is 0x1 instead of 0x0');
      expect(assertionResults[1].failureMessages[0]).toContain('add ebx, 0x1');
    });

    test('gives their types, which refuse what is missing', () => {
      expect(run('typescript/bin/tsc', '-p', '.').stdout).toBe('');
      writeFileSync(join(project, 'wrong.test.ts'), WRONG);
      const { stdout, status } = run('typescript/bin/tsc', '-p', '.');
      expect(status).not.toBe(0);
      expect(stdout.match(/^wrong\.test\.ts\(\d+/gm)).toEqual([
        'wrong.test.ts(4',
        'wrong.test.ts(5',
        'wrong.test.ts(6',
      ]);
    });
  });

  test('a browser bundle of the library runs without the globals of Node', async () => {
    writeFileSync(join(folder, 'page.js'), program('tramp64'));
    const { outputFiles } = await build({
      entryPoints: [join(folder, 'page.js')],
      absWorkingDir: folder,
      bundle: true,
      platform: 'browser',
      format: 'iife',
      write: false,
      logLevel: 'silent',
    });
    expect(await said(outputFiles[0]?.text ?? '')).toBe('rax 1, until');
  });
});

const HOOK = (id: string, bytes: string, verdict: string) => ({
  id,
  function: { address: '0x10000800', bytes: '554889e54883ec10c9c3', padding: 'cc' },
  patchLength: 5,
  trampoline: { address: '0x10004000', bytes },
  verdict,
});

const CASES = {
  format: 'hook-cases/1',
  cases: [
    HOOK('good', '554889e54883ec10e9fbc7ffff', 'equivalent'),
    HOOK('bad', '554889e54883ec1083c301e9f8c7ffff', 'broken'),
  ],
};

const TSCONFIG = {
  compilerOptions: {
    target: 'ES2022',
    module: 'ESNext',
    moduleResolution: 'Bundler',
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: [],
  },
  include: ['*.ts'],
};

const MATCHERS = `
import { bytesOfHex, check, type CheckVerdict } from 'tramp64';
import { expect, test } from 'vitest';
import 'tramp64/vitest';

const options = { function: { address: 0x10000800n, bytes: bytesOfHex('554889e54883ec10c9c3') }, address: 0x10004000n };

test('holds', async () => {
  await expect(bytesOfHex('554889e54883ec10e9fbc7ffff')).toBeEquivalentTrampoline(options);
  await expect('e9fb0f0000').toDispatchTo(0x10001000n, { address: 0x10000000n });
  await expect('e9fb0f0000').toPreserveRegisters({ address: 0x10000000n, flags: true });
  const made = { address: 0x10004000n, bytes: bytesOfHex('554889e54883ec1083c301e9f8c7ffff') };
  const { verdict } = await check.hook({ function: options.function, patchLength: 5, trampoline: made });
  const broken: CheckVerdict = 'broken';
  expect(verdict).toBe(broken);
});

test('is broken', async () => {
  await expect('554889e54883ec1083c301e9f8c7ffff').toBeEquivalentTrampoline(options);
});
`;

const WRONG = `
import { expect } from 'vitest';
import 'tramp64/vitest';
void expect('90').toBeEquivalentTrampoline({});
void expect('90').toDispatchTo(5, { address: 0n });
void expect('90').toPreserveRegisters({ address: 0n, registers: ['eax'] });
`;

/** What a script says first in a page: a realm that has the globals of the web, and none of Node. */
function said(script: string): Promise<string> {
  return new Promise((resolve) => {
    const page: Record<string, unknown> = {
      console: { log: resolve, error: () => undefined, warn: () => undefined },
      document: { currentScript: { src: 'https://example.test/page.js' } },
      ...{
        TextDecoder,
        TextEncoder,
        URL,
        atob,
        btoa,
        performance,
        setTimeout,
        clearTimeout,
        setInterval,
        clearInterval,
      },
    };
    page.window = page;
    page.self = page;
    const context = createContext(page);
    expect(runInContext('typeof process + typeof require + typeof Buffer + typeof global', context)).toBe(
      'undefined'.repeat(4),
    );
    runInContext(script, context);
  });
}

/** Bytes of all files below a folder. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true })
    .map((entry) => (entry.isDirectory() ? sizeOf(join(folder, entry.name)) : statSync(join(folder, entry.name)).size))
    .reduce((sum, size) => sum + size, 0);
}

/** A program over the public API: one instruction on Unicorn, decoded first. */
function program(from: string): string {
  return `
import { createEngine, decodeOne } from '${from}';
async function main() {
  const engine = await createEngine('unicorn');
  engine.map(0xffffffff81000000n, 0x1000n, 'rx');
  const code = Uint8Array.of(0x48, 0xff, 0xc0);
  if (decodeOne(code, 0n).text !== 'inc rax') throw new Error('decode');
  engine.write(0xffffffff81000000n, code);
  const exit = engine.run({ from: 0xffffffff81000000n, until: 0xffffffff81000003n, budget: 10 });
  console.log(\`rax \${engine.readRegister('rax')}, \${exit.reason}\`);
  engine.dispose();
}
main().catch((error) => console.log(String(error && error.stack || error)));
`;
}
