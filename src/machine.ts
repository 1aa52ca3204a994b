// The composition root: makes engine, core, images, ftrace and livepatch meet, and runs calls on them.
import { hex } from './address.ts';
import { Core } from './core/core.ts';
import { createEngine } from './engine/create.ts';
import { type Engine, type EngineName, type Exit, GENERAL_REGISTERS, type RegisterName } from './engine/engine.ts';
import { EngineError, errnoName, ImageError, PatchError, TrampolineError } from './errors.ts';
import { ArrivalWatch } from './ftrace/arrival.ts';
import { CodeArena } from './ftrace/code-arena.ts';
import { Ftrace } from './ftrace/ftrace.ts';
import { installGate } from './ftrace/gate.ts';
import { type HandlerKind, Handlers, type HandlerWarnings } from './ftrace/guest/handlers.ts';
import { GATE, RETURN_HERE, RETURN_THUNK, writeKernelText } from './ftrace/kernel-text.ts';
import { RangeSet } from './ftrace/ranges.ts';
import { SITE_SIZE } from './ftrace/site.ts';
import type { KernelVersion, TrampolineKind } from './ftrace/trampoline.ts';
import type { LoadedImage } from './image/image.ts';
import { Livepatch, type Policy, type TransitionMode } from './livepatch/livepatch.ts';
import { type EventHook, Log } from './livepatch/log.ts';
import { TaskList } from './livepatch/tasks.ts';
import type { Argument } from './machine/arguments.ts';
import { ARRIVING_REGISTERS, CALLEE_SAVED, prepareCall } from './machine/arguments.ts';
import { CANARY_OFFSET, GUEST_MAP } from './machine/guest-map.ts';
import { Images, type LoadOptions, type Location, type ModuleRoutine } from './machine/images.ts';

/** Where all trampolines are. */
const TRAMPOLINES = {
  start: GUEST_MAP.trampolines.base,
  end: GUEST_MAP.trampolines.base + GUEST_MAP.trampolines.size,
};

/** How a machine is made. */
export interface MachineOptions {
  /** The CPU; `unicorn` by default. */
  engine?: EngineName;
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
}

/** How a call is made. */
export interface CallOptions {
  /** Which task calls. */
  task?: string;
  /** Instructions it may take, instead of the machine's. */
  budget?: number;
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
  /** Where each argument passed by address lies in the guest; undefined for integers. */
  readonly buffers: readonly (bigint | undefined)[];
}

/** One instruction of a traced call. */
export interface TraceStep {
  readonly ip: bigint;
  /** What the instruction belongs to. */
  readonly part: 'site' | 'trampoline' | 'gate' | 'routine' | 'function';
  /** The symbol that holds it. */
  readonly location: Location;
}

/** How a run inside the machine ended. */
interface Run {
  exit: Exit;
  arrivals: { arrival: Arrival; dispatched: boolean }[];
  registers: ReadonlyMap<RegisterName, bigint>;
  buffers: readonly (bigint | undefined)[];
}

/**
 * A guest with images, sites, func stacks and tasks. Machines know nothing of one another. Everything but `create` is
 * synchronous; `call`, `probe`, `trace` and `dispose` from inside `onArrival` throw EngineError EBUSY.
 */
export class Machine {
  /** The patches and their func stacks. */
  readonly livepatch: Livepatch;
  /** The kernel log. */
  readonly log: Log;
  readonly tasks: TaskList;
  readonly images: Images;
  readonly engine: Engine;
  readonly core: Core;
  readonly ftrace: Ftrace;
  readonly kernel: KernelVersion;
  readonly #budget: number;
  readonly #glue = new RangeSet();
  readonly #arena: CodeArena;
  readonly #handlers: Handlers;
  readonly #routines: ReadonlyMap<string, bigint>;
  #task: number;
  #running = false;
  #disposed = false;

  private constructor(engine: Engine, core: Core, options: MachineOptions) {
    this.engine = engine;
    this.core = core;
    this.kernel = options.kernel ?? '6.12';
    this.#budget = options.budget ?? 1_000_000;
    this.log = new Log(options.onEvent);
    this.tasks = new TaskList(core, options.tasks);
    this.#task = this.tasks.first.handle;
    const { stack, data, perCpu, routines, handlers, kernelHeap, trampolines } = GUEST_MAP;
    for (const region of [stack, data, perCpu]) engine.map(region.base, region.size, 'rw');
    engine.map(routines.base, routines.size, 'rx');
    this.#routines = writeKernelText(engine, routines.base);
    engine.writeRegister('gsBase', perCpu.base);
    engine.write(perCpu.base + CANARY_OFFSET, Uint8Array.of(0x00, 0x5c, 0x9e, 0x17, 0xd3, 0x4a, 0xb6, 0x81));
    this.#arena = new CodeArena(engine, trampolines.base, trampolines.size);
    this.#glue.add([
      { start: routines.base, end: routines.base + routines.size },
      { start: handlers.base, end: handlers.base + handlers.size },
      TRAMPOLINES,
    ]);
    this.#handlers = new Handlers({
      engine,
      core,
      text: handlers.base,
      heap: kernelHeap,
      perCpu: perCpu.base,
      routines: this.#routines,
    });
    if (options.handler === 'guest') this.#handlers.keepFuncStacks();
    this.images = new Images(engine, this.#routines);
    this.ftrace = new Ftrace({
      engine,
      arena: this.#arena,
      kernel: this.kernel,
      gate: this.#routine(GATE),
      returnThunk: this.#routine(RETURN_THUNK),
    });
    this.livepatch = new Livepatch({
      core,
      ftrace: this.ftrace,
      log: this.log,
      tasks: this.tasks,
      kernel: this.kernel,
      transition: options.transition ?? 'auto',
      policy: options.policy ?? 'independent',
      trampoline: options.trampoline ?? 'args',
      guestOps: (site) => this.livepatchOps(site),
      // a task that is not running has returned from its last call
      runGuest: (image, symbol) => this.call(`${image}:${symbol}`).returns,
      moduleState: (name) => this.images.moduleState(name),
      object: (name) => this.images.object(name),
      image: (name) => this.images.scope(name),
      location: (at) => this.images.site(at),
    });
    installGate({
      engine,
      core,
      address: this.#routine(GATE),
      currentTask: () => this.#task,
    });
  }

  /**
   * Makes a machine without images.
   *
   * @throws {EngineError} ENOMEM too many machines are alive · ENODEV the engine is not present on this host
   */
  static async create(options: MachineOptions = {}): Promise<Machine> {
    const core = await Core.create();
    const engine = await createEngine(options.engine ?? 'unicorn', core.instance);
    try {
      return new Machine(engine, core, options);
    } catch (error) {
      engine.dispose();
      throw error;
    }
  }

  /**
   * Loads an ELF image; its sites are known to ftrace from then on. To a module the listed patches are applied before
   * its init runs (L64).
   *
   * @throws {ImageError} what is wrong with the image, or its name is taken
   * @throws {PatchError} what refused the module (L65), or its init's result
   * @throws {EngineError} as `call`, from its init. Nothing is loaded then.
   */
  load(bytes: Uint8Array, options: LoadOptions): LoadedImage {
    const { name } = options;
    const image = this.images.load(bytes, options);
    this.ftrace.addSites(image.sites.map((site) => site.address));
    this.#glue.add(entryRanges(image));
    if (this.images.kindOf(image) !== 'module') return image;
    try {
      this.livepatch.moduleComing(name);
      try {
        this.#initModule(name, options.init);
      } catch (error) {
        this.images.setModuleState(name, 'GOING');
        this.livepatch.moduleGoing(name);
        throw error;
      }
    } catch (error) {
      this.#remove(image);
      throw error;
    }
    this.images.setModuleState(name, 'LIVE');
    return image;
  }

  /**
   * Removes a module: its exit runs, the patches are taken off it (L66), and its memory is unmapped. A patch never
   * keeps its target (L67).
   *
   * @throws {ImageError} ENOENT no such module is loaded · EINVAL the image is no module
   * @throws {SiteError} EFAULT, EINVAL one of its patched sites was changed from outside (F11)
   * @throws {EngineError} as `call`, from its exit · EBUSY called from inside a run
   */
  unload(name: string): void {
    if (this.#running) throw busy('unload');
    const image = this.images.get(name);
    if (image === undefined) {
      throw new ImageError('ENOENT', `no module '${name}' is loaded`, { operation: 'unload', image: name });
    }
    if (this.images.kindOf(image) !== 'module') {
      throw new ImageError('EINVAL', `'${name}' is no module`, { operation: 'unload', image: name });
    }
    this.#runModule(name, this.images.exitOf(name));
    this.images.setModuleState(name, 'GOING');
    this.livepatch.moduleGoing(name);
    this.#remove(image);
  }

  /**
   * The address of `image:symbol`, of a symbol by its bare name, or of an address itself.
   * @throws {TrampolineError} ENOENT nothing has that name
   */
  address(target: string | bigint): bigint {
    if (typeof target === 'bigint') return target;
    const found = this.images.address(target);
    if (found === undefined) {
      throw new TrampolineError('ENOENT', `no loaded image defines '${target}'`, { operation: 'look up' });
    }
    return found;
  }

  /**
   * Calls a guest function and runs it to its return.
   *
   * @param target `image:symbol`, a symbol, or an address
   * @throws {EngineError} EFAULT the guest touched memory it may not · EIO any other guest fault · ETIMEDOUT the budget
   * is spent · EOPNOTSUPP an instruction this engine is not trusted with · EBUSY called from inside a run
   * @throws {TrampolineError} ENOENT no such function or task
   */
  call(target: string | bigint, args: readonly Argument[] = [], options: CallOptions = {}): CallResult {
    const { exit, arrivals, registers, buffers } = this.#run(target, args, options, false);
    this.#expect(exit, 'until', 'call', target);
    const first = arrivals[0];
    if (first === undefined) {
      throw new EngineError('EIO', `'${nameOf(target)}' returned without reaching any function`, { operation: 'call' });
    }
    const rsp = registers.get('rsp') ?? 0n;
    const clobbered = CALLEE_SAVED.filter((name) => this.engine.readRegister(name) !== registers.get(name));
    return {
      runs: first.arrival,
      visits: arrivals.filter((one) => one.dispatched).map((one) => one.arrival),
      returns: this.engine.readRegister('rax'),
      rdx: this.engine.readRegister('rdx'),
      xmm0: this.engine.readXmm(0),
      instructions: exit.instructions,
      clobbered: this.engine.readRegister('rsp') === rsp + 8n ? clobbered : ['rsp', ...clobbered],
      buffers,
    };
  }

  /**
   * Calls a function and stops where the call arrives, before the body runs.
   *
   * @throws as `call`
   */
  probe(target: string | bigint, options: CallOptions = {}): Arrival & { instructions: number } {
    const { exit, arrivals } = this.#run(target, [], options, true);
    this.#expect(exit, 'stopped', 'probe', target);
    const first = arrivals[0];
    if (first === undefined) throw new EngineError('EIO', 'the run stopped without an arrival', { operation: 'probe' });
    return { ...first.arrival, instructions: exit.instructions };
  }

  /**
   * Calls a function one instruction at a time; the gate is one step. Ends at the return.
   *
   * @throws as `call`, from the step that fails
   */
  *trace(
    target: string | bigint,
    args: readonly Argument[] = [],
    options: Pick<CallOptions, 'task' | 'budget'> = {},
  ): Generator<TraceStep, void, void> {
    this.#begin('trace', options.task);
    try {
      const entry = this.address(target);
      const end = this.#routine(RETURN_HERE);
      prepareCall(this.engine, args, end);
      this.engine.writeRegister('rip', entry);
      let left = options.budget ?? this.#budget;
      for (let ip = entry; ip !== end; ip = this.engine.readRegister('rip')) {
        if (left-- <= 0) throw budgetSpent('trace', options.budget ?? this.#budget, ip);
        yield { ip, part: this.#partAt(ip), location: this.images.locate(ip) };
        const exit = this.engine.step();
        // a branch ends its step elsewhere than after itself
        if (exit.reason !== 'stopped') this.#expect(exit, 'until', 'trace', target);
      }
    } finally {
      this.#running = false;
    }
  }

  /** Of a site with a func stack: the guest's handler and where its ops lies; undefined where the core decides. */
  livepatchOps(site: bigint): { handler: bigint; place: bigint } | undefined {
    return this.#handlers.livepatchOps(site);
  }

  /** How often the guest's handler met what the kernel warns of (L36, L37, L41). */
  handlerWarnings(): HandlerWarnings {
    return this.#handlers.warnings();
  }

  /** Guest memory, whatever the page allows. @throws {EngineError} EFAULT not mapped */
  read(at: bigint, length: number): Uint8Array {
    return this.engine.read(at, length);
  }

  /** Frees the guest. @throws {EngineError} EBUSY from inside a run */
  dispose(): void {
    if (this.#disposed) return;
    if (this.#running) throw busy('dispose');
    this.#disposed = true;
    this.engine.dispose();
  }

  #initModule(name: string, init: ModuleRoutine | undefined): void {
    const result = this.#runModule(name, init);
    if (result >= 0) return;
    const code = errnoName(result) ?? 'EINVAL';
    throw new PatchError(code, `the init of module '${name}' returned ${result}`, { operation: 'load' });
  }

  /** Runs a module's init or exit; 0 where it has none. */
  #runModule(name: string, routine: ModuleRoutine | undefined): number {
    if (routine === undefined) return 0;
    if (typeof routine === 'function') return routine({ say: (line) => this.log.say(line) });
    return Number(BigInt.asIntN(32, this.call(`${name}:${routine}`).returns));
  }

  #remove(image: LoadedImage): void {
    this.ftrace.removeSites(image.sites.map((site) => site.address));
    this.#glue.remove(entryRanges(image));
    this.images.unload(image.name);
  }

  #run(target: string | bigint, args: readonly Argument[], options: CallOptions, stop: boolean): Run {
    this.#begin(stop ? 'probe' : 'call', options.task);
    try {
      const entry = this.address(target);
      const returnTo = this.#routine(RETURN_HERE);
      const { registers, buffers } = prepareCall(this.engine, args, returnTo);
      const arrivals: Run['arrivals'] = [];
      const watch = new ArrivalWatch(this.#glue, TRAMPOLINES, (at, dispatched) => {
        const arrival = this.#arrivalAt(at, arrivals.length === 0 ? registers : undefined, dispatched, returnTo);
        arrivals.push({ arrival, dispatched });
        options.onArrival?.(arrival);
        return stop;
      });
      const exit = this.engine.run({
        from: entry,
        until: returnTo,
        budget: options.budget ?? this.#budget,
        onBlock: (address, size) => watch.enterBlock(address, size),
      });
      return { exit, arrivals, registers, buffers };
    } finally {
      this.#running = false;
    }
  }

  #begin(operation: string, task: string | undefined): void {
    if (this.#running) throw busy(operation);
    if (this.#disposed) throw new EngineError('EINVAL', 'the machine is disposed', { operation });
    const chosen = task === undefined ? this.tasks.first : this.tasks.get(task);
    if (chosen === undefined) {
      throw new TrampolineError('ENOENT', `no task is named '${task}'`, { operation });
    }
    this.#task = chosen.handle;
    this.#handlers.enter(chosen.handle);
    this.#running = true;
  }

  /** The arrival at `at`; for the call's own one, with what became of the registers since the entry. */
  #arrivalAt(
    at: bigint,
    entry: ReadonlyMap<RegisterName, bigint> | undefined,
    dispatched: boolean,
    returnTo: bigint,
  ): Arrival {
    const location = this.images.locate(at);
    if (entry === undefined) return { ...location, changed: [], returnsToCaller: true };
    const compared = dispatched ? ARRIVING_REGISTERS : GENERAL_REGISTERS;
    const changed = compared.filter((name) => this.engine.readRegister(name) !== entry.get(name));
    const slot = new DataView(this.engine.read(entry.get('rsp') ?? 0n, 8).buffer);
    return { ...location, changed, returnsToCaller: slot.getBigUint64(0, true) === returnTo };
  }

  #partAt(ip: bigint): TraceStep['part'] {
    const { routines, trampolines } = GUEST_MAP;
    if (ip === this.#routine(GATE)) return 'gate';
    if (ip >= routines.base && ip < trampolines.base) return 'routine';
    if (ip >= trampolines.base && ip < trampolines.base + trampolines.size) return 'trampoline';
    return this.#glue.skip(ip) === ip ? 'function' : 'site';
  }

  #routine(name: string): bigint {
    const found = this.#routines.get(name);
    if (found === undefined) throw new TrampolineError('ENOENT', `no routine '${name}'`, { operation: 'look up' });
    return found;
  }

  /** Turns any other end of a run than the wanted one into an error. */
  #expect(exit: Exit, wanted: Exit['reason'], operation: string, target: string | bigint): void {
    if (exit.reason === wanted) return;
    const { address: rip, name, offset } = this.images.locate(exit.rip);
    const at = `${name}+${hex(offset)}`;
    const of = `'${nameOf(target)}'`;
    if (exit.reason === 'budget') throw budgetSpent(operation, exit.instructions, rip);
    if (exit.reason === 'not-judged') {
      throw new EngineError('EOPNOTSUPP', `${of} is not judged at ${at}: ${exit.why}`, {
        operation,
        engineCode: 'not-judged',
        rip,
      });
    }
    const { fault } = exit;
    if (fault === undefined) {
      throw new EngineError('EIO', `${of} ended at ${at} (${exit.reason})`, {
        operation,
        engineCode: exit.reason,
        rip,
      });
    }
    const memory = fault.kind === 'unmapped' || fault.kind === 'protected';
    const what = memory ? `${fault.access} of ${fault.kind} ${hex(fault.address ?? 0n)}` : fault.kind;
    throw new EngineError(memory ? 'EFAULT' : 'EIO', `${of}: ${what} at ${at}`, {
      operation,
      engineCode: fault.kind,
      rip,
    });
  }
}

/** From the entry of each function to the end of its site: no part of its body. */
function entryRanges(image: LoadedImage): { start: bigint; end: bigint }[] {
  return image.functions.flatMap(({ address, site }) =>
    site === undefined ? [] : [{ start: address, end: site.address + BigInt(SITE_SIZE) }],
  );
}

function nameOf(target: string | bigint): string {
  return typeof target === 'string' ? target : hex(target);
}

function busy(operation: string): EngineError {
  return new EngineError('EBUSY', 'the machine is running a call', { operation });
}

function budgetSpent(operation: string, count: number, rip: bigint): EngineError {
  return new EngineError('ETIMEDOUT', `the budget is spent after ${count} instructions, at ${hex(rip)}`, {
    operation,
    engineCode: 'budget',
    rip,
  });
}
