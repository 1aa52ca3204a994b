// Tasks and their patch state (L8).

import { EINVAL, ENOENT, ENOMEM } from './errno';
import { CONTEXT_NORMAL, IDLE, PATCHED, TASK_STRIDE, Task, UNPATCHED } from './layout';
import { PoolCopy } from './pool-copy';
import { taskCapacity, tasksBase } from './pools';

let taskUse: u32 = 0;
/** Tasks in each patch state, so that one switch of one task costs no walk of all (L73). */
let idleCount: u32 = 0;
let unpatchedCount: u32 = 0;
let patchedCount: u32 = 0;
let fresh: usize = 0; // bytes of the task pool that were ever used
let freeTask: Task | null = null;

/** Adds an idle task in normal context. Returns its handle, or -ENOMEM when the pool is full. */
export function addTask(): i32 {
  if (taskUse == taskCapacity()) return -ENOMEM;
  taskUse++;
  let task = freeTask;
  if (task != null) {
    freeTask = task.nextFree;
  } else {
    task = changetype<Task>(tasksBase + fresh);
    fresh += TASK_STRIDE;
  }
  task.patchState = IDLE;
  count(IDLE, 1);
  task.context = CONTEXT_NORMAL;
  task.held = 0;
  task.live = 1;
  task.admits = 1;
  return <i32>changetype<usize>(task);
}

/** Removes a task. Returns 0, or -ENOENT. */
export function removeTask(handle: usize): i32 {
  if (!isTask(handle)) return -ENOENT;
  const task = changetype<Task>(handle);
  task.live = 0;
  count(task.patchState, -1);
  task.nextFree = freeTask;
  freeTask = task;
  taskUse--;
  return 0;
}

/** Sets a task's patch state. Returns 0, -ENOENT, or -EINVAL for an unknown state. */
export function setPatchState(handle: usize, state: i32): i32 {
  if (state < IDLE || state > PATCHED) return -EINVAL;
  if (!isTask(handle)) return -ENOENT;
  const task = changetype<Task>(handle);
  count(task.patchState, -1);
  count(state, 1);
  task.patchState = state;
  return 0;
}

/** Sets the patch state of every task (L45, L48, L74). Returns 0, or -EINVAL for an unknown state. */
export function setPatchStateAll(state: i32): i32 {
  if (state < IDLE || state > PATCHED) return -EINVAL;
  for (let at: usize = 0; at < fresh; at += TASK_STRIDE) changetype<Task>(tasksBase + at).patchState = state;
  idleCount = unpatchedCount = patchedCount = 0;
  count(state, <i32>taskUse);
  return 0;
}

/** A task's patch state: IDLE, UNPATCHED or PATCHED; -ENOENT for no such task. */
export function patchState(handle: usize): i32 {
  return isTask(handle) ? changetype<Task>(handle).patchState : -ENOENT;
}

/** How many tasks have this patch state: all must match the target to complete (L73). */
export function tasksIn(state: i32): u32 {
  return state == IDLE ? idleCount : state == UNPATCHED ? unpatchedCount : state == PATCHED ? patchedCount : 0;
}

/** Whether a handle names a live task. */
export function isTask(handle: usize): bool {
  const at = handle - tasksBase;
  return handle >= tasksBase && at < fresh && at % TASK_STRIDE == 0 && changetype<Task>(handle).live != 0;
}

/** Tasks there are. */
export function tasksUsed(): u32 {
  return taskUse;
}

/** Notes that so many tasks more are in a patch state. */
function count(state: i32, more: i32): void {
  if (state == IDLE) idleCount += more;
  else if (state == UNPATCHED) unpatchedCount += more;
  else patchedCount += more;
}

/** What an address space has of this file while another one is current. */
// 12 taskUse   u32
// 16 idle      u32
// 20 unpatched u32
// 24 patched   u32
// 28 freeTask  u32
@unmanaged
export class TaskPool extends PoolCopy {
  taskUse: u32;
  idle: u32;
  unpatched: u32;
  patched: u32;
  freeTask: Task | null;
}

/** Copies the pool out; false where there is no memory. */
export function keepTasks(to: TaskPool): bool {
  if (!PoolCopy.keep(to, tasksBase, fresh)) return false;
  to.taskUse = taskUse;
  to.idle = idleCount;
  to.unpatched = unpatchedCount;
  to.patched = patchedCount;
  to.freeTask = freeTask;
  return true;
}

/** Copies the pool in, at the addresses that it had, so that handles stay what they are. */
export function useTasks(from: TaskPool): void {
  fresh = from.fresh;
  taskUse = from.taskUse;
  idleCount = from.idle;
  unpatchedCount = from.unpatched;
  patchedCount = from.patched;
  freeTask = from.freeTask;
  memory.copy(tasksBase, from.at, fresh);
}
