// Builds and runs runner.c: the bare CPU's answers to metal cases. Linux on x86-64 with gcc only.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Writer } from './bytes.ts';
import { background } from './generate.ts';
import type { Case } from './layout.ts';
import { encodeCase, HASH_START, type Host, inputHash, type Section } from './vectors.ts';

/** A built runner. */
export interface Native {
  path: string;
  host: Host;
}

// features every x86-64 CPU has, and those without a CPUID bit of their own
const BASELINE = [
  'INTEL8086',
  'INTEL186',
  'INTEL286',
  'INTEL386',
  'INTEL486',
  'X64',
  'PAUSE',
  'MULTIBYTENOP',
  'CET_IBT',
];

/** Builds the runner, or says in a sentence why that cannot be done here. */
export function buildNative(): Native | string {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `the bare CPU is asked on Linux x86-64 only, this is ${process.platform} ${process.arch}`;
  }
  const path = join(mkdtempSync(join(tmpdir(), 'tramp64-metal-')), 'runner');
  const source = fileURLToPath(new URL('runner.c', import.meta.url));
  const built = spawnSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', path, source], { encoding: 'utf8' });
  if (built.error !== undefined) return 'gcc is missing: install gcc to ask the bare CPU';
  if (built.status !== 0 || !existsSync(path)) throw new Error(`gcc runner.c failed:\n${built.stderr}`);
  const [features = '', cpu = ''] = spawnSync(path, ['--features'], { encoding: 'utf8' }).stdout.split('\n');
  return { path, host: { cpu, features: [...BASELINE, ...features.trim().split(' ')] } };
}

/** Runs cases on the bare CPU. @throws {Error} the runner failed, with its message */
export function runNative(native: Native, name: string, cases: readonly Case[], seed: number): Section {
  const writer = new Writer();
  writer.bytes(background(seed));
  writer.u32(cases.length);
  let inputs = HASH_START;
  for (const input of cases) {
    writer.bytes(encodeCase(input));
    inputs = inputHash(input, inputs);
  }
  const run = spawnSync(native.path, [], { input: writer.finish(), maxBuffer: 1 << 30 });
  if (run.status !== 0) {
    throw new Error(`runner failed on ${name} (status ${run.status}, signal ${run.signal}): ${run.stderr}`);
  }
  return { name, count: cases.length, inputs, results: Uint8Array.from(run.stdout) };
}
