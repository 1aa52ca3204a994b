// The bare CPU's recorded answers: complete, still true, and what Unicorn's table is measured by.

import { describe, expect, test } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { createUnicorn } from '../../src/engine/unicorn.ts';
import { WRONG, WRONG_WITH } from '../../src/engine/unicorn-measured.ts';
import { createUnicornNative } from '../../src/engine/unicorn-native.ts';
import * as nativeMeasured from '../../src/engine/unicorn-native-measured.ts';
import { missingUnicorn } from '../support/native-unicorn.ts';
import { Reader } from './bytes.ts';
import { classify } from './codes.ts';
import { MetalBench, type Mismatch, type MismatchKind } from './compare.ts';
import { type Case, FLAGS, type Result } from './layout.ts';
import { loadVectors } from './load.ts';
import { buildNative, runNative } from './native.ts';
import { PROGRAM, programRows, programs } from './programs.ts';
import { casesOfSection } from './sections.ts';
import { survey } from './survey.ts';
import { EVERYTHING } from './unjudged.ts';
import { pairsOf, readResult, type Section } from './vectors.ts';

const vectors = loadVectors();
const { rows } = classify();
const native = buildNative();
const why = typeof native === 'string' ? ` (skipped: ${native})` : '';

/** Differences that the table states for the engine as a whole. */
const STATED: ReadonlySet<MismatchKind> = new Set(['nan', 'alignment', 'fault-detail']);

/** Every `step`-th case of a section that comes out otherwise on Unicorn, up to `enough` of them. */
async function differences(
  create: () => Promise<Engine>,
  sections: Iterable<[Section, Iterable<Case>]>,
  step: number,
  enough = Number.POSITIVE_INFINITY,
): Promise<{ judged: number; found: Mismatch[] }> {
  const found: Mismatch[] = [];
  let judged = 0;
  let number = 0;
  let open: { engine: Engine; bench: MetalBench } | undefined;
  for (const [section, cases] of sections) {
    for (const { input, result } of pairsOf(section, cases)) {
      if (found.length >= enough) break;
      if (number++ % step !== 0) continue;
      if (open === undefined) {
        const engine = await create();
        open = { engine, bench: new MetalBench(engine, vectors.seed) };
      }
      const mismatch = open.bench.run(input, result);
      if (mismatch?.kind !== 'refused') judged++;
      if (mismatch !== undefined && !STATED.has(mismatch.kind)) found.push(mismatch);
      // Unicorn keeps an exception that it has raised, and makes a double fault of the next one
      if (mismatch?.kind === 'broken' || (result.vector !== undefined && result.vector !== 14)) {
        open.engine.dispose();
        open = undefined;
      }
    }
  }
  open?.engine.dispose();
  return { judged, found };
}

function* sectionsOf(names: Iterable<string>): Generator<[Section, Iterable<Case>]> {
  for (const name of names) {
    const section = vectors.sections.get(name);
    if (section !== undefined) yield [section, casesOfSection(section, vectors.seed)];
  }
}

describe('the recorded answers of the bare CPU', () => {
  test('cover every generated instruction with at least 50 cases, over 100,000 in all', () => {
    const thin = rows.filter((row) => (vectors.sections.get(row.name)?.count ?? 0) < 50).map((row) => row.name);
    expect(thin).toEqual([]);
    const cases = [...vectors.sections.values()].reduce((sum, section) => sum + section.count, 0);
    expect(cases).toBeGreaterThanOrEqual(100_000);
  });

  test('belong to the cases that the generator makes', () => {
    let cases = 0;
    for (const [section, inputs] of sectionsOf(vectors.sections.keys())) {
      for (const { input } of pairsOf(section, inputs)) cases += Math.sign(input.bytes.length);
    }
    expect(cases).toBe([...vectors.sections.values()].reduce((sum, section) => sum + section.count, 0));
  });

  test('are refused when the generator makes other cases', () => {
    const section = vectors.sections.get('Add_rm64_r64');
    if (section === undefined) throw new Error('Add_rm64_r64 has no vectors');
    expect(() => [...pairsOf(section, casesOfSection(section, vectors.seed + 1))]).toThrow('the generator changed');
  });

  test.skipIf(typeof native === 'string')(`are what this CPU answers${why}`, () => {
    if (typeof native === 'string') return;
    const present = new Set(native.host.features);
    const names = [...vectors.sections.keys()].filter((_, i) => i % 9 === 0);
    const able = names.filter((name) => rows.find((row) => row.name === name)?.features.every((f) => present.has(f)));
    expect(able.length).toBeGreaterThan(50);
    for (const [section, cases] of sectionsOf(able)) {
      const inputs = [...cases];
      const now = new Reader(runNative(native, section.name, inputs, vectors.seed).results);
      const then = new Reader(section.results);
      for (const input of inputs) {
        const [a, b] = [readResult(then, input), readResult(now, input)];
        expect(defined(input, b), input.id).toEqual(defined(input, a));
      }
    }
  });
});

describe('comparing an engine with the bare CPU', () => {
  const breakages: Record<string, (result: Result, input: Case) => void> = {
    'a register': (result) => result.gprs.set(9, 0x1234n),
    'a defined flag': (result) => {
      result.flags ^= 0x40;
    },
    'an xmm register': (result) => result.xmm.set(3, new Uint8Array(16).fill(0x77)),
    'a byte of memory': (result) => result.memory.push({ offset: 0x123, bytes: Uint8Array.of(1, 2, 3) }),
    'where it ends': (result) => {
      result.rip += 1n;
    },
    'a fault': (result) => {
      result.vector = 6;
    },
  };
  test.each(Object.keys(breakages))('a difference in %s is noticed', async (what) => {
    const section = vectors.sections.get('Add_rm64_r64');
    if (section === undefined) throw new Error('Add_rm64_r64 has no vectors');
    const [first] = pairsOf(section, casesOfSection(section, vectors.seed));
    if (first === undefined) throw new Error('no case');
    const engine = await createUnicorn();
    const bench = new MetalBench(engine, vectors.seed);
    expect(bench.run(first.input, first.result)).toBeUndefined();
    breakages[what]?.(first.result, first.input);
    expect(bench.run(first.input, first.result)).toBeDefined();
    engine.dispose();
  });
});

/** The builds of Unicorn with their tables. */
const BUILDS = [
  { name: 'unicorn', create: createUnicorn, measured: { WRONG, WRONG_WITH }, missing: undefined },
  { name: 'unicorn-native', create: createUnicornNative, measured: nativeMeasured, missing: missingUnicorn },
] as const;

describe.each(BUILDS)('the table of what $name executes rightly', ({ name: build, create, measured, missing }) => {
  const skipped = missing === undefined ? '' : ` (skipped: ${missing})`;
  const { WRONG, WRONG_WITH } = measured;

  test.skipIf(missing !== undefined)(
    `lets nothing through that comes out otherwise than on the bare CPU${skipped}`,
    async () => {
      const names = rows.filter((row) => !row.privileged).map((row) => row.name);
      const { judged, found } = await differences(create, sectionsOf(names), 7);
      expect(found.filter((mismatch) => mismatch.kind !== 'refused')).toEqual([]);
      expect(judged).toBeGreaterThan(10_000);
    },
  );

  test.skipIf(missing !== undefined)(`keeps out only what really differs${skipped}`, async () => {
    const entries = [...WRONG, ...WRONG_WITH.filter(([, , example]) => example !== 'as its kin')];
    const deadly = new Set(WRONG.filter(([, reason]) => reason.startsWith('ends')).map(([name]) => name));
    const kept = entries.map(([name]) => name);
    const unchanged: string[] = [];
    for (const name of kept.filter((one) => !deadly.has(one))) {
      const codes = rows
        .filter((row) => row.name === name || row.mnemonic.toLowerCase() === name)
        .map((row) => row.name);
      const { found } = await differences(() => create(EVERYTHING), sectionsOf(codes), 1, 1);
      if (found.length === 0) unchanged.push(name);
    }
    expect(unchanged, `no longer wrong; run npx tsx test/metal/unicorn-table.ts ${build}`).toEqual([]);
    if (build !== 'unicorn') return;
    // in a child process, which the abort does not leave usable
    const [report] = await survey('unicorn', ['Pextrw_r32_xmm_imm8']);
    expect(deadly.has('pextrw')).toBe(true);
    expect(report?.mismatches.some((mismatch) => mismatch.detail.includes('abort()'))).toBe(true);
  });

  test.skipIf(typeof native === 'string' || missing !== undefined)(
    `holds for programs, where flags are carried along${why}${skipped}`,
    async () => {
      if (typeof native === 'string') return;
      const kept = new Set([...WRONG, ...WRONG_WITH].map(([name]) => name));
      const fit = programRows(rows).filter((row) => !kept.has(row.name) && !kept.has(row.mnemonic.toLowerCase()));
      const inputs = [...programs(fit, 600, vectors.seed)];
      const section = runNative(native, PROGRAM, inputs, vectors.seed);
      const { judged, found } = await differences(create, [[section, inputs]], 1);
      // it refuses some encodings of what it knows, and says so
      expect(found.filter((mismatch) => mismatch.kind !== 'refused')).toEqual([]);
      expect(judged).toBeGreaterThan(0.8 * inputs.length);
    },
  );
});

/** A result without what is undefined. */
function defined(input: Case, result: Result): Result {
  const gprs = new Map(result.gprs);
  if ((result.flags & 0x40) !== 0) {
    for (let i = 0; i < 16; i++) if ((input.undefinedIfZero >> i) & 1) gprs.delete(i);
  }
  const mask = result.vector === undefined ? FLAGS & ~input.undefinedFlags : FLAGS;
  return { ...result, gprs, flags: result.flags & mask };
}
