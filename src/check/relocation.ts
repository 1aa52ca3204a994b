// Judges a block of code that was moved to another address: does it do the same work there?
import { hex, rel32 } from '../address.ts';
import { type DecodeMode, factsOf } from '../x86/operands.ts';
import { decide } from './decide.ts';
import { exactFinding } from './exact.ts';
import { type EngineMaker, type ExecutionAnswer, execute } from './execute.ts';
import { finding, type Judgement, located, withFindings } from './finding.ts';
import { type StreamAnswer, sameStream } from './same-stream.ts';
import { CodeSpace, checkPlace, type Segment } from './space.ts';

/** A block, and what a tool made of it for another address. */
export interface RelocationQuestion {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly newAddress: bigint;
  /** Undefined where the tool gave nothing: then the question is whether it refused rightly. */
  readonly output?: Uint8Array;
  readonly bitness: 16 | 32 | 64;
  /** AMD's reading of 66-prefixed branches (C12). */
  readonly amd?: boolean;
  /** Known bytes after the block, for calls that lead there. */
  readonly context?: Uint8Array;
  /** The tool promises byte-exact copies of what is not relative (C52). */
  readonly exact?: boolean;
  /** Bytes that the tool was asked to put before the instruction at `offset`. */
  readonly inserted?: { readonly offset: number; readonly bytes: Uint8Array };
}

const SEED = 0x6d6f7665;
const NONE = new Uint8Array(0);

/**
 * Judges a relocation (C1, C8–C19, C21, C29, C52).
 *
 * A register that the moved code spoils counts as scratch where the original block neither reads nor writes it; it is
 * reported (C17). Code that the block reads as its own data may move along with the block (C11).
 *
 * @throws {RangeError} the block or its output goes past the last address
 */
export async function judgeRelocation(question: RelocationQuestion, engines?: EngineMaker): Promise<Judgement> {
  const { address, bytes, bitness, amd = false, newAddress, output = NONE, context = NONE } = question;
  checkPlace({ address, bytes }, 'block', true);
  checkPlace({ address: address + BigInt(bytes.length), bytes: context }, 'context');
  checkPlace({ address: newAddress, bytes: output }, 'output', true);
  const judgement = await judge(question, engines);
  return located(judgement, { mode: { bitness, amd }, base: address, entry: address, code: [{ address, bytes }] });
}

async function judge(question: RelocationQuestion, engines: EngineMaker | undefined): Promise<Judgement> {
  if (question.bytes.length === 0) return { verdict: 'not-judged', reason: 'no bytes', findings: [] };
  if (question.bitness === 16) return { verdict: 'not-judged', reason: '16-bit code is not judged', findings: [] };
  if (question.output === undefined) return refusal(question);
  const mode: DecodeMode = { bitness: question.bitness, ...(question.amd === true ? { amd: true } : {}) };
  const { address, bytes, newAddress, output, inserted } = question;
  const original: Segment[] = [{ address, bytes }];
  if (question.context !== undefined) {
    original.push({ address: address + BigInt(bytes.length), bytes: question.context });
  }
  const moved: Segment[] = [{ address: newAddress, bytes: output }, ...original];
  const stream = sameStream({
    original: new CodeSpace(original, mode),
    moved: new CodeSpace(moved, mode),
    from: address,
    to: newAddress,
    fromEnd: address + BigInt(bytes.length),
    toEnd: newAddress + BigInt(output.length),
    ...(inserted === undefined
      ? {}
      : { inserted: { before: address + BigInt(inserted.offset), bytes: inserted.bytes } }),
  });
  const runnable = engines !== undefined && question.bitness === 64 && question.amd !== true && inserted === undefined;
  const answer = runnable && stream.answer !== 'same' ? await run(question, output, stream, engines) : undefined;
  const decided = decide(stream, answer, {
    base: address,
    mode,
    code: [{ address: newAddress, bytes: output }],
    entry: newAddress,
    end: newAddress + BigInt(output.length),
    original: { code: original, entry: address, end: address + BigInt(bytes.length) },
    ignored: stream.spoiled,
  });
  const anew = question.exact === true ? exactFinding(address, bytes, newAddress, output, mode) : undefined;
  return anew === undefined ? decided : withFindings(decided, [anew]);
}

async function run(
  question: RelocationQuestion,
  output: Uint8Array,
  stream: StreamAnswer,
  engines: EngineMaker,
): Promise<ExecutionAnswer | undefined> {
  const { address, bytes, newAddress } = question;
  if (overlap(address, bytes.length + 16, newAddress, output.length + 16)) return undefined;
  const original: Segment = { address, bytes };
  return execute(
    {
      original: { code: [original], entry: address, end: address + BigInt(bytes.length) },
      moved: {
        code: [{ address: newAddress, bytes: output }],
        entry: newAddress,
        end: newAddress + BigInt(output.length),
      },
      ignore: new Set(stream.spoiled),
      space: new CodeSpace([original], { bitness: 64 }),
      seed: SEED,
    },
    engines,
  );
}

function overlap(a: bigint, sizeA: number, b: bigint, sizeB: number): boolean {
  return a < b + BigInt(sizeB) && b < a + BigInt(sizeA);
}

/** Whether a tool does right to refuse: an operand or branch target is out of rel32 reach from the new place (C8). */
function refusal(question: RelocationQuestion): Judgement {
  const { address, bytes, newAddress, bitness } = question;
  const end = address + BigInt(bytes.length);
  for (const facts of factsOf(bytes, address, { bitness })) {
    if (facts.kind === 'invalid') {
      const why = `the bytes at ${hex(facts.ip)} are no instruction`;
      return { verdict: 'refused', reason: why, findings: [finding('C1', 'note', why, { at: facts, base: address })] };
    }
    const ripRelative = facts.memory?.base === '' ? facts.memory.address : undefined;
    const target = facts.target ?? (bitness === 64 ? ripRelative : undefined);
    if (target === undefined || (target >= address && target < end)) continue;
    const next = newAddress + (facts.ip - address) + BigInt(facts.length);
    if (bitness === 64 && rel32(next, target) === undefined) {
      const why = `${hex(target)} is out of reach of ${hex(newAddress)}`;
      return { verdict: 'refused', reason: why, findings: [finding('C8', 'note', why, { at: facts, base: address })] };
    }
  }
  return { verdict: 'not-judged', reason: 'no output to judge, and no reason to refuse the block', findings: [] };
}
