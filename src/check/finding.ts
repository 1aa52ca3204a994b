// What a judge says: a verdict, and findings that name the rule, the place, and the state that shows it.
import { bytesOfHex, hex, hexBytes } from '../address.ts';
import { disassemble } from '../x86/decode.ts';
import { type DecodeMode, type Facts, factsAt } from '../x86/operands.ts';
import { type Replay, type ReplayParts, replayOf } from './replay.ts';
import type { Rule, RuleNumber, Severity } from './rules.ts';
import { ruleOf } from './rules.ts';
import { CodeSpace, type Segment } from './space.ts';
import { World } from './world.ts';

/** `not-judged` is never good news: nothing was proved either way. */
export type Verdict = 'equivalent' | 'broken' | 'refused' | 'not-judged';

/** One thing worth saying, with all that is needed to see it again. Addresses are 0x strings: findings are JSON. */
export interface Finding {
  readonly rule: RuleNumber;
  readonly name: string;
  readonly severity: Severity;
  /** Only an error makes a verdict `broken`; a warning is a hazard that this judge does not hold against the code. */
  readonly level: 'error' | 'warning' | 'note';
  readonly address?: string;
  /** Bytes from the start of what was judged to `address`. */
  readonly offset?: number;
  /** The instruction's bytes, as hex digits. */
  readonly bytes?: string;
  /** The instruction in Intel syntax. */
  readonly disassembly?: string;
  /** Why, as one sentence. */
  readonly message: string;
  /** Where a run shows it: all registers before, and the first difference after. */
  readonly state?: { readonly registers: Readonly<Record<string, string>>; readonly difference: string };
  /** What `tramp64 trace --finding` runs. */
  readonly replay?: Replay;
}

/** A judge's answer. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: string;
  readonly findings: readonly Finding[];
}

/** Where a finding is, and what shows it. */
export interface Where extends Partial<ReplayParts> {
  readonly at?: Facts | undefined;
  /** The address that offsets count from. */
  readonly base?: bigint;
}

const PLAIN: DecodeMode = { bitness: 64 };

/** Makes a finding; with `entry` and `code` it can be replayed. */
export function finding(number: RuleNumber, level: Finding['level'], message: string, where: Where = {}): Finding {
  const rule: Rule = ruleOf(number);
  const { at, base, state, entry, code, mode = PLAIN } = where;
  return {
    rule: number,
    name: rule.name,
    severity: rule.severity,
    level,
    ...(at === undefined ? {} : place(at, mode)),
    ...(at === undefined || base === undefined ? {} : { offset: offsetOf(at.ip, base) }),
    message,
    ...(state === undefined ? {} : { state: { registers: World.show(state), difference: message } }),
    ...(entry === undefined || code === undefined ? {} : { replay: replayOf({ ...where, mode, entry, code }) }),
  };
}

/** A judgement with more findings; an error among them makes it `broken`. */
export function withFindings(judgement: Judgement, more: readonly Finding[]): Judgement {
  if (more.length === 0) return judgement;
  const worst = more.find(({ level }) => level === 'error');
  const isNew = worst !== undefined && judgement.verdict !== 'broken';
  return {
    verdict: worst === undefined ? judgement.verdict : 'broken',
    reason: isNew ? worst.message : judgement.reason,
    findings: isNew ? [...more, ...judgement.findings] : [...judgement.findings, ...more],
  };
}

/**
 * Gives each finding what it lacks: a place (the entry, where it names none), the disassembly in the code's own
 * bitness, and a replay of the code as it was given.
 */
export function located<Answer extends { readonly findings: readonly Finding[] }>(
  answer: Answer,
  scene: {
    readonly mode: DecodeMode;
    readonly base: bigint;
    readonly entry: bigint;
    readonly code: readonly Segment[];
  },
): Answer {
  const { mode, base, entry, code } = scene;
  const findings = answer.findings.map((one): Finding => {
    const start = { ...one, ...(one.address === undefined ? startOf(scene) : {}) };
    const { address = hex(entry), bytes = '' } = start;
    return {
      ...start,
      disassembly: bytes === '' ? '' : disassemble(bytesOfHex(bytes), BigInt(address), mode),
      offset: start.offset ?? offsetOf(BigInt(address), base),
      replay: one.replay ?? replayOf({ mode, entry, code }),
    };
  });
  return { ...answer, findings };
}

function startOf({ mode, entry, code }: Parameters<typeof located>[1]): Partial<Finding> {
  const bytes = new CodeSpace(code, mode).bytes(entry, 15);
  return bytes.length === 0 ? { address: hex(entry), bytes: '' } : place(factsAt(bytes, entry, mode), mode);
}

function place(at: Facts, mode: DecodeMode): { address: string; bytes: string; disassembly: string } {
  return { address: hex(at.ip), bytes: hexBytes(at.bytes), disassembly: disassemble(at.bytes, at.ip, mode) };
}

function offsetOf(address: bigint, base: bigint): number {
  return Number(BigInt.asIntN(64, address - base));
}
