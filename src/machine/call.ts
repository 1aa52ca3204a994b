// What a call is given, and what it says it did.
import type { TaskContext } from '../core/core.ts';
import type { RegisterName } from '../engine/engine.ts';
import type { ModelReport } from '../engine/model-report.ts';
import type { Location } from './images.ts';

/** How a call is made. */
export interface CallOptions {
  /** Which task calls. */
  task?: string;
  /**
   * What the task is doing: `task` by default. In another context the call is an interrupt: it runs on the stack of the
   * task that it interrupts, parked or not, and by that task's patch state (L71).
   */
  context?: TaskContext;
  /** Instructions it may take, instead of the machine's. */
  budget?: number;
  /** Says what CET and a return predictor would make of the call, and counts its accesses. Such a run is slower. */
  models?: boolean;
  /** Told of each arrival while the guest runs. */
  onArrival?: (arrival: Location) => void;
}

/** Where a call arrived, and what it found there. */
export interface Arrival extends Location {
  /**
   * Registers that did not arrive as the caller left them: of a redirected call all but r10 and r11 are compared (I3,
   * F23), of one that was not dispatched all sixteen.
   */
  readonly changed: readonly RegisterName[];
  /** True where the return address on the stack is the caller's. */
  readonly returnsToCaller: boolean;
}

/** What a call did, all of it read off the CPU. */
export interface CallResult {
  /** Where the call arrived: the first instruction outside sites, trampolines and gate. */
  readonly runs: Arrival;
  /** Where each dispatch of the call arrived, nested ones included, in order. */
  readonly visits: readonly Location[];
  /** rax. */
  readonly returns: bigint;
  readonly rdx: bigint;
  /** xmm0, lowest byte first. */
  readonly xmm0: Uint8Array;
  /** Instructions retired from the call to its return, without what the gate stands for. */
  readonly instructions: number;
  /** Callee-saved registers, and rsp, that the callee did not give back. */
  readonly clobbered: readonly RegisterName[];
  /** What the models say, where they were asked for. */
  readonly models?: ModelReport;
  /** Where each argument passed by address lies in the guest; undefined for integers and doubles. */
  readonly buffers: readonly (bigint | undefined)[];
}

/** What many equal calls did. */
export interface ManyCalls {
  /** The first one. */
  readonly first: CallResult;
  /** How many there were. Each one returned what the first did, after as many instructions, and arrived where it did. */
  readonly calls: number;
  /** Instructions of all of them. */
  readonly instructions: number;
}

/** One instruction of a traced call. */
export interface TraceStep {
  readonly ip: bigint;
  /** What the instruction belongs to. */
  readonly part: 'site' | 'trampoline' | 'gate' | 'routine' | 'function';
  /** The symbol that holds it. */
  readonly location: Location;
}
