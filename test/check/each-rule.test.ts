// For each check that is judged: one input that breaks it, and its nearest neighbour that does not.
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import {
  type DispatchQuestion,
  judgeDispatch,
  judgePreserves,
  type PreservesQuestion,
} from '../../src/check/arrive.ts';
import { keepEngines } from '../../src/check/engines.ts';
import type { Finding } from '../../src/check/finding.ts';
import { judgeFree } from '../../src/check/free.ts';
import { type HookQuestion, judgeHook } from '../../src/check/hook.ts';
import { judgePoke, type PokeQuestion } from '../../src/check/poke.ts';
import type { PokeStep } from '../../src/check/poke-protocol.ts';
import { judgeRelocation, type RelocationQuestion } from '../../src/check/relocation.ts';
import { RULES, type RuleNumber } from '../../src/check/rules.ts';
import { judgeSite, type SiteKind, type SiteQuestion } from '../../src/check/site.ts';
import { judgeTrampoline, type TrampolineQuestion } from '../../src/check/trampoline.ts';
import { judgeUnwinding } from '../../src/check/unwinding.ts';
import { loadObject, objectBytes } from '../../src/cli/object-cases.ts';
import { opsTrampoline, type TrampolineKind } from '../../src/ftrace/trampoline.ts';
import { factsOf } from '../../src/x86/operands.ts';

const keeper = keepEngines();
afterAll(() => keeper.dispose());

const FUNCTION = 0x1000_0800n;
const TRAMPOLINE = 0x1000_4000n;
const KERNEL = 0xffff_ffff_8100_0000n;
const FRAME = '554889e54883ec10c9c3'; // push rbp; mov rbp, rsp; sub rsp, 16; leave; ret
const MOVED = '554889e54883ec10'; // its first 8 bytes

type Judged = Promise<readonly Finding[]>;
interface Pair {
  readonly bad: () => Judged;
  readonly good: () => Judged;
}

/** `body` at the trampoline, then a jump back to +`offset`. */
function back(body: string, offset: number): string {
  const from = TRAMPOLINE + BigInt(body.length / 2) + 5n;
  const distance = Number(BigInt.asUintN(32, FUNCTION + BigInt(offset) - from));
  return `${body}e9${[0, 8, 16, 24].map((shift) => ((distance >>> shift) & 0xff).toString(16).padStart(2, '0')).join('')}`;
}

async function hook(original: string, trampoline: string, more: Partial<HookQuestion> = {}): Judged {
  const question: HookQuestion = {
    function: { address: FUNCTION, bytes: bytesOfHex(original), padding: 0xcc },
    patchLength: 5,
    trampoline: { address: TRAMPOLINE, bytes: bytesOfHex(trampoline) },
    ...more,
  };
  return (await judgeHook(question, keeper.engines)).findings;
}

/** The frame's own hook, with one more question to it. */
const frame = (more: Partial<HookQuestion>) => hook(FRAME, back(MOVED, 8), more);

async function move(bytes: string, output: string, more: Partial<RelocationQuestion> = {}): Judged {
  const question: RelocationQuestion = {
    address: 0x10000n,
    bytes: bytesOfHex(bytes),
    newAddress: 0x20000n,
    output: bytesOfHex(output),
    bitness: 64,
    ...more,
  };
  return (await judgeRelocation(question, keeper.engines)).findings;
}

async function site(kind: SiteKind, bytes: string, more: Partial<SiteQuestion> = {}): Judged {
  return judgeSite(kind, { bytes: bytesOfHex(bytes), address: KERNEL, bitness: 64, ...more }).findings;
}

const OPS = 0xffff_8880_0123_4560n;

/** Our own trampoline with one instruction changed for another of the same length. */
async function ftrace(
  kind: TrampolineKind,
  from = '',
  to = '',
  more: Partial<TrampolineQuestion> = {},
  made: { kernel?: '6.1' | '6.12' } = {},
): Judged {
  const addresses = { handler: 0x1001_0000n, ops: OPS, returnThunk: 0x1002_0000n };
  const { bytes } = opsTrampoline({ kind, kernel: made.kernel ?? '6.12', address: 0x1000_0000n, ...addresses });
  const text = Buffer.from(bytes).toString('hex');
  expect(text).toContain(from);
  const changed = bytesOfHex(text.replace(from, to));
  const question: TrampolineQuestion = { kind, address: 0x1000_0000n, bytes: changed, ...addresses, ...more };
  return (await judgeTrampoline(question, keeper.engines)).findings;
}

async function poke(protocol: PokeQuestion['protocol'], address = KERNEL + 0x10n): Judged {
  const [oldBytes, newBytes] = [bytesOfHex('0f1f440000'), bytesOfHex('e8fb0f0000')];
  return (await judgePoke({ address, oldBytes, newBytes, protocol }, keeper.engines)).findings;
}

const SAFE: readonly PokeStep[] = [
  { handler: true },
  { store: { offset: 0, bytes: Uint8Array.of(0xcc), single: true } },
  { sync: true },
  { store: { offset: 1, bytes: bytesOfHex('fb0f0000') } },
  { sync: true },
  { store: { offset: 0, bytes: Uint8Array.of(0xe8), single: true } },
  { sync: true },
  { handler: false },
];
/** One aligned store of all five bytes. */
const WHOLE: PokeStep = { store: { offset: 0, bytes: bytesOfHex('e8fb0f0000'), single: true } };
const without = (index: number): PokeStep[] => SAFE.filter((_, i) => i !== index);

async function preserves(bytes: string, more: Partial<PreservesQuestion>): Judged {
  return (await judgePreserves({ address: 0x40_1000n, bytes: bytesOfHex(bytes), ...more }, keeper.engines)).findings;
}

async function leads(bytes: string, more: Partial<DispatchQuestion>): Judged {
  const question = { address: 0x40_1000n, bytes: bytesOfHex(bytes), target: 0x40_2000n, ...more };
  return (await judgeDispatch(question, keeper.engines)).findings;
}

/** A function of a fixture that moves rsp, as it is or with the first such instruction turned into NOPs. */
async function unwinds(changed: boolean): Judged {
  const image = loadObject(readFileSync(new URL('../fixtures/objects/fix_a-pie-O2.o', import.meta.url)), 'fix_a.o');
  const { ehFrame } = image;
  const found = image.functions.find(({ address, size }) =>
    factsOf(objectBytes(image, address, size), address, { bitness: 64 }).some(moves),
  );
  if (ehFrame === undefined || found === undefined) throw new Error('the fixture has no such function');
  const bytes = objectBytes(image, found.address, found.size);
  const first = factsOf(bytes, found.address, { bitness: 64 }).find(moves);
  if (changed && first !== undefined) {
    const offset = Number(first.ip - found.address);
    bytes.fill(0x90, offset, offset + first.length);
  }
  const { verdict, findings } = judgeUnwinding({ address: found.address, bytes, ehFrame });
  expect(verdict).toBe(changed ? 'broken' : 'equivalent');
  return findings;
}

function moves({ mnemonic }: { readonly mnemonic: string }): boolean {
  return mnemonic === 'push' || mnemonic === 'sub';
}

async function free(ip: bigint, ...stack: bigint[]): Judged {
  const [address, bytes] = [TRAMPOLINE, new Uint8Array(16).fill(0x90)];
  return judgeFree({ address, bytes, tasks: [{ ip, stack }] }).findings;
}

const CALLEE = 0x40_3000n;
const CALL = 'e8fb1f0000'; // call 0x403000, from 0x401000
const RIP_LOAD = '488b0500010000c3'; // mov rax, [rip+0x100]; ret

const PAIRS: Readonly<Partial<Record<RuleNumber, Pair>>> = {
  C1: { bad: () => hook(FRAME, back(`06${MOVED}`, 8)), good: () => frame({}) },
  C2: { bad: () => hook(FRAME, back(MOVED, 6)), good: () => frame({}) },
  C3: {
    bad: () => hook('31c0c3554889e55dc3', back('31c0c3554889e5', 7)),
    good: () => hook('31c0c39090', back('31c0c3', 3)),
  },
  C4: {
    bad: () => hook('31c0ffc083f80a75f9c3', back('31c0ffc083f80a', 7)),
    good: () => hook('31c0909090ffc083f80a75f9c3', back('31c0909090', 5)),
  },
  C5: {
    bad: () => site('kprobe-optimize', '9090909090ffe0'),
    good: () => site('kprobe-optimize', '9090909090c3'),
  },
  C6: { bad: () => frame({ exceptions: [FUNCTION + 4n] }), good: () => frame({ exceptions: [FUNCTION + 5n] }) },
  C7: {
    bad: () => site('ftrace-site', 'cc1f440000', { expectedOld: 'nop' }),
    good: () => site('ftrace-site', '0f1f440000', { expectedOld: 'nop' }),
  },
  C8: {
    bad: () => site('sled-patch', 'eb09660f1f840000020000', { target: KERNEL + 11n + 0x8000_0000n }),
    good: () => site('sled-patch', 'eb09660f1f840000020000', { target: KERNEL + 11n + 0x7fff_ffffn }),
  },
  C9: { bad: () => hook(FRAME, back(MOVED, 9)), good: () => frame({}) },
  C10: {
    bad: () => hook(RIP_LOAD, back('488b0500010000', 7)),
    good: () => hook(RIP_LOAD, back('488b0500c9ffff', 7)),
  },
  C11: {
    bad: () => site('hook', '31c08a05f8ffffffc3'),
    good: () => site('hook', '31c08a0501000000c390'),
  },
  C12: {
    bad: () => hook('678b0500010000c3', back('678b0500010000', 7)),
    good: () => hook('678b0500010000c3', back('678b0500c9ffff', 7)),
  },
  C13: {
    bad: () => move('e2029090', '48ffc97502ffc0'),
    good: () => move('e2029090', 'e2029090'),
  },
  C14: { bad: () => site('hook', '7402ffc0ffc0c3'), good: () => site('hook', '7404ffc0ffc0c3') },
  C15: {
    bad: () => move('c7f80001000090', 'c7f80001000090'),
    good: () => move('c7f80001000090', 'c7f80001ffff90'),
  },
  C16: {
    bad: () => hook('e800000000584883e805c3', back('e800c8ffff', 5)),
    good: () => hook(FRAME, back(MOVED, 8)),
  },
  C17: {
    bad: () => hook('f0480fb10d00010000c3', back('48b80909001000000000f0480fb108', 9)),
    good: () => hook('f0480fb10d00010000c3', back('f0480fb10d00c9ffff', 9)),
  },
  C18: {
    bad: () => hook(FRAME, back(`${MOVED}f9`, 8)),
    good: () => hook(FRAME, back(`${MOVED}9cf99d`, 8)),
  },
  C19: {
    bad: () => hook(FRAME, back(`${MOVED}fd`, 8)),
    good: () => hook(FRAME, back(`${MOVED}9cfd9d`, 8)),
  },
  C20: {
    bad: () => frame({ build: { smap: true }, trampoline: code(back(`0f01cb${MOVED}`, 8)) }),
    good: () => frame({ build: { smap: true }, trampoline: code(back(`0f01cb0f01ca${MOVED}`, 8)) }),
  },
  C21: {
    bad: () => hook(FRAME, back(`${MOVED}83c301`, 8)),
    good: () => hook(FRAME, back(`53b3095b${MOVED}`, 8)),
  },
  C22: { bad: () => ftrace('regs', '4c8b3c24', '0f1f4000'), good: () => ftrace('regs') },
  C23: {
    bad: () => hook(FRAME, back(`${MOVED}660fefc9`, 8)),
    good: () => hook(FRAME, back(`${MOVED}660febc9`, 8)),
  },
  C24: { bad: () => ftrace('args', '4c894c2440', '4c894c2438'), good: () => ftrace('args') },
  C25: { bad: () => ftrace('regs', '', '', { direct: true }), good: () => ftrace('regs') },
  C26: { bad: () => ftrace('args', '4883ef05', '4883ef00'), good: () => ftrace('args') },
  C27: {
    bad: () => ftrace('args', '48c784248800000000000000', '48c784248800000010000000'),
    good: () => ftrace('args'),
  },
  C29: {
    bad: () => hook('31c0c39090', '31c0c20800'),
    good: () => hook('31c0c39090', '31c0c20000'),
  },
  C30: {
    // sub rsp, 8; call; add rsp, 8 keeps 16 bytes of alignment, without it the call is at 8 modulo 16
    bad: () => leads(`${CALL}e9f60f0000`, { calls: [CALLEE], abi: 'sysv' }),
    good: () => leads('4883ec08e8f71f00004883c408e9ee0f0000', { calls: [CALLEE], abi: 'sysv' }),
  },
  C31: {
    // push rbx; mov bl, 1; pop rbx, with and without lea rsp, [rsp-128] around it
    bad: () => preserves('53b3015b', { redZone: true }),
    good: () => preserves('488d64248053b3015b488da42480000000', { redZone: true }),
  },
  C32: {
    bad: () => hook(FRAME, `${MOVED}6808080010c3`, { build: { shadowStack: true } }),
    good: () => frame({ build: { shadowStack: true } }),
  },
  C33: { bad: () => hook(FRAME, `${MOVED}6808080010c3`), good: () => frame({}) },
  C34: {
    bad: () => hook(FRAME, `${MOVED}ff25000000000808001000000000`, { build: { ibt: true } }),
    good: () => frame({ build: { ibt: true } }),
  },
  C35: {
    // mov eax, hash; 11 NOPs: the patch takes 14 bytes of the 16
    bad: () => site('patchable-entry', `b878563412${'90'.repeat(11)}6690c3`, { offset: 16 }),
    good: () => site('patchable-entry', `b878563412${'90'.repeat(14)}6690c3`, { offset: 19 }),
  },
  C36: {
    bad: () => frame({ build: { rethunk: true }, trampoline: code(`${MOVED}c9c3`) }),
    good: () => frame({ build: { rethunk: true, retpoline: true, sls: true } }),
  },
  C37: {
    bad: () => ftrace('args', '', '', { build: { callDepth: true } }),
    good: () => frame({ build: { callDepth: true } }),
  },
  C38: {
    bad: () => frame({ patch: bytesOfHex('ff2500000000'), patchLength: 6 }),
    good: () => frame({ patch: bytesOfHex('e9fb370000') }),
  },
  C39: { bad: () => site('nop', '9090'), good: () => site('nop', '6690') },
  C40: {
    bad: () => site('sled-patch', 'eb09660f1f840000020000', { address: KERNEL + 1n }),
    good: () => site('sled-patch', 'eb09660f1f840000020000', { address: KERNEL + 2n }),
  },
  C41: { bad: () => poke(without(2)), good: () => poke(SAFE) },
  C42: { bad: () => poke('plain'), good: () => poke('int3') },
  C43: { bad: () => threads('9090909090'), good: () => threads('0f1f440000') },
  C44: { bad: () => free(0x1n, TRAMPOLINE), good: () => free(0x1n, TRAMPOLINE - 1n, TRAMPOLINE + 17n) },
  C45: { bad: () => poke([WHOLE]), good: () => poke([WHOLE, { sync: true }]) },
  C46: {
    bad: () => site('section', '90', { access: 'rwx' }),
    good: () => site('section', '90', { access: 'rx' }),
  },
  C47: {
    // the replacement calls the function itself, or its trampoline
    bad: () => frame({ replacement: { address: 0x1000_5000n, bytes: bytesOfHex('e8fbb7ffffc3') } }),
    good: () => frame({ replacement: { address: 0x1000_5000n, bytes: bytesOfHex('e8fbefffffc3') } }),
  },
  C48: {
    // without its first instruction that moves rsp the function is not what the table describes
    bad: () => unwinds(true),
    good: () => unwinds(false),
  },
  C49: {
    bad: () => site('ftrace-site', '6666666690', { expectedOld: 'nop' }),
    good: () => site('ftrace-site', '0f1f440000', { expectedOld: 'nop' }),
  },
  C50: { bad: () => site('uprobe-site', 'fa'), good: () => site('uprobe-site', 'f8') },
  C51: {
    bad: () => frame({ restored: bytesOfHex('554889e590') }),
    good: () => frame({ restored: bytesOfHex('554889e548') }),
  },
  C52: {
    // xor eax, eax with three cs prefixes becomes one with one
    bad: () => move('2e2e2e31c0', '2e31c0', { exact: true }),
    good: () => move('2e2e2e31c0', '2e2e2e31c0', { exact: true }),
  },
  C53: { bad: () => refused(0x1_0000_0000n), good: () => refused(0x20000n) },
};

function code(hex: string) {
  return { address: TRAMPOLINE, bytes: bytesOfHex(hex) };
}

/** The NOPs of a site as one instruction or as five, with other CPUs between them. */
async function threads(old: string): Judged {
  const [oldBytes, newBytes] = [bytesOfHex(old), bytesOfHex('e8fb0f0000')];
  return (await judgePoke({ address: KERNEL, oldBytes, newBytes, protocol: 'int3' }, keeper.engines)).findings;
}

async function refused(distance: bigint): Judged {
  const question: RelocationQuestion = {
    address: 0x10000n,
    bytes: bytesOfHex('488b0500010000'),
    newAddress: 0x10000n + distance,
    bitness: 64,
  };
  const { verdict, findings } = await judgeRelocation(question);
  // a refusal has a rule, an address and an instruction
  return verdict === 'refused' ? [...findings, { ...findings[0], rule: 'C53' } as Finding] : findings;
}

describe.each(RULES.filter(({ implemented }) => implemented))('$number, $name', ({ number, severity }) => {
  const pair = PAIRS[number];

  test('has an input that breaks it', async () => {
    const found = (await pair?.bad())?.filter(({ rule }) => rule === number) ?? [];
    expect(found.length).toBeGreaterThan(0);
    const levels = found.map(({ level }) => level);
    if (severity === 'C') expect(levels.some((level) => level !== 'note')).toBe(true);
    for (const one of found) expect(one.message.length).toBeGreaterThan(10);
  });

  test('has a near neighbour that does not', async () => {
    const found = (await pair?.good())?.filter(({ rule }) => rule === number) ?? [undefined];
    expect(found).toEqual([]);
  });
});
