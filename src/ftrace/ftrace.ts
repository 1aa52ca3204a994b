// ftrace: the records of all sites, and registering and unregistering the users (ops) of a site.
import { hex } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { SiteError } from '../errors.ts';
import type { Faults } from '../faults.ts';
import type { FrameRow } from '../image/unwind/frame-row.ts';
import type { CodeArena } from './code-arena.ts';
import { writeU64 } from './guest/memory.ts';
import { callBytes, NOP5, verifySite } from './site.ts';
import type { KernelVersion, TrampolineKind } from './trampoline.ts';
import { TrampolineCopies } from './trampoline-copies.ts';
import { TrampolineText } from './trampoline-frames.ts';

/** One user of one site. Its address in guest memory is what the trampoline loads into rdx (F21, F29). */
export interface Ops {
  /** For messages: the function's name. */
  readonly name: string;
  readonly site: bigint;
  readonly kind: TrampolineKind;
  /** What the trampoline calls; the gate by default. */
  readonly handler?: bigint;
  /** Where its struct lies in guest memory; beside the trampoline by default. */
  readonly place?: bigint;
}

/** An ops while it is registered. */
interface Registration {
  readonly ops: Ops;
  readonly trampoline: bigint;
  readonly length: number;
  /** What stands at the site meanwhile. */
  readonly call: Uint8Array;
}

/** What ftrace works with. */
export interface FtraceParts {
  engine: Engine;
  arena: CodeArena;
  faults: Faults;
  kernel: KernelVersion;
  gate: bigint;
  returnThunk: bigint;
}

/** Bytes of guest memory that stand for one ops; its first quad is the handler, as in struct ftrace_ops. */
const OPS_SIZE = 16;

/**
 * All sites of the loaded images and who uses them. Every ops here changes ip (IPMODIFY), so a site has at most one.
 */
export class Ftrace {
  readonly #parts: FtraceParts;
  readonly #sites = new Map<bigint, Registration | undefined>();
  readonly #text: TrampolineText;
  readonly #copies: TrampolineCopies;
  #dead = false;
  #enabled = true;

  constructor(parts: FtraceParts) {
    this.#parts = parts;
    this.#text = new TrampolineText(parts.kernel);
    this.#copies = new TrampolineCopies(parts.kernel, parts.returnThunk);
  }

  /** Takes note of an image's sites; the loader has made each one a NOP5 (F2, F7). */
  addSites(sites: Iterable<bigint>): void {
    for (const site of sites) if (!this.#sites.has(site)) this.#sites.set(site, undefined);
  }

  /** Forgets the sites of an image that goes; a site that is in use must be unregistered first. */
  removeSites(sites: Iterable<bigint>): void {
    for (const site of sites) this.#sites.delete(site);
  }

  /** kernel.ftrace_enabled. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /**
   * Writes kernel.ftrace_enabled. Every ops here is PERMANENT, as livepatch's are (L27).
   * @throws {SiteError} EBUSY 0 is written while an ops is registered (F43); nothing is changed then
   */
  setEnabled(on: boolean): void {
    if (!on) {
      for (const [site, registration] of this.#sites) {
        if (registration === undefined) continue;
        const fact = `ftrace cannot be switched off, '${registration.ops.name}' needs it`;
        throw new SiteError('EBUSY', fact, { operation: 'sysctl', address: site });
      }
    }
    this.#enabled = on;
  }

  /** True where `address` is a site. */
  isSite(address: bigint): boolean {
    return this.#sites.has(address);
  }

  /** What the site at `address` calls now: its ops and trampoline, or undefined where it is idle or no site. */
  userOf(address: bigint): { name: string; trampoline: bigint } | undefined {
    const registration = this.#sites.get(address);
    return registration && { name: registration.ops.name, trampoline: registration.trampoline };
  }

  /** How the caller is found from an instruction of a trampoline; undefined where `ip` is none. */
  frameAt(ip: bigint): FrameRow | undefined {
    return this.#text.rowAt(ip);
  }

  /**
   * Turns an idle site into a call of the ops' own trampoline (F12, F13, F28, F33).
   *
   * @throws {SiteError} ENODEV not a site, or ftrace is dead after an earlier mismatch (F14) · EBUSY the site has an
   * ops that changes ip (F40), or kernel.ftrace_enabled is 0 (F38) · EFAULT, EINVAL the site's bytes are not a NOP5 (F11); ftrace is dead from then on ·
   * ERANGE the site and its trampoline are too far apart (F10) · ENOMEM no room for the trampoline. Nothing is changed
   * then.
   */
  register(ops: Ops): void {
    const operation = 'register';
    if (this.#dead) {
      throw new SiteError('ENODEV', 'ftrace was switched off by an earlier mismatch', { operation, address: ops.site });
    }
    if (!this.#sites.has(ops.site)) throw notASite(operation, ops.site);
    if (!this.#enabled) {
      throw new SiteError('EBUSY', 'kernel.ftrace_enabled is 0', { operation, address: ops.site }); // F38
    }
    const present = this.#sites.get(ops.site);
    if (present !== undefined) {
      throw new SiteError('EBUSY', `site ${hex(ops.site)} is used by '${present.ops.name}'`, {
        operation,
        address: ops.site,
      });
    }
    this.#verify(ops.site);
    const registration = this.#build(ops);
    try {
      this.#parts.engine.write(ops.site, registration.call);
    } catch (error) {
      this.#release(registration);
      throw error;
    }
    this.#sites.set(ops.site, registration);
  }

  /**
   * Turns the site of `ops` back into a NOP5.
   *
   * @throws {SiteError} ENOENT `ops` is not registered · EFAULT, EINVAL the site no longer calls its trampoline (F11,
   * F13); nothing is written and ftrace is dead from then on (F14)
   */
  unregister(ops: Ops): void {
    const registration = this.#sites.get(ops.site);
    if (registration?.ops !== ops) {
      throw new SiteError('ENOENT', `'${ops.name}' is not registered at ${hex(ops.site)}`, {
        operation: 'unregister',
        address: ops.site,
      });
    }
    // not by way of faults: whoever takes off several ops has compared all of them before the first
    this.#compare(ops.site);
    this.#parts.engine.write(ops.site, NOP5);
    this.#sites.set(ops.site, undefined);
    this.#release(registration);
  }

  /**
   * Checks that every one of the sites holds what ftrace last wrote there, before the first is changed (F13).
   *
   * @throws {SiteError} ENODEV not a site · EFAULT, EINVAL as `register`
   */
  verify(sites: Iterable<bigint>): void {
    for (const site of sites) {
      if (!this.#sites.has(site)) throw notASite('verify', site);
      this.#verify(site);
    }
  }

  /** What ftrace_get_addr_curr says: NOP5, or the call of the trampoline in use. */
  #expected(site: bigint): Uint8Array {
    return this.#sites.get(site)?.call ?? NOP5;
  }

  /** ftrace_verify_code of one site, which can be made to fail. */
  #verify(site: bigint): void {
    this.#compare(site, (compare) => this.#parts.faults.call('site-verify', compare));
  }

  /** ftrace_bug: a mismatch switches ftrace off for good (F14). */
  #compare(site: bigint, run: (compare: () => void) => void = (compare) => compare()): void {
    try {
      run(() => verifySite(this.#parts.engine, site, this.#expected(site)));
    } catch (error) {
      this.#dead = true;
      throw error;
    }
  }

  #build(ops: Ops): Registration {
    const { engine, arena, faults, gate } = this.#parts;
    const { kind, handler = gate } = ops;
    const length = this.#copies.length(kind, handler, arena.base);
    const place = faults.call('trampoline-allocation', () => arena.allocate(length + OPS_SIZE));
    const size = length + OPS_SIZE;
    try {
      const call = callBytes(ops.site, place);
      const record = ops.place ?? place + BigInt(length);
      const block = new Uint8Array(size);
      block.set(this.#copies.copy({ kind, handler, address: place, ops: record }));
      engine.write(place, block);
      writeU64(engine, record, handler);
      this.#text.place(place, ops.kind);
      return { ops, trampoline: place, length: size, call };
    } catch (error) {
      arena.free(place, size);
      throw error;
    }
  }

  #release(registration: Registration): void {
    this.#parts.arena.free(registration.trampoline, registration.length);
  }
}

function notASite(operation: string, address: bigint): SiteError {
  return new SiteError('ENODEV', `${hex(address)} is not an ftrace site`, { operation, address });
}
