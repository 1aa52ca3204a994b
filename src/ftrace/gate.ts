// The gate: the one guest entry at which a trampoline asks the core where its call goes (F21, F22).
import type { Core, FuncHandle, TaskHandle } from '../core/core.ts';
import { ANSWER_IP_HIGH, ANSWER_IP_LOW, type Engine } from '../engine/engine.ts';
import { SITE_SIZE } from './site.ts';

/** What the gate needs to know of its surroundings. */
export interface GateParts {
  engine: Engine;
  core: Core;
  /** The gate's address, within reach of every trampoline. */
  address: bigint;
  /** The core's number of the task that runs now. */
  currentTask(): number;
  /** Whether the handlers that are guest code hold the guard of the running task so that it admits no further entry. */
  guestRefuses(): boolean;
}

/**
 * Installs the gate: each pass is one dispatch in the core. Where the core says "run the original", the call goes on
 * after the site (L42). Where engine and core share an instance, no pass leaves WASM; the machine then says whose call
 * it is by `setTask`.
 *
 * @returns has the core answer inside the engine, or on the host, which knows of the guard that guest code holds;
 * nothing where the engine has no choice
 */
export function installGate({
  engine,
  core,
  address,
  currentTask,
  guestRefuses,
}: GateParts): (inside: boolean) => void {
  const { redirection } = engine;
  const onHost = (): void => answerOnHost({ engine, core, address, currentTask, guestRefuses });
  if (redirection === undefined) {
    onHost();
    return () => undefined;
  }
  redirection.useCore(address);
  redirection.setTask(currentTask());
  let isInside = true;
  return (inside) => {
    if (inside === isInside) return;
    isInside = inside;
    if (inside) redirection.useCore(address);
    else onHost();
  };
}

function answerOnHost({ engine, core, address, currentTask, guestRefuses }: GateParts): void {
  engine.setGate(address, (ipLow, ipHigh, answer) => {
    const task = currentTask();
    const func = guestRefuses() ? refused(core, task) : core.dispatchPair(ipLow, ipHigh, task);
    if (func === 0) {
      const low = ipLow + SITE_SIZE;
      answer[ANSWER_IP_LOW] = low;
      answer[ANSWER_IP_HIGH] = low > 0xffffffff ? ipHigh + 1 : ipHigh;
    } else {
      answer.set(core.answer);
    }
  });
}

/** The third entry in one context: counted in the core, and the original runs (L36, F44). */
function refused(core: Core, task: TaskHandle): FuncHandle {
  const bits = [core.recursionEnter(task), core.recursionEnter(task)];
  if (bits[1] !== undefined) core.recursionEnter(task);
  for (const bit of bits) if (bit !== undefined) core.recursionLeave(task, bit);
  return 0;
}
