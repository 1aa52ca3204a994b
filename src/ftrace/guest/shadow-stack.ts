// The shadow stack of each task: the returns that function graph has hooked, and where they really go (F47).
import type { TaskHandle } from '../../core/core.ts';
import type { Engine } from '../../engine/engine.ts';
import type { KernelVersion } from '../trampoline.ts';
import { LAYOUT } from './handler.generated.ts';
import { readU64, writeU64 } from './memory.ts';
import type { GuestTasks } from './tasks.ts';
import type { HandlerText } from './text.ts';

/**
 * How many returns of a task may be hooked: FTRACE_RETFUNC_DEPTH in 6.1. In 6.12 the shadow stack is a page of words, of
 * which 16 are kept for its users' variables and one frame stays free; a frame is three words and one for its users.
 */
export const GRAPH_DEPTH: Readonly<Record<KernelVersion, number>> = { '6.1': 50, '6.12': 122 };

/** What is noted of a hooked return. */
export interface HookedReturn {
  /** Where the call really returns. */
  readonly returnsTo: bigint;
  /** The site of the function. */
  readonly func: bigint;
  /** Where the hooked return address stands on the task's stack. */
  readonly slot: bigint;
}

/** The shadow stacks of one guest. */
export class ShadowStacks {
  readonly #engine: Engine;
  readonly #text: HandlerText;
  readonly #tasks: GuestTasks;
  readonly #kernel: KernelVersion;

  constructor(engine: Engine, text: HandlerText, tasks: GuestTasks, kernel: KernelVersion) {
    this.#engine = engine;
    this.#text = text;
    this.#tasks = tasks;
    this.#kernel = kernel;
  }

  /** return_to_handler: what a hooked return address is. */
  get hook(): bigint {
    return this.#text.address(this.#kernel === '6.1' ? 'return_to_handler_6_1' : 'return_to_handler_6_12');
  }

  /** Sets what the kernel's version decides; `user` is the struct fgraph of the graph user, 0 for none. */
  setUser(user: bigint): void {
    writeU64(this.#engine, this.#text.address('ftrace_graph_depth'), BigInt(GRAPH_DEPTH[this.#kernel]));
    writeU64(this.#engine, this.#text.address('ftrace_graph_hook'), this.hook);
    writeU64(this.#engine, this.#text.address('ftrace_graph'), user);
  }

  /** There is no graph user any more, unless it is another one by now. */
  clearUser(user: bigint): void {
    const place = this.#text.address('ftrace_graph');
    if (readU64(this.#engine, place) === user) writeU64(this.#engine, place, 0n);
  }

  /** The hooked returns of a task, the innermost first. */
  of(task: TaskHandle): HookedReturn[] {
    const place = this.#text.loaded ? this.#tasks.placeOf(task) : undefined;
    if (place === undefined) return [];
    const index = this.#engine.read(place + BigInt(LAYOUT.taskRetIndex), 4);
    const depth = new DataView(index.buffer, index.byteOffset).getInt32(0, true) + 1;
    const at = (i: number): bigint => place + BigInt(LAYOUT.taskRetStack + i * LAYOUT.retEntry);
    return Array.from({ length: depth }, (_, i) => at(depth - 1 - i)).map((entry) => ({
      returnsTo: readU64(this.#engine, entry),
      func: readU64(this.#engine, entry + 8n),
      slot: readU64(this.#engine, entry + 16n),
    }));
  }

  /**
   * Where the return address in a slot of a task's stack really goes (ftrace_graph_ret_addr).
   * @param address what stands there
   */
  realReturn(task: TaskHandle, slot: bigint, address: bigint): bigint {
    if (!this.#text.loaded || address !== this.hook) return address;
    return this.of(task).find((one) => one.slot === slot)?.returnsTo ?? address;
  }
}
