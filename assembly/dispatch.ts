// The handler's ladder (klp_ftrace_handler): site ip and task → the Func that runs. The hot path.
import { Count } from './counters';
import { Sites } from './func-stacks';
import { FUNC_NOP, FUNC_TRANSITION, Func, PATCHED, Site, Task, UNPATCHED } from './layout';
import { isTask } from './transition';

/** Where dispatchPair leaves newFunc, low half first. */
export const ANSWER: usize = memory.data(8, 8);

/** Calls of a batch that are looked up together: few enough for their sites to be still cached in the second step. */
const BLOCK: u32 = 128;

/** Offsets of the block's calls that the first step leaves to the second. */
const LEFT: usize = memory.data(BLOCK * 4, 64);

/** Where a patched call of `ip` by `task` goes: the new ip, or 0 for the original. */
export function dispatch(ip: u64, task: usize): u64 {
  return Dispatch.at(Sites.find(ip), task);
}

@unmanaged
export class Dispatch {
  /** The same for a site that is found already. */
  @inline
  static at(site: Site, task: usize): u64 {
    if (Steady.holds(site, task)) return site.newFunc;
    const func = ladder(site, task);
    return func != null ? func.newFunc : 0;
  }
}

/**
 * The same for callers that hold the ip as two halves: returns the handle of the Func that runs and leaves its newFunc
 * at ANSWER; returns 0 for the original, ANSWER is then unchanged. The answer goes through one fixed place, so that
 * the host reads a line that is always cached instead of the Func's.
 */
export function dispatchPair(low: u32, high: u32, task: usize): usize {
  const site = Sites.find(((<u64>high) << 32) | low);
  if (Steady.holds(site, task)) {
    store<u64>(ANSWER, site.newFunc);
    return changetype<usize>(site.top);
  }
  const func = ladder(site, task);
  if (func != null) store<u64>(ANSWER, func.newFunc);
  return changetype<usize>(func);
}

/** Dispatches `count` ips (u64 each) from `ips` into `answers`; returns how many left the original. */
export function dispatchBatch(ips: usize, answers: usize, count: u32, task: usize): u32 {
  let redirected: u32 = 0;
  for (let first: u32 = 0; first < count; first += BLOCK) {
    const size = min(BLOCK, count - first);
    const from = <usize>first * 8;
    const left = steadyAtHome(ips + from, answers + from, size, task);
    redirected += size - left;
    for (let i: u32 = 0; i < left; i++) {
      const at = from + load<u32>(LEFT + i * 4);
      const newIp = dispatch(load<u64>(ips + at), task);
      store<u64>(answers + at, newIp);
      redirected += u32(newIp != 0);
    }
  }
  return redirected;
}

/**
 * Answers the steady calls whose site stands where its search starts, most of them, and lists the offsets of the others
 * at LEFT; returns how many those are. It has no branch to mispredict, so the CPU fetches many sites at once: 9.4 → 5 ns
 * per call at 50,000 functions.
 */
function steadyAtHome(ips: usize, answers: usize, size: u32, task: usize): u32 {
  const admits = changetype<Task>(task).admits;
  let left: u32 = 0;
  for (let at: u32 = 0; at < size * 8; at += 8) {
    const ip = load<u64>(ips + at);
    const site = Sites.at(Sites.home(ip));
    const steady = u32(site.ip == ip) & site.steady & admits;
    store<u64>(answers + at, site.newFunc);
    store<u32>(LEFT + left * 4, at);
    left += 1 - steady;
  }
  Count.all.steady += size - left;
  return left;
}

class Steady {
  /**
   * Whether one branch decides the call: the guard lets the task in, and the top is neither in transition nor a nop
   * (L38, L42). The guard is tested, not taken: nothing runs between entering and leaving it here.
   */
  @inline
  static holds(site: Site, task: usize): bool {
    // noAssert drops the failure but keeps the condition, which would cost every call a division.
    if (!ASC_NO_ASSERT) assert(isTask(task), 'dispatch: the handle names no live task');
    if (!(site.steady & changetype<Task>(task).admits)) return false;
    Count.all.steady++;
    return true;
  }
}

/** The whole ladder, one named exit per rule. Returns the Func that runs, or null for the original. */
function ladder(site: Site, handle: usize): Func | null {
  const task = changetype<Task>(handle);
  if (!task.admits) {
    Count.all.recursion++; // L36
    return null;
  }
  const top = site.top;
  if (top == null) {
    Count.all.empty++; // L37
    return null;
  }
  if (!(top.flags & FUNC_TRANSITION)) {
    Count.all.steady++; // L38
    return runs(top);
  }
  if (task.patchState == PATCHED) {
    Count.all.patched++; // L39
    return runs(top);
  }
  if (task.patchState == UNPATCHED) {
    const below = top.below;
    if (below == null) {
      Count.all.exhausted++; // L40, nothing below
      return null;
    }
    Count.all.below++; // L40; the transition flag of `below` is not looked at
    return runs(below);
  }
  Count.all.idle++; // L41
  return runs(top);
}

/** A nop runs the original: setting ip to it would enter the site again, for ever (L42). */
function runs(func: Func): Func | null {
  if (!(func.flags & FUNC_NOP)) return func;
  Count.all.nops++;
  return null;
}
