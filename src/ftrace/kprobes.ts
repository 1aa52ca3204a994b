// kprobes on function entries: all share two ops, one of which changes ip (arm_kprobe_ftrace, F42).
import type { Engine } from '../engine/engine.ts';
import type { Twins } from '../twins.ts';
import type { Ftrace } from './ftrace.ts';
import { LAYOUT } from './guest/handler.generated.ts';
import type { Handlers } from './guest/handlers.ts';
import { readU64, Struct, writeU64 } from './guest/memory.ts';
import { copyOps, Ops } from './ops.ts';

/** What kprobes work with. */
export interface KprobeParts {
  readonly engine: Engine;
  readonly ftrace: Ftrace;
  readonly handlers: Handlers;
}

/** A probe: its struct in guest memory. */
interface Probe {
  readonly place: bigint;
  readonly site: bigint;
}

/** The probes that were armed together. */
export interface KprobeSet {
  readonly ops: Ops;
  readonly probes: readonly Probe[];
}

/** One ops with its probes: a list in guest memory, the newest first. */
interface Shared {
  readonly ops: Ops;
  readonly place: bigint;
  probes: readonly Probe[];
}

/** The two ops of one guest; each is made when it is first needed. */
export class KprobeOps {
  readonly #parts: KprobeParts;
  readonly #shared = new Map<boolean, Shared>();

  /** @param fork those of the machine that this one is a fork of */
  constructor(parts: KprobeParts, fork?: { readonly from: KprobeOps; readonly twins: Twins }) {
    this.#parts = parts;
    if (fork === undefined) return;
    for (const [ipmodify, { ops, place, probes }] of fork.from.#shared) {
      this.#shared.set(ipmodify, { ops: fork.twins.of(ops, copyOps), place, probes });
    }
  }

  /**
   * Arms a probe at each site. With a post_handler they belong to the ops that changes ip.
   *
   * @param pre address of the pre_handler, 0 for none
   * @param post address of the post_handler, 0 for none
   * @throws {SiteError} as `Ftrace.register`; nothing is changed then
   */
  arm(sites: ReadonlySet<bigint>, pre: bigint, post: bigint): KprobeSet {
    const { engine, handlers } = this.#parts;
    const shared = this.#sharedOps(post !== 0n);
    const old = shared.probes;
    const added: Probe[] = [];
    try {
      for (const site of sites) {
        const place = handlers.heap.allocate(LAYOUT.probe);
        added.unshift({ place, site });
        const struct = new Struct(LAYOUT.probe)
          .u64(LAYOUT.probeAddr, site)
          .u64(LAYOUT.probePre, pre)
          .u64(LAYOUT.probePost, post);
        engine.write(place, struct.bytes);
      }
      this.#link(shared, [...added, ...old]);
      this.#follow(shared);
    } catch (error) {
      this.#link(shared, old);
      for (const { place } of added) handlers.heap.free(place, LAYOUT.probe);
      throw error;
    }
    return { ops: shared.ops, probes: added };
  }

  /** How often probes were hit, and how often from inside a handler. */
  counts({ probes }: KprobeSet): { calls: bigint; missed: bigint } {
    const sum = (offset: number): bigint =>
      probes.reduce((total, { place }) => total + readU64(this.#parts.engine, place + BigInt(offset)), 0n);
    return { calls: sum(LAYOUT.probeHits), missed: sum(LAYOUT.probeMissed) };
  }

  /** @throws {SiteError} as `Ftrace.unregister`; nothing is changed then */
  disarm({ ops, probes }: KprobeSet): void {
    const shared = [...this.#shared.values()].find((one) => one.ops === ops);
    if (shared === undefined) return;
    const before = shared.probes;
    this.#link(
      shared,
      before.filter((probe) => !probes.includes(probe)),
    );
    try {
      this.#follow(shared);
    } catch (error) {
      this.#link(shared, before);
      throw error;
    }
    for (const { place } of probes) this.#parts.handlers.heap.free(place, LAYOUT.probe);
  }

  /** Has the ops trace where its probes are; the first one registers it, the last one unregisters it. */
  #follow({ ops, probes }: Shared): void {
    const { ftrace } = this.#parts;
    // a module that is gone took its functions along
    const sites = new Set(probes.map(({ site }) => site).filter((site) => ftrace.isSite(site)));
    const registered = ftrace.registration(ops) !== undefined;
    if (sites.size > 0) ftrace.setFilter(ops, sites);
    if (sites.size > 0 && !registered) ftrace.register(ops);
    if (sites.size === 0 && registered) ftrace.unregister(ops);
  }

  #link(shared: Shared, probes: Shared['probes']): void {
    const { engine } = this.#parts;
    probes.forEach(({ place }, i) => {
      writeU64(engine, place + BigInt(LAYOUT.probeNext), probes[i + 1]?.place ?? 0n);
    });
    writeU64(engine, shared.place + BigInt(LAYOUT.opsExtra), probes[0]?.place ?? 0n);
    shared.probes = probes;
  }

  #sharedOps(ipmodify: boolean): Shared {
    const present = this.#shared.get(ipmodify);
    if (present !== undefined) return present;
    const { engine, handlers } = this.#parts;
    const place = handlers.heap.allocate(LAYOUT.ops);
    engine.write(place, new Uint8Array(LAYOUT.ops));
    const ops = new Ops({
      name: ipmodify ? 'kprobe_ipmodify_ops' : 'kprobe_ftrace_ops',
      flags: ipmodify ? ['SAVE_REGS', 'IPMODIFY'] : ['SAVE_REGS'],
      func: handlers.text.address('kprobe_ftrace_handler'),
      place,
    });
    const shared = { ops, place, probes: [] };
    this.#shared.set(ipmodify, shared);
    return shared;
  }
}
