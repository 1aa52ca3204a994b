// The composition root: makes engine, core, images, ftrace and livepatch meet, and runs calls on them.
import { hex } from './address.ts';
import { Core } from './core/core.ts';
import { createEngine } from './engine/create.ts';
import type { Engine, Exit } from './engine/engine.ts';
import { EngineError, TrampolineError } from './errors.ts';
import { Faults } from './faults.ts';
import { CALLERS_SIZE } from './ftrace/callers.ts';
import { CodeArena } from './ftrace/code-arena.ts';
import type { Traceable } from './ftrace/filter.ts';
import { Ftrace, type FtraceParts } from './ftrace/ftrace.ts';
import { installGate } from './ftrace/gate.ts';
import { Handlers, type HandlerWarnings } from './ftrace/guest/handlers.ts';
import { readU64 } from './ftrace/guest/memory.ts';
import { GATE, RETURN_HERE, RETURN_THUNK, RETURN_TO_INTERRUPTED, writeKernelText } from './ftrace/kernel-text.ts';
import { ListWalk } from './ftrace/list.ts';
import { type Range, RangeSet } from './ftrace/ranges.ts';
import { SITE_SIZE } from './ftrace/site.ts';
import { Tracers, type TracersParts } from './ftrace/tracers.ts';
import type { KernelVersion } from './ftrace/trampoline.ts';
import type { LoadedImage } from './image/image.ts';
import { mirrorPatch } from './livepatch/guest-mirror.ts';
import { Livepatch, type LivepatchParts } from './livepatch/livepatch.ts';
import { Log } from './livepatch/log.ts';
import type { PatchSpec } from './livepatch/patch.ts';
import { applyRelocations, clearRelocations, type RelocationParts } from './livepatch/relocations.ts';
import { type ShadowParts, ShadowVariables } from './livepatch/shadow.ts';
import type { StackTrace } from './livepatch/stack-check.ts';
import type { SysfsNode } from './livepatch/sysfs.ts';
import { type Task, TaskList } from './livepatch/tasks.ts';
import type { Argument } from './machine/arguments.ts';
import { CALLEE_SAVED } from './machine/arguments.ts';
import type { Arrival, CallOptions, CallResult, ManyCalls, TraceStep } from './machine/call.ts';
import { callMany } from './machine/call-many.ts';
import { budgetSpent, expectExit, nameOf } from './machine/exits.ts';
import { GuestHeap } from './machine/guest-heap.ts';
import { CANARY_OFFSET, GUEST_MAP, type GuestMap } from './machine/guest-map.ts';
import type { GuestRun } from './machine/guest-run.ts';
import { type HostHandler, serveHandler } from './machine/host-handlers.ts';
import { Images, type LoadOptions, type Location } from './machine/images.ts';
import { instructionAround } from './machine/instruction-starts.ts';
import { placeKernelData } from './machine/kernel-data.ts';
import { kernelServices } from './machine/kernel-services.ts';
import { ModuleLife } from './machine/module-life.ts';
import type { MachineOptions } from './machine/options.ts';
import type { ParameterParts } from './machine/parameter-values.ts';
import { ModuleParameters } from './machine/parameters.ts';
import { patchStruct } from './machine/patch-struct.ts';
import { busy, Runner, type RunnerParts } from './machine/runner.ts';
import { SERVICE_STUB, type Service } from './machine/services.ts';
import { type MachineSnapshot, MachineSnapshots } from './machine/snapshots.ts';
import { StackWalk } from './machine/stack-walk.ts';
import { Twins } from './twins.ts';

export type { Arrival, CallOptions, CallResult, ManyCalls, TraceStep } from './machine/call.ts';
export type { MachineOptions } from './machine/options.ts';
export type { MachineSnapshot } from './machine/snapshots.ts';

const SYS_MODULE = '/sys/module/';

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
  /** Makes calls of livepatch and ftrace fail on purpose. */
  readonly faults: Faults;
  /** What guest code has allocated with kmalloc. */
  readonly heap: GuestHeap;
  /** Shadow variables (L81). */
  readonly shadow: ShadowVariables;
  readonly images: Images;
  readonly engine: Engine;
  readonly core: Core;
  /** The sites, what they call, and kernel.ftrace_enabled. */
  readonly ftrace: Ftrace;
  /** Users of ftrace beside livepatch. */
  readonly tracers: Tracers<HostHandler>;
  readonly kernel: KernelVersion;
  readonly #map: GuestMap;
  readonly #glue: RangeSet;
  readonly #arena: CodeArena;
  readonly #handlers: Handlers;
  readonly #routines: Map<string, bigint>;
  readonly #runner: Runner;
  readonly #modules: ModuleLife;
  readonly #parameters: ModuleParameters;
  readonly #snapshots: MachineSnapshots;
  readonly #depths: Map<bigint, number>;
  readonly #stackWalk: StackWalk;
  readonly #options: MachineOptions;
  /** Where the common callers of ftrace are. */
  readonly #callers: bigint;
  /** What the user serves, by name. */
  readonly #served = new Map<string, Service>();
  #nextRoutine: bigint;
  /** An image is being loaded or unloaded. */
  #changing = false;
  #disposed = false;

  /**
   * @param from the machine that this one is a fork of: engine and core are forks of its own, the guest's memory is made,
   * and every part takes over what its own part keeps on the host
   */
  private constructor(engine: Engine, core: Core, options: MachineOptions, from?: Machine) {
    const twins = new Twins();
    const parent = <T>(part: (machine: Machine) => T) => from && { from: part(from), twins };
    this.engine = engine;
    this.core = core;
    this.#options = options;
    this.kernel = options.kernel ?? '6.12';
    this.faults = new Faults(from?.faults);
    this.log = new Log(options.onEvent, options.debug, from?.log);
    this.tasks = new TaskList(
      core,
      options.tasks,
      parent(({ tasks }) => tasks),
    );
    const map = options.map ?? GUEST_MAP;
    this.#map = map;
    const { perCpu, routines, kernelData, handlers, kernelHeap, trampolines } = map;
    if (from === undefined) mapRegions(engine, map);
    const kernelText = writeKernelText(from === undefined ? engine : undefined, routines.base);
    const { symbols, parameterKinds } = placeKernelData(kernelData);
    this.#routines = from === undefined ? kernelText.routines : new Map(from.#routines);
    for (const [name, address] of symbols) this.#routines.set(name, address);
    this.#depths = from === undefined ? kernelText.depths : new Map(from.#depths);
    this.#nextRoutine = from === undefined ? kernelText.end : from.#nextRoutine;
    this.#glue = new RangeSet(from === undefined ? undefined : from.#glue);
    const inCalls = (): boolean => this.#runner.inCalls;
    const arena = from === undefined ? undefined : from.#arena;
    this.#arena = new CodeArena(engine, trampolines.base, trampolines.size, inCalls, arena);
    const [routinesText, handlersText, trampolinesText] = [routines, handlers, trampolines].map(({ base, size }) => ({
      start: base,
      end: base + size,
    })) as [Range, Range, Range];
    if (from === undefined) this.#glue.add([routinesText, handlersText, trampolinesText]);
    this.#handlers = new Handlers(
      {
        engine,
        core,
        kernel: this.kernel,
        text: handlers.base,
        heap: kernelHeap,
        perCpu: perCpu.base,
        routines: this.#routines,
        held: inCalls,
      },
      from === undefined ? undefined : from.#handlers,
    );
    if (options.handler === 'guest' && from === undefined) this.#handlers.keepFuncStacks();
    this.images = new Images(engine, this.#routines, map, from?.images);
    const { text, tasks: guestTasks, heap } = this.#handlers;
    const guestList = {
      heap,
      head: () => text.address('ftrace_ops_list'),
      listFunc: () => text.address('arch_ftrace_ops_list_func'),
    };
    this.#callers = from === undefined ? this.#arena.allocate(Number(CALLERS_SIZE)) : from.#callers;
    const ftraceParts: FtraceParts = {
      engine,
      arena: this.#arena,
      faults: this.faults,
      kernel: this.kernel,
      gate: this.#routine(GATE),
      returnThunk: this.#routine(RETURN_THUNK),
      callers: this.#callers,
      assistFunc: () => text.address('ftrace_ops_assist_func'),
      guestList: options.handler === 'guest' ? guestList : undefined,
      // the walk of the list takes the running task's guard, which is in guest memory
      onShared: () => text.address('arch_ftrace_ops_list_func'),
    };
    this.ftrace = new Ftrace(
      ftraceParts,
      parent(({ ftrace }) => ftrace),
    );
    const { caller, stub, hostListFunc, listNext } = this.ftrace.callers;
    const named = { ftrace_caller: caller.args, ftrace_regs_caller: caller.regs, ftrace_stub: stub };
    for (const [name, address] of Object.entries(named)) this.#routines.set(name, address);
    if (options.handler !== 'guest') this.#routines.set('ftrace_ops_list_func', hostListFunc);
    const runnerParts: RunnerParts = {
      engine,
      core,
      tasks: this.tasks,
      images: this.images,
      arrival: {
        glue: this.#glue,
        trampolineAt: (address) => this.ftrace.trampolineAt(address),
        calledBySite: (rsp) => this.ftrace.isSite(readU64(engine, rsp) - BigInt(SITE_SIZE)),
        stackPointer: () => engine.readRegister('rsp'),
      },
      trampolines: trampolinesText,
      redirectsOnly: () => this.ftrace.redirectsOnly,
      setGateInside: (on) => setGateInside(on),
      handlers: this.#handlers,
      returnTo: this.#routine(RETURN_HERE),
      returnToInterrupted: this.#routine(RETURN_TO_INTERRUPTED),
      map,
      budget: options.budget ?? 1_000_000,
    };
    this.#runner = new Runner(
      runnerParts,
      parent((machine) => machine.#runner),
    );
    const relocating: RelocationParts = {
      log: this.log,
      object: (name) => this.images.object(name),
      read: (at, size) => engine.read(at, size),
      write: (at, bytes) => engine.write(at, bytes),
    };
    this.#stackWalk = new StackWalk({
      engine,
      imageAt: (at) => this.images.imageAt(at) ?? this.#handlers.text.imageAt(at),
      trampolineFrame: (ip) => this.ftrace.frameAt(ip),
      // a host function is entered by its stub alone
      routineDepth: (ip) => this.#depths.get(ip) ?? (this.#runner.isServed(ip) ? 0 : undefined),
      realReturn: (task, slot, address) => this.#handlers.shadowStacks.realReturn(task.handle, slot, address),
      returnTo: this.#routine(RETURN_HERE),
      returnToInterrupted: this.#routine(RETURN_TO_INTERRUPTED),
    });
    const livepatchParts: LivepatchParts = {
      core,
      ftrace: this.ftrace,
      log: this.log,
      faults: this.faults,
      tasks: this.tasks,
      kernel: this.kernel,
      transition: options.transition ?? 'auto',
      policy: options.policy ?? 'independent',
      trampoline: options.trampoline ?? 'args',
      guestOps: (site) => this.livepatchOps(site),
      isRunning: (task) => this.#runner.running?.parts.task === task,
      stackTrace: (task) => this.#traceOf(task),
      runGuest: (target, args) => this.call(target, args, this.#awake()).returns,
      writeBack: (patch) =>
        mirrorPatch(patch, {
          write: (at, bytes) => engine.write(at, bytes),
          moduleStruct: (name) => this.images.moduleStruct(name) ?? 0n,
        }),
      moduleState: (name) => this.images.moduleState(name),
      object: (name) => this.images.object(name),
      image: (name) => this.images.scope(name),
      holder: (at) => this.images.holder(at),
      location: (at) => this.images.site(at),
      relocate: (image, module) =>
        applyRelocations(image, this.images.get(image)?.livepatchTables ?? [], module, relocating),
      clearRelocations: (image, module) =>
        clearRelocations(this.images.get(image)?.livepatchTables ?? [], module, relocating),
    };
    this.livepatch = new Livepatch(
      livepatchParts,
      parent(({ livepatch }) => livepatch),
    );
    const say = (line: string): void => this.log.say(line);
    this.heap = new GuestHeap(engine, this.#handlers.heap, from?.heap);
    const shadowParts: ShadowParts = {
      log: this.log,
      allocate: (size) => this.heap.allocate(size, true),
      free: (at) => this.heap.free(at),
      write: (at, values) => engine.write(at, new Uint8Array(BigUint64Array.from(values).buffer)),
    };
    this.shadow = new ShadowVariables(shadowParts, from?.shadow);
    this.#snapshots = new MachineSnapshots({
      engine,
      areas: this.#runner.areas,
      idle: (operation) => {
        this.#alive(operation);
        if (this.#runner.inUse) throw busy(operation);
      },
      outside: () => [
        core.version,
        this.#arena.changes,
        this.#handlers.heap.changes,
        this.ftrace.changes,
        this.#routines.size,
        this.#runner.served,
        ...this.images.all,
      ],
    });
    const parameterParts: ParameterParts = {
      engine,
      heap: this.heap,
      kinds: parameterKinds,
      say,
      runGuest: (target, args) => this.call(target, args, this.#awake()).returns,
    };
    this.#parameters = new ModuleParameters(parameterParts, from === undefined ? undefined : from.#parameters);
    this.#modules = new ModuleLife({
      images: this.images,
      ftrace: this.ftrace,
      livepatch: this.livepatch,
      tracersFollow: (module) => this.tracers.moduleLoaded(module),
      parameters: this.#parameters,
      glue: this.#glue,
      relocate: (image) => applyRelocations(image.name, image.livepatchTables, null, relocating),
      say,
      runGuest: (target) => this.call(target, [], this.#awake()).returns,
    });
    const services = kernelServices({
      engine,
      images: this.images,
      log: this.log,
      livepatch: this.livepatch,
      heap: this.heap,
      shadow: this.shadow,
      runGuest: (task, target, args) => this.call(target, args, { task }).returns,
    });
    if (from === undefined) for (const [name, service] of services) this.#provide(name, service);
    else {
      for (const [name, service] of from.#served) this.#served.set(name, service);
      for (const [name, service] of [...services, ...this.#served]) this.#runner.serve(this.#routine(name), service);
    }
    const setGateInside = installGate({
      engine,
      core,
      address: this.#routine(GATE),
      currentTask: () => this.#runner.running?.parts.task.handle ?? this.tasks.first.handle,
      guestRefuses: () => text.loaded && guestTasks.refusesHandlers(),
    });
    const walk = new ListWalk({ engine, tasks: guestTasks, ftrace: () => this.ftrace, gate: this.#routine(GATE) });
    this.#runner.serve(listNext, (call) => walk.next(call.argument(0)), true);
    const tracersParts: TracersParts<HostHandler> = {
      engine,
      ftrace: this.ftrace,
      handlers: this.#handlers,
      functions: () => this.#traceable(),
      isModuleLoaded: (name) => this.images.get(name) !== undefined,
      address: (target) => this.address(target),
      busy: () => this.#runner.busy,
      change: (act) => this.#change(act),
      ...serveHandler(engine, this.#runner, this.#arena),
    };
    this.tracers = new Tracers<HostHandler>(
      tracersParts,
      parent(({ tracers }) => tracers),
    );
  }

  /**
   * Makes a machine without images.
   *
   * @throws {EngineError} ENOMEM too many machines are alive · ENODEV the engine is not present on this host
   */
  static async create(options: MachineOptions = {}): Promise<Machine> {
    const core = await Core.create();
    const engine = await createEngine(options.engine ?? 'unicorn', core.instance, options.jit);
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
    return this.#change(() => this.#modules.load(bytes, options));
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
    if (this.#runner.busy) throw busy('unload');
    this.#change(() => this.#modules.unload(name));
  }

  /**
   * The patch that an image of kind livepatch holds as a struct klp_patch, decoded from guest memory as it is now; give
   * it to `livepatch.enable`.
   *
   * @param symbol the struct's symbol; needed where the image has several
   * @throws {PatchError} ENOENT no such image, symbol or struct, or several · EINVAL, EFAULT the struct is wrong,
   * `address` says where · EINVAL the module is not marked as a livepatch (L11)
   */
  patchStruct(image: string, symbol?: string): PatchSpec {
    return patchStruct(image, symbol, { images: this.images, engine: this.engine, log: this.log });
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
    const run = this.#begin('call', target, args, options);
    this.#runner.watch(run, options.onArrival);
    return this.#finish(run, this.#runner.advance(run));
  }

  /**
   * Makes the same call many times and checks that each ends like the first: rax, rdx, instructions and where it
   * arrived. On `wasm` all but the first are made without a step outside WASM, for measuring; buffers are then what
   * the call before left in them.
   *
   * @param times 1 or more
   * @throws as `call` · {EngineError} EIO a call ended otherwise than the first · {RangeError} `times` is no such count
   */
  callMany(
    target: string | bigint,
    args: readonly Argument[],
    times: number,
    options: Omit<CallOptions, 'onArrival'> = {},
  ): ManyCalls {
    return callMany(times, nameOf(target), {
      begin: () => this.#begin('call', target, args, options),
      finish: (run) => {
        this.#runner.watch(run, undefined);
        return this.#finish(run, this.#runner.advance(run));
      },
      repeat: (run, rest, like, ended) => this.#runner.repeat(run, rest, args, like, ended),
    });
  }

  /**
   * Calls a function and stops the calling task at an address, or at a routine that the host serves. The task then
   * sleeps: its registers and its stack stay until `resume`, and other tasks may call meanwhile.
   *
   * @param until an instruction: an address, or a name with an offset, such as `image:symbol+0x1a`
   * @throws as `call` · {EngineError} EINVAL no instruction begins there, or the call returned without coming there ·
   * EBUSY the task is parked already
   * @returns where the task is parked
   */
  park(
    target: string | bigint,
    args: readonly Argument[],
    until: string | bigint,
    options: Omit<CallOptions, 'context'> = {},
  ): Location {
    const run = this.#begin('park', target, args, { ...options, until: this.#parkingPlace('park', until) });
    this.#runner.watch(run, options.onArrival);
    return this.#parked(run, this.#runner.advance(run), until);
  }

  /**
   * Lets a parked task run its call to the end. The result is that of the whole call.
   *
   * @throws as `call` · {TrampolineError} ENOENT no such task · {EngineError} EINVAL the task is not parked
   */
  resume(task: string): CallResult {
    const run = this.#runner.resume(this.#task('resume', task), undefined);
    return this.#finish(run, this.#runner.advance(run));
  }

  /**
   * Lets a parked task run on to another instruction.
   * @throws as `park` and `resume`
   */
  resumeUntil(task: string, until: string | bigint): Location {
    const run = this.#runner.resume(this.#task('resume', task), this.#parkingPlace('resume', until));
    return this.#parked(run, this.#runner.advance(run), until);
  }

  /** Where a task is parked, or undefined. @throws {TrampolineError} ENOENT no such task */
  parkedAt(task: string): Location | undefined {
    const ip = this.#runner.parkedAt(this.#task('look up', task));
    return ip === undefined ? undefined : this.images.locate(ip);
  }

  /**
   * Where the functions of a task stand that waits in a call, the innermost first; undefined where it is in none. Read
   * off its registers and its stack: by the call frame information of the images, and by rules of our own for
   * trampolines, thunks and interrupts.
   *
   * @throws {TrampolineError} ENOENT no such task
   */
  stackTrace(task: string): (StackTrace & { readonly places: readonly Location[] }) | undefined {
    const trace = this.#traceOf(this.#task('look up', task));
    return trace && { ...trace, places: trace.addresses.map((at) => this.images.locate(at)) };
  }

  /**
   * Gives guest code a function that the host serves; images that are loaded later may import it by name.
   *
   * @returns its address
   * @throws {TrampolineError} EEXIST a routine has that name · ENOMEM no room for a further one
   */
  serve(name: string, service: Service): bigint {
    const address = this.#provide(name, service);
    this.#served.set(name, service);
    return address;
  }

  #provide(name: string, service: Service): bigint {
    const operation = 'serve';
    if (this.#routines.has(name)) throw new TrampolineError('EEXIST', `there is a routine '${name}'`, { operation });
    const { base, size } = this.#map.routines;
    const address = this.#nextRoutine;
    if (address + BigInt(SERVICE_STUB.length) > base + size) {
      throw new TrampolineError('ENOMEM', `no room for the routine '${name}'`, { operation });
    }
    this.engine.write(address, SERVICE_STUB);
    this.#nextRoutine += BigInt(SERVICE_STUB.length);
    this.#routines.set(name, address);
    this.#depths.set(address, 0);
    this.#runner.serve(address, service);
    return address;
  }

  /**
   * Calls a function and stops where the call arrives, before the body runs.
   *
   * @throws as `call`
   */
  probe(target: string | bigint, options: CallOptions = {}): Arrival & { instructions: number } {
    const run = this.#begin('probe', target, [], options);
    this.#runner.watch(run, options.onArrival, true);
    const exit = this.#runner.advance(run);
    expectExit(this.images, exit, 'stopped', 'probe', run.parts.target);
    const first = run.arrival;
    if (first === undefined) throw new EngineError('EIO', 'the run stopped without an arrival', { operation: 'probe' });
    return { ...first, instructions: exit.instructions };
  }

  /**
   * Calls a function one instruction at a time; the gate is one step, and so is a routine that the host serves. Ends at
   * the return.
   *
   * @throws as `call`, from the step that fails
   */
  *trace(
    target: string | bigint,
    args: readonly Argument[] = [],
    options: Pick<CallOptions, 'task' | 'budget' | 'context'> = {},
  ): Generator<TraceStep, void, void> {
    const run = this.#begin('trace', target, args, options);
    const { returnTo, budget } = run.parts;
    run.stepped = true;
    try {
      for (let ip = this.engine.readRegister('rip'); ip !== returnTo; ip = this.engine.readRegister('rip')) {
        if (run.instructions++ >= budget) throw budgetSpent('trace', budget, ip);
        yield { ip, part: this.#partAt(ip), location: this.images.locate(ip) };
        if (this.#runner.serveAt(run, ip)) continue;
        const exit = this.engine.step();
        // a branch ends its step elsewhere than after itself
        if (exit.reason !== 'stopped') expectExit(this.images, exit, 'until', 'trace', run.parts.target);
      }
    } finally {
      this.#runner.end(run);
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

  /**
   * The address of an instruction: an address, a name as `address` takes it, or one with an offset behind `+`.
   * @throws {TrampolineError} ENOENT nothing has that name · EINVAL the offset is no number
   */
  place(at: string | bigint): bigint {
    if (typeof at === 'bigint') return at;
    const plus = at.lastIndexOf('+');
    if (plus < 0) return this.address(at);
    const offset = at.slice(plus + 1);
    if (!/^(0x[0-9a-f]{1,16}|\d{1,18})$/i.test(offset)) {
      throw new TrampolineError('EINVAL', `'${at}' has no offset after '+'`, { operation: 'look up' });
    }
    return BigInt.asUintN(64, this.address(at.slice(0, plus)) + BigInt(offset));
  }

  /**
   * A file or folder of sysfs: `/sys/module/M/parameters/P` of a loaded module, or a path that is relative to
   * /sys/kernel/livepatch, as Livepatch.sysfs takes it. Undefined where nothing stands.
   *
   * @throws {PatchError} a parameter cannot be shown: EFAULT its place is outside memory · EPERM its type has no get · and
   * what a get of the module's own returned
   */
  sysfs(path: string): SysfsNode | undefined {
    return path.startsWith(SYS_MODULE) ? this.#modules.file(path.slice(SYS_MODULE.length)) : this.livepatch.sysfs(path);
  }

  /**
   * Writes to a file of sysfs; paths as in `sysfs`.
   *
   * @throws {PatchError} ENOENT no such file · EACCES it cannot be written · of a parameter: EINVAL, ERANGE, ENOSPC the
   * text is no value of it, or what a setter of the module's own returned · and as Livepatch.writeSysfs
   */
  writeSysfs(path: string, text: string): void {
    if (path.startsWith(SYS_MODULE)) this.#modules.writeFile(path.slice(SYS_MODULE.length), text);
    else this.livepatch.writeSysfs(path, text);
  }

  /** Guest memory, whatever the page allows. @throws {EngineError} EFAULT not mapped */
  read(at: bigint, length: number): Uint8Array {
    return this.engine.read(at, length);
  }

  /**
   * Takes note of guest memory and registers; from now on each page is copied before it is first written. Engine
   * `wasm` only.
   *
   * @throws {EngineError} EOPNOTSUPP the engine keeps no snapshots · EBUSY a call runs, or a task waits in one
   */
  snapshot(): MachineSnapshot {
    return this.#snapshots.take();
  }

  /**
   * Puts guest memory and registers back as they were at a snapshot: a call after it is as the first one. Costs what
   * was changed since, whatever is loaded. Counters and the log stay.
   *
   * @throws {EngineError} EINVAL images, patches, tasks or what services keep may have changed since, or the snapshot is
   * gone · EOPNOTSUPP, EBUSY as `snapshot`
   */
  reset(snapshot: MachineSnapshot): void {
    this.#snapshots.reset(snapshot);
  }

  /** Forgets a snapshot; with the last one its memory is given back. */
  release(snapshot: MachineSnapshot): void {
    this.#snapshots.release(snapshot);
  }

  /**
   * A machine as this one is now, which then goes its own way: images, patches and their transition, tasks and where they
   * are parked, tracers, log, counters, heap and all guest memory. Guest pages are shared until one of the two writes
   * them, so that it costs what is kept of functions and patches, not the bytes that are loaded. What users gave as
   * functions (services, handlers, callbacks, hooks) is common, and is told by its arguments whose call it is. A fork has no snapshots.
   * Engine `wasm` only; either may be disposed first.
   *
   * @throws {EngineError} EOPNOTSUPP the engine has no forks · EBUSY a call runs, or an image, patch or tracer is being
   * changed · ENOMEM no memory for the tables of a fork · EINVAL it is disposed
   */
  fork(): Machine {
    const operation = 'fork';
    this.#alive(operation);
    const { engine, core } = this;
    if (engine.fork === undefined) {
      throw new EngineError('EOPNOTSUPP', `engine '${engine.name}' has no forks; use 'wasm'`, { operation });
    }
    if (!this.#runner.isAsleep) throw busy(operation);
    if (this.#changing || this.livepatch.busy) {
      throw new EngineError('EBUSY', 'an image, a patch or a tracer is being changed', { operation });
    }
    const instance = core.instance.fork();
    try {
      return new Machine(engine.fork(instance), core.fork(instance), this.#options, this);
    } catch (error) {
      instance.dispose();
      throw error;
    }
  }

  /** Frees the guest. @throws {EngineError} EBUSY from inside a run, one of a fork too */
  dispose(): void {
    if (this.#disposed) return;
    if (this.#runner.busy) throw busy('dispose');
    this.engine.dispose();
    this.#disposed = true;
  }

  #change<T>(act: () => T): T {
    const before = this.#changing;
    this.#changing = true;
    try {
      return act();
    } finally {
      this.#changing = before;
    }
  }

  /** Every function that can be traced, by the name that the kernel's symbol table gives its address. */
  *#traceable(): Generator<Traceable> {
    for (const image of this.images.all) {
      const module = this.images.kindOf(image) !== 'vmlinux';
      const aliases = new Map<string, string[]>();
      for (const { name, aliasOf } of image.functions) {
        if (aliasOf !== undefined) aliases.set(aliasOf, [...(aliases.get(aliasOf) ?? []), name]);
      }
      for (const { symbol, name, aliasOf, site } of image.functions) {
        if (site === undefined || aliasOf !== undefined) continue;
        const names = [symbol.name, name, ...(aliases.get(name) ?? [])];
        yield { image: image.name, module, names, site: site.address };
      }
    }
  }

  #begin(
    operation: string,
    target: string | bigint,
    args: readonly Argument[],
    options: CallOptions & { until?: bigint },
  ): GuestRun {
    if (this.#runner.busy) throw busy(operation);
    this.#alive(operation);
    const task = options.task === undefined ? this.tasks.first : this.#task(operation, options.task);
    return this.#runner.begin(operation, nameOf(target), this.address(target), args, options, task);
  }

  #alive(operation: string): void {
    if (this.#disposed) throw new EngineError('EINVAL', 'the machine is disposed', { operation });
  }

  #task(operation: string, name: string): Task {
    const task = this.tasks.get(name);
    if (task === undefined) throw new TrampolineError('ENOENT', `no task is named '${name}'`, { operation });
    return task;
  }

  #traceOf(task: Task): StackTrace | undefined {
    const stack = this.#runner.stackOf(task);
    if (stack === undefined) return undefined;
    const waiting = this.#runner.registersOf(task);
    if (waiting === undefined) return { addresses: [], unreliable: `'${task.name}' is running` };
    return this.#stackWalk.trace(task, waiting.registers, stack);
  }

  /** Who runs what livepatch calls: the first task that is not parked; where all are, one of them is interrupted. */
  #awake(): CallOptions {
    const awake = this.tasks.all.find((task) => this.#runner.parkedAt(task) === undefined);
    return awake === undefined ? { context: 'softirq' } : { task: awake.name };
  }

  /** What a call did that has returned. */
  #finish(run: GuestRun, exit: Exit): CallResult {
    const { operation, target, entry, buffers } = run.parts;
    expectExit(this.images, exit, 'until', operation, target);
    const first = run.arrival;
    if (first === undefined) {
      throw new EngineError('EIO', `'${target}' returned without reaching any function`, { operation });
    }
    const rsp = entry.get('rsp') ?? 0n;
    const clobbered = CALLEE_SAVED.filter((name) => this.engine.readRegister(name) !== entry.get(name));
    return {
      runs: first,
      visits: run.arrivals.filter((one) => one.dispatched).map((one) => one.arrival),
      returns: this.engine.readRegister('rax'),
      rdx: this.engine.readRegister('rdx'),
      xmm0: this.engine.readXmm(0),
      instructions: exit.instructions,
      clobbered: this.engine.readRegister('rsp') === rsp + 8n ? clobbered : ['rsp', ...clobbered],
      buffers,
      ...(run.models === undefined ? {} : { models: run.models.finish() }),
    };
  }

  /** Where a run is to stop. @throws {EngineError} EINVAL inside of an instruction: no run comes there */
  #parkingPlace(operation: string, until: string | bigint): bigint {
    const at = this.place(until);
    const info = this.images.imageAt(at)?.functionAt(at);
    const around = info && instructionAround(this.read(info.address, info.size), info.address, at);
    if (around === undefined) return at;
    const { name, offset } = this.images.locate(around.ip);
    const fact = `${nameOf(until)} lies inside of "${around.text}" at ${name}+${hex(offset)}; name its first byte`;
    throw new EngineError('EINVAL', fact, { operation });
  }

  /** Where a run is parked that was to stop there. */
  #parked(run: GuestRun, exit: Exit, until: string | bigint): Location {
    const { operation, target } = run.parts;
    if (exit.reason === 'until') {
      const { name, offset } = this.images.locate(this.place(until));
      const place = typeof until === 'string' ? until : `${name}+${hex(offset)}`;
      throw new EngineError('EINVAL', `'${target}' returned without coming to ${place}`, { operation });
    }
    expectExit(this.images, exit, 'stopped', operation, target);
    return this.images.locate(exit.rip);
  }

  #partAt(ip: bigint): TraceStep['part'] {
    const { routines, trampolines } = this.#map;
    if (ip === this.#routine(GATE)) return 'gate';
    if (ip >= routines.base && ip < trampolines.base) return 'routine';
    if (this.ftrace.callers.isHelper(ip)) return 'routine';
    if (ip >= trampolines.base && ip < trampolines.base + trampolines.size) return 'trampoline';
    return this.#glue.skip(ip) === ip ? 'function' : 'site';
  }

  #routine(name: string): bigint {
    const found = this.#routines.get(name);
    if (found === undefined) throw new TrampolineError('ENOENT', `no routine '${name}'`, { operation: 'look up' });
    return found;
  }
}

/** What every guest has before anything is loaded, but for the text of its routines. */
function mapRegions(engine: Engine, { stack, data, perCpu, routines, kernelData }: GuestMap): void {
  for (const region of [stack, data, perCpu]) engine.map(region.base, region.size, 'rw');
  engine.map(routines.base, routines.size, 'rx');
  engine.map(kernelData.base, kernelData.size, 'r');
  engine.writeRegister('gsBase', perCpu.base);
  engine.write(perCpu.base + CANARY_OFFSET, Uint8Array.of(0x00, 0x5c, 0x9e, 0x17, 0xd3, 0x4a, 0xb6, 0x81));
}
