// Named users of ftrace beside livepatch: function tracers, direct calls, function graph and kprobes.
import type { Engine } from '../engine/engine.ts';
import { type ErrnoName, TrampolineError } from '../errors.ts';
import { type Pattern, readPattern, type Traceable } from './filter.ts';
import type { Ftrace } from './ftrace.ts';
import { LAYOUT } from './guest/handler.generated.ts';
import type { Handlers } from './guest/handlers.ts';
import { readU64, Struct } from './guest/memory.ts';
import { KprobeOps } from './kprobes.ts';
import { Ops, type OpsFlag } from './ops.ts';
import type { TracerCounts, TracerFunction, TracerKind, TracerSpec } from './tracer-spec.ts';

/** What tracers work with. */
export interface TracersParts<Host> {
  readonly engine: Engine;
  readonly ftrace: Ftrace;
  readonly handlers: Handlers;
  /** Every function that has a site. */
  functions(): Iterable<Traceable>;
  isModuleLoaded(name: string): boolean;
  /** @throws {TrampolineError} ENOENT nothing has that name */
  address(target: string | bigint): bigint;
  /** True while a guest run has the CPU. */
  busy(): boolean;
  /** Gives a host function an address in the guest; `otherwise` is in eax where it returns nothing. */
  serve(func: Host, options: { mayChangeIp: boolean; otherwise: number }): bigint;
  unserve(address: bigint): void;
}

/** A tracer while it is registered. */
interface Tracer {
  readonly kind: TracerKind;
  /** Its ops; of a kprobe the one that it shares with others. */
  readonly ops: Ops;
  /** Patterns for modules that are not loaded yet. */
  waiting: readonly Pattern[];
  counts(): TracerCounts;
  sites(): Iterable<bigint>;
  /** Unregisters; nothing is changed where it throws. */
  remove(): void;
}

/** A filter as addresses. */
interface Resolved {
  readonly sites: ReadonlySet<bigint>;
  readonly waiting: readonly Pattern[];
}

/** The tracers of one machine, by name. */
export class Tracers<Host> {
  readonly #parts: TracersParts<Host>;
  readonly #tracers = new Map<string, Tracer>();
  readonly #kprobes: KprobeOps;

  constructor(parts: TracersParts<Host>) {
    this.#parts = parts;
    const { engine, ftrace, handlers } = parts;
    this.#kprobes = new KprobeOps({ engine, ftrace, handlers });
  }

  /** Names in the order of adding. */
  get names(): readonly string[] {
    return [...this.#tracers.keys()];
  }

  /**
   * Registers a tracer.
   *
   * @throws {TrampolineError} EBUSY called from inside a run · EEXIST the name is taken · EINVAL what does not go with the kind · ENOENT a function that
   * is to be called does not exist · EBUSY a graph tracer is there already (F47)
   * @throws {SiteError} EINVAL a pattern matches nothing · and as `Ftrace.register`, for a kprobe `Ftrace.setFilter`.
   * Nothing is changed then.
   */
  add(spec: TracerSpec<Host>): void {
    const { name, kind = 'ops' } = spec;
    if (this.#parts.busy()) throw refusal('EBUSY', 'the machine is running a call');
    if (this.#tracers.has(name)) throw refusal('EEXIST', `there is a tracer '${name}'`);
    checkSpec(spec, kind);
    const undo: (() => void)[] = [];
    try {
      this.#tracers.set(name, this.#make(spec, kind, undo));
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  }

  /**
   * Unregisters a tracer.
   * @throws {TrampolineError} EBUSY called from inside a run · ENOENT no tracer has that name
   * @throws {SiteError} as `Ftrace.unregister`; nothing is changed then
   */
  remove(name: string): void {
    if (this.#parts.busy()) throw refusal('EBUSY', 'the machine is running a call');
    this.#need(name).remove();
    this.#tracers.delete(name);
  }

  /** What a tracer has seen. @throws {TrampolineError} ENOENT no tracer has that name */
  counts(name: string): TracerCounts {
    return this.#need(name).counts();
  }

  /** The sites that a tracer's filter names; none: all. @throws {TrampolineError} ENOENT no tracer has that name */
  sites(name: string): bigint[] {
    return [...this.#need(name).sites()];
  }

  /** The ops of a tracer; kprobes share theirs. @throws {TrampolineError} ENOENT no tracer has that name */
  ops(name: string): Ops {
    return this.#need(name).ops;
  }

  /**
   * Replaces the filter and the notrace of a tracer that is no kprobe.
   * @throws {TrampolineError} ENOENT no tracer has that name · EINVAL it is a kprobe
   * @throws {SiteError} EINVAL a pattern matches nothing · and as `Ftrace.setFilter`. Nothing is changed then.
   */
  setFilter(name: string, filter: readonly string[], notrace: readonly string[] = []): void {
    const tracer = this.#need(name);
    if (tracer.kind === 'kprobe') throw refusal('EINVAL', `'${name}' is a kprobe, which stays where it is`);
    const resolved = this.#resolve(filter, tracer.kind);
    this.#parts.ftrace.setFilter(tracer.ops, resolved.sites, this.#resolve(notrace, tracer.kind).sites);
    tracer.waiting = resolved.waiting;
  }

  /** A module's sites are known: what waited for it joins (F7). */
  moduleLoaded(module: string): void {
    for (const tracer of this.#tracers.values()) {
      const mine = tracer.waiting.filter((pattern) => pattern.module === module);
      if (mine.length === 0) continue;
      const sites = new Set(tracer.ops.filter);
      for (const func of this.#parts.functions()) {
        if (mine.some((pattern) => pattern.matches(func))) sites.add(func.site);
      }
      this.#parts.ftrace.setFilter(tracer.ops, sites);
      tracer.waiting = tracer.waiting.filter((pattern) => !mine.includes(pattern));
    }
  }

  #make(spec: TracerSpec<Host>, kind: TracerKind, undo: (() => void)[]): Tracer {
    const { ftrace, engine } = this.#parts;
    const filter = this.#resolve(spec.filter ?? [], kind);
    const notrace = this.#resolve(spec.notrace ?? [], kind);
    const mayChangeIp = kind === 'kprobe' || spec.flags?.includes('IPMODIFY') === true;
    const options = { mayChangeIp, otherwise: kind === 'graph' ? 1 : 0 };
    const target = this.#guestFunction(spec.target, options, undo);
    const postTarget = this.#guestFunction(spec.postTarget, options, undo);
    if (kind === 'kprobe') return this.#kprobe(filter, target, postTarget, undo);
    const graph = kind === 'graph' ? this.#makeGraph(target, postTarget, undo) : 0n;
    const { func, extra, flags } = this.#behaviour(kind, target, graph);
    const place = this.#allocate(LAYOUT.ops, undo);
    const struct = new Struct(LAYOUT.ops).u64(LAYOUT.opsExtra, extra);
    engine.write(place, struct.bytes);
    const ops = new Ops({
      ...{ name: spec.name, flags: [...flags, ...(spec.flags ?? [])], func, place },
      ...{ filter: filter.sites, notrace: notrace.sites },
      ...(kind === 'direct' ? { directCall: target ?? 0n } : {}),
      ...(spec.opsFunc === undefined ? {} : { opsFunc: spec.opsFunc }),
    });
    ftrace.register(ops);
    const field = (at: bigint, offset: number): bigint => readU64(engine, at + BigInt(offset));
    return {
      ...{ kind, ops, waiting: filter.waiting },
      counts: () => ({
        calls: field(place, LAYOUT.opsCount),
        returns: graph === 0n ? 0n : field(graph, LAYOUT.graphReturns),
        missed: graph === 0n ? 0n : field(graph, LAYOUT.graphOverrun),
      }),
      sites: () => live(ops.filter),
      remove: () => {
        ftrace.unregister(ops);
        ops.deleted = true;
        if (kind === 'graph') this.#parts.handlers.shadowStacks.clearUser(graph);
        for (const step of [...undo].reverse()) step();
      },
    };
  }

  #kprobe(
    { sites }: Resolved,
    pre: bigint | undefined,
    post: bigint | undefined,
    undo: readonly (() => void)[],
  ): Tracer {
    const set = this.#kprobes.arm(sites, pre ?? 0n, post ?? 0n);
    return {
      ...{ kind: 'kprobe', ops: set.ops, waiting: [] },
      counts: () => ({ ...set.counts(), returns: 0n }),
      sites: () => live(sites),
      remove: () => {
        set.disarm();
        for (const step of [...undo].reverse()) step();
      },
    };
  }

  /** What the kernel registers for each kind. */
  #behaviour(
    kind: Exclude<TracerKind, 'kprobe'>,
    target: bigint | undefined,
    graph: bigint,
  ): { func: bigint; extra: bigint; flags: readonly OpsFlag[] } {
    const { text } = this.#parts.handlers;
    switch (kind) {
      case 'direct':
        return { func: text.address('call_direct_funcs'), extra: target ?? 0n, flags: ['DIRECT', 'SAVE_REGS'] };
      case 'graph':
        return { func: text.address('ftrace_graph_func'), extra: graph, flags: [] };
      default:
        return target === undefined
          ? { func: text.address('ftrace_count_func'), extra: 0n, flags: [] }
          : { func: text.address('ftrace_call_func'), extra: target, flags: [] };
    }
  }

  /** The struct fgraph of the one graph tracer that there may be (register_ftrace_graph of 6.1). */
  #makeGraph(entry: bigint | undefined, exit: bigint | undefined, undo: (() => void)[]): bigint {
    const other = [...this.#tracers].find(([, tracer]) => tracer.kind === 'graph');
    if (other !== undefined) throw refusal('EBUSY', `there is a graph tracer, '${other[0]}'`);
    const place = this.#allocate(LAYOUT.graph, undo);
    const struct = new Struct(LAYOUT.graph).u64(LAYOUT.graphEntry, entry ?? 0n).u64(LAYOUT.graphReturn, exit ?? 0n);
    this.#parts.engine.write(place, struct.bytes);
    // a function may be hooked as soon as the first site is changed
    this.#parts.handlers.shadowStacks.setUser(place);
    undo.push(() => this.#parts.handlers.shadowStacks.clearUser(place));
    return place;
  }

  #allocate(size: number, undo: (() => void)[]): bigint {
    const { heap } = this.#parts.handlers;
    const place = heap.allocate(size);
    undo.push(() => heap.free(place, size));
    return place;
  }

  #guestFunction(
    func: TracerFunction<Host> | undefined,
    options: { mayChangeIp: boolean; otherwise: number },
    undo: (() => void)[],
  ): bigint | undefined {
    if (func === undefined) return undefined;
    if (typeof func === 'string' || typeof func === 'bigint') return this.#parts.address(func);
    const address = this.#parts.serve(func, options);
    undo.push(() => this.#parts.unserve(address));
    return address;
  }

  /** The sites of the functions that patterns match, in order; `!` takes out (ftrace_match_records). */
  #resolve(texts: readonly string[], kind: TracerKind): Resolved {
    const sites = new Set<bigint>();
    const waiting: Pattern[] = [];
    const functions = texts.length === 0 ? [] : [...this.#parts.functions()];
    for (const pattern of texts.map(readPattern)) {
      const later = pattern.module !== undefined && !this.#parts.isModuleLoaded(pattern.module);
      if (later && (kind === 'ops' || kind === 'graph')) {
        waiting.push(pattern);
        // the hash is not empty, though it names no function yet
        sites.add(0n);
        continue;
      }
      const matched = functions.filter((func) => pattern.matches(func));
      if (matched.length === 0) throw refusal('EINVAL', `'${pattern.text}' matches no function that can be traced`);
      for (const { site } of matched) {
        if (pattern.not) sites.delete(site);
        else sites.add(site);
      }
    }
    return { sites, waiting };
  }

  #need(name: string): Tracer {
    const tracer = this.#tracers.get(name);
    if (tracer === undefined) throw refusal('ENOENT', `there is no tracer '${name}'`);
    return tracer;
  }
}

const OPS_FLAGS: readonly OpsFlag[] = ['SAVE_REGS', 'IPMODIFY', 'PERMANENT', 'RECURSION'];

/** What does not go with a kind. */
function checkSpec<Host>(spec: TracerSpec<Host>, kind: TracerKind): void {
  const { name, flags = [], filter = [], notrace = [] } = spec;
  const wrong = (fact: string): TrampolineError => refusal('EINVAL', `'${name}' is of kind ${kind}, ${fact}`);
  if (flags.length > 0 && kind !== 'ops') throw wrong('which has its own flags');
  const odd = flags.find((flag) => !OPS_FLAGS.includes(flag));
  if (odd !== undefined) throw wrong(`which has no flag ${odd}`);
  if (kind === 'direct' && spec.target === undefined) throw wrong("which needs a 'target'");
  if (spec.postTarget !== undefined && kind !== 'graph' && kind !== 'kprobe') throw wrong("which has no 'postTarget'");
  if (spec.opsFunc !== undefined && kind !== 'direct') throw wrong("which has no 'opsFunc'");
  if (kind === 'kprobe' && filter.length === 0) throw wrong('which needs a function to probe');
  if (kind === 'kprobe' && notrace.length > 0) throw wrong("which has no 'notrace'");
}

/** Without what stands for functions that are gone or not there yet. */
function live(sites: ReadonlySet<bigint>): bigint[] {
  return [...sites].filter((site) => site !== 0n);
}

function refusal(code: ErrnoName, fact: string): TrampolineError {
  return new TrampolineError(code, fact, { operation: 'tracer' });
}
