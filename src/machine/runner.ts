// Runs guest calls on one engine: one has the CPU, the others wait with their registers. Engine runs never nest: a run
// that must wait leaves the engine first, and goes on from its saved registers later.
import type { Core } from '../core/core.ts';
import {
  type ArrivalState,
  type Engine,
  type Exit,
  GENERAL_REGISTERS,
  type RegisterName,
  type RunOptions,
} from '../engine/engine.ts';
import { Models } from '../engine/models.ts';
import { EngineError } from '../errors.ts';
import { type ArrivalGuest, ArrivalWatch, type ArrivalWatchParts } from '../ftrace/arrival.ts';
import type { Handlers } from '../ftrace/guest/handlers.ts';
import type { Range } from '../ftrace/ranges.ts';
import { copyTask, type Task, type TaskList } from '../livepatch/tasks.ts';
import type { Twins } from '../twins.ts';
import { decode } from '../x86/decode.ts';
import { ARGUMENT_REGISTERS, ARRIVING_REGISTERS, type Argument, isDouble, prepareCall } from './arguments.ts';
import type { Arrival, CallOptions, CallResult } from './call.ts';
import { type CallArea, CallAreas, type CallRoom, roomBelow, wholeArea } from './call-areas.ts';
import { type CpuState, restoreCpu, saveCpu, saved } from './cpu-state.ts';
import type { GuestMap } from './guest-map.ts';
import { GuestRun } from './guest-run.ts';
import type { Images, Location } from './images.ts';
import { pushInterrupted } from './interrupt-frame.ts';
import { type Service, ServiceCall } from './services.ts';

/** What the runner works with. */
export interface RunnerParts {
  readonly engine: Engine;
  readonly core: Core;
  readonly tasks: TaskList;
  readonly images: Images;
  /** How a call's arrival is told. */
  readonly arrival: ArrivalGuest;
  /** Where the trampolines are; they are glue as well. */
  readonly trampolines: Range;
  /** Whether all that trampolines call is glue, and no site calls a common caller. */
  redirectsOnly(): boolean;
  /** Has the core answer at the gate inside the engine, where the engine can, or the host. */
  setGateInside(on: boolean): void;
  /** What the guest's handlers know of the running task. */
  readonly handlers: Handlers;
  /** Where an outermost call returns to, and where one returns to that stands on a suspended one. */
  readonly returnTo: bigint;
  readonly returnToInterrupted: bigint;
  readonly budget: number;
  /** Where stacks and buffers lie. */
  readonly map: GuestMap;
}

/** Quads of a frame, and arrivals, that Redirection.repeat takes. */
const MOST_REPEATED = 64;

/** A task's calls, the outermost first; the last one is where the task is. */
interface TaskRuns {
  readonly area: CallArea;
  readonly runs: GuestRun[];
}

/** What a run is begun with. */
export interface BeginOptions extends CallOptions {
  /** Parks when it comes to this address. */
  readonly until?: bigint;
}

/** The calls of one machine. */
export class Runner {
  readonly #parts: RunnerParts;
  /** Stacks and buffers. */
  readonly areas: CallAreas;
  readonly #tasks = new Map<Task, TaskRuns>();
  readonly #services = new Map<bigint, { readonly service: Service; readonly inside: boolean }>();
  /** The run that has the CPU; its task is the current one. */
  #running: GuestRun | undefined;
  /** The state of the glue that the engine knows. */
  #glueKnown = -1;
  #served = 0;

  /**
   * @param fork that of the machine that this one is a fork of: tasks that are parked there, are parked here. What it
   * serves is to be served anew.
   */
  constructor(parts: RunnerParts, fork?: { readonly from: Runner; readonly twins: Twins }) {
    this.#parts = parts;
    this.areas = new CallAreas(parts.engine, parts.map, fork?.from.areas);
    if (fork === undefined) return;
    const { from, twins } = fork;
    this.#glueKnown = from.#glueKnown;
    this.#served = from.#served;
    for (const [task, { area, runs }] of from.#tasks) {
      const twin = twins.of(task, copyTask);
      this.#tasks.set(twin, { area, runs: runs.map((run) => this.#copy(run, twin)) });
    }
  }

  /** True where every task that is in a call is parked in it. */
  get isAsleep(): boolean {
    return (
      this.#running === undefined && [...this.#tasks.values()].every(({ runs }) => runs.every((run) => run.parked))
    );
  }

  /** True while the engine runs: nothing else can be begun then. Not true in a service, where a run only waits. */
  get busy(): boolean {
    return this.#running !== undefined;
  }

  /** Services that ran so far: each may have changed anything. */
  get served(): number {
    return this.#served;
  }

  /** Whether any task is in a call. */
  get inUse(): boolean {
    this.#reclaim();
    return this.#running !== undefined || this.#tasks.size > 0;
  }

  /** The run that has the CPU now. */
  get running(): GuestRun | undefined {
    return this.#running;
  }

  /**
   * Serves the calls of a routine: the guest never executes what stands at `address`.
   * @param inside the run keeps the CPU meanwhile, as in a handler: no other call may be made
   */
  serve(address: bigint, service: Service, inside = false): void {
    this.#services.set(address, { service, inside });
    // handlers on the host are met by the block hook only
    if (!inside) this.#parts.engine.redirection?.setStop(address, true);
  }

  /** Whether a routine is served. */
  isServed(address: bigint): boolean {
    return this.#services.has(address);
  }

  /** Serves a routine no more. */
  unserve(address: bigint): void {
    this.#services.delete(address);
  }

  /**
   * The registers with which a task waits, asleep or in a service; undefined where it is in no call. With the guest's
   * memory this is all there is to know of where it stands.
   */
  registersOf(task: Task): CpuState | undefined {
    const run = this.#tasks.get(task)?.runs.at(-1);
    return run?.stepped === true && run === this.#running ? saveCpu(this.#parts.engine) : run?.cpu;
  }

  /** True while any call waits or runs: some task may be anywhere in the guest's code. */
  get inCalls(): boolean {
    return this.#tasks.size > 0;
  }

  /** The stack of a task that is in a call, as the kernel knows the bounds of a task's stack. */
  stackOf(task: Task): CallArea['stack'] | undefined {
    return this.#tasks.get(task)?.area.stack;
  }

  /** Where a task is parked, or undefined. */
  parkedAt(task: Task): bigint | undefined {
    const run = this.#parked(task);
    return run?.cpu && saved(run.cpu, 'rip');
  }

  /**
   * Makes a call ready and gives it the CPU; `advance` then runs it.
   *
   * @throws {EngineError} EBUSY the engine runs, or the task is parked and this is no interrupt of it · EINVAL an
   * interrupt is to park · ENOMEM no stack is left, or the arguments do not fit
   * @throws {RangeError} an argument does not fit in 64 bits
   */
  begin(
    operation: string,
    target: string,
    entry: bigint,
    args: readonly Argument[],
    options: BeginOptions,
    task: Task,
  ) {
    if (this.#running !== undefined) throw busy(operation);
    const { engine, core } = this.#parts;
    this.#reclaim();
    const context = options.context ?? 'task';
    const outer = this.#tasks.get(task)?.runs.at(-1);
    if (context !== 'task' && options.until !== undefined) {
      throw new EngineError('EINVAL', `a call in ${context} context cannot sleep`, { operation });
    }
    if (outer?.parked === true && context === 'task') {
      throw new EngineError('EBUSY', `task '${task.name}' is parked; resume it first`, { operation });
    }
    const owned = this.#tasks.get(task) ?? { area: this.areas.take(), runs: [] };
    this.#tasks.set(task, owned);
    try {
      const { room, frame } = this.#roomIn(owned);
      const returnTo = outer === undefined ? this.#parts.returnTo : this.#parts.returnToInterrupted;
      const { registers, buffers, dataEnd } = prepareCall(engine, args, returnTo, room, frame);
      engine.writeRegister('rip', entry);
      const budget = options.budget ?? this.#parts.budget;
      const run = new GuestRun({
        operation,
        target,
        task,
        context,
        entry: registers,
        buffers,
        dataEnd,
        returnTo,
        budget,
      });
      run.stopAt = options.until;
      if (options.models === true) run.models = new Models(engine, returnTo);
      owned.runs.push(run);
      core.setContext(task.handle, context);
      this.#parts.handlers.begin(task.handle, outer === undefined);
      this.#give(run);
      return run;
    } catch (error) {
      this.#leave(task, undefined);
      throw error;
    }
  }

  /** Watches where the run arrives. @param stop whether it stops at an arrival */
  watch(run: GuestRun, onArrival: ((arrival: Location) => void) | undefined, stop = false): void {
    run.onArrival = onArrival;
    run.watch = new ArrivalWatch(this.#watching(run, stop));
  }

  #watching(run: GuestRun, stop: boolean): ArrivalWatchParts {
    return {
      guest: this.#parts.arrival,
      entrySp: run.parts.entry.get('rsp') ?? 0n,
      atOnce: stop || run.onArrival !== undefined,
      onArrival: (at, dispatched, state, nested) => {
        const arrival = nested ? this.#plainArrival(at) : this.#arrivalAt(run, at, dispatched, state);
        run.arrivals.push({ arrival, dispatched, nested });
        run.onArrival?.(arrival);
        return stop && !nested;
      },
    };
  }

  /** A parked run of the machine that this one is a fork of. */
  #copy(run: GuestRun, task: Task): GuestRun {
    const copy = run.copy(task);
    copy.onArrival = run.onArrival;
    // a probe, which stops at an arrival, is never parked
    if (run.watch !== undefined) copy.watch = new ArrivalWatch(this.#watching(copy, false), run.watch);
    if (run.models !== undefined) copy.models = new Models(this.#parts.engine, run.parts.returnTo, run.models);
    return copy;
  }

  /**
   * Runs to the return, a stop or a fault; services are served on the way. A run that comes to its `stopAt` is parked:
   * it keeps its stack and registers, and `stopped` is what the exit says.
   *
   * @throws what a service throws; the call is over then
   */
  advance(run: GuestRun): Exit {
    const { engine } = this.#parts;
    try {
      // it may have slept at the entry of a service
      if (run.resumed) this.serveAt(run, engine.readRegister('rip'));
      for (;;) {
        const exit = this.#runPiece(run);
        run.pieces++;
        run.instructions += exit.instructions;
        const ended = { ...exit, instructions: run.instructions };
        if (exit.reason !== 'stopped') return ended;
        if (exit.rip === run.stopAt) {
          run.cpu = saveCpu(engine);
          run.preemptCount = this.#parts.handlers.suspend();
          run.parked = true;
          return ended;
        }
        if (!this.serveAt(run, exit.rip)) return ended;
      }
    } finally {
      this.#take();
      if (!run.parked) this.#leave(run.parts.task, run);
    }
  }

  /**
   * Makes a call that is ready many times, where the engine can do so without the host; the run is over then.
   *
   * @param like a run of the same call, and how it ended
   * @returns how many of them in a row ended like it, or undefined where the host must make each
   */
  repeat(
    run: GuestRun,
    times: number,
    args: readonly Argument[],
    like: GuestRun,
    ended: CallResult,
  ): number | undefined {
    const { engine } = this.#parts;
    // vector registers are not set anew inside WASM
    const doubles = args.some(isDouble);
    const frame = 1 + Math.max(0, args.length - ARGUMENT_REGISTERS.length);
    try {
      const most = Math.max(frame, like.arrivals.length);
      // what the host has a part in, it must make itself
      if (engine.redirection === undefined || doubles || like.followed || like.pieces > 1 || most > MOST_REPEATED)
        return undefined;
      const { budget, returnTo } = run.parts;
      const options = { from: engine.readRegister('rip'), until: returnTo, budget };
      return engine.redirection.repeat(options, times, frame, {
        rax: ended.returns,
        rdx: ended.rdx,
        instructions: ended.instructions,
        arrivals: like.arrivals.map(({ arrival, dispatched }) => [arrival.address, dispatched] as const),
      });
    } finally {
      this.end(run);
    }
  }

  /**
   * Ends a run that was stepped by hand instead of by `advance`; harmless where it has ended already.
   */
  end(run: GuestRun): void {
    if (this.#running === run) this.#take();
    this.#leave(run.parts.task, run);
  }

  /**
   * Gives a parked call the CPU again; `advance` then runs it on.
   *
   * @throws {EngineError} EBUSY the engine runs · EINVAL the task is not parked
   */
  resume(task: Task, until: bigint | undefined): GuestRun {
    if (this.#running !== undefined) throw busy('resume');
    const run = this.#parked(task);
    if (run?.cpu === undefined) {
      throw new EngineError('EINVAL', `task '${task.name}' is not parked`, { operation: 'resume' });
    }
    restoreCpu(this.#parts.engine, run.cpu);
    this.#parts.handlers.resume(task.handle, run.preemptCount);
    run.cpu = undefined;
    run.parked = false;
    run.resumed = true;
    run.stopAt = until;
    this.#give(run);
    return run;
  }

  /** Where `ip` is a routine that is served, serves it and returns true; the run then stands at its caller. */
  serveAt(run: GuestRun, ip: bigint): boolean {
    const served = this.#services.get(ip);
    if (served === undefined) return false;
    this.#served++;
    const { engine } = this.#parts;
    const result = served.inside
      ? served.service(new ServiceCall(engine, run.parts.task, (name) => engine.readRegister(name)))
      : this.#suspended(run, served.service);
    const rsp = engine.readRegister('rsp');
    engine.writeRegister('rax', BigInt.asUintN(64, result));
    engine.writeRegister('rsp', BigInt.asUintN(64, rsp + 8n));
    engine.writeRegister('rip', readQuad(engine, rsp));
    return true;
  }

  /** Runs a service while the run is off the CPU. */
  #suspended(run: GuestRun, service: Service): bigint {
    const { engine, core, handlers } = this.#parts;
    const { task, context } = run.parts;
    const cpu = saveCpu(engine);
    run.cpu = cpu;
    run.preemptCount = handlers.suspend();
    this.#take();
    let result: bigint;
    try {
      result = service(new ServiceCall(engine, task, (name) => saved(cpu, name)));
    } finally {
      this.#give(run);
    }
    restoreCpu(engine, cpu);
    run.cpu = undefined;
    core.setContext(task.handle, context);
    handlers.resume(task.handle, run.preemptCount);
    return result;
  }

  /** Where the next call of a task may put its frame: below its last one, or in the whole of its area. */
  #roomIn({ area, runs }: TaskRuns): { room: CallRoom; frame: bigint | undefined } {
    const outer = runs.at(-1);
    if (outer?.cpu === undefined) return { room: wholeArea(area), frame: undefined };
    const frame = pushInterrupted(this.#parts.engine, outer.cpu);
    return { room: roomBelow(area, frame, outer.parts.dataEnd), frame };
  }

  /** Lets the engine run until it leaves for the host. */
  #runPiece(run: GuestRun): Exit {
    const { engine } = this.#parts;
    const { redirection } = engine;
    const from = engine.readRegister('rip');
    const { models } = run;
    const options: RunOptions = {
      from,
      until: run.parts.returnTo,
      budget: run.left,
      ...(models === undefined ? {} : { onMemory: (kind) => models.access(kind) }),
    };
    if (redirection === undefined || run.followed) {
      return engine.run({ ...options, onBlock: (address, size) => this.#blockEntered(run, address, size) });
    }
    if (models !== undefined) options.onBlock = (address, size) => void models.block(address, size);
    const { stopAt } = run;
    const leaves = run.resumed && from === stopAt;
    run.resumed = false;
    const parks = stopAt !== undefined && !this.#services.has(stopAt);
    if (parks) redirection.setStop(stopAt, true);
    try {
      return redirection.run(options, run.watch, leaves);
    } finally {
      if (parks) redirection.setStop(stopAt, false);
    }
  }

  /** Gives a run the CPU. */
  #give(run: GuestRun): void {
    const { arrival, trampolines, redirectsOnly, setGateInside } = this.#parts;
    const { glue } = arrival;
    const { redirection } = this.#parts.engine;
    this.#running = run;
    if (redirection === undefined) return;
    // a run in which a handler was called is followed to its end
    run.followed ||= !redirectsOnly();
    setGateInside(!run.followed);
    redirection.setTask(run.parts.task.handle);
    if (this.#glueKnown === glue.version) return;
    redirection.setGlue(glue.quads(), trampolines);
    this.#glueKnown = glue.version;
  }

  /** Takes the CPU back. */
  #take(): void {
    this.#running = undefined;
    this.#parts.engine.redirection?.setTask(this.#parts.tasks.first.handle);
  }

  #blockEntered(run: GuestRun, address: bigint, size: number): bigint | undefined {
    const { stopAt, resumed } = run;
    run.resumed = false;
    if (!this.#services.has(address)) run.models?.block(address, size);
    const arrival = run.watch?.enterBlock(address, size);
    if (stopAt !== undefined && stopAt >= address && stopAt < address + BigInt(size)) {
      // where it slept it goes on
      const here = resumed && stopAt === address;
      if (!here && this.#isBoundary(address, size, stopAt)) return stopAt;
    }
    return this.#services.has(address) ? address : arrival;
  }

  /** Whether an instruction of the block begins there; the CPU would never stop in the middle of one. */
  #isBoundary(block: bigint, size: number, at: bigint): boolean {
    if (at === block) return true;
    return decode(this.#parts.engine.read(block, size), block).some((instruction) => instruction.ip === at);
  }

  /** A call has ended, or did not begin: its task is back where it was. */
  #leave(task: Task, run: GuestRun | undefined): void {
    const owned = this.#tasks.get(task);
    if (owned === undefined) return;
    const at = run === undefined ? -1 : owned.runs.lastIndexOf(run);
    if (at >= 0) owned.runs.splice(at, 1);
    const outer = owned.runs.at(-1);
    if (this.#parts.tasks.get(task.name) === task) {
      this.#parts.core.setContext(task.handle, outer?.parts.context ?? 'task');
    }
    if (outer !== undefined) return;
    this.areas.give(owned.area);
    this.#tasks.delete(task);
  }

  /** Takes the stacks of tasks back that have exited while they were parked. */
  #reclaim(): void {
    for (const [task, { area }] of this.#tasks) {
      if (this.#parts.tasks.get(task.name) === task) continue;
      this.areas.give(area);
      this.#tasks.delete(task);
    }
  }

  #parked(task: Task): GuestRun | undefined {
    const run = this.#tasks.get(task)?.runs.at(-1);
    return run?.parked === true ? run : undefined;
  }

  /** An arrival that is not the call's own. */
  #plainArrival(at: bigint): Arrival {
    return { ...this.#parts.images.locate(at), changed: [], returnsToCaller: true };
  }

  /** The arrival at `at`; for the call's own one, with what became of the registers since the entry. */
  #arrivalAt(
    run: GuestRun,
    at: bigint,
    dispatched: boolean,
    state: ArrivalState = stateOf(run, this.#parts.engine),
  ): Arrival {
    if (run.arrival !== undefined) return this.#plainArrival(at);
    const location = this.#parts.images.locate(at);
    const { entry, returnTo } = run.parts;
    const compared: readonly RegisterName[] = dispatched ? ARRIVING_REGISTERS : GENERAL_REGISTERS;
    const changed = compared.filter((name) => state.register(name) !== entry.get(name));
    const slot = entry.get('rsp') ?? 0n;
    // a return that function graph has hooked goes to the caller in the end (F47)
    const { shadowStacks } = this.#parts.handlers;
    const returnsTo = shadowStacks.realReturn(run.parts.task.handle, slot, state.returnAddress ?? 0n);
    return { ...location, changed, returnsToCaller: returnsTo === returnTo };
  }
}

/** The CPU as it is now. */
function stateOf(run: GuestRun, engine: Engine): ArrivalState {
  return {
    register: (name) => engine.readRegister(name),
    get returnAddress() {
      return readQuad(engine, run.parts.entry.get('rsp') ?? 0n);
    },
  };
}

function readQuad(engine: Engine, at: bigint): bigint {
  return new DataView(engine.read(at, 8).buffer).getBigUint64(0, true);
}

/** What is thrown from inside a run. */
export function busy(operation: string): EngineError {
  return new EngineError('EBUSY', 'the machine is running a call', { operation });
}
