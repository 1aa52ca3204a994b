// How a machine is made.
import type { EngineName } from '../engine/engine.ts';
import type { JitMode } from '../engine/jit/jit.ts';
import type { HandlerKind } from '../ftrace/guest/handlers.ts';
import type { KernelVersion, TrampolineKind } from '../ftrace/trampoline.ts';
import type { Policy, TransitionMode } from '../livepatch/livepatch.ts';
import type { DebugLines, EventHook } from '../livepatch/log.ts';
import type { GuestMap } from './guest-map.ts';

/** How a machine is made. */
export interface MachineOptions {
  /** The CPU; `unicorn` by default. */
  engine?: EngineName;
  /** For the engine `wasm`: when hot code is compiled; while the guest waits by default, beside it in a browser's window. */
  jit?: JitMode;
  /** The kernel whose trampolines are used; `6.12` by default. */
  kernel?: KernelVersion;
  /** The kind of trampoline that livepatch uses; `args` by default, as since Linux 5.11 (L27). */
  trampoline?: TrampolineKind;
  /** Who decides where a patched call goes: the core behind the gate (default), or guest code, for its true cost. */
  handler?: HandlerKind;
  /** Instructions that a call may take; 1,000,000 by default. */
  budget?: number;
  /** Names of the tasks; `['init']` by default. The first one calls unless a call names another. */
  tasks?: readonly string[];
  /** In which order patches may be disabled; `independent` by default, as since 5.1. */
  policy?: Policy;
  /** Whether tasks switch by themselves in a transition; `auto` by default. */
  transition?: TransitionMode;
  /** Told of each event of livepatch as it happens. */
  onEvent?: EventHook;
  /** Which debug lines the log has; `selftests` by default. */
  debug?: DebugLines;
  /** Where everything lies in the guest; as in a kernel by default. */
  map?: GuestMap;
}
