// Target modules that come and go while patches are loaded (klp_module_coming, klp_module_going).
import { PatchError, TrampolineError } from '../errors.ts';
import type { FuncAttacher } from './attach.ts';
import type { CallbackRunner } from './callbacks.ts';
import { forgetObject, type InitParts, initLoadedObject } from './init.ts';
import type { Log } from './log.ts';
import type { Patch, PatchObject } from './patch.ts';

/** What the walk of the patches takes. */
export interface ModuleParts {
  log: Log;
  attacher: FuncAttacher;
  callbacks: CallbackRunner;
  init: InitParts;
  /** Relocations become zero when a module goes, as since 6.3, so that it may come again (L25). */
  clearsRelocations: boolean;
  /** The listed patches, in the order of enabling. */
  patches(): readonly Patch[];
  /** The patch in transition, or undefined. */
  transitioning(): Patch | undefined;
}

/**
 * Applies every listed patch to a module that is loading, in list order (L64).
 *
 * @throws {PatchError} what a callback, a symbol or a site gave; what was applied to the module is undone (L65)
 */
export function moduleComing(module: string, parts: ModuleParts): void {
  const { log, attacher, callbacks, init } = parts;
  if (module === 'vmlinux') {
    throw log.refuse('EINVAL', { kind: 'invalidModuleName' }, { operation: 'load' }); // L63
  }
  const scope = init.object(module);
  if (scope === undefined) throw new PatchError('EINVAL', `'${module}' is no module`, { operation: 'load' });
  for (const { patch, object } of objectsOf(module, parts.patches())) {
    try {
      attempt(
        () => initLoadedObject(object, scope, init),
        (error) => log.emit({ kind: 'moduleInitFailed', patch: patch.name, module, error }),
      );
      // a patch that is only registered is applied when it is enabled (L52)
      if (!patch.enabled && patch !== parts.transitioning()) continue;
      log.emit({ kind: 'applying', patch: patch.name, module });
      attempt(
        () => callbacks.prePatch(patch, object),
        () => log.emit({ kind: 'prePatchFailed', object: module }),
      );
      attempt(
        () => attacher.patchObject(object),
        (error) => {
          log.emit({ kind: 'moduleApplyFailed', patch: patch.name, module, error });
          callbacks.postUnpatch(patch, object);
        },
      );
      // tasks still switch: post_patch is the transition's to call (L64)
      if (patch !== parts.transitioning()) callbacks.postPatch(patch, object);
    } catch (error) {
      log.emit({ kind: 'moduleRefused', patch: patch.name, module });
      forgetObject(object, init);
      revert(module, parts, patch);
      throw error;
    }
  }
}

/** Takes every listed patch off a module that is going (L66). */
export function moduleGoing(module: string, parts: ModuleParts): void {
  revert(module, parts);
}

/**
 * Compares the sites of a module that has patches on them.
 * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11)
 */
export function verifyModule(module: string, { attacher, patches }: ModuleParts): void {
  for (const { object } of objectsOf(module, patches())) attacher.verify(object);
}

/** klp_cleanup_module_patches_limited: up to the patch `limit`, which is left out. */
function revert(module: string, parts: ModuleParts, limit?: Patch): void {
  const { log, attacher, callbacks, init, clearsRelocations } = parts;
  for (const { patch, object } of objectsOf(module, parts.patches())) {
    if (patch === limit) break;
    if (!object.loaded) continue;
    if (patch.enabled || patch === parts.transitioning()) {
      if (patch !== parts.transitioning()) callbacks.preUnpatch(patch, object);
      log.emit({ kind: 'reverting', patch: patch.name, module });
      attacher.unpatchObject(object);
      callbacks.postUnpatch(patch, object);
    }
    forgetObject(object, clearsRelocations || limit !== undefined ? init : undefined);
  }
}

function objectsOf(module: string, patches: readonly Patch[]): { patch: Patch; object: PatchObject }[] {
  return patches.flatMap((patch) => {
    const object = patch.objects.find((one) => one.name === module);
    return object === undefined ? [] : [{ patch, object }];
  });
}

/** Runs `act`; of an error `failed` is told the errno before it goes on. */
function attempt(act: () => void, failed: (errno: number) => void): void {
  try {
    act();
  } catch (error) {
    failed(error instanceof TrampolineError ? error.errno : -22);
    throw error;
  }
}
