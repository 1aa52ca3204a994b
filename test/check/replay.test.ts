// Findings can be seen again: each one holds place, disassembly and a replay that shows the same difference.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { casesOf, judgeCase } from '../../src/check/cases.ts';
import { keepEngines } from '../../src/check/engines.ts';
import type { Finding } from '../../src/check/finding.ts';
import { findingIn } from '../../src/check/read-replay.ts';
import { stepThrough } from '../../src/check/step-through.ts';
import { judgeTrampoline } from '../../src/check/trampoline.ts';
import { createEngine } from '../../src/engine/create.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { ScenarioError } from '../../src/errors.ts';
import { opsTrampoline } from '../../src/ftrace/trampoline.ts';

const keeper = keepEngines();
let engine: Engine;
beforeAll(async () => {
  engine = await createEngine('unicorn');
});
afterAll(() => {
  keeper.dispose();
  engine.dispose();
});

/** The finding as a program reads it from a file. */
function stored(finding: Finding) {
  const document = { format: 'tramp64-check/1', cases: [{ id: 'c', findings: [{ ...finding, id: 'c:1' }] }] };
  return findingIn(JSON.parse(JSON.stringify(document)), 'c:1', 'result.json');
}

const file = 'test/check/cases/hook-cases.json';
const broken = casesOf(JSON.parse(readFileSync(file, 'utf8')), file).filter((one) => one.verdict === 'broken');

test('every difference found in the shared hook cases is seen again, from the document alone', async () => {
  let seen = 0;
  for (const raw of broken) {
    const { id, findings } = await judgeCase(raw, keeper.engines);
    for (const finding of findings) {
      expect(finding.disassembly, id).toMatch(/^\S/);
      expect(finding.offset, id).toBeTypeOf('number');
      expect(finding.replay, id).toBeDefined();
      if (finding.state === undefined) continue;
      const { difference } = stepThrough(stored(finding).replay, engine);
      expect(difference, id).toBe(finding.state.difference);
      seen++;
    }
  }
  expect(seen).toBeGreaterThan(10);
});

test('the trace marks the instruction that made the difference', async () => {
  const hook = {
    function: { address: '0x10000800', bytes: '554889e54883ec10c9c3', padding: 'cc' },
    patchLength: 5,
    trampoline: { address: '0x10004000', bytes: '554889e54883ec1083c301e9f8c7ffff' },
  };
  const { findings } = await judgeCase({ id: 'add', ...hook }, keeper.engines);
  const [finding] = findings;
  if (finding === undefined) throw new Error('no finding');
  const { judged, differsAt } = stepThrough(stored(finding).replay, engine);
  expect(judged.steps[differsAt ?? -1]?.text).toBe('add ebx, 0x1');
  expect(Object.keys(judged.steps[differsAt ?? -1]?.changed ?? {})).toContain('rbx');
});

test('a trampoline that loses a register is stepped through its handler to the return', async () => {
  const parts = { kind: 'args', kernel: '6.12', address: 0x1000_0000n, handler: 0x1001_0000n, ops: 5n } as const;
  const { bytes } = opsTrampoline({ ...parts, returnThunk: 0x1002_0000n });
  // mov rsi, [rsp + d8] becomes a NOP: rsi is not restored
  const at = bytes.findIndex((_, i) => bytes[i] === 0x48 && bytes[i + 1] === 0x8b && bytes[i + 2] === 0x74 && i > 100);
  const copy = bytes.slice();
  copy.set(bytesOfHex('0f1f440000'), at);
  const question = { ...parts, bytes: copy, returnThunk: 0x1002_0000n };
  const { findings, verdict } = await judgeTrampoline(question, keeper.engines);
  expect(verdict).toBe('broken');
  const [finding] = findings;
  if (finding === undefined) throw new Error('no finding');
  const { judged } = stepThrough(stored(finding).replay, engine);
  expect(judged.steps.some(({ ip }) => ip === 0x1001_0000n)).toBe(true);
  expect(judged.ends).toBe(`ends at ${finding.replay?.end}`);
});

describe('a document that is not ours', () => {
  const side = { entry: '0x1000', bytes: [{ address: '0x1000', bytes: '90' }] };
  const good = { ...side, bitness: 64, map: [], registers: {}, memory: [] };
  const read = (replay: unknown) =>
    findingIn({ format: 'tramp64-check/1', cases: [{ id: 'c', findings: [{ id: 'c:1', replay }] }] }, 'c', 'r.json');

  test('gives a finding by the id of its case', () => {
    expect(read(good).id).toBe('c:1');
  });

  const BAD: readonly (readonly [string, unknown, string])[] = [
    ['no replay', undefined, '.replay'],
    ['another bitness', { ...good, bitness: 8 }, '.replay.bitness'],
    ['an address that is none', { ...good, entry: '4096' }, '.replay.entry'],
    ['half a page', { ...good, map: [{ address: '0x800', size: '0x1000' }] }, '.replay.map[0]'],
    ['more memory than there is', { ...good, map: [{ address: '0x0', size: '0xfffffffffffff000' }] }, '.replay.map'],
    ['odd hex digits', { ...good, memory: [{ address: '0x0', bytes: '9' }] }, '.replay.memory[0].bytes'],
    ['a register that is too wide', { ...good, registers: { rax: '0x11111111111111111' } }, '.replay.registers.rax'],
  ];
  for (const [name, replay, path] of BAD) {
    test(`${name} is refused with its place`, () => {
      expect(() => read(replay)).toThrow(ScenarioError);
      expect(() => read(replay)).toThrow(`$.cases[0].findings[0]${path}:`);
    });
  }

  test('an id that is not there lists those that are', () => {
    const document = { format: 'tramp64-check/1', cases: [{ id: 'c', findings: [{ id: 'c:1', replay: good }] }] };
    expect(() => findingIn(document, 'd', 'r.json')).toThrow(/no finding 'd'; it has c:1 \(ENOENT\)/);
  });
});
