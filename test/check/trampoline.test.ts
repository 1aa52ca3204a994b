// Trampolines as bytes: ours hold, and what acts otherwise is called broken.
import { afterAll, describe, expect, test } from 'vitest';
import { keepEngines } from '../../src/check/engines.ts';
import { judgeTrampoline, type TrampolineQuestion } from '../../src/check/trampoline.ts';
import { type KernelVersion, opsTrampoline, type TrampolineKind } from '../../src/ftrace/trampoline.ts';

const ADDRESS = 0x1000_0000n;
const HANDLER = 0x1001_0000n;
const THUNK = 0x1002_0000n;
const OPS = 0xffff_8880_0123_4560n;

const keeper = keepEngines();
afterAll(() => keeper.dispose());

function ours(kind: TrampolineKind, kernel: KernelVersion = '6.12') {
  return opsTrampoline({ kind, kernel, address: ADDRESS, handler: HANDLER, ops: OPS, returnThunk: THUNK });
}

function question(kind: TrampolineKind, bytes: Uint8Array, more: Partial<TrampolineQuestion> = {}): TrampolineQuestion {
  return { address: ADDRESS, bytes, kind, handler: HANDLER, ops: OPS, returnThunk: THUNK, ...more };
}

const judge = (asked: TrampolineQuestion) => judgeTrampoline(asked, keeper.engines);

/** Replaces the one occurrence of `from`. */
function replaced(bytes: Uint8Array, from: readonly number[], to: readonly number[]): Uint8Array {
  const at = bytes.findIndex((_, i) => from.every((byte, j) => bytes[i + j] === byte));
  expect(at).toBeGreaterThanOrEqual(0);
  const out = bytes.slice();
  out.set(to, at);
  return out;
}

describe('our own trampolines hold', () => {
  for (const kernel of ['6.1', '6.12'] as const) {
    for (const kind of ['args', 'regs'] as const) {
      test(`${kind}, ${kernel}`, async () => {
        const answer = await judge(question(kind, ours(kind, kernel).bytes, { kernel }));
        expect(answer).toMatchObject({ verdict: 'equivalent', findings: [] });
      });
    }
  }
});

const BAD: readonly [string, TrampolineKind, readonly number[], readonly number[], string][] = [
  ['r9 saved where r10 belongs', 'args', [0x4c, 0x89, 0x4c, 0x24, 0x40], [0x4c, 0x89, 0x4c, 0x24, 0x38], 'C24'],
  ['the return address named as the site', 'args', [0x48, 0x83, 0xef, 0x05], [0x48, 0x83, 0xef, 0x00], 'C26'],
  ['r15 not restored from pt_regs', 'regs', [0x4c, 0x8b, 0x3c, 0x24], [0x0f, 0x1f, 0x40, 0x00], 'C22'],
  ['flags not restored', 'regs', [0x9d, 0xe9], [0x90, 0xe9], 'C22'],
];

for (const [name, kind, from, to, rule] of BAD) {
  test(`${name} is broken`, async () => {
    const answer = await judge(question(kind, replaced(ours(kind).bytes, from, to)));
    expect(answer.verdict, answer.reason).toBe('broken');
    expect(answer.findings[0]?.rule, answer.reason).toBe(rule);
  });
}

test('an args trampoline is no regs trampoline, and the other way round', async () => {
  expect((await judge(question('regs', ours('args').bytes))).verdict).toBe('broken');
  expect((await judge(question('args', ours('regs').bytes))).verdict).toBe('broken');
});

test('a copy never goes direct, so asking for the direct call is broken', async () => {
  const answer = await judge(question('regs', ours('regs').bytes, { direct: true }));
  expect(answer.verdict).toBe('broken');
  expect(answer.findings[0]?.rule).toBe('C25');
});

test('a 6.1 trampoline holds on 6.12, with the missing ENDBR64 said', async () => {
  const answer = await judge(question('args', ours('args', '6.1').bytes));
  expect(answer.verdict).toBe('equivalent');
  expect(answer.findings.map(({ rule, level }) => `${rule} ${level}`)).toEqual(['C34 warning']);
});

test('a trampoline that forgets the changed ip holds only where no handler changes it', async () => {
  const { bytes } = ours('args');
  const forgetful = replaced(bytes, [0x48, 0x89, 0x84, 0x24, 0xa8, 0, 0, 0], [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]);
  expect((await judge(question('args', forgetful, { redirects: false }))).verdict).toBe('equivalent');
  const answer = await judge(question('args', forgetful));
  expect(answer.verdict).toBe('broken');
  expect(answer.findings[0]?.rule).toBe('C26');
});
