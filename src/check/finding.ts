// What a judge says: a verdict, and findings that name the rule, the place, and the state that shows it.
import { hex, hexBytes } from '../address.ts';
import type { Facts } from '../x86/operands.ts';
import type { Rule, RuleNumber, Severity } from './rules.ts';
import { ruleOf } from './rules.ts';
import type { Segment } from './space.ts';
import { type State, World } from './world.ts';

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
  readonly offset?: number;
  readonly bytes?: string;
  readonly disassembly?: string;
  /** Why, as one sentence. */
  readonly message: string;
  /** Registers before, where a state shows it. */
  readonly state?: Readonly<Record<string, string>>;
  readonly replay?: {
    readonly entry: string;
    readonly memory: readonly { readonly address: string; readonly bytes: string }[];
  };
}

/** A judge's answer. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: string;
  readonly findings: readonly Finding[];
}

/** Makes a finding. `base` is the address that offsets count from. */
export function finding(
  number: RuleNumber,
  level: Finding['level'],
  message: string,
  where: {
    at?: Facts | undefined;
    base?: bigint;
    state?: State | undefined;
    entry?: bigint;
    code?: readonly Segment[];
  } = {},
): Finding {
  const rule: Rule = ruleOf(number);
  const { at, base, state, entry, code } = where;
  return {
    rule: number,
    name: rule.name,
    severity: rule.severity,
    level,
    ...(at === undefined ? {} : { address: hex(at.ip), bytes: hexBytes(at.bytes), disassembly: at.mnemonic }),
    ...(at === undefined || base === undefined ? {} : { offset: Number(BigInt.asIntN(64, at.ip - base)) }),
    message,
    ...(state === undefined ? {} : { state: World.show(state) }),
    ...(entry === undefined || code === undefined
      ? {}
      : {
          replay: {
            entry: hex(entry),
            memory: code.map((segment) => ({ address: hex(segment.address), bytes: hexBytes(segment.bytes) })),
          },
        }),
  };
}
