// The gate: the one guest entry at which a trampoline asks the core where its call goes (F21, F22).
import type { Core } from '../core/core.ts';
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
}

/**
 * Installs the gate: each pass is one dispatch in the core. Where the core says "run the original", the call goes on
 * after the site (L42). Where engine and core share an instance, no pass leaves WASM; the machine then says whose call
 * it is by `setTask`.
 */
export function installGate({ engine, core, address, currentTask }: GateParts): void {
  if (engine.redirection !== undefined) {
    engine.redirection.useCore(address);
    engine.redirection.setTask(currentTask());
    return;
  }
  engine.setGate(address, (ipLow, ipHigh, answer) => {
    const func = core.dispatchPair(ipLow, ipHigh, currentTask());
    if (func === 0) {
      const low = ipLow + SITE_SIZE;
      answer[ANSWER_IP_LOW] = low;
      answer[ANSWER_IP_HIGH] = low > 0xffffffff ? ipHigh + 1 : ipHigh;
    } else {
      answer.set(core.answer);
    }
  });
}
