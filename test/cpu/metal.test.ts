// The WASM CPU against the answers of the bare CPU that test/metal keeps: every case it executes must agree.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ISA_EVIDENCE } from '../../src/engine/isa-measured.ts';
import { createWasm } from '../../src/engine/wasm.ts';
import { isaEntries, isaJson, isaText, thinEntries } from '../../src/report/isa.ts';
import { plain } from '../../src/report/table.ts';
import { Isa } from '../../src/wasm/isa.ts';
import type { Mismatch } from '../metal/compare.ts';
import { evidence, MANUAL_CASES } from '../metal/evidence.ts';
import { explained } from '../metal/explained.ts';
import { LEAVES, manualCases } from '../metal/manual.ts';

describe('the WASM CPU', () => {
  test('answers as the bare CPU does wherever it judges, and isa-measured.ts counts these cases', async () => {
    const wrong: Mismatch[] = [];
    let judged = 0;
    const rows = await evidence(({ input, result, mismatch }) => {
      if (mismatch?.kind === 'refused' && mismatch.detail.includes('outside the instruction set')) return;
      judged++;
      if (mismatch !== undefined && !explained(mismatch, input, result.rip)) wrong.push(mismatch);
    });
    expect(wrong).toEqual([]);
    expect(judged).toBeGreaterThan(119_000);
    expect([...ISA_EVIDENCE], 'run npx tsx test/metal/evidence.ts').toEqual([...rows]);
  });

  test('does what the manual says where user mode cannot ask the bare CPU', async () => {
    const cases = [...manualCases(await createWasm(), MANUAL_CASES, 0x7365_6564)];
    expect(cases.filter(({ difference }) => difference !== undefined)).toEqual([]);
    expect(cases.length).toBeGreaterThan(1_000);
  });

  test('has at least 50 cases for each row of its opcode tables', async () => {
    expect(thinEntries(isaEntries((await Isa.create()).rows))).toEqual([]);
  });
});

describe('docs/isa.md', () => {
  test('lists the leaves of cpuid as they are', () => {
    const text = readFileSync(new URL('../../docs/isa.md', import.meta.url), 'utf8');
    const documented = [
      ...text.matchAll(/^\| `([0-9a-f]{8})` \| `(\w{8})` \| `(\w{8})` \| `(\w{8})` \| `(\w{8})` \|/gm),
    ];
    const leaves = documented.map((match) => match.slice(1).map((word) => BigInt(`0x${word}`)));
    expect(new Map(leaves.map(([leaf, ...registers]) => [leaf, registers]))).toEqual(LEAVES);
  });
});

describe('the list of the instruction set', () => {
  test('names the rows that too few cases stand behind', () => {
    const entries = isaEntries([
      { opcode: '01', place: 0x000108 },
      { opcode: 'ff /7', place: 0x00ff07 },
    ]);
    expect(isaText(entries, plain)).toMatch(/^01 {8}378 {2}metal {2}ADD r\/m16, r16 · /m);
    expect(isaText(entries, plain)).toContain('fewer than 50 cases: ff /7');
    expect(isaJson(entries)).toMatchObject({ thin: ['ff /7'] });
  });
});
