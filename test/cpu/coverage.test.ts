// The instructions of the fixtures and of the C library are all known; more programs: npm run isa:coverage.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Isa } from '../../src/wasm/isa.ts';
import { Coverage, fixtureFiles, LIBC } from './coverage.ts';

const missing = spawnSync('objdump', ['--version']).error === undefined ? '' : ' (skipped: objdump is missing)';
const noLibc = existsSync(LIBC) ? missing : ` (skipped: there is no ${LIBC})`;

async function coverageOf(files: readonly string[]): Promise<Coverage> {
  const coverage = new Coverage(await Isa.create());
  for (const file of files) coverage.add(file);
  return coverage;
}

describe('the instruction set', () => {
  test.skipIf(missing !== '')(`has every integer and SSE instruction of the fixtures${missing}`, async () => {
    const coverage = await coverageOf(fixtureFiles());
    expect(coverage.missing()).toEqual([]);
    expect(coverage.instructions).toBeGreaterThan(10_000);
  });

  test.skipIf(noLibc !== '')(`has every integer and SSE instruction of the C library${noLibc}`, async () => {
    const coverage = await coverageOf([LIBC]);
    expect(coverage.missing()).toEqual([]);
    expect(coverage.instructions).toBeGreaterThan(100_000);
    // what it has not is counted, so that a decoder that knows everything or nothing would be noticed
    const vector = coverage.uses().filter(({ part }) => part.startsWith('VEX'));
    expect(vector.length).toBeGreaterThan(10);
    expect(vector.every(({ known }) => known === 0)).toBe(true);
  });
});
