// Pushing funcs on their stacks and taking them off; the ops of a function live as long as its stack (klp/patch.c).
import { hex } from '../address.ts';
import type { Core } from '../core/core.ts';
import { ERRNO, type ErrnoName, PatchError, SiteError, TrampolineError } from '../errors.ts';
import type { Faults } from '../faults.ts';
import type { Ftrace } from '../ftrace/ftrace.ts';
import { copyOps, Ops } from '../ftrace/ops.ts';
import type { TrampolineKind } from '../ftrace/trampoline.ts';
import type { Twins } from '../twins.ts';
import type { Log } from './log.ts';
import { type Func, type PatchObject, twinOfFunc } from './patch.ts';

/** What attaching takes. */
export interface AttachParts {
  core: Core;
  ftrace: Ftrace;
  log: Log;
  faults: Faults;
  /** The kind of trampoline: args since 5.11 (L27). */
  kind: TrampolineKind;
  /** Of a site with a func stack: the handler in the guest and where its ops lies; undefined where the core decides. */
  guestOps(site: bigint): { handler: bigint; place: bigint } | undefined;
}

/** One entry of a func stack, as a reader sees it. */
export interface StackEntry {
  patch: string;
  /** The new function's symbol; of a nop the original's. */
  newFunc: string;
  address: bigint;
  /** It stands for the original (L56). */
  nop: boolean;
  /** Only patched tasks see it. */
  transition: boolean;
}

/** The func stacks as livepatch uses them. */
export class FuncAttacher {
  readonly #parts: AttachParts;
  /** The one ops of each original function that has a stack (L26), and how many funcs are on it, by site. */
  readonly #ops = new Map<bigint, { readonly ops: Ops; depth: number }>();
  /** Owner number in the core → func. */
  readonly #owners = new Map<number, Func>();
  #nextOwner = 1;
  #version = 0;

  /** @param fork that of the machine that this one is a fork of; handles are the same in its core */
  constructor(parts: AttachParts, fork?: { readonly from: FuncAttacher; readonly twins: Twins }) {
    this.#parts = parts;
    if (fork === undefined) return;
    const { from, twins } = fork;
    for (const [site, { ops, depth }] of from.#ops) this.#ops.set(site, { ops: twins.of(ops, copyOps), depth });
    for (const [owner, func] of from.#owners) this.#owners.set(owner, twinOfFunc(func, twins));
    this.#nextOwner = from.#nextOwner;
    this.#version = from.#version;
  }

  /** The func stack of a site, newest first. */
  stack(site: bigint): StackEntry[] {
    return this.#parts.core.stack(site).flatMap(({ owner }) => {
      const func = this.#owners.get(owner);
      if (func === undefined) return [];
      const { patch, newName, newFunc, nop, transition } = func;
      return [{ patch, newFunc: newName, address: newFunc, nop, transition }];
    });
  }

  /** Another number each time a func stack has changed. */
  get version(): number {
    return this.#version;
  }

  /** The func under this one on its stack; undefined where it is the last, or on no stack. */
  below(func: Func): Func | undefined {
    const { core } = this.#parts;
    if (func.handle === undefined) return undefined;
    const stack = core.stack(core.func(func.handle).site);
    const below = stack[stack.findIndex(({ handle }) => handle === func.handle) + 1];
    return below && this.#owners.get(below.owner);
  }

  /**
   * klp_patch_object: all funcs of the object, or none (L28–L33).
   *
   * @throws {PatchError} EINVAL an original has no site (L29) · ENOMEM a pool is full · what registering gave (L31)
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11)
   */
  patchObject(object: PatchObject): void {
    // every record is compared before the first one is written (F13)
    for (const func of object.funcs) this.#verifyToPatch(func);
    try {
      for (const func of object.funcs) this.#patchFunc(func);
    } catch (error) {
      this.unpatchObject(object);
      throw error;
    }
    object.patched = true;
  }

  /**
   * klp_unpatch_object.
   * @param nopsOnly only the funcs that stand for an original (klp_unpatch_objects_dynamic)
   */
  unpatchObject(object: PatchObject, nopsOnly = false): void {
    for (const func of object.funcs) {
      if (func.handle !== undefined && (func.nop || !nopsOnly)) this.#unpatchFunc(func, func.handle);
    }
    if (object.dynamic || !nopsOnly) object.patched = false;
  }

  /**
   * Checks that the sites of an object hold what ftrace last wrote.
   * @throws {SiteError} EFAULT, EINVAL (F11)
   */
  verify(object: PatchObject): void {
    const sites = new Set<bigint>();
    for (const { old } of object.funcs) if (old?.site !== undefined) sites.add(old.site);
    this.#parts.ftrace.verify(sites);
  }

  /** Sets klp_func.transition, in the core as well where the func is on a stack. */
  setTransition(func: Func, on: boolean): void {
    func.transition = on;
    if (func.handle !== undefined) this.#parts.core.setTransition(func.handle, on);
  }

  /** klp_patch_func: push at the head; the first func of a function also registers the ops (L29, L30). */
  #patchFunc(func: Func): void {
    const { core, ftrace, kind, faults } = this.#parts;
    const site = this.#location(func);
    const owner = this.#nextOwner++;
    // the stack is non-empty before the site can fire (L29)
    const handle = faults.call('ops-allocation', () =>
      core.pushFunc(site, func.newFunc, owner, { transition: func.transition, nop: func.nop }),
    );
    this.#owners.set(owner, func);
    const present = this.#ops.get(site);
    if (present !== undefined) present.depth++;
    else {
      const ops = livepatchOps(func.oldName, site, kind, this.#parts.guestOps(site));
      try {
        faults.pass('set-filter', (code) => this.#filterError(func, code));
        try {
          faults.call('register', () => ftrace.register(ops));
        } catch (error) {
          throw this.#registerError(func, site, error);
        }
      } catch (error) {
        core.removeFunc(handle);
        this.#owners.delete(owner);
        throw error;
      }
      this.#ops.set(site, { ops, depth: 1 });
    }
    func.handle = handle;
    this.#version++;
  }

  /** A mismatch is found in registering, and logged as its failure (L31). */
  #verifyToPatch({ old, oldName }: Func): void {
    if (old?.site === undefined) return;
    try {
      this.#parts.ftrace.verify([old.site]);
    } catch (error) {
      if (error instanceof TrampolineError) {
        this.#parts.log.emit({ kind: 'registerFailed', func: oldName, error: error.errno });
      }
      throw error;
    }
  }

  /** ftrace_location of an original (L29). */
  #location(func: Func): bigint {
    const { faults, log } = this.#parts;
    const refuse = (code: ErrnoName): PatchError =>
      log.refuse(
        code,
        { kind: 'noLocation', func: func.oldName },
        { operation: 'enable', patch: func.patch, func: func.oldName },
      );
    const site = faults.call('location', () => func.old?.site, refuse);
    if (site === undefined) throw refuse('EINVAL');
    return site;
  }

  #filterError(func: Func, code: ErrnoName): PatchError {
    return this.#parts.log.refuse(
      code,
      { kind: 'filterFailed', func: func.oldName, error: -ERRNO[code] },
      { operation: 'enable', patch: func.patch, func: func.oldName },
    );
  }

  /** klp_unpatch_func: the last func of a function unregisters the ops first (L32). */
  #unpatchFunc(func: Func, handle: number): void {
    const { core, ftrace } = this.#parts;
    const { owner, site } = core.func(handle);
    const user = this.#ops.get(site);
    if (user?.depth === 1) {
      ftrace.unregister(user.ops);
      this.#ops.delete(site);
    } else if (user !== undefined) user.depth--;
    core.removeFunc(handle);
    this.#owners.delete(owner);
    func.handle = undefined;
    this.#version++;
  }

  #registerError(func: Func, site: bigint, cause: unknown): unknown {
    if (!(cause instanceof TrampolineError)) return cause;
    this.#parts.log.emit({ kind: 'registerFailed', func: func.oldName, error: cause.errno });
    if (cause instanceof SiteError && cause.code === 'ERANGE') return cause;
    return new PatchError(
      cause.code,
      `failed to register ftrace handler for function '${func.oldName}' at ${hex(site)}`,
      { operation: 'enable', patch: func.patch, func: func.oldName, cause },
    );
  }
}

/**
 * The ops of a function with a func stack: it changes ip, and ftrace may not be switched off under it (L27).
 * @param guest handler and struct where guest code decides; the gate decides by default
 */
export function livepatchOps(
  name: string,
  site: bigint,
  kind: TrampolineKind,
  guest?: { handler: bigint; place: bigint },
): Ops {
  return new Ops({
    ...{ name, filter: [site], inText: true },
    flags: kind === 'regs' ? ['IPMODIFY', 'PERMANENT', 'SAVE_REGS'] : ['IPMODIFY', 'PERMANENT'],
    ...(guest === undefined ? {} : { func: guest.handler, place: guest.place }),
  });
}
