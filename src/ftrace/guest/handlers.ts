// What handlers in guest memory need, in one place: their code, a heap, the tasks, and the func stacks.
import type { Core, TaskHandle } from '../../core/core.ts';
import type { Engine } from '../../engine/engine.ts';
import { Arena } from '../code-arena.ts';
import type { KernelVersion } from '../trampoline.ts';
import { GuestFuncStacks } from './func-stacks.ts';
import { readU64 } from './memory.ts';
import { ShadowStacks } from './shadow-stack.ts';
import { GuestTasks } from './tasks.ts';
import { HandlerText } from './text.ts';

/** Who decides where a livepatched call goes: the core behind the gate, or klp_ftrace_handler as guest code. */
export type HandlerKind = 'core' | 'guest';

/** What the kernel warns of once, as the guest's handler counts it (L36, L37, L41). */
export interface HandlerWarnings {
  readonly recursion: bigint;
  readonly empty: bigint;
  readonly idle: bigint;
}

/** What the handlers work with. */
export interface HandlersParts {
  engine: Engine;
  core: Core;
  kernel: KernelVersion;
  /** Where code and data of the handlers go, within rel32 reach of every trampoline. */
  text: bigint;
  /** Room for structs. */
  heap: { readonly base: bigint; readonly size: bigint };
  /** What gs addresses. */
  perCpu: bigint;
  /** The kernel's thunks by name. */
  routines: ReadonlyMap<string, bigint>;
  /** True while a task may be in a handler: what is freed stays until then. */
  held(): boolean;
}

/** The guest's side of ftrace and livepatch. Nothing of it is in guest memory before it is needed. */
export class Handlers {
  readonly text: HandlerText;
  readonly heap: Arena;
  readonly tasks: GuestTasks;
  readonly shadowStacks: ShadowStacks;
  readonly #engine: Engine;
  readonly #core: Core;
  #stacks: GuestFuncStacks | undefined;

  /** @param from those of the machine that this one is a fork of */
  constructor({ engine, core, kernel, text, heap, perCpu, routines, held }: HandlersParts, from?: Handlers) {
    this.#engine = engine;
    this.#core = core;
    this.text = new HandlerText(engine, text, routines, from?.text);
    this.heap = new Arena(engine, heap.base, heap.size, 'rw', held, from?.heap);
    this.tasks = new GuestTasks(engine, core, this.heap, perCpu, from?.tasks);
    this.shadowStacks = new ShadowStacks(engine, this.text, this.tasks, kernel);
    const stacks = from === undefined ? undefined : from.#stacks;
    if (stacks !== undefined) this.#observe(new GuestFuncStacks(engine, this.heap, stacks));
  }

  /** Keeps the func stacks in guest memory from now on, for klp_ftrace_handler. */
  keepFuncStacks(): void {
    this.#observe(new GuestFuncStacks(this.#engine, this.heap));
    this.text.address('klp_ftrace_handler');
  }

  #observe(stacks: GuestFuncStacks): void {
    this.#stacks = stacks;
    this.#core.observer = {
      pushed: (handle, site, newFunc, flags) => stacks.pushed(handle, site, newFunc, flags),
      removed: (handle) => stacks.removed(handle),
      transitioned: (handle, on) => stacks.transitioned(handle, on),
      taskChanged: () => this.tasks.update(),
      taskRemoved: (task) => this.tasks.removed(task),
      guardChanged: (task, bit, held) => this.tasks.setGuard(task, bit, held),
    };
  }

  /** The handler of livepatch's ops for a site and where the ops lies; undefined where the core is asked. */
  livepatchOps(site: bigint): { handler: bigint; place: bigint } | undefined {
    const place = this.#stacks?.opsOf(site);
    return place === undefined ? undefined : { handler: this.text.address('klp_ftrace_handler'), place };
  }

  /** Before a call from outside runs as this task. @param outermost it interrupts no other call of the task */
  begin(task: TaskHandle, outermost: boolean): void {
    if (this.text.loaded) this.tasks.begin(task, outermost);
  }

  /** The call that runs is to wait: the preempt count to go on with. */
  suspend(): number | undefined {
    return this.text.loaded ? this.tasks.preemptCount() : undefined;
  }

  /** A call that waited goes on. */
  resume(task: TaskHandle, preemptCount: number | undefined): void {
    if (this.text.loaded) this.tasks.resume(task, preemptCount);
  }

  /** How often the guest's handler met what the kernel warns of. */
  warnings(): HandlerWarnings {
    if (!this.text.loaded) return { recursion: 0n, empty: 0n, idle: 0n };
    const at = this.text.address('klp_warnings');
    const [recursion = 0n, empty = 0n, idle = 0n] = [0n, 8n, 16n].map((offset) => readU64(this.#engine, at + offset));
    return { recursion, empty, idle };
  }
}
