// What the build of the surrounding code asks of bytes: IBT, retpolines, return thunks, call depth, user access.
import type { Facts } from '../x86/operands.ts';
import { type Finding, finding } from './finding.ts';
import { endsPath, reachable } from './reach.ts';
import type { RuleNumber } from './rules.ts';
import { type CodeSpace, type Segment, within } from './space.ts';

/** How the code around was built; what is not said is not asked. */
export interface BuildOptions {
  /** Indirect branches land on ENDBR64 only (C34). */
  readonly ibt?: boolean;
  /** The CPU compares returns with a shadow stack (C32). */
  readonly shadowStack?: boolean;
  /** No naked indirect jump or call (C36). */
  readonly retpoline?: boolean;
  /** No naked return (C36). */
  readonly rethunk?: boolean;
  /** int3 follows every return and indirect jump: straight-line speculation (C36). */
  readonly sls?: boolean;
  /** Calls are counted: `sar qword gs:[…], 5` before each one (C37). */
  readonly callDepth?: boolean;
  /** Kernel code with SMAP: no call, return or jump away between STAC and CLAC (C20). */
  readonly smap?: boolean;
}

/** The names, for the command line. */
export const BUILD_OPTIONS = ['ibt', 'shadowStack', 'retpoline', 'rethunk', 'sls', 'callDepth', 'smap'] as const;

/**
 * Judges the instructions of `own` that control reaches from `entry` (C20, C36, C37).
 *
 * @param own the bytes that are judged; what lies elsewhere is not asked
 */
export function buildFindings(space: CodeSpace, entry: bigint, own: Segment, build: BuildOptions): Finding[] {
  const all = [...reachable(space, entry).values()]
    .filter(({ ip }) => within(own, ip))
    .sort((a, b) => (a.ip < b.ip ? -1 : 1));
  const found: Finding[] = [];
  const say = (rule: RuleNumber, level: Finding['level'], why: string, at: Facts): void => {
    found.push(finding(rule, level, why, { at, base: own.address }));
  };
  for (const facts of all) {
    const { kind, mnemonic } = facts;
    const isIndirect = kind === 'indirect-jump' || kind === 'indirect-call';
    if (build.retpoline === true && isIndirect) {
      say('C36', 'error', `a naked indirect ${kind === 'indirect-jump' ? 'jump' : 'call'} in a retpoline build`, facts);
    }
    if (build.rethunk === true && kind === 'return') say('C36', 'error', 'a naked return in a rethunk build', facts);
    const after = facts.ip + BigInt(facts.length);
    if (build.sls === true && (kind === 'return' || kind === 'indirect-jump') && space.bytes(after, 1)[0] !== 0xcc) {
      say('C36', 'error', `no int3 follows "${mnemonic}": the CPU may run on in a straight line`, facts);
    }
    const isCall = kind === 'call' || kind === 'indirect-call';
    if (build.callDepth === true && isCall && !all.some((one) => isAccounting(one) && endOf(one) === facts.ip)) {
      say('C37', 'warning', 'the call is not counted: the return predictor may underflow', facts);
    }
  }
  if (build.smap === true) found.push(...userAccess(space, entry, own));
  return found;
}

/** C37: `sar qword gs:[…], 5`, the kernel's CALL_DEPTH_ACCOUNT. */
function isAccounting({ mnemonic, bytes }: Facts): boolean {
  return mnemonic === 'sar' && bytes.includes(0x65) && bytes[bytes.length - 1] === 5;
}

function endOf({ ip, length }: Facts): bigint {
  return ip + BigInt(length);
}

/** C20: follows every path with AC clear at the entry. */
function userAccess(space: CodeSpace, entry: bigint, own: Segment): Finding[] {
  const found: Finding[] = [];
  const seen = new Set<string>();
  const todo: { ip: bigint; open: boolean }[] = [{ ip: entry, open: false }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { ip, open } = next;
    const key = `${ip} ${open}`;
    const facts = within(own, ip) ? space.at(ip) : undefined;
    if (facts === undefined || seen.has(key)) continue;
    seen.add(key);
    const where = { at: facts, base: own.address };
    const { kind, mnemonic, target } = facts;
    const leaves = kind !== 'next' && kind !== 'invalid' && (target === undefined || !within(own, target));
    if (open && (leaves || kind === 'call')) {
      found.push(finding('C20', 'error', `"${mnemonic}" with user access open`, where));
    }
    if (!open && mnemonic === 'clac') found.push(finding('C20', 'warning', 'clac closes what is closed', where));
    if (open && mnemonic === 'stac') found.push(finding('C20', 'warning', 'stac opens what is open', where));
    const after = mnemonic === 'stac' || (mnemonic !== 'clac' && open);
    if (target !== undefined && kind !== 'call') todo.push({ ip: target, open: after });
    if (!endsPath(facts)) todo.push({ ip: endOf(facts), open: after });
  }
  return found;
}
