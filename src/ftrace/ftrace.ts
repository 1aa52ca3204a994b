// ftrace: the records of all sites, and registering and unregistering the users (ops) of sites.
import { hex } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { type ErrnoName, SiteError } from '../errors.ts';
import type { Faults } from '../faults.ts';
import type { FrameRow } from '../image/unwind/frame-row.ts';
import type { Twins } from '../twins.ts';
import { FtraceCallers } from './callers.ts';
import type { Arena, CodeArena } from './code-arena.ts';
import { Copies } from './copies.ts';
import { GuestOpsList } from './guest/ops-list.ts';
import { copyOps, type FtraceHash, type Ops } from './ops.ts';
import { type Registration, SiteRecord, type SiteState, twinOf } from './record.ts';
import { checkHashes, enterSites, leaveSites } from './sharing.ts';
import { callBytes, NOP5, verifySite } from './site.ts';
import type { KernelVersion } from './trampoline.ts';
import { commonRows, TrampolineText } from './trampoline-frames.ts';

/** The list of ops as guest code walks it. */
export interface GuestListParts {
  readonly heap: Arena;
  /** Where the pointer to the newest ops lies. */
  head(): bigint;
  listFunc(): bigint;
}

/** What ftrace works with. */
export interface FtraceParts {
  engine: Engine;
  arena: CodeArena;
  faults: Faults;
  kernel: KernelVersion;
  gate: bigint;
  returnThunk: bigint;
  /** Where the common callers go: `CALLERS_SIZE` mapped bytes. */
  callers: bigint;
  /** ftrace_ops_assist_func, for ops with RECURSION; asked for when it is first needed. */
  assistFunc?: () => bigint;
  /** The list as guest code; without it the host walks the list. */
  guestList?: GuestListParts | undefined;
  /** Told before the first site calls a common caller. */
  onShared?: () => void;
}

/** How a site is compared, which can be made to fail. */
type Comparing = (compare: () => void) => void;

/** What is to be written to a site. */
interface Poke {
  readonly site: bigint;
  readonly target: bigint | undefined;
  readonly bytes: Uint8Array;
}

/** All sites of the loaded images and who uses them. */
export class Ftrace {
  /** The common callers (F34). */
  readonly callers: FtraceCallers;
  readonly #parts: FtraceParts;
  readonly #sites = new Map<bigint, SiteRecord | undefined>();
  readonly #registered = new Map<Ops, Registration>();
  readonly #text: TrampolineText;
  readonly #copies: Copies;
  readonly #list: GuestOpsList | undefined;
  #next = 1;
  /** Registered ops with handlers of their own, or without a trampoline. */
  #others = 0;
  #changes = 0;
  #dead = false;
  #enabled = true;

  /** @param fork that of the machine that this one is a fork of */
  constructor(parts: FtraceParts, fork?: { readonly from: Ftrace; readonly twins: Twins }) {
    const { engine, kernel, returnThunk, guestList } = parts;
    this.#parts = parts;
    const callers = new FtraceCallers({ engine, kernel, address: parts.callers, returnThunk }, fork?.from.callers);
    this.callers = callers;
    this.#text = new TrampolineText(kernel, fork === undefined ? undefined : fork.from.#text);
    for (const kind of ['args', 'regs'] as const) {
      this.#text.placeRows(callers.caller[kind], commonRows(kind, kernel));
    }
    this.#text.placeRows(callers.stub, callers.helperRows);
    const copies = fork && { from: fork.from.#copies, twins: fork.twins };
    this.#copies = new Copies({ ...parts, callers, text: this.#text }, copies);
    const list = fork && { from: fork.from.#list, twins: fork.twins };
    this.#list = guestList && new GuestOpsList(engine, guestList.heap, guestList.head, list);
    if (fork !== undefined) this.#adopt(fork.from, fork.twins);
  }

  #adopt(from: Ftrace, twins: Twins): void {
    for (const [site, record] of from.#sites) this.#sites.set(site, record?.copy(twins));
    for (const [ops, one] of from.#registered) this.#registered.set(twins.of(ops, copyOps), twinOf(one, twins));
    this.#next = from.#next;
    this.#others = from.#others;
    this.#changes = from.#changes;
    this.#dead = from.#dead;
    this.#enabled = from.#enabled;
  }

  /**
   * Takes note of an image's sites; the loader has made each one a NOP5 (F2, F7). Ops that trace all functions trace
   * these from now on (ftrace_module_enable).
   *
   * @param disabled sites that cannot be traced (F8)
   * @throws {SiteError} as `register`; no site is noted then
   */
  addSites(sites: Iterable<bigint>, disabled: Iterable<bigint> = []): void {
    const fresh = [...sites].filter((site) => !this.#sites.has(site));
    for (const site of fresh) this.#sites.set(site, undefined);
    const off = [...disabled].filter((site) => !this.#sites.has(site));
    for (const site of off) this.#record(site).disabled = true;
    const joining = [...this.#registered.values()].filter(({ ops }) => ops.filter.size === 0);
    joining.sort((a, b) => b.order - a.order);
    if (joining.length === 0) return;
    const traced = fresh.filter((site) => {
      const users = joining.filter(({ ops }) => ops.traces(site));
      if (users.length > 0) this.#record(site).users = users;
      return users.length > 0;
    });
    try {
      this.#write(this.#prepare(traced));
    } catch (error) {
      this.removeSites([...fresh, ...off]);
      throw error;
    }
  }

  /** Forgets the sites of an image that goes: no hash matches there any more, whatever is loaded later (F7). */
  removeSites(sites: Iterable<bigint>): void {
    const gone = new Set(sites);
    for (const site of gone) this.#sites.delete(site);
    for (const { ops } of this.#registered.values()) {
      const filter = withoutGone(ops.filter, gone);
      const notrace = withoutGone(ops.notrace, gone);
      if (filter === ops.filter && notrace === ops.notrace) continue;
      ops.filter = filter;
      ops.notrace = notrace;
      this.#list?.rehash(ops);
    }
  }

  /** kernel.ftrace_enabled. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /**
   * Writes kernel.ftrace_enabled: at 0 every site is a NOP5, whoever is registered; at 1 each calls its users again.
   *
   * @throws {SiteError} EBUSY 0 is written while a PERMANENT ops is registered (F43) · EFAULT, EINVAL a site was
   * changed from outside (F11); nothing is changed then
   */
  setEnabled(on: boolean): void {
    if (on === this.#enabled) return;
    if (!on) {
      const permanent = [...this.#registered.keys()].find((ops) => ops.has('PERMANENT'));
      if (permanent !== undefined) {
        const fact = `ftrace cannot be switched off, '${permanent.name}' needs it`;
        throw new SiteError('EBUSY', fact, { operation: 'sysctl', address: anySite(permanent) });
      }
    }
    this.#enabled = on;
    try {
      this.#write(this.#prepare(this.#used()));
    } catch (error) {
      this.#enabled = !on;
      throw error;
    }
  }

  /** Grows with each change of who uses what. */
  get changes(): number {
    return this.#changes;
  }

  /** True where `address` is a site. */
  isSite(address: bigint): boolean {
    return this.#sites.has(address);
  }

  /** Who uses the site at `address`, and what it calls (F36); undefined where it is no site. */
  record(address: bigint): SiteState | undefined {
    if (!this.#sites.has(address)) return undefined;
    return (this.#sites.get(address) ?? new SiteRecord()).state(address, this.#parts.kernel);
  }

  /** Whether no site calls a common caller and no ops has handlers of its own: calls are redirected, and no more. */
  get redirectsOnly(): boolean {
    return this.#others === 0;
  }

  /** The ops that trace the site at `address`, newest first. */
  usersOf(address: bigint): readonly Registration[] {
    return this.#sites.get(address)?.users ?? [];
  }

  /** What a registered ops has in the guest; undefined where it is not registered. */
  registration(ops: Ops): Registration | undefined {
    return this.#registered.get(ops);
  }

  /** The trampoline that begins at an address: a common caller or a copy of one, or what sites are sent to directly. */
  trampolineAt(address: bigint): 'ftrace' | 'direct' | undefined {
    return this.#copies.at(address);
  }

  /** How the caller is found from an instruction of a trampoline; undefined where `ip` is none. */
  frameAt(ip: bigint): FrameRow | undefined {
    return this.#text.rowAt(ip);
  }

  /**
   * Has the sites of an ops call it: one that it has alone calls its own trampoline, or where a direct ops sends it; one
   * with several users a common caller (F12, F13, F28, F33, F34). While kernel.ftrace_enabled is 0 no site is changed.
   *
   * @throws {SiteError} ENODEV ftrace is dead after an earlier mismatch (F14) · EINVAL it is deleted (F38); it changes ip
   * and has no filter, or has a notrace (F40); a direct one has no filter (F45); it traces what is no site (F37) · EBUSY
   * it is registered, it is PERMANENT and kernel.ftrace_enabled is 0 (F38), a site has another ops that changes ip (F40), or
   * that is direct (F45), or a direct one that does not share (F41) · EFAULT, EINVAL a site's bytes are not what ftrace
   * wrote there (F11); ftrace is dead from then on · ERANGE a site and what it is to call are too far apart (F10) · what
   * a direct ops answered. Nothing is changed then.
   */
  register(ops: Ops): void {
    const operation = 'register';
    const refuse = (code: ErrnoName, fact: string): SiteError =>
      new SiteError(code, `${fact}: '${ops.name}'`, { operation, address: anySite(ops) });
    if (this.#dead) throw refuse('ENODEV', 'ftrace was switched off by an earlier mismatch');
    if (ops.deleted) throw refuse('EINVAL', 'the ops is deleted');
    if (this.#registered.has(ops)) throw refuse('EBUSY', 'the ops is registered already');
    if (!this.#enabled && ops.has('PERMANENT')) throw refuse('EBUSY', 'kernel.ftrace_enabled is 0');
    this.#checkSites(operation, ops.filter);
    checkHashes(operation, ops, ops.filter, ops.notrace);
    const sites = this.#matching(ops);
    const undoSharing = enterSites(operation, ops, sites, (site) => this.usersOf(site));
    let registration: Registration | undefined;
    try {
      registration = this.#build(ops);
      this.#join(registration, sites);
      this.#update(sites);
    } catch (error) {
      if (registration !== undefined) {
        this.#part(registration, sites);
        this.#list?.remove(ops);
        this.#release(registration);
      }
      undoSharing();
      throw error;
    }
  }

  /**
   * Has the sites of an ops call it no more. Its trampoline stays in memory while a task may stand in it (F31).
   *
   * @throws {SiteError} EBUSY `ops` is not registered (__unregister_ftrace_function) · EFAULT, EINVAL a site was changed from outside (F11, F13);
   * nothing is written and ftrace is dead from then on (F14)
   */
  unregister(ops: Ops): void {
    const registration = this.#registered.get(ops);
    if (registration === undefined) {
      throw new SiteError('EBUSY', `'${ops.name}' is not registered at ${hex(anySite(ops))}`, {
        operation: 'unregister',
        address: anySite(ops),
      });
    }
    const sites = this.#matching(ops);
    this.#part(registration, sites);
    try {
      // not by way of faults: whoever takes off several ops has compared all of them before the first
      this.#update(
        sites,
        () => this.#list?.remove(ops),
        (compare) => compare(),
      );
    } catch (error) {
      this.#join(registration, sites);
      throw error;
    }
    leaveSites(ops, sites, (site) => this.usersOf(site));
    this.#release(registration);
  }

  /**
   * Adds an address to the filter of an ops or takes it out (F37): a site, or the address that a function's site is
   * looked up by is the caller's business.
   *
   * @throws {SiteError} EINVAL not a site · ENOENT there is no such entry to remove · and as `setFilter`
   */
  setFilterIp(ops: Ops, site: bigint, { remove = false, reset = false } = {}): void {
    if (!this.#sites.has(site)) throw notASite('set filter', site);
    const filter = new Set(reset ? [] : ops.filter);
    if (remove && !filter.delete(site)) {
      const fact = `${hex(site)} is not in the filter of '${ops.name}'`;
      throw new SiteError('ENOENT', fact, { operation: 'set filter', address: site });
    }
    if (!remove) filter.add(site);
    this.setFilter(ops, filter);
  }

  /**
   * Gives an ops other hashes; where it is registered, its sites follow (F39).
   *
   * @throws {SiteError} as `register` for the sites that are added, and for what the hashes may be. Nothing is changed
   * then.
   */
  setFilter(ops: Ops, filter: Iterable<bigint>, notrace: Iterable<bigint> = ops.notrace): void {
    const operation = 'set filter';
    const fresh = { filter: new Set(filter), notrace: new Set(notrace) };
    this.#checkSites(operation, fresh.filter);
    checkHashes(operation, ops, fresh.filter, fresh.notrace);
    const registration = this.#registered.get(ops);
    if (registration === undefined) {
      Object.assign(ops, fresh);
      return;
    }
    const usersOf = (site: bigint): readonly Registration[] => this.usersOf(site);
    const old = { filter: ops.filter, notrace: ops.notrace };
    const before = new Set(this.#matching(ops));
    Object.assign(ops, fresh);
    const after = new Set(this.#matching(ops));
    const added = [...after].filter((site) => !before.has(site));
    const gone = [...before].filter((site) => !after.has(site));
    let undoSharing = (): void => undefined;
    try {
      undoSharing = enterSites(operation, ops, added, usersOf);
      this.#list?.rehash(ops);
      this.#join(registration, added);
      this.#part(registration, gone);
      this.#registered.set(ops, registration);
      this.#update([...added, ...gone]);
    } catch (error) {
      this.#part(registration, added);
      this.#join(registration, gone);
      Object.assign(ops, old);
      this.#list?.rehash(ops);
      undoSharing();
      throw error;
    }
    leaveSites(ops, gone, usersOf);
  }

  /**
   * Checks that every one of the sites holds what ftrace last wrote there, before the first is changed (F13).
   *
   * @throws {SiteError} EINVAL not a site · EFAULT, EINVAL as `register`
   */
  verify(sites: Iterable<bigint>): void {
    for (const site of sites) {
      if (!this.#sites.has(site)) throw notASite('verify', site);
      this.#verify(site);
    }
  }

  /** The sites that an ops traces, those that cannot be traced left out. */
  #matching(ops: Ops): bigint[] {
    const named: Iterable<bigint> = ops.filter.size === 0 ? this.#sites.keys() : ops.filter;
    const sites: bigint[] = [];
    for (const site of named) {
      if (!ops.notrace.has(site) && this.#sites.has(site) && this.#sites.get(site)?.disabled !== true) sites.push(site);
    }
    return sites;
  }

  /** Sites that have users. */
  #used(): bigint[] {
    return [...this.#sites].flatMap(([site, record]) =>
      record !== undefined && record.users.length > 0 ? [site] : [],
    );
  }

  #record(site: bigint): SiteRecord {
    let record = this.#sites.get(site);
    if (record === undefined) {
      record = new SiteRecord();
      this.#sites.set(site, record);
    }
    return record;
  }

  /** The sites get a further user, at its place by age. */
  #join(registration: Registration, sites: readonly bigint[]): void {
    if (!this.#registered.has(registration.ops)) this.#others += isOther(registration);
    this.#registered.set(registration.ops, registration);
    for (const site of sites) {
      const record = this.#record(site);
      if (record.users.includes(registration)) continue;
      const at = record.users.findIndex(({ order }) => order < registration.order);
      const newer = record.users.slice(0, at < 0 ? record.users.length : at);
      record.users = [...newer, registration, ...record.users.slice(newer.length)];
    }
  }

  #part(registration: Registration, sites: readonly bigint[]): void {
    if (this.#registered.delete(registration.ops)) this.#others -= isOther(registration);
    for (const site of sites) {
      const record = this.#record(site);
      record.users = record.users.filter((one) => one !== registration);
      this.#tidy(site, record);
    }
  }

  /** A record that says nothing is not kept: an image has tens of thousands. */
  #tidy(site: bigint, record: SiteRecord): void {
    if (record.plain) this.#sites.set(site, undefined);
  }

  /** The trampoline of an ops, and in the guest's list its struct. */
  #build(ops: Ops): Registration {
    const list = this.#list;
    const own = ops.place === undefined ? list?.allocate() : undefined;
    let registration: Registration | undefined;
    try {
      registration = this.#copies.make(ops, this.#next++, ops.place ?? own);
      list?.add(ops, registration.place, ops.func ?? this.#parts.gate);
      return registration;
    } catch (error) {
      if (registration !== undefined) this.#copies.free(registration);
      if (own !== undefined) list?.release(own);
      throw error;
    }
  }

  #release(registration: Registration): void {
    this.#copies.free(registration);
    if (registration.ops.place === undefined) this.#list?.release(registration.place);
  }

  /** A 0 stands for a site that is gone. */
  #checkSites(operation: string, filter: FtraceHash): void {
    for (const site of filter) if (site !== 0n && !this.#sites.has(site)) throw notASite(operation, site);
  }

  /**
   * ftrace_modify_all_code: first the common callers get the list func, which asks each ops whether it traces the site;
   * then the sites are changed; then the callers get what they are to call for good (F35). So no ops that goes is
   * called after it has left the list.
   *
   * @param unlink takes an ops off the list: where all sites may be changed, and before the first one is
   */
  #update(sites: readonly bigint[], unlink?: () => void, by?: Comparing): void {
    const pokes = this.#enabled ? this.#prepare(sites, by) : [];
    unlink?.();
    this.callers.setFunc(this.#parts.guestList?.listFunc() ?? this.callers.hostListFunc);
    this.#write(pokes);
    if (this.#registered.size === 0) this.callers.setFunc(this.callers.stub);
  }

  /** Pass 1 of ftrace_replace_code: every site that is to change is compared, before one is written (F13). */
  #prepare(sites: readonly bigint[], by?: Comparing): Poke[] {
    const { args, regs } = this.callers.caller;
    const pokes = sites.map((site) => {
      const record = this.#sites.get(site);
      const target = this.#enabled ? record?.wanted(this.callers) : undefined;
      if (target !== record?.calls) this.#verify(site, by);
      return { site, target, bytes: target === undefined ? NOP5 : callBytes(site, target) };
    });
    if (pokes.some(({ target }) => target === args || target === regs)) this.#parts.onShared?.();
    return pokes;
  }

  /** Pass 2. */
  #write(pokes: readonly Poke[]): void {
    this.#changes++;
    for (const { site, target, bytes } of pokes) {
      const record = this.#record(site);
      if (record.calls !== target) this.#parts.engine.write(site, bytes);
      record.written(target, bytes);
      this.#tidy(site, record);
    }
  }

  /**
   * ftrace_verify_code of one site: ftrace_get_addr_curr says what must stand there; a mismatch is ftrace_bug and ends
   * ftrace for good (F14).
   */
  #verify(site: bigint, by: Comparing = (compare) => this.#parts.faults.call('site-verify', compare)): void {
    try {
      by(() => verifySite(this.#parts.engine, site, this.#sites.get(site)?.text ?? NOP5));
    } catch (error) {
      this.#dead = true;
      throw error;
    }
  }
}

/** A hash whose entries in a set are gone; the same one where there are none. */
function withoutGone(hash: FtraceHash, gone: ReadonlySet<bigint>): FtraceHash {
  if (![...hash].some((site) => gone.has(site))) return hash;
  return new Set([...hash].map((site) => (gone.has(site) ? 0n : site)));
}

function isOther({ ops, trampoline }: Registration): 0 | 1 {
  return ops.inText && trampoline !== undefined ? 0 : 1;
}

/** For messages. */
function anySite(ops: Ops): bigint {
  const [first = 0n] = ops.filter;
  return first;
}

function notASite(operation: string, address: bigint): SiteError {
  return new SiteError('EINVAL', `${hex(address)} is not an ftrace site`, { operation, address });
}
