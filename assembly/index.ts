// What the module exports.
export { COUNTERS, clearCounters } from './counters';
// The x86_64 CPU in the same memory.
export * from './cpu/index';
export { ANSWER, dispatch, dispatchBatch, dispatchPair } from './dispatch';
export { funcsUsed, isFunc, pushFunc, removeFunc, setTransition, sitesUsed, topFunc } from './func-stacks';
export {
  CONTEXT_IRQ,
  CONTEXT_NMI,
  CONTEXT_NORMAL,
  CONTEXT_SOFTIRQ,
  COUNTER_BELOW,
  COUNTER_EMPTY,
  COUNTER_EXHAUSTED,
  COUNTER_IDLE,
  COUNTER_NOPS,
  COUNTER_PATCHED,
  COUNTER_RECURSION,
  COUNTER_STEADY,
  FUNC_BELOW,
  FUNC_FLAGS,
  FUNC_IP,
  FUNC_NEW_FUNC,
  FUNC_NOP,
  FUNC_OWNER,
  FUNC_STRIDE,
  FUNC_TRANSITION,
  IDLE,
  PATCHED,
  SITE_STRIDE,
  TASK_STRIDE,
  UNPATCHED,
} from './layout';
export { funcCapacity, init, reserve, siteCapacity, taskCapacity, used } from './pools';
export { context, RECURSION_REFUSED, recursionEnter, recursionHeld, recursionLeave, setContext } from './recursion';
export { currentSpace, dropSpace, enterSpace, forkSpace } from './spaces';
export {
  addTask,
  isTask,
  patchState,
  removeTask,
  setPatchState,
  setPatchStateAll,
  tasksIn,
  tasksUsed,
} from './transition';
