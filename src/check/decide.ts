// Joins the symbolic proof and the runs on the CPU into one verdict.
import { hex } from '../address.ts';
import type { Facts } from '../x86/operands.ts';
import type { ExecutionAnswer } from './execute.ts';
import { type Finding, finding, type Judgement } from './finding.ts';
import { opcodeOf } from './opcode.ts';
import type { ReplayParts } from './replay.ts';
import type { RuleNumber } from './rules.ts';
import type { StreamAnswer } from './same-stream.ts';
import { CodeSpace } from './space.ts';

/** Where offsets count from, and what a replay needs. */
export interface Scene extends ReplayParts {
  readonly base: bigint;
  readonly original: { readonly entry: bigint; readonly end?: bigint; readonly code: ReplayParts['code'] };
}

/**
 * The verdict. A difference on the CPU is a proof, and so is a symbolic one; "the same" needs the symbolic proof, or runs
 * that took every branch. Where the two disagree nothing is claimed.
 */
export function decide(stream: StreamAnswer, run: ExecutionAnswer | undefined, scene: Scene): Judgement {
  const original = new CodeSpace(scene.original.code, scene.mode);
  const notes = stream.notes.map(({ rule, text, at }) =>
    finding(ruleNumber(rule) ?? 'C9', 'warning', text, { ...scene, at: original.at(at) }),
  );
  const at = stream.at;
  if (run?.answer === 'different') {
    const rule = narrowed(ruleNumber(stream.rule) ?? ruleOfDifference(run.why), at);
    const { state, memory = [] } = run;
    const error = finding(rule, 'error', run.why, { ...scene, at, state, memory });
    return { verdict: 'broken', reason: because(run.why, stream), findings: [error, ...notes] };
  }
  if (stream.answer === 'different') {
    if (run?.answer === 'same' && run.untaken.length === 0 && stream.rule !== 'C4') {
      return {
        verdict: 'equivalent',
        reason: `${run.why}; not instruction by instruction: ${stream.why}`,
        findings: notes,
      };
    }
    const error = finding(narrowed(ruleNumber(stream.rule) ?? 'C9', at), 'error', stream.why, {
      ...scene,
      at,
    });
    return { verdict: 'broken', reason: stream.why, findings: [error, ...notes] };
  }
  if (stream.answer === 'same') {
    const spoiled: Finding[] = stream.spoiled.map((name) =>
      finding('C17', 'warning', `${name.toLowerCase()} is spoiled; the original leaves it alone`),
    );
    return { verdict: 'equivalent', reason: stream.why, findings: [...spoiled, ...notes] };
  }
  if (run?.answer === 'same' && run.untaken.length === 0) {
    const rest = run.beyond.length === 0 ? '' : `; no state took the branch to ${listed(run.beyond)}`;
    return { verdict: 'equivalent', reason: `${run.why}${rest}`, findings: notes };
  }
  const untaken =
    run?.answer === 'same' ? `no state took the branch to ${listed(run.untaken)}` : (run?.why ?? 'no engine runs it');
  const where = at === undefined ? '' : ` at "${at.mnemonic}"`;
  return { verdict: 'not-judged', reason: `${stream.why}${where}; ${untaken}`, findings: notes };
}

function listed(addresses: readonly bigint[]): string {
  const shown = addresses.slice(0, 4).map(hex).join(', ');
  return addresses.length > 4 ? `${shown} …` : shown;
}

function because(why: string, stream: StreamAnswer): string {
  return stream.answer === 'same' ? why : `${why}: ${stream.why}`;
}

function ruleNumber(rule: string | undefined): RuleNumber | undefined {
  return rule === undefined ? undefined : (`C${Number(rule.slice(1))}` as const);
}

/** Some relative operands have a rule of their own. */
function narrowed(rule: RuleNumber, at: Facts | undefined): RuleNumber {
  if (at === undefined || (rule !== 'C9' && rule !== 'C10')) return rule;
  const { prefixes } = opcodeOf(at.bytes, 64);
  const isNarrow = (at.target !== undefined && prefixes.includes(0x66)) || prefixes.includes(0x67);
  return isNarrow ? 'C12' : rule;
}

function ruleOfDifference(why: string): RuleNumber {
  if (why.startsWith('the direction')) return 'C19';
  if (why.startsWith('xmm')) return 'C23';
  if (why.startsWith('flags')) return 'C18';
  if (why.startsWith('rsp')) return 'C29';
  if (why.startsWith('[')) return 'C10';
  if (why.includes('hook') || why.includes('overwritten')) return 'C4';
  if (why.includes('invalid-instruction')) return 'C1';
  return why.startsWith('ends') ? 'C9' : 'C21';
}
