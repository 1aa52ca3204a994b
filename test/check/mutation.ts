// Mutants of trampolines that hold: who survives, and why that is right. `npm run mutate:check` runs all of them.
import { readFileSync } from 'node:fs';
import { keepEngines } from '../../src/check/engines.ts';
import type { EngineMaker } from '../../src/check/execute.ts';
import type { Judgement } from '../../src/check/finding.ts';
import { type HookQuestion, judgeHook } from '../../src/check/hook.ts';
import { judgeTrampoline, type TrampolineQuestion } from '../../src/check/trampoline.ts';
import { loadObject, objectBytes } from '../../src/cli/object-cases.ts';
import type { EngineName } from '../../src/engine/engine.ts';
import { PT_REGS } from '../../src/ftrace/pt-regs.ts';
import { END, type KernelVersion, opsTrampoline, type TrampolineKind } from '../../src/ftrace/trampoline.ts';
import { hookOf, MANNERS } from './hooks/relocate.ts';
import { askBareCpu, type BareQuestion, type BareSide, bareHook, buildBareCpu } from './metal/bare-cpu.ts';
import { mutantsOf, type Reason, sameInstructions } from './mutants.ts';

/** Code that holds, and how to judge and to prove a mutant of it. */
export interface Subject {
  readonly name: string;
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Bytes of code; the rest is data. */
  readonly end: number;
  readonly judge: (bytes: Uint8Array, engines: EngineMaker) => Promise<Judgement>;
  /** Questions whose answers must all be "same" for a mutant that may hold. */
  readonly proofs: (bytes: Uint8Array) => BareQuestion[];
}

/** What became of the mutants. */
export interface Survival {
  mutants: number;
  broken: number;
  readonly notJudged: string[];
  readonly accepted: Record<Reason, number>;
  /** Called equivalent without a reason, or the subject itself does not hold. */
  readonly unexplained: string[];
}

const HANDLER = 0x1001_0000n;
const THUNK = 0x1002_0000n;
const ADDRESS = 0x1000_0000n;
const OPS = 0xffff_8880_0123_4560n;
const REDIRECTED = 0x7000_0000n;
/** Where the handler of a proof writes down what it was given. */
const NOTES = 0x3000_0000n;
const PROOF_STATES = 10_000;
const SEED = 0x6d757461n;

const COMMON = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'rbp'] as const;
const REGS_ONLY = ['rbx', 'r10', 'r12', 'r13', 'r14', 'r15'] as const;

/** Our trampolines of both kinds and both series. */
export function trampolines(): Subject[] {
  return (['6.1', '6.12'] as const).flatMap((kernel) =>
    (['args', 'regs'] as const).map((kind) => trampoline(kind, kernel)),
  );
}

function trampoline(kind: TrampolineKind, kernel: KernelVersion): Subject {
  const addresses = { address: ADDRESS, handler: HANDLER, ops: OPS, returnThunk: THUNK };
  const { bytes, labels } = opsTrampoline({ kind, kernel, ...addresses });
  const question = (changed: Uint8Array): TrampolineQuestion => ({ kind, kernel, ...addresses, bytes: changed });
  const side = (changed: Uint8Array, redirects: boolean): BareSide => ({
    entry: ADDRESS,
    code: [
      { address: ADDRESS, bytes: changed },
      { address: HANDLER, bytes: handler(kind, redirects) },
      { address: THUNK, bytes: Uint8Array.of(0xc3) },
    ],
  });
  return {
    name: `${kind} ${kernel}`,
    address: ADDRESS,
    bytes,
    end: (labels.get(END) ?? 0) + 5,
    judge: (changed, engines) => judgeTrampoline(question(changed), engines),
    proofs: (changed) =>
      [false, true].map((redirects) => ({
        original: side(bytes, redirects),
        judged: side(changed, redirects),
        states: PROOF_STATES,
        seed: SEED,
        // no rule says what r11 holds after the call, nor for the args kind what r10 and the flags hold (F23, F25)
        ignored: kind === 'regs' ? [11] : [10, 11],
        ignoredFlags: kind === 'regs' ? 0 : 0x8d5,
      })),
  };
}

/** A handler that writes down its arguments and pt_regs, changes what it may, spoils what a C function may, and returns. */
function handler(kind: TrampolineKind, redirects: boolean): Uint8Array {
  const le = (value: bigint | number, size: number): number[] =>
    Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
  const fields: (keyof typeof PT_REGS)[] = [...COMMON, 'origRax', 'ip', 'sp', 'cs'];
  if (kind === 'regs') fields.push(...REGS_ONLY, 'r11', 'ss', 'flags');
  const changed = kind === 'regs' ? [...COMMON, ...REGS_ONLY] : COMMON;
  return Uint8Array.from([
    ...[0x49, 0xbb, ...le(NOTES, 8)], // mov r11, NOTES
    ...[0x49, 0x89, 0x3b], // mov [r11], rdi
    ...[0x49, 0x89, 0x73, 0x08], // mov [r11+8], rsi
    ...[0x49, 0x89, 0x53, 0x10], // mov [r11+16], rdx
    ...[0x49, 0x89, 0x4b, 0x18], // mov [r11+24], rcx
    ...[0x49, 0x89, 0x63, 0x20], // mov [r11+32], rsp
    ...fields.flatMap((name) => [
      ...[0x48, 0x8b, 0x81, ...le(PT_REGS[name], 4)], // mov rax, [rcx+field]
      ...[0x49, 0x89, 0x83, ...le(0x28 + PT_REGS[name], 4)], // mov [r11+40+field], rax
    ]),
    ...changed.flatMap((name) => [0x48, 0xf7, 0x91, ...le(PT_REGS[name], 4)]), // not qword [rcx+field]
    ...(redirects ? [0x48, 0xc7, 0x81, ...le(PT_REGS.ip, 4), ...le(REDIRECTED, 4)] : []), // mov qword [rcx+ip], imm32
    ...[0xfc, 0x48, 0x8d, 0xbc, 0x24, ...le(-512, 4)], // cld; lea rdi, [rsp-512]
    ...[0xb9, 64, 0, 0, 0, 0xb8, 0x0d, 0xf0, 0xad, 0x0b], // mov ecx, 64; mov eax, 0x0badf00d
    ...[0xf3, 0x48, 0xab], // rep stosq: its own stack
    ...[0x89, 0xc2, 0x89, 0xc6, 0x89, 0xc7], // mov edx, eax; mov esi, eax; mov edi, eax
    ...[0x41, 0x89, 0xc0, 0x41, 0x89, 0xc1, 0x41, 0x89, 0xc2, 0x41, 0x89, 0xc3], // mov r8d to r11d, eax
    ...[0xf9, 0xc3], // stc; ret
  ]);
}

/** Relocated prologues of the fixtures' functions, each form once. */
export function prologues(): Subject[] {
  const [manner] = MANNERS;
  if (manner === undefined) return [];
  const seen = new Set<string>();
  return ['fix_a-kernel-O2.o', 'fix_a-endbr-O2.o', 'fix_b-pie-O2.o', 'entries.o', 'duplicates.o'].flatMap((file) => {
    const image = loadObject(readFileSync(new URL(`../fixtures/objects/${file}`, import.meta.url)), file);
    return image.functions.flatMap(({ name, address, size }): Subject[] => {
      const hex = Buffer.from(objectBytes(image, address, Math.min(size, 256))).toString('hex');
      const hook = size < 5 ? undefined : hookOf(hex, manner);
      if (hook === undefined) return [];
      const key = Buffer.from(hook.trampoline.bytes.subarray(0, hook.displaced)).toString('hex');
      if (seen.has(key)) return [];
      seen.add(key);
      const code = hook.trampoline.bytes.subarray(0, hook.trampoline.bytes.length - 16);
      const asked = (bytes: Uint8Array): HookQuestion => ({ ...hook, trampoline: { address: manner.at, bytes } });
      return [
        {
          name: `${file}:${name}`,
          address: manner.at,
          bytes: code.slice(),
          end: code.length,
          judge: (bytes, engines) => judgeHook(asked(bytes), engines),
          proofs: (bytes) => [bareHook(asked(bytes), PROOF_STATES, SEED)],
        },
      ];
    });
  });
}

/** Judges every `nth` mutant of the subjects, from the `first` on. */
export async function mutate(
  subjects: readonly Subject[],
  engines: EngineMaker,
  program: { readonly path: string } | undefined,
  { nth = 1, first = 0 } = {},
): Promise<Survival> {
  const survival: Survival = {
    mutants: 0,
    broken: 0,
    notJudged: [],
    accepted: { 'same instruction': 0, 'same on the bare CPU': 0 },
    unexplained: [],
  };
  for (const subject of subjects) {
    const { name, address, bytes, end } = subject;
    const own = await subject.judge(bytes, engines);
    // a prologue that cannot be moved is no subject
    if (own.verdict !== 'equivalent') continue;
    for (const [i, mutant] of mutantsOf(bytes, address, end).entries()) {
      if (i % nth !== first % nth) continue;
      survival.mutants++;
      const { verdict, reason } = await subject.judge(mutant.bytes, engines);
      const what = `${name}: ${mutant.what}`;
      if (verdict === 'broken') survival.broken++;
      else if (verdict !== 'equivalent') survival.notJudged.push(`${what}: ${reason}`);
      else if (sameInstructions(bytes, mutant.bytes, address, end)) survival.accepted['same instruction']++;
      else if (program === undefined) survival.unexplained.push(`${what}: ${reason}, and there is no bare CPU to ask`);
      else {
        const answers = askBareCpu(program, subject.proofs(mutant.bytes));
        if (answers.every((answer) => answer.startsWith('same'))) survival.accepted['same on the bare CPU']++;
        else survival.unexplained.push(`${what}: ${reason}; the bare CPU: ${answers.join(', ')}`);
      }
    }
  }
  return survival;
}

if (process.argv[1]?.endsWith('mutation.ts')) {
  const [, , engine = 'wasm', nth = '1'] = process.argv;
  const program = buildBareCpu();
  const keeper = keepEngines(engine as EngineName);
  const all = [...trampolines(), ...prologues()];
  const survival = await mutate(all, keeper.engines, typeof program === 'string' ? undefined : program, {
    nth: Number(nth),
  });
  keeper.dispose();
  for (const line of [...survival.notJudged, ...survival.unexplained]) console.log(line);
  const { mutants, broken, notJudged, accepted, unexplained } = survival;
  console.log(
    `${all.length} subjects, ${mutants} mutants: ${broken} broken, ${notJudged.length} not judged, ` +
      `${accepted['same instruction']} the same instructions, ${accepted['same on the bare CPU']} the same on the bare CPU, ` +
      `${unexplained.length} unexplained`,
  );
  process.exitCode = unexplained.length === 0 ? 0 : 1;
}
