// Offsets and values of the structs in WASM memory, read once from the module that defines them.
import type { CoreExports } from '../wasm/instance.ts';

/** Byte offsets, strides and flag values, as assembly/layout.ts has them. */
export interface Layout {
  readonly siteStride: number;
  readonly funcStride: number;
  readonly taskStride: number;
  readonly funcNewFunc: number;
  readonly funcIp: number;
  readonly funcBelow: number;
  readonly funcOwner: number;
  readonly funcFlags: number;
  readonly transition: number;
  readonly nop: number;
  /** Where the counters start, and each counter's own offset in bytes from there. */
  readonly counters: number;
  readonly counter: Readonly<Record<CounterName, number>>;
  /** Where dispatchPair leaves newFunc. */
  readonly answer: number;
}

/** One counter per exit of the ladder. */
export type CounterName = 'steady' | 'patched' | 'below' | 'exhausted' | 'idle' | 'empty' | 'recursion' | 'nops';

/** Reads the layout from the exported globals; no number of it is typed on this side. */
export function readLayout(wasm: CoreExports): Layout {
  return {
    siteStride: wasm.SITE_STRIDE.value,
    funcStride: wasm.FUNC_STRIDE.value,
    taskStride: wasm.TASK_STRIDE.value,
    funcNewFunc: wasm.FUNC_NEW_FUNC.value,
    funcIp: wasm.FUNC_IP.value,
    funcBelow: wasm.FUNC_BELOW.value,
    funcOwner: wasm.FUNC_OWNER.value,
    funcFlags: wasm.FUNC_FLAGS.value,
    transition: wasm.FUNC_TRANSITION.value,
    nop: wasm.FUNC_NOP.value,
    counters: wasm.COUNTERS.value,
    counter: {
      steady: wasm.COUNTER_STEADY.value,
      patched: wasm.COUNTER_PATCHED.value,
      below: wasm.COUNTER_BELOW.value,
      exhausted: wasm.COUNTER_EXHAUSTED.value,
      idle: wasm.COUNTER_IDLE.value,
      empty: wasm.COUNTER_EMPTY.value,
      recursion: wasm.COUNTER_RECURSION.value,
      nops: wasm.COUNTER_NOPS.value,
    },
    answer: wasm.ANSWER.value,
  };
}
