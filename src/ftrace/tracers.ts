// Named users of ftrace beside livepatch: function tracers, direct calls, function graph and kprobes.
import type { Engine } from '../engine/engine.ts';
import { type ErrnoName, TrampolineError } from '../errors.ts';
import type { Twins } from '../twins.ts';
import { type Pattern, readPattern, type Traceable } from './filter.ts';
import type { Ftrace } from './ftrace.ts';
import { LAYOUT } from './guest/handler.generated.ts';
import type { Handlers } from './guest/handlers.ts';
import { readU64, Struct } from './guest/memory.ts';
import { KprobeOps, type KprobeSet } from './kprobes.ts';
import { copyOps, Ops, type OpsFlag } from './ops.ts';
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
  /** Acts; until it is done, the machine is in between two states. */
  change(act: () => void): void;
  /** Gives a host function an address in the guest. */
  serve(func: Host, options: ServeOptions): bigint;
  /** The same in a fork, at the address that it has there already. */
  serveAgain(address: bigint, func: Host, options: ServeOptions): void;
  unserve(address: bigint): void;
}

/** How a host function is served: whether it may change ip, and what is in eax where it returns nothing. */
export interface ServeOptions {
  readonly mayChangeIp: boolean;
  readonly otherwise: number;
}

/** What a tracer has of the machine, in the order of its making: given back in reverse. */
type Owned<Host> =
  | { readonly kind: 'struct'; readonly place: bigint; readonly size: number }
  | { readonly kind: 'graph'; readonly place: bigint }
  | { readonly kind: 'host'; readonly address: bigint; readonly func: Host; readonly options: ServeOptions };

/** A tracer while it is registered. */
interface Tracer<Host> {
  readonly kind: TracerKind;
  /** Its ops; of a kprobe the one that it shares with others. */
  readonly ops: Ops;
  /** Patterns for modules that are not loaded yet. */
  waiting: readonly Pattern[];
  /** Of a kprobe. */
  readonly probes: { readonly set: KprobeSet; readonly sites: ReadonlySet<bigint> } | undefined;
  /** Where its ops lies, and of a graph tracer its struct fgraph. */
  readonly place: bigint;
  readonly graph: bigint;
  readonly owned: readonly Owned<Host>[];
}

/** A filter as addresses. */
interface Resolved {
  readonly sites: ReadonlySet<bigint>;
  readonly waiting: readonly Pattern[];
}

/** The tracers of one machine, by name. */
export class Tracers<Host> {
  readonly #parts: TracersParts<Host>;
  readonly #tracers = new Map<string, Tracer<Host>>();
  readonly #kprobes: KprobeOps;

  /** @param fork those of the machine that this one is a fork of; host functions are common */
  constructor(parts: TracersParts<Host>, fork?: { readonly from: Tracers<Host>; readonly twins: Twins }) {
    this.#parts = parts;
    const { engine, ftrace, handlers } = parts;
    const kprobes = fork && { from: fork.from.#kprobes, twins: fork.twins };
    this.#kprobes = new KprobeOps({ engine, ftrace, handlers }, kprobes);
    if (fork !== undefined) this.#adopt(fork.from, fork.twins);
  }

  #adopt(from: Tracers<Host>, twins: Twins): void {
    for (const [name, tracer] of from.#tracers) {
      const ops = twins.of(tracer.ops, copyOps);
      const probes = tracer.probes && { ...tracer.probes, set: { ...tracer.probes.set, ops } };
      this.#tracers.set(name, { ...tracer, ops, probes });
      for (const one of tracer.owned) {
        if (one.kind === 'host') this.#parts.serveAgain(one.address, one.func, one.options);
      }
    }
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
    const owned: Owned<Host>[] = [];
    this.#parts.change(() => {
      try {
        this.#tracers.set(name, this.#make(spec, kind, owned));
      } catch (error) {
        this.#giveBack(owned);
        throw error;
      }
    });
  }

  /**
   * Unregisters a tracer.
   * @throws {TrampolineError} EBUSY called from inside a run · ENOENT no tracer has that name
   * @throws {SiteError} as `Ftrace.unregister`; nothing is changed then
   */
  remove(name: string): void {
    if (this.#parts.busy()) throw refusal('EBUSY', 'the machine is running a call');
    const { ops, probes, owned } = this.#need(name);
    this.#parts.change(() => {
      if (probes !== undefined) this.#kprobes.disarm(probes.set);
      else {
        this.#parts.ftrace.unregister(ops);
        ops.deleted = true;
      }
      this.#giveBack(owned);
      this.#tracers.delete(name);
    });
  }

  /** What a tracer has seen. @throws {TrampolineError} ENOENT no tracer has that name */
  counts(name: string): TracerCounts {
    const { probes, place, graph } = this.#need(name);
    if (probes !== undefined) return { ...this.#kprobes.counts(probes.set), returns: 0n };
    const field = (at: bigint, offset: number): bigint => readU64(this.#parts.engine, at + BigInt(offset));
    return {
      calls: field(place, LAYOUT.opsCount),
      returns: graph === 0n ? 0n : field(graph, LAYOUT.graphReturns),
      missed: graph === 0n ? 0n : field(graph, LAYOUT.graphOverrun),
    };
  }

  /** The sites that a tracer's filter names; none: all. @throws {TrampolineError} ENOENT no tracer has that name */
  sites(name: string): bigint[] {
    const { probes, ops } = this.#need(name);
    return live(probes === undefined ? ops.filter : probes.sites);
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
    const without = this.#resolve(notrace, tracer.kind).sites;
    this.#parts.change(() => this.#parts.ftrace.setFilter(tracer.ops, resolved.sites, without));
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

  #make(spec: TracerSpec<Host>, kind: TracerKind, owned: Owned<Host>[]): Tracer<Host> {
    const { ftrace, engine } = this.#parts;
    const filter = this.#resolve(spec.filter ?? [], kind);
    const notrace = this.#resolve(spec.notrace ?? [], kind);
    const mayChangeIp = kind === 'kprobe' || spec.flags?.includes('IPMODIFY') === true;
    const options = { mayChangeIp, otherwise: kind === 'graph' ? 1 : 0 };
    const target = this.#guestFunction(spec.target, options, owned);
    const postTarget = this.#guestFunction(spec.postTarget, options, owned);
    if (kind === 'kprobe') {
      const set = this.#kprobes.arm(filter.sites, target ?? 0n, postTarget ?? 0n);
      return { kind, ops: set.ops, waiting: [], probes: { set, sites: filter.sites }, place: 0n, graph: 0n, owned };
    }
    const graph = kind === 'graph' ? this.#makeGraph(target, postTarget, owned) : 0n;
    const { func, extra, flags } = this.#behaviour(kind, target, graph);
    const place = this.#allocate(LAYOUT.ops, owned);
    const struct = new Struct(LAYOUT.ops).u64(LAYOUT.opsExtra, extra);
    engine.write(place, struct.bytes);
    const ops = new Ops({
      ...{ name: spec.name, flags: [...flags, ...(spec.flags ?? [])], func, place },
      ...{ filter: filter.sites, notrace: notrace.sites },
      ...(kind === 'direct' ? { directCall: target ?? 0n } : {}),
      ...(spec.opsFunc === undefined ? {} : { opsFunc: spec.opsFunc }),
    });
    ftrace.register(ops);
    return { kind, ops, waiting: filter.waiting, probes: undefined, place, graph, owned };
  }

  /** In reverse, as it was made. */
  #giveBack(owned: readonly Owned<Host>[]): void {
    const { handlers, unserve } = this.#parts;
    for (const one of [...owned].reverse()) {
      if (one.kind === 'struct') handlers.heap.free(one.place, one.size);
      else if (one.kind === 'graph') handlers.shadowStacks.clearUser(one.place);
      else unserve(one.address);
    }
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
  #makeGraph(entry: bigint | undefined, exit: bigint | undefined, owned: Owned<Host>[]): bigint {
    const other = [...this.#tracers].find(([, tracer]) => tracer.kind === 'graph');
    if (other !== undefined) throw refusal('EBUSY', `there is a graph tracer, '${other[0]}'`);
    const place = this.#allocate(LAYOUT.graph, owned);
    const struct = new Struct(LAYOUT.graph).u64(LAYOUT.graphEntry, entry ?? 0n).u64(LAYOUT.graphReturn, exit ?? 0n);
    this.#parts.engine.write(place, struct.bytes);
    // a function may be hooked as soon as the first site is changed
    this.#parts.handlers.shadowStacks.setUser(place);
    owned.push({ kind: 'graph', place });
    return place;
  }

  #allocate(size: number, owned: Owned<Host>[]): bigint {
    const place = this.#parts.handlers.heap.allocate(size);
    owned.push({ kind: 'struct', place, size });
    return place;
  }

  #guestFunction(
    func: TracerFunction<Host> | undefined,
    options: ServeOptions,
    owned: Owned<Host>[],
  ): bigint | undefined {
    if (func === undefined) return undefined;
    if (typeof func === 'string' || typeof func === 'bigint') return this.#parts.address(func);
    const address = this.#parts.serve(func, options);
    owned.push({ kind: 'host', address, func, options });
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

  #need(name: string): Tracer<Host> {
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
