// The callbacks of objects: when each of the four runs, and what its result means (L75–L78).
import { errnoName, PatchError } from '../errors.ts';
import type { Faults } from '../faults.ts';
import type { Log } from './log.ts';
import type { Callback, ModuleState, Patch, PatchObject } from './patch.ts';
import { objectTitle } from './patch.ts';

/** What running callbacks takes. */
export interface CallbackParts {
  log: Log;
  faults: Faults;
  /** Runs a guest function, `image:symbol` or an address, and returns rax. */
  runGuest(target: string | bigint, args: readonly bigint[]): bigint;
  /** Writes into the guest's structs of a patch what became of it, for the guest to read. */
  writeBack(patch: Patch): void;
  /** Where a loaded module stands. */
  moduleState(name: string): ModuleState;
}

/** Runs callbacks. */
export class CallbackRunner {
  readonly #parts: CallbackParts;
  #failure: { error: unknown } | undefined;

  constructor(parts: CallbackParts) {
    this.#parts = parts;
  }

  /**
   * Runs pre_patch; post_unpatch is due from then on where it succeeds or is absent (L76).
   * @throws {PatchError} with the errno it returned · whatever a host function throws, or a guest function's fault
   */
  prePatch(patch: Patch, object: PatchObject): void {
    object.postUnpatchEnabled = false;
    const { prePatch } = object.callbacks;
    const result =
      prePatch === undefined ? 0 : this.#parts.faults.call('pre-patch', () => this.#run(patch, object, prePatch));
    if (result !== 0) {
      const code = errnoName(result) ?? 'EINVAL';
      throw new PatchError(code, `pre-patch callback of object '${objectTitle(object.name)}' returned ${result}`, {
        operation: 'enable',
        patch: patch.name,
      });
    }
    object.postUnpatchEnabled = true;
  }

  postPatch(patch: Patch, object: PatchObject): void {
    this.#runVoid(patch, object, object.callbacks.postPatch);
  }

  preUnpatch(patch: Patch, object: PatchObject): void {
    this.#runVoid(patch, object, object.callbacks.preUnpatch);
  }

  /** Runs post_unpatch only where pre_patch had succeeded (L76). */
  postUnpatch(patch: Patch, object: PatchObject): void {
    const due = object.postUnpatchEnabled;
    object.postUnpatchEnabled = false;
    if (due) this.#runVoid(patch, object, object.callbacks.postUnpatch);
  }

  /**
   * Throws the first error of a callback that has no result to give, once what it interrupted is finished.
   */
  rethrow(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  // such a callback cannot refuse: what was begun is finished first, or a transition would stay half done
  #runVoid(patch: Patch, object: PatchObject, callback: Callback | undefined): void {
    try {
      this.#run(patch, object, callback);
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  #run(patch: Patch, object: PatchObject, callback: Callback | undefined): number {
    if (callback === undefined) return 0;
    if (typeof callback !== 'function') {
      this.#parts.writeBack(patch);
      const target = typeof callback === 'string' ? `${patch.spec.image ?? patch.name}:${callback}` : callback;
      const result = this.#parts.runGuest(target, [object.struct ?? 0n]);
      return Number(BigInt.asIntN(32, result));
    }
    return callback({
      patch: patch.name,
      object: objectTitle(object.name),
      moduleState: object.name === null ? undefined : this.#parts.moduleState(object.name),
      say: (line) => this.#parts.log.say(line),
    });
  }
}
