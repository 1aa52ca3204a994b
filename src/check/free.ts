// May a trampoline be freed? Not while a task executes it or will return into it.
import { hex } from '../address.ts';
import { type Finding, finding, type Judgement, located } from './finding.ts';
import { CodeSpace, checkPlace, type Segment, within } from './space.ts';

/** A task as the freer sees it. */
export interface TaskState {
  readonly name?: string;
  /** The next instruction. */
  readonly ip: bigint;
  /** Return addresses on its stack, and whatever else there may be one (a conservative scan gives every word). */
  readonly stack: readonly bigint[];
}

/** Code that is to be freed, and all tasks that there are. */
export interface FreeQuestion {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly tasks: readonly TaskState[];
}

const MAX_WORDS = 1_000_000;

/**
 * Judges a free (C44): `broken` with one finding for each task that is inside or will come back. Without a task nothing is
 * proved.
 *
 * @throws {RangeError} more than a million stack words, or bytes that go past the last address
 */
export function judgeFree({ address, bytes, tasks }: FreeQuestion): Judgement {
  if (tasks.reduce((sum, { stack }) => sum + stack.length, 0) > MAX_WORDS) {
    throw new RangeError(`"tasks" expected at most ${MAX_WORDS} stack words`);
  }
  const own: Segment = { address, bytes };
  checkPlace(own, 'bytes');
  const space = new CodeSpace([own], { bitness: 64 });
  const findings: Finding[] = [];
  for (const [i, { name = `task ${i}`, ip, stack }] of tasks.entries()) {
    const inside = within(own, ip) ? ip : stack.find((word) => isReturnInto(own, word));
    if (inside === undefined) continue;
    const why = inside === ip ? `${name} executes ${hex(ip)}` : `${name} will return to ${hex(inside)}`;
    findings.push(finding('C44', 'error', why, { at: space.at(inside), base: address }));
  }
  const [first] = findings;
  if (tasks.length === 0) return { verdict: 'not-judged', reason: 'no task is known', findings: [] };
  const verdict: Judgement =
    first === undefined
      ? { verdict: 'equivalent', reason: `none of ${tasks.length} tasks is inside`, findings }
      : { verdict: 'broken', reason: first.message, findings };
  return located(verdict, { mode: { bitness: 64 }, base: address, entry: address, code: [own] });
}

/** A pushed entry is returned to as well; a call may be the last instruction, with the byte after the code as return address. */
function isReturnInto(own: Segment, word: bigint): boolean {
  return word >= own.address && word <= own.address + BigInt(own.bytes.length);
}
