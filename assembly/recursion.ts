// The recursion guard: a bit per context and one transition bit, per task; and the context a task runs in (F44).
import { Count } from './counters';
import { EINVAL, ENOENT } from './errno';
import { CONTEXT_NMI, CONTEXT_NORMAL, CONTEXT_TRANSITION, Task } from './layout';
import { isTask } from './transition';

/** What recursionEnter returns when the guard refuses (L36). */
export const RECURSION_REFUSED: i32 = -1;

export class Guard {
  /**
   * Recomputes whether the next entry is let in. The bits change far less often than calls are dispatched, so the
   * dispatcher reads one word.
   */
  @inline
  static update(task: Task): void {
    const busy: u32 = (1 << task.context) | (1 << CONTEXT_TRANSITION);
    task.admits = (task.held & busy) == busy ? 0 : 1;
  }
}

/** Sets the context a task runs in, NMI to NORMAL. Returns 0, -ENOENT, or -EINVAL for an unknown context. */
export function setContext(handle: usize, context: u32): i32 {
  if (context < CONTEXT_NMI || context > CONTEXT_NORMAL) return -EINVAL;
  if (!isTask(handle)) return -ENOENT;
  const task = changetype<Task>(handle);
  task.context = context;
  Guard.update(task);
  return 0;
}

/** The context a task runs in, or -ENOENT. */
export function context(handle: usize): i32 {
  return isTask(handle) ? <i32>changetype<Task>(handle).context : -ENOENT;
}

/**
 * Takes the guard for a handler that runs code which may be traced itself. The second entry in a context takes the
 * transition bit: an interrupt may come before the context is updated. Returns the bit to give back, or
 * RECURSION_REFUSED (counted: the caller runs the original, L36), or -ENOENT.
 */
export function recursionEnter(handle: usize): i32 {
  if (!isTask(handle)) return -ENOENT;
  const task = changetype<Task>(handle);
  if (!task.admits) {
    Count.all.recursion++;
    return RECURSION_REFUSED;
  }
  const bit: u32 = task.held & (1 << task.context) ? CONTEXT_TRANSITION : task.context;
  task.held |= 1 << bit;
  Guard.update(task);
  return bit;
}

/** Gives a bit of the guard back. Returns 0, -ENOENT, or -EINVAL when the bit is not held. */
export function recursionLeave(handle: usize, bit: u32): i32 {
  if (!isTask(handle)) return -ENOENT;
  const task = changetype<Task>(handle);
  if (bit > CONTEXT_TRANSITION || !(task.held & (1 << bit))) return -EINVAL;
  task.held &= ~(1 << bit);
  Guard.update(task);
  return 0;
}

/** The bits of the guard that are held, or -ENOENT. */
export function recursionHeld(handle: usize): i32 {
  return isTask(handle) ? <i32>changetype<Task>(handle).held : -ENOENT;
}
