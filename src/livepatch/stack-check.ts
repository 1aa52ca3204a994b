// Whether a task sleeps inside code that a transition is about to take away (klp_check_stack, L69, L70).
import type { FuncAttacher } from './attach.ts';
import { type Func, funcsOf, type Patch } from './patch.ts';
import type { Task } from './tasks.ts';

/** The return addresses on a task's stack, innermost first; undefined where the stack cannot be unwound reliably. */
export type ReadStack = (task: Task) => readonly bigint[] | undefined;

/**
 * Checks one task's stack.
 *
 * @returns the func it sleeps on, `unreliable`, or undefined where nothing keeps it from switching
 */
export function checkStack(
  patch: Patch,
  target: 'patched' | 'unpatched',
  task: Task,
  { attacher, readStack }: { attacher: FuncAttacher; readStack: ReadStack },
): Func | 'unreliable' | undefined {
  const addresses = readStack(task);
  if (addresses === undefined) return 'unreliable';
  if (addresses.length === 0) return undefined;
  for (const func of funcsOf(patch)) {
    if (func.handle === undefined) continue;
    const { start, size } = checkedRange(func, target, attacher);
    if (addresses.some((address) => address >= start && address < start + size)) return func;
  }
  return undefined;
}

/** The code that tasks of the other state may be in (L70). */
function checkedRange(
  func: Func,
  target: 'patched' | 'unpatched',
  attacher: FuncAttacher,
): { start: bigint; size: bigint } {
  if (target === 'unpatched') return { start: func.newFunc, size: func.newSize };
  const below = attacher.below(func);
  if (below !== undefined) return { start: below.newFunc, size: below.newSize };
  return { start: func.old?.address ?? 0n, size: func.old?.size ?? 0n };
}
