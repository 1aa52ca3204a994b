// Judges an inline hook: does the trampoline, with the rest of the function, do what the function did?
import { rel32 } from '../address.ts';
import type { DecodeMode, Facts } from '../x86/operands.ts';
import { type BuildOptions, buildFindings } from './build-rules.ts';
import { decide } from './decide.ts';
import { type EngineMaker, type ExecutionAnswer, execute, type Hazards } from './execute.ts';
import { type Finding, finding, type Judgement, located, withFindings } from './finding.ts';
import { patchFindings, restoredFinding } from './patch-rules.ts';
import { functionEnd, isFiller, reachable } from './reach.ts';
import { recursionFinding } from './recursion.ts';
import { type StreamAnswer, sameStream } from './same-stream.ts';
import { CodeSpace, checkPlace, type Segment, within } from './space.ts';
import { RETURN_ADDRESS } from './world.ts';

/** A hooked function. */
export interface HookQuestion {
  readonly function: {
    readonly address: bigint;
    readonly bytes: Uint8Array;
    /** The byte between functions; where it is a filler, a tool may have put its jump above a short function. */
    readonly padding?: number;
  };
  /** Bytes that the jump over the function's start takes. */
  readonly patchLength: number;
  readonly trampoline: { readonly address: bigint; readonly bytes: Uint8Array };
  readonly bitness?: 32 | 64;
  /** What the tool writes over the start; a plain near jump unless told (C34, C38, C46). */
  readonly patch?: Uint8Array;
  /** What stands at the start after the hook was taken out (C51). */
  readonly restored?: Uint8Array;
  /** The code that the patch leads to, where it is known: does it end, or come back to the hook for ever (C47)? */
  readonly replacement?: Segment;
  /** Addresses in the function that exception tables name: instructions that may fault, landing pads (C6). */
  readonly exceptions?: readonly bigint[];
  /** How the surrounding code was built (C20, C32–C37). */
  readonly build?: BuildOptions;
}

const PADDING_SHOWN = 32;
const SEED = 0x74726d70;

/**
 * Judges a hook (C1–C6, C9–C21, C23, C29–C34, C36–C38, C46, C47, C51); what needs more than the code is asked by options.
 *
 * @param engines where to run both sides; without it, or in 32-bit code, only the symbolic proof decides
 * @throws {RangeError} the patch length is no number of bytes from 1 on, or code goes past the last address
 */
export async function judgeHook(question: HookQuestion, engines?: EngineMaker): Promise<Judgement> {
  const { address, bytes } = question.function;
  const { replacement } = question;
  if (!Number.isInteger(question.patchLength) || question.patchLength < 1) {
    throw new RangeError(`"patchLength" expected 1 byte or more, got ${question.patchLength}`);
  }
  checkPlace(question.function, 'function');
  checkPlace(question.trampoline, 'trampoline');
  if (replacement !== undefined) checkPlace(replacement, 'replacement');
  if (bytes.length === 0 || question.trampoline.bytes.length === 0) {
    return { verdict: 'not-judged', reason: 'no bytes', findings: [] };
  }
  const judgement = withFindings(await judge(question, engines), await askedFindings(question, engines));
  return located(judgement, {
    mode: { bitness: question.bitness ?? 64 },
    base: address,
    entry: address,
    code: [{ address, bytes }, question.trampoline],
  });
}

/** What the question's options ask for beyond the work that the code does; one error is enough for `broken`. */
async function askedFindings(question: HookQuestion, engines: EngineMaker | undefined): Promise<Finding[]> {
  const { patch, restored, replacement, exceptions = [], build, bitness = 64 } = question;
  const { address, bytes } = question.function;
  const found: Finding[] = [];
  if (patch !== undefined) found.push(...patchFindings({ address, original: bytes, patch, ibt: build?.ibt === true }));
  else if (build?.ibt === true) {
    found.push(...patchFindings({ address, original: bytes, patch: new Uint8Array(question.patchLength), ibt: true }));
  }
  const left = restored === undefined ? undefined : restoredFinding(address, bytes, restored);
  if (left !== undefined) found.push(left);
  const space = new CodeSpace([question.trampoline, { address, bytes }], { bitness });
  for (const at of exceptions) {
    if (at < address || at >= address + BigInt(question.patchLength)) continue;
    const why = `an exception table names +${at - address}, inside the patched bytes`;
    found.push(finding('C6', 'error', why, { at: space.at(at), base: address }));
  }
  if (build !== undefined && bitness === 64) {
    found.push(...buildFindings(space, question.trampoline.address, question.trampoline, build));
  }
  if (replacement !== undefined && engines !== undefined && bitness === 64) {
    const [engine] = await engines();
    const recursion = recursionFinding({ ...question, replacement }, engine);
    if (recursion !== undefined) found.push(recursion);
  }
  return found;
}

async function judge(question: HookQuestion, engines: EngineMaker | undefined): Promise<Judgement> {
  const { bytes, address } = question.function;
  const bitness = question.bitness ?? 64;
  const findings: Finding[] = [];
  const neighbour = overwrittenNeighbour(question, { bitness });
  if (neighbour !== undefined) findings.push(neighbour);
  const models: DecodeMode[] = [{ bitness }];
  // Intel and AMD read a 66-prefixed branch in two ways; the hook must be right on both (C12)
  if (bitness === 64 && hasNarrowBranch(bytes, address, question.patchLength)) models.push({ bitness, amd: true });
  let judgement: Judgement | undefined;
  for (const mode of models) {
    const stream = strict(streamOf(question, mode));
    const answer =
      engines !== undefined && bitness === 64 && mode.amd !== true && stream.rule !== 'C4'
        ? await run(question, stream, engines)
        : undefined;
    const hazards = hazardFindings(question, answer?.hazards);
    const decided = decide(stream, answer, {
      base: address,
      mode,
      code: patchedCode(question),
      entry: question.trampoline.address,
      end: RETURN_ADDRESS,
      original: { code: [surrounded(question)], entry: address, end: RETURN_ADDRESS },
      patched: { address, length: question.patchLength },
    });
    const next = withFindings(decided, hazards);
    if (judgement === undefined || next.verdict === 'broken' || judgement.verdict === 'equivalent') judgement = next;
    if (next.verdict === 'broken') {
      if (mode.amd === true) {
        const why = `read as AMD does, with a 16-bit target: ${next.reason}`;
        judgement = { ...next, reason: why, findings: [...next.findings, finding('C12', 'error', why)] };
      }
      break;
    }
  }
  if (judgement?.verdict === 'broken') judgement = withFindings(judgement, cutInstruction(question, { bitness }));
  const base = judgement ?? { verdict: 'not-judged', reason: 'nothing to judge', findings: [] };
  if (neighbour === undefined) return base;
  return { verdict: 'broken', reason: neighbour.message, findings: [...findings, ...base.findings] };
}

/** C2: where a branch of the trampoline leads into the middle of an instruction of the function. */
function cutInstruction({ function: original, trampoline }: HookQuestion, mode: DecodeMode): Finding[] {
  const body = reachable(new CodeSpace([original], mode), original.address);
  const space = new CodeSpace([trampoline], mode);
  for (const at of reachable(space, trampoline.address).values()) {
    const { target } = at;
    if (target === undefined || !within(original, target) || body.has(target)) continue;
    const cut = [...body.values()].find(({ ip, length }) => ip < target && ip + BigInt(length) > target);
    if (cut === undefined) continue;
    const why = `leads to +${target - original.address}, into the middle of "${cut.mnemonic}"`;
    return [finding('C2', 'error', why, { at, base: trampoline.address })];
  }
  return [];
}

/** C32–C34: what the shadow stack, the return predictor and IBT would say of the runs. */
function hazardFindings({ function: { address }, build = {} }: HookQuestion, hazards: Hazards | undefined): Finding[] {
  if (hazards === undefined) return [];
  const found: Finding[] = [];
  for (const at of hazards.returns.values()) {
    const where = { at, base: address };
    const level = build.shadowStack === true ? 'error' : 'warning';
    found.push(finding('C32', level, 'a return that matches no call: the shadow stack refuses it', where));
    found.push(finding('C33', 'warning', 'a return that matches no call is predicted wrongly', where));
  }
  for (const at of hazards.landings.values()) {
    if (build.ibt !== true) continue;
    found.push(finding('C34', 'error', 'an indirect branch lands on no ENDBR64', { at, base: address }));
  }
  return found;
}

/** A register that the caller or the rest of the function may still want is no scratch: only runs can clear it. */
function strict(stream: StreamAnswer): StreamAnswer {
  if (stream.answer !== 'same' || stream.spoiled.length === 0) return stream;
  const why = `the trampoline spoils ${stream.spoiled.join(', ').toLowerCase()}`;
  return { ...stream, answer: 'unknown', rule: 'C17', why };
}

function streamOf(question: HookQuestion, mode: DecodeMode): StreamAnswer {
  const { address, bytes } = question.function;
  const trampoline: Segment = question.trampoline;
  const original = new CodeSpace([{ address, bytes }], mode);
  return sameStream({
    original,
    moved: new CodeSpace([trampoline, { address, bytes }], mode),
    from: address,
    to: trampoline.address,
    fromEnd: address + BigInt(bytes.length),
    toEnd: trampoline.address + BigInt(trampoline.bytes.length),
    patched: { address, length: question.patchLength },
  });
}

function hasNarrowBranch(bytes: Uint8Array, address: bigint, length: number): boolean {
  const space = new CodeSpace([{ address, bytes }], { bitness: 64 });
  for (let offset = 0; offset < length; ) {
    const facts = space.at(address + BigInt(offset));
    if (facts === undefined) return false;
    if (facts.target !== undefined && facts.bytes.indexOf(0x66) === 0) return true;
    offset += facts.length;
  }
  return false;
}

/** The function between its padding, as it stands in memory. */
function surrounded(question: HookQuestion): Segment {
  const { address, bytes, padding = 0xcc } = question.function;
  const all = new Uint8Array(bytes.length + 2 * PADDING_SHOWN).fill(padding);
  all.set(bytes, PADDING_SHOWN);
  return { address: address - BigInt(PADDING_SHOWN), bytes: all };
}

/** What the CPU sees once the hook is in: a jump over the start, to a place that no side knows. */
function patchedCode(question: HookQuestion): Segment[] {
  const { address } = question.function;
  const patch = new Uint8Array(question.patchLength).fill(0xcc);
  if (question.patch !== undefined) {
    patch.set(question.patch.subarray(0, patch.length));
    return [{ address, bytes: patch }, surrounded(question), question.trampoline];
  }
  patch[0] = 0xe9;
  const far = rel32(address + 5n, address + 0x7800n) ?? 0;
  for (let i = 0; i < 4 && i + 1 < patch.length; i++) patch[i + 1] = (far >> (8 * i)) & 0xff;
  return [{ address, bytes: patch }, surrounded(question), question.trampoline];
}

async function run(question: HookQuestion, stream: StreamAnswer, engines: EngineMaker): Promise<ExecutionAnswer> {
  const { address, bytes } = question.function;
  return execute(
    {
      original: { code: [surrounded(question)], entry: address },
      moved: { code: patchedCode(question), entry: question.trampoline.address },
      forbidden: { address, length: question.patchLength },
      ignore: new Set(),
      space: new CodeSpace([{ address, bytes }], { bitness: 64 }),
      seed: SEED,
      proved: stream.answer === 'same',
    },
    engines,
  );
}

/**
 * C3: the function ends before the patch does, and what follows is no filler. A tool may have patched above the
 * function instead (a 2-byte jump at the entry and a near one in the padding); then its trampoline does not hold the
 * neighbour's code, and the padding can take the near jump.
 */
function overwrittenNeighbour(question: HookQuestion, mode: DecodeMode): Finding | undefined {
  const { address, bytes, padding } = question.function;
  const space = new CodeSpace([{ address, bytes }], mode);
  const end = functionEnd(space, address);
  const size = Number(end.address - address);
  if (size >= question.patchLength) return undefined;
  const rest = bytes.subarray(size, question.patchLength);
  if (rest.length === 0 || isFiller(rest, mode)) return undefined;
  const above =
    size >= 2 &&
    padding !== undefined &&
    question.patch === undefined &&
    isFiller(new Uint8Array(5).fill(padding), mode) &&
    !holdsNeighbour(question, end.last, mode);
  if (above) return undefined;
  const message = `the patch needs ${question.patchLength} bytes, the function has ${size}: the neighbour is overwritten`;
  return finding('C3', 'error', message, { at: end.last, base: address });
}

function holdsNeighbour(question: HookQuestion, last: Facts | undefined, mode: DecodeMode): boolean {
  if (last === undefined) return false;
  const { address, bytes } = question.function;
  const next = new CodeSpace([{ address, bytes }], mode).at(last.ip + BigInt(last.length));
  const moved = new CodeSpace([question.trampoline], mode);
  let ip = question.trampoline.address;
  for (let i = 0; i < 32; i++) {
    const facts = moved.at(ip);
    if (facts === undefined) return false;
    ip += BigInt(facts.length);
    if (facts.key === last.key && facts.kind === last.kind)
      return moved.at(ip)?.key === next?.key && next !== undefined;
  }
  return false;
}
