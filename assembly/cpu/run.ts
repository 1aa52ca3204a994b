// Runs: slices of a budget, single steps, and the slower loop that tells the host of each block.

import { Entered, entered, markOf } from './arrival';
import { blockAt, COUNT, setStepping, setUntil, stepBlock } from './blocks';
import { execute } from './execute';
import { blockEntered } from './host';
import { CLOCK, EXTRA, FAULT, LEFT, REP_RIP, Reason, RIP } from './state';
import { Tlb } from './tlb';
import { recording, Traces } from './traces';

/** Instructions per call of `execute`: V8 replaces code only between calls. */
const SLICE: i64 = 65536;
/** Where a block hook asked to stop. */
export const STOP_AT: usize = memory.data(8, 8);

/** Instructions paid for in the last run. */
let paid: i64 = 0;
/** Size of the slice that is running. */
let granted: i32 = 0;

/**
 * The virtual clock at this instruction: instructions retired or paid for since the start, and 1 for each time it was
 * read, so that no two reads are equal.
 */
export function clock(): u64 {
  const base = load<u64>(CLOCK) + 1;
  store<u64>(CLOCK, base);
  return base + (granted - load<i32>(LEFT));
}

/** Instructions retired in the last run or step. */
export function retired(): f64 {
  return <f64>(paid - load<i64>(EXTRA));
}

function begin(): void {
  paid = 0;
  store<u64>(EXTRA, 0);
  store<u32>(FAULT, 0);
  // a hook may have thrown out of the last one
  setStepping(false);
}

/** Runs one slice of at most `most` instructions from RIP. */
function slice(block: usize, most: i32): Reason {
  store<i32>(LEFT, most);
  granted = most;
  const reason = execute(block);
  const spent = most - load<i32>(LEFT);
  paid += spent;
  store<u64>(CLOCK, load<u64>(CLOCK) + spent);
  return reason;
}

/**
 * Runs from `from` to `until`; Reason.Slice means that the budget is spent.
 *
 * @param leaves `from` is an address that runs stop at: its instruction is executed all the same
 */
export function run(from: u64, until: u64, budget: f64, hooked: bool, leaves: bool): Reason {
  begin();
  store<u64>(RIP, from);
  setUntil(until);
  Traces.allow(!hooked && !Tlb.isTraced);
  const total = <i64>budget;
  // in the block in which the budget ends, which was told of
  let ending = false;
  if (leaves && total) {
    const reason = leaveStop();
    if (reason != Reason.Stepped) return reason;
  }
  while (true) {
    const rip = load<u64>(RIP);
    const block = blockAt(rip);
    if (!block) return Reason.Fault;
    let most = min<i64>(total - paid, SLICE);
    const count = load<u32>(block, 8) & COUNT;
    if (count > <u32>most && !most) return Reason.Slice;
    if (count && entered(load<u16>(block, 30), rip) == Entered.Stop) return Reason.Stopped;
    // a REP that was cut goes on in a block that was told of
    if (hooked && count && !ending && load<u64>(REP_RIP) != rip) {
      ending = count > <u32>most;
      const answer = blockEntered(<u32>rip, <u32>(rip >> 32), load<u32>(block, 24));
      if (answer && load<u64>(STOP_AT) - rip < load<u32>(block, 24)) {
        const reason = runTo(load<u64>(STOP_AT), count, total);
        if (reason != Reason.Stepped) return reason;
        continue;
      }
    }
    if (count > <u32>most) {
      Traces.end(rip);
      // less is left than the next block needs: instruction by instruction
      const reason = stepOnce();
      if (reason != Reason.Stepped) return reason;
      continue;
    }
    if (hooked && count) most = count;
    if (recording) {
      Traces.next(block);
      if (recording) most = count;
    }
    // the host may have changed its bytes, or what its page allows
    const now = blockAt(rip);
    if (!now) return Reason.Fault;
    const reason = slice(now, <i32>most);
    if (reason == Reason.Hot) {
      Traces.record();
      continue;
    }
    if (reason == Reason.Slice) continue;
    if (reason == Reason.Until || reason == Reason.Stopped) Traces.end(load<u64>(RIP));
    else Traces.cut();
    // where a run stops it may have arrived as well
    if (reason == Reason.Stopped) entered(markOf(load<u64>(RIP)), load<u64>(RIP));
    return reason;
  }
}

/** Executes the instruction at RIP, all iterations of it, as the first one of a run. */
function leaveStop(): Reason {
  const rip = load<u64>(RIP);
  if (entered(markOf(rip), rip) == Entered.Stop) return Reason.Stopped;
  while (true) {
    const reason = stepOnce();
    if (reason != Reason.Stepped || !load<u64>(REP_RIP)) return reason;
  }
}

/** Steps to an address inside the block of `count` instructions at RIP, or through it where none begins there. */
function runTo(stop: u64, count: u32, total: i64): Reason {
  while (load<u64>(RIP) != stop) {
    if (!count) return Reason.Stepped;
    if (paid >= total) return Reason.Slice;
    const reason = stepOnce();
    if (reason != Reason.Stepped) return reason;
    if (!load<u64>(REP_RIP)) count--;
  }
  return Reason.Stopped;
}

function stepOnce(): Reason {
  const block = stepBlock(load<u64>(RIP));
  if (!block) return Reason.Fault;
  setStepping(true);
  const reason = slice(block, 1);
  setStepping(false);
  // a REP instruction that has iterations left ran out of the one it was given
  return reason == Reason.Slice ? Reason.Stepped : reason;
}

/** Executes the instruction at RIP. */
export function step(): Reason {
  begin();
  const reason = stepOnce();
  // a fault in a further iteration: the step before it counted the instruction
  if (load<i64>(EXTRA) > paid) store<i64>(EXTRA, paid);
  return reason;
}

/** Goes on from RIP with exactly `budget` instructions, also in the middle of a REP, which counts where it ends. */
export function advance(until: u64, budget: f64): Reason {
  const rip = load<u64>(RIP);
  const unfinished = isInside(rip);
  const reason = run(rip, until, budget, false, false);
  store<i64>(EXTRA, load<i64>(EXTRA) + (isInside(load<u64>(RIP)) ? 1 : 0) - (unfinished ? 1 : 0));
  return reason;
}

/** Whether the instruction at `rip` is a REP that was left with iterations to go. */
function isInside(rip: u64): bool {
  const left = load<u64>(REP_RIP);
  return left != 0 && left == rip;
}
