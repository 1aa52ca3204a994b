// An ops: one user of a set of sites, as the kernel's struct ftrace_ops names it: hashes, flags and function.

/** What an ops asks for. */
export type OpsFlag =
  /** Its function needs all of pt_regs. */
  | 'SAVE_REGS'
  /** Its function may change ip; one a site (F40). */
  | 'IPMODIFY'
  /** kernel.ftrace_enabled may not be 0 while it is registered (F43). */
  | 'PERMANENT'
  /** Its function relies on ftrace for the guard against recursion (F29, F44). */
  | 'RECURSION'
  /** It sends calls to a direct trampoline (F45); goes with `directCall`. */
  | 'DIRECT';

/** What a direct ops is asked when an ops that changes ip shares a site with it (F41). */
export type ShareCommand = 'ENABLE_SHARE_IPMODIFY_SELF' | 'ENABLE_SHARE_IPMODIFY_PEER' | 'DISABLE_SHARE_IPMODIFY_PEER';

/** What an ops is made of. */
export interface OpsParts {
  /** For messages, and for what a record says of its users. */
  readonly name: string;
  readonly flags?: Iterable<OpsFlag>;
  /** Called with rdi = site, rsi = parent, rdx = ops, rcx = regs (F21); the gate by default. */
  readonly func?: bigint;
  /** Sites to trace; all where there is none (F39). */
  readonly filter?: Iterable<bigint>;
  /** Sites not to trace. */
  readonly notrace?: Iterable<bigint>;
  /** Where its struct lies in guest memory, `LAYOUT.ops` bytes; made while it is registered by default. */
  readonly place?: bigint;
  /** Its function, and whatever that calls, is code of ftrace and livepatch, where no call arrives. */
  readonly inText?: boolean;
  /** Of a DIRECT ops: where a site goes that it has alone. */
  readonly directCall?: bigint;
  /** Of a DIRECT ops: answers 0 or -errno; without it no site is shared with one that changes ip (F41). */
  readonly opsFunc?: (command: ShareCommand) => number;
}

/** The addresses of a hash. An entry whose module is gone stays as a 0, so that the hash does not become empty. */
export type FtraceHash = ReadonlySet<bigint>;

/** See OpsParts. Its hashes are changed by `Ftrace.setFilter` and the like. */
export class Ops {
  readonly name: string;
  readonly flags: ReadonlySet<OpsFlag>;
  readonly func: bigint | undefined;
  readonly place: bigint | undefined;
  readonly inText: boolean;
  readonly directCall: bigint | undefined;
  readonly opsFunc: ((command: ShareCommand) => number) | undefined;
  /** Ftrace alone writes these. */
  filter: FtraceHash;
  notrace: FtraceHash;
  /** It must not be registered again (F38). */
  deleted = false;

  /** @param parts or the ops of which this one is a copy */
  constructor(parts: OpsParts | Ops) {
    this.name = parts.name;
    this.flags = parts instanceof Ops ? parts.flags : new Set(parts.flags);
    this.func = parts.func;
    this.place = parts.place;
    this.inText = parts.inText ?? false;
    this.directCall = parts.directCall;
    this.opsFunc = parts.opsFunc;
    // a hash is replaced, never changed
    this.filter = parts instanceof Ops ? parts.filter : new Set(parts.filter);
    this.notrace = parts instanceof Ops ? parts.notrace : new Set(parts.notrace);
  }

  has(flag: OpsFlag): boolean {
    return this.flags.has(flag);
  }

  /** Whether it traces a site (F39). */
  traces(site: bigint): boolean {
    return (this.filter.size === 0 || this.filter.has(site)) && !this.notrace.has(site);
  }
}

/** The ops of a fork that stands for one of its parent. */
export function copyOps(ops: Ops): Ops {
  const copy = new Ops(ops);
  copy.deleted = ops.deleted;
  return copy;
}
