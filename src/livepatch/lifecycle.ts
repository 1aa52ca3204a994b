// What becomes of a patch: initialised, enabled, turned round, disabled, freed, in the order of klp/core.c.
import type { Core } from '../core/core.ts';
import { PatchError } from '../errors.ts';
import type { Ftrace } from '../ftrace/ftrace.ts';
import type { TrampolineKind } from '../ftrace/trampoline.ts';
import type { Twins } from '../twins.ts';
import { FuncAttacher } from './attach.ts';
import { type CallbackParts, CallbackRunner } from './callbacks.ts';
import { type InitParts, initPatch } from './init.ts';
import type { ModuleParts } from './modules.ts';
import { funcsOf, objectTitle, type Patch, type PatchObject, type PatchSpec, twinOfPatch } from './patch.ts';
import { PatchList } from './patch-list.ts';
import { type Policy, refuseToSkip, refuseToUndercut, registers } from './policy.ts';
import type { StackTrace } from './stack-check.ts';
import { isCompatible } from './states.ts';
import type { Task, TaskList } from './tasks.ts';
import { type Target, Transition, type TransitionParts } from './transition.ts';

/** Who makes tasks switch: every operation that leaves a transition running, or only `switchTasks` and `tick`. */
export type TransitionMode = 'auto' | 'manual';

/** What livepatch works with. */
export interface LivepatchParts extends InitParts, CallbackParts {
  core: Core;
  ftrace: Ftrace;
  tasks: TaskList;
  /** The kind of trampoline: args since 5.11 (L27). */
  trampoline: TrampolineKind;
  /** Of a site with a func stack: the handler in the guest and where its ops lies; undefined where the core decides. */
  guestOps(site: bigint): { handler: bigint; place: bigint } | undefined;
  /** True for the task that has the machine's own CPU. */
  isRunning(task: Task): boolean;
  /** Where a sleeping task's functions stand, read off its stack; undefined where it is in no call. */
  stackTrace(task: Task): StackTrace | undefined;
  transition: TransitionMode;
  policy: Policy;
  kernel: string;
}

/** The patches of one machine and the transition that runs, at most one. */
export class Lifecycle {
  readonly patches: PatchList;
  readonly attacher: FuncAttacher;
  readonly callbacks: CallbackRunner;
  readonly #parts: LivepatchParts;
  #transition: Transition | undefined;

  /** @param fork that of the machine that this one is a fork of */
  constructor(parts: LivepatchParts, fork?: { readonly from: Lifecycle; readonly twins: Twins }) {
    const { core, ftrace, log, faults, trampoline, guestOps } = parts;
    this.#parts = parts;
    const { from, twins } = fork ?? {};
    this.patches = new PatchList(fork && { from: fork.from.patches, twins: fork.twins });
    this.attacher = new FuncAttacher(
      { core, ftrace, log, faults, kind: trampoline, guestOps },
      fork && { from: fork.from.attacher, twins: fork.twins },
    );
    this.callbacks = new CallbackRunner(parts);
    const running = from === undefined ? undefined : from.#transition;
    if (running === undefined || twins === undefined) return;
    this.#transition = new Transition(
      twinOfPatch(running.patch, twins),
      running.target,
      this.#transitionParts(),
      running,
    );
  }

  /** The transition that runs, or undefined. */
  get transition(): Transition | undefined {
    return this.#transition;
  }

  /** klp_enable_patch of 5.1 and later (L9–L20). */
  insertAndEnable(spec: PatchSpec): Patch {
    const patch = this.init('enable', spec);
    this.refuseInTransition('enable', spec.name);
    this.#verifyReplaced(patch, this.patches.all);
    this.patches.add(patch);
    try {
      this.#enable(patch);
    } catch (error) {
      this.patches.withdraw(patch);
      throw error;
    }
    this.patches.hold(patch);
    this.#start();
    return patch;
  }

  /** klp_enable_patch of 5.0 and earlier, and of the series that led to 5.1: only the first disabled patch (L52). */
  enableRegistered(name: string): Patch {
    const about = { operation: 'enable', patch: name };
    const patch = this.patches.get(name);
    if (patch === undefined) {
      const what = this.patches.getReplaced(name) === undefined ? 'is not registered' : 'was replaced';
      throw new PatchError('EINVAL', `patch '${name}' ${what}`, about); // klp_is_patch_usable (L53)
    }
    this.refuseInTransition('enable', name);
    if (patch.enabled) throw new PatchError('EINVAL', `patch '${name}' is enabled already`, about);
    refuseToSkip(patch, this.patches);
    this.#verifyReplaced(patch, this.patches.earlier(patch));
    this.#enable(patch);
    this.#start();
    return patch;
  }

  /** klp_init_patch, and what is checked before it. */
  init(operation: string, spec: PatchSpec): Patch {
    const { name } = spec;
    const about = { operation, patch: name };
    if (this.patches.get(name) !== undefined || this.patches.getReplaced(name) !== undefined) {
      const fact = `patch '${name}' is ${operation === 'enable' ? 'enabled' : 'there'} already`;
      throw new PatchError('EEXIST', fact, about);
    }
    if (this.patches.isKeptForGood(name)) {
      throw new PatchError('EEXIST', `the module of '${name}' is loaded for good: the patch was forced`, about);
    }
    const listed = this.patches.all;
    if (!isCompatible(spec, listed)) {
      throw this.#parts.log.refuse('EINVAL', { kind: 'incompatible', patch: name }, about);
    }
    this.#parts.faults.pass('module-get'); // L14
    return initPatch(spec, listed, this.#parts);
  }

  /** __klp_disable_patch (L47). */
  disable(patch: Patch): void {
    this.refuseInTransition('disable', patch.name);
    if (registers(this.#parts.policy)) refuseToUndercut(patch, this.patches);
    for (const object of patch.objects) this.attacher.verify(object);
    const running = this.#begin(patch, 'unpatched');
    for (const object of patch.objects) if (object.patched) this.callbacks.preUnpatch(patch, object);
    running.start();
    patch.enabled = false;
    this.#start();
  }

  /** See Livepatch.abandon. */
  abandon(name: string): void {
    const patch = this.patches.get(name);
    if (patch === undefined) return;
    for (const object of patch.objects) this.attacher.verify(object);
    for (const object of patch.objects) if (object.patched) this.attacher.unpatchObject(object);
    for (const func of funcsOf(patch)) this.attacher.setTransition(func, false);
    if (this.#transition?.patch === patch) {
      this.#transition = undefined;
      this.#parts.core.setPatchStateAll('idle');
    }
    patch.enabled = false;
    this.patches.forget(patch);
  }

  reverse(running: Transition): void {
    running.reverse();
    this.#start();
  }

  force(running: Transition): void {
    running.force(this.patches.all, registers(this.#parts.policy));
    this.completeIfDone(running);
  }

  /** klp_try_complete_transition, of the transition that runs. */
  tryComplete(): void {
    const running = this.#transition;
    if (running === undefined) return;
    running.tryAll();
    this.completeIfDone(running);
  }

  /** Completes a transition whose tasks have all arrived, and frees what it leaves behind. */
  completeIfDone(running: Transition): void {
    if (!running.done) return;
    running.verify();
    running.complete();
    this.#transition = undefined;
    const { patch } = running;
    const staying = registers(this.#parts.policy);
    const gone = patch.enabled && patch.spec.replace === true ? this.patches.earlier(patch) : [];
    for (const old of gone) {
      if (staying) this.patches.moveToReplaced(old);
      else this.patches.free(old); // klp_free_replaced_patches_async (L49)
    }
    // klp_free_patch_async (L49); a registered patch stays until it is unregistered
    if (!patch.enabled && !staying) this.patches.free(patch);
  }

  /** @throws {PatchError} EBUSY any patch is in transition (L19, L47) */
  refuseInTransition(operation: string, name: string): void {
    const running = this.#transition?.patch.name;
    if (running === undefined) return;
    throw new PatchError('EBUSY', `patch '${name}' must wait, '${running}' is in transition`, {
      operation,
      patch: name,
    });
  }

  /** What the walk of the patches takes when a module comes or goes. */
  moduleParts(): ModuleParts {
    const { attacher, callbacks, patches } = this;
    return {
      log: this.#parts.log,
      attacher,
      callbacks,
      init: this.#parts,
      clearsRelocations: this.#parts.kernel !== '6.1',
      patches: () => patches.all,
      transitioning: () => this.#transition?.patch,
    };
  }

  /** What completing will take off, compared before anything is changed (F13). */
  #verifyReplaced(patch: Patch, earlier: readonly Patch[]): void {
    if (patch.spec.replace !== true) return;
    for (const old of earlier) for (const object of old.objects) this.attacher.verify(object);
  }

  /** __klp_enable_patch up to the start of the transition; undone where it throws (L45, L46). */
  #enable(patch: Patch): void {
    const { log } = this.#parts;
    log.emit({ kind: 'enabling', patch: patch.name });
    const running = this.#begin(patch, 'patched');
    try {
      for (const object of patch.objects) if (object.loaded) this.#apply(patch, object);
    } catch (error) {
      log.emit({ kind: 'enableFailed', patch: patch.name });
      running.cancel();
      this.#transition = undefined;
      throw error;
    }
    running.start();
    patch.enabled = true;
  }

  /** pre_patch of one object, then its funcs. */
  #apply(patch: Patch, object: PatchObject): void {
    const { log } = this.#parts;
    const title = objectTitle(object.name);
    try {
      this.callbacks.prePatch(patch, object);
    } catch (error) {
      log.emit({ kind: 'prePatchFailed', object: title });
      throw error;
    }
    try {
      this.attacher.patchObject(object);
    } catch (error) {
      log.emit({ kind: 'patchObjectFailed', object: title });
      throw error;
    }
  }

  #begin(patch: Patch, target: Target): Transition {
    this.#transition = new Transition(patch, target, this.#transitionParts());
    return this.#transition;
  }

  #transitionParts(): TransitionParts {
    const { core, tasks, log, isRunning, stackTrace } = this.#parts;
    const { attacher, callbacks } = this;
    const earlier = (one: Patch): readonly Patch[] => this.patches.earlier(one);
    return { core, tasks, log, attacher, callbacks, isRunning, stackTrace, earlier };
  }

  /** The first attempt to complete, right after a start. */
  #start(): void {
    if (this.#transition === undefined) return;
    if (this.#parts.transition === 'auto') this.tryComplete();
    else this.completeIfDone(this.#transition);
  }
}
