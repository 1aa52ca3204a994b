// `tramp64 check poke` and `check trampoline` as a user sees them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { hex, hexBytes } from '../../src/address.ts';
import { opsTrampoline } from '../../src/ftrace/trampoline.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SITE = '0xffffffff81000010:0f1f440000';

function tramp64(...args: string[]) {
  const command = ['--import', 'tsx', 'src/cli/main.ts', ...args];
  return spawnSync(process.execPath, command, { cwd: ROOT, encoding: 'utf8' });
}

function check(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = tramp64('check', ...args);
  return { status, out: stdout, err: stderr };
}

test('the int3 protocol holds, and the size of the search is printed', () => {
  const { status, out } = check('poke', SITE, 'e8fb0f0000');
  expect(status).toBe(0);
  expect(out).toMatch(/equivalent.*\d+ images, \d+ places/);
});

test('steps without the sync before the last store are broken, as bytes and disassembly', () => {
  const steps = 'handler,0=cc!,sync,1=fb0f0000,0=e8!,sync,clear';
  const { status, out } = check('poke', SITE, 'e8fb0f0000', '--steps', steps);
  expect(status).toBe(1);
  expect(out).toMatch(/C41.*\(e8[0-9a-f]{8} call 0x[0-9a-f]+\)/);
});

test('a step that is no step is a usage error', () => {
  const { status, err } = check('poke', SITE, 'e8fb0f0000', '--steps', 'wait');
  expect(status).toBe(2);
  expect(err).toContain("step 'wait' must be handler, clear, sync, or OFFSET=BYTES");
});

test('our own trampoline holds, and as the other kind it is broken', () => {
  const handler = 0x1001_0000n;
  const { bytes } = opsTrampoline({
    kind: 'args',
    kernel: '6.12',
    address: 0x1000_0000n,
    handler,
    ops: 0x5n,
    returnThunk: 0x1002_0000n,
  });
  const rest = [`0x10000000:${hexBytes(bytes)}`, '--handler', hex(handler), '--ops', '5', '--thunk', '0x10020000'];
  expect(check('trampoline', 'args', ...rest).status).toBe(0);
  expect(check('trampoline', 'regs', ...rest).status).toBe(1);
});

test('a finding stored as JSON is stepped through, up to the first difference', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tramp64-trace-'));
  try {
    const moved = '0x10004000:554889e54883ec1083c301e9f8c7ffff';
    const { status, out } = check(
      'hook',
      '--function',
      '0x10000800:554889e54883ec10c9c3',
      '--trampoline',
      moved,
      '--json',
    );
    expect(status).toBe(1);
    const result = join(folder, 'result.json');
    writeFileSync(result, out);
    const { stdout } = tramp64('trace', '--finding', `${result}#hook:1`);
    expect(stdout).toMatch(/> +0x10004008 +83c301 +add ebx, 0x1 +rbx=0x1/);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('first difference: rbx is 0x1 instead of 0x0');
    expect(tramp64('trace', '--finding', result)).toMatchObject({ status: 2 });
    expect(tramp64('trace', '--finding', `${result}#other`).stderr).toContain("no finding 'other'; it has hook:1");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('bytes that go past the last address are a usage error', () => {
  const { status, err } = check('site', 'nop', '0xffffffffffffffff:6690');
  expect(status).toBe(2);
  expect(err).toContain('goes past the last address');
});
