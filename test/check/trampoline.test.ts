// Trampolines as bytes: ours hold, and each single-bit mutant that acts otherwise is called broken.
import { afterAll, describe, expect, test } from 'vitest';
import { keepEngines } from '../../src/check/engines.ts';
import { judgeTrampoline, type TrampolineQuestion } from '../../src/check/trampoline.ts';
import { HANDLER_CALL, type KernelVersion, opsTrampoline, type TrampolineKind } from '../../src/ftrace/trampoline.ts';
import { decode } from '../../src/x86/decode.ts';

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

describe('every single-bit mutant that acts otherwise is called broken', () => {
  // the regs kind is three times the work: every third bit up to its handler call
  for (const kind of ['args', 'regs'] as const) {
    test(kind, { timeout: 240_000 }, async () => {
      const { bytes, labels } = ours(kind);
      const end = kind === 'args' ? bytes.length : (labels.get(HANDLER_CALL) ?? 0);
      const survivors: string[] = [];
      let broken = 0;
      let notJudged = 0;
      for (let bit = kind === 'args' ? 0 : 1; bit < end * 8; bit += kind === 'args' ? 1 : 3) {
        const mutant = bytes.slice();
        mutant[bit >> 3] = (mutant[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const { verdict, reason } = await judge(question(kind, mutant));
        if (verdict === 'broken') broken++;
        else if (verdict === 'not-judged') {
          // never good news, and always with the instruction that the engine does not judge
          expect(reason).toMatch(/not compared with the bare CPU|refused as an invalid|Unicorn/);
          notJudged++;
        } else if (!harmless(bytes, mutant, bit >> 3)) {
          survivors.push(`+${bit >> 3}.${bit & 7}: ${change(bytes, mutant, bit >> 3).join(' -> ')}`);
        }
      }
      expect(survivors).toEqual([]);
      expect(broken).toBeGreaterThan(20 * notJudged);
    });
  }
});

/** The fixed list of reasons for which a mutant may hold, told by the decoder alone. */
function harmless(bytes: Uint8Array, mutant: Uint8Array, offset: number): boolean {
  const [old, now] = change(bytes, mutant, offset);
  const idle = (text: string): boolean => /^(nop|endbr)/.test(text);
  // the upper half is zero: flags and selectors in a 32-bit register
  const short = old.replace('mov rcx', 'mov ecx') === now && /0x18$|0x10$|0xa8\]$/.test(old);
  return (idle(old) && idle(now)) || old === now || short;
}

/** The instruction that holds `offset`, before and after. */
function change(bytes: Uint8Array, mutant: Uint8Array, offset: number): [string, string] {
  const old = decode(bytes, ADDRESS).find((one) => offset < Number(one.ip - ADDRESS) + one.length);
  const at = Number((old?.ip ?? ADDRESS) - ADDRESS);
  const now = decode(mutant.subarray(at), ADDRESS + BigInt(at), 1)[0];
  return [old?.text ?? '', now?.text ?? ''];
}
