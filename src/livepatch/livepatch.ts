// Enabling and disabling patches: the func stacks of all functions and the ops that feed them (klp/core.c, klp/patch.c).

import { hex } from '../address.ts';
import type { Core } from '../core/core.ts';
import { PatchError, SiteError, TrampolineError } from '../errors.ts';
import type { Ftrace, Ops } from '../ftrace/ftrace.ts';
import type { TrampolineKind } from '../ftrace/trampoline.ts';
import type { Func, FuncSpec, ObjectSpec, Patch, PatchSpec } from './patch.ts';
import { findSymbol, type SymbolScope } from './symbols.ts';

/** What livepatch works with. */
export interface LivepatchParts {
  core: Core;
  ftrace: Ftrace;
  /** The kind of trampoline: args since 5.11 (L27). */
  kind: TrampolineKind;
  /** The symbols of vmlinux (null) or of a module; undefined while it is not loaded (L6, L21). */
  object(name: string | null): SymbolScope | undefined;
  /** The symbols of the image that holds new functions. */
  image(name: string): SymbolScope | undefined;
  /** ftrace_location: the site of the function that starts at an address (F9). */
  location(address: bigint): bigint | undefined;
}

/** One entry of a func stack, as a reader sees it. */
export interface StackEntry {
  patch: string;
  /** The new function's symbol. */
  newFunc: string;
  address: bigint;
}

/** A func that is resolved but not attached yet. */
type ResolvedFunc = Omit<Func, 'handle'>;

/**
 * The patches of one machine. Policy `independent` (5.1 and later): any patch may be disabled at any time; the order of
 * enabling lives on in the func stacks alone (L52).
 */
export class Livepatch {
  readonly #parts: LivepatchParts;
  readonly #patches = new Map<string, Patch>();
  /** The one ops of each original function that has a stack (L26), by site. */
  readonly #ops = new Map<bigint, Ops>();
  /** Owner number in the core → func. */
  readonly #owners = new Map<number, ResolvedFunc>();
  #nextOwner = 1;

  constructor(parts: LivepatchParts) {
    this.#parts = parts;
  }

  /** The enabled patches in the order of enabling (klp_patches). */
  get patches(): readonly Patch[] {
    return [...this.#patches.values()];
  }

  /**
   * Enables a patch: its funcs go on top of the stacks of the functions they replace; the site of a function whose
   * stack was empty becomes a call of its trampoline (L28–L31).
   *
   * @throws {PatchError} EEXIST the patch is enabled, or names one function twice (L15) · EINVAL L9, L17, L22, L23,
   * L29 · ENOENT a size is unknown (L18) · ENOTSUPP `replace`, and objects that are not loaded · ENOMEM a pool is full
   * @throws {SiteError} as `Ftrace.register`
   * Nothing is changed then.
   */
  enable(spec: PatchSpec): Patch {
    const funcs = this.#resolve(spec);
    this.#parts.ftrace.verify(new Set(funcs.map((func) => func.site)));
    const attached: Func[] = [];
    try {
      for (const func of funcs) attached.push(this.#patchFunc(func));
    } catch (error) {
      for (const func of attached.reverse()) this.#unpatchFunc(func);
      throw error;
    }
    const patch: Patch = { name: spec.name, spec, funcs: attached };
    this.#patches.set(spec.name, patch);
    return patch;
  }

  /**
   * Disables a patch, at whatever place of the stacks it stands (L32); the site of a function whose stack gets empty
   * becomes a NOP5 again.
   *
   * @throws {PatchError} EINVAL no such patch is enabled (L47)
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11). Nothing is changed then.
   */
  disable(name: string): void {
    const patch = this.#patches.get(name);
    if (patch === undefined) {
      throw new PatchError('EINVAL', `patch '${name}' is not enabled`, { operation: 'disable', patch: name });
    }
    this.#parts.ftrace.verify(new Set(patch.funcs.map((func) => func.site)));
    for (const func of patch.funcs) this.#unpatchFunc(func);
    this.#patches.delete(name);
  }

  /** The func stack of the function with this site, newest first; empty where it runs its original. */
  stack(site: bigint): StackEntry[] {
    return this.#parts.core.stack(site).map((entry) => {
      const func = this.#owners.get(entry.owner);
      return { patch: func?.patch ?? '?', newFunc: func?.newName ?? '?', address: entry.newFunc };
    });
  }

  /** Resolves every func of a patch before the first change (klp_init_patch). */
  #resolve(spec: PatchSpec): ResolvedFunc[] {
    const fail = (code: 'EINVAL' | 'EEXIST' | 'ENOTSUPP', fact: string, func?: string): PatchError =>
      new PatchError(code, fact, { operation: 'enable', patch: spec.name, ...(func === undefined ? {} : { func }) });
    if (this.#patches.has(spec.name)) throw fail('EEXIST', `patch '${spec.name}' is enabled already`);
    if (spec.replace === true) {
      throw fail('ENOTSUPP', `patch '${spec.name}' asks for atomic replace, which is not modelled yet`);
    }
    const image = this.#parts.image(spec.image ?? spec.name);
    if (image === undefined) {
      throw fail('EINVAL', `patch '${spec.name}' has no image '${spec.image ?? spec.name}'; load it first`);
    }
    const seen = new Set<string>();
    return spec.objects.flatMap((object) => {
      const scope = this.#parts.object(object.name);
      if (scope === undefined) {
        throw fail(
          'ENOTSUPP',
          `object '${object.name ?? 'vmlinux'}' is not loaded; patching it later is not modelled yet`,
        );
      }
      return object.funcs.map((func) => {
        // the name of the func's sysfs directory, which cannot exist twice (L24)
        const directory = `${object.name ?? 'vmlinux'}/${func.oldName},${func.oldSympos || 1}`;
        if (seen.has(directory)) throw fail('EEXIST', `patch '${spec.name}' names '${directory}' twice`, func.oldName);
        seen.add(directory);
        return this.#resolveFunc(spec, object, func, scope, image);
      });
    });
  }

  #resolveFunc(
    spec: PatchSpec,
    object: ObjectSpec,
    func: FuncSpec,
    scope: SymbolScope,
    image: SymbolScope,
  ): ResolvedFunc {
    const patch = spec.name;
    const old = findSymbol(scope, { patch, name: func.oldName, sympos: func.oldSympos ?? 0 });
    const replacement = findSymbol(image, { patch, name: func.newFunc, sympos: 0 });
    const site = this.#parts.location(old.address);
    if (site === undefined) {
      throw new PatchError('EINVAL', `failed to find location for function '${func.oldName}'`, {
        operation: 'enable',
        patch,
        func: func.oldName,
      });
    }
    return {
      patch,
      object: object.name,
      oldName: func.oldName,
      newName: func.newFunc,
      oldFunc: old.address,
      newFunc: replacement.address,
      site,
    };
  }

  /** klp_patch_func: push at the head; the first func of a function also registers the ops (L29, L30). */
  #patchFunc(func: ResolvedFunc): Func {
    const { core, ftrace, kind } = this.#parts;
    const owner = this.#nextOwner++;
    // the stack is non-empty before the site can fire (L29)
    const handle = core.pushFunc(func.site, func.newFunc, owner);
    this.#owners.set(owner, func);
    if (!this.#ops.has(func.site)) {
      const ops: Ops = { name: func.oldName, site: func.site, kind };
      try {
        ftrace.register(ops);
      } catch (error) {
        core.removeFunc(handle);
        this.#owners.delete(owner);
        throw this.#registerError(func, error);
      }
      this.#ops.set(func.site, ops);
    }
    return { ...func, handle };
  }

  /** klp_unpatch_func: the last func of a function unregisters the ops first (L32). */
  #unpatchFunc(func: Func): void {
    const { core, ftrace } = this.#parts;
    const stack = core.stack(func.site);
    if (stack.length === 1) {
      const ops = this.#ops.get(func.site);
      if (ops !== undefined) ftrace.unregister(ops);
      this.#ops.delete(func.site);
    }
    const owner = stack.find((entry) => entry.handle === func.handle)?.owner;
    core.removeFunc(func.handle);
    if (owner !== undefined) this.#owners.delete(owner);
  }

  #registerError(func: ResolvedFunc, cause: unknown): unknown {
    if (!(cause instanceof TrampolineError)) return cause;
    if (cause instanceof SiteError && cause.code === 'ERANGE') return cause;
    return new PatchError(
      cause.code,
      `failed to register ftrace handler for function '${func.oldName}' at ${hex(func.site)}`,
      {
        operation: 'enable',
        patch: func.patch,
        func: func.oldName,
        cause,
      },
    );
  }
}
