// The patches of one machine: enabling, disabling, transitions and modules, in the order of klp/core.c.

import type { Core } from '../core/core.ts';
import { PatchError } from '../errors.ts';
import type { Ftrace } from '../ftrace/ftrace.ts';
import type { TrampolineKind } from '../ftrace/trampoline.ts';
import { FuncAttacher } from './attach.ts';
import { type CallbackParts, CallbackRunner } from './callbacks.ts';
import { type InitParts, initPatch } from './init.ts';
import type { Log } from './log.ts';
import { type ModuleParts, moduleComing, moduleGoing, verifyModule } from './modules.ts';
import { objectTitle, type Patch, type PatchSpec, type StateSpec } from './patch.ts';
import { isCompatible, lastState, stateOf } from './states.ts';
import { type SysfsNode, sysfsNode, sysfsWrite } from './sysfs.ts';
import type { Task, TaskList } from './tasks.ts';
import { type SwitchAttempt, type Target, Transition, type TransitionParts } from './transition.ts';

/** Who makes tasks switch: every operation that leaves a transition running, or only `switchTasks` and `tick`. */
export type TransitionMode = 'auto' | 'manual';

/**
 * The rules of which kernel: `independent` (5.1 and later) disables patches in any order; `strict-stack` (5.0 and
 * earlier) registers, enables, disables and unregisters them, the last enabled one first (L52).
 */
export type Policy = 'independent' | 'strict-stack';

/** What livepatch works with. */
export interface LivepatchParts extends Omit<InitParts, 'log'>, Omit<CallbackParts, 'log'> {
  core: Core;
  ftrace: Ftrace;
  log: Log;
  tasks: TaskList;
  /** The kind of trampoline: args since 5.11 (L27). */
  trampoline: TrampolineKind;
  transition: TransitionMode;
  policy: Policy;
  kernel: string;
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

/** The transition that runs. */
export interface TransitionState {
  readonly patch: string;
  readonly target: Target;
  /** Tasks that have not reached the target, and what keeps each from it now. */
  readonly left: readonly SwitchAttempt[];
}

/**
 * The patches of one machine. By the policy of 5.1 and later any patch may be disabled at any time; the order of
 * enabling lives on in the func stacks alone (L52). A call from inside a callback is EBUSY.
 */
export class Livepatch {
  readonly #parts: LivepatchParts;
  readonly #attacher: FuncAttacher;
  readonly #callbacks: CallbackRunner;
  /** klp_patches: in the order of enabling. */
  readonly #patches: Patch[] = [];
  /** Patch modules that are inserted, and whether a patch holds its module. */
  readonly #inserted = new Map<string, { held: boolean }>();
  #transition: Transition | undefined;
  #busy = false;

  constructor(parts: LivepatchParts) {
    const { core, ftrace, log, trampoline } = parts;
    this.#parts = parts;
    this.#attacher = new FuncAttacher({ core, ftrace, log, kind: trampoline });
    this.#callbacks = new CallbackRunner(parts);
  }

  /** The listed patches (klp_patches) in the order of enabling; one that is being disabled is still among them. */
  get patches(): readonly Patch[] {
    return [...this.#patches];
  }

  /** The transition that runs, or undefined. */
  get transition(): TransitionState | undefined {
    const running = this.#transition;
    if (running === undefined) return undefined;
    const { core, tasks } = this.#parts;
    const left = tasks.all.filter(({ handle }) => core.patchState(handle) !== running.target);
    return { patch: running.patch.name, target: running.target, left: left.map((task) => running.check(task)) };
  }

  /**
   * Inserts a patch's module and enables the patch (L9–L20, L45). Its funcs go on top of the stacks of the functions
   * they replace; the site of a function whose stack was empty becomes a call of its trampoline (L28–L31). A module
   * that is inserted but no longer held is removed first. By the policy `strict-stack` the patch must be registered, and
   * be the first disabled one (L52).
   *
   * @throws {PatchError} EEXIST the patch is listed or its module cannot be removed, or it names a function twice
   * (L15) · EINVAL L9, L13, L16, L17, L22, L23, L29 · ENOENT a size is unknown (L18) · EBUSY a transition runs (L19), or
   * called from a callback · ENOMEM a pool is full · what pre_patch returned (L46)
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11) · ERANGE a trampoline is out of reach
   * Nothing is changed then.
   */
  enable(spec: PatchSpec): Patch {
    return this.#operate('enable', () => {
      if (this.#parts.policy === 'strict-stack') return this.#enableRegistered(spec.name);
      const patch = this.#init('enable', spec);
      this.#refuseInTransition('enable', spec.name);
      this.#patches.push(patch);
      try {
        this.#enable(patch);
      } catch (error) {
        this.#patches.splice(this.#patches.indexOf(patch), 1);
        this.#transition = undefined;
        throw error;
      }
      this.#inserted.set(spec.name, { held: true });
      this.#start();
      return patch;
    });
  }

  /**
   * Inserts a patch's module and registers the patch, disabled (klp_register_patch of 5.0 and earlier, L52).
   *
   * @throws {PatchError} ENOTSUPP the policy is not `strict-stack`, or the patch replaces, which came with 5.1 · and as
   * `enable` where the patch itself is wrong
   */
  register(spec: PatchSpec): Patch {
    return this.#operate('register', () => {
      this.#needStrictStack('register', spec.name);
      if (spec.replace === true) {
        const about = { operation: 'register', patch: spec.name };
        throw new PatchError('ENOTSUPP', `patch '${spec.name}' replaces, which kernels before 5.1 cannot`, about);
      }
      const patch = this.#init('register', spec);
      this.#patches.push(patch);
      this.#inserted.set(spec.name, { held: true });
      return patch;
    });
  }

  /**
   * Unregisters a disabled patch (klp_unregister_patch of 5.0 and earlier, L52).
   * @throws {PatchError} ENOTSUPP the policy is not `strict-stack` · EINVAL not registered · EBUSY enabled or in transition
   */
  unregister(name: string): void {
    this.#operate('unregister', () => {
      this.#needStrictStack('unregister', name);
      const about = { operation: 'unregister', patch: name };
      const patch = this.#patches.find((one) => one.name === name);
      if (patch === undefined) throw new PatchError('EINVAL', `patch '${name}' is not registered`, about);
      if (patch.enabled || this.#transition?.patch === patch) {
        throw new PatchError('EBUSY', `patch '${name}' is in use; disable it first`, about);
      }
      this.#free(patch);
    });
  }

  /**
   * Writes 0 to a patch's `enabled`: disables it, at whatever place of the stacks it stands (L32, L47), or turns its own
   * transition round (L50). The site of a function whose stack gets empty becomes a NOP5 again.
   *
   * @throws {PatchError} EINVAL no such patch is enabled (L83) · EBUSY another patch is in transition (L47), or called
   * from a callback
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11). Nothing is changed then.
   */
  disable(name: string): void {
    this.#operate('disable', () => {
      const patch = this.#patches.find((one) => one.name === name);
      if (patch === undefined || !patch.enabled) {
        throw new PatchError('EINVAL', `patch '${name}' is not enabled`, { operation: 'disable', patch: name });
      }
      if (this.#transition?.patch === patch) this.#reverse(this.#transition);
      else this.#disable(patch);
    });
  }

  /**
   * Turns the transition of a patch round, in either direction (L50).
   * @throws {PatchError} EINVAL the patch is not in transition · EBUSY called from a callback
   */
  reverse(name: string): void {
    this.#operate('reverse', () => this.#reverse(this.#transitionOf('reverse', name)));
  }

  /**
   * Makes every task reach the target of a patch's transition, whatever it does (L74).
   * @throws {PatchError} EINVAL the patch is not in transition (L84) · EBUSY called from a callback
   */
  force(name: string): void {
    this.#operate('force', () => this.#force(this.#transitionOf('force', name)));
  }

  /**
   * Tries to switch tasks, each one once (L69); the transition completes when all have reached the target.
   *
   * @param names all tasks by default
   * @throws {PatchError} ENOENT no such task · EINVAL no transition runs · EBUSY called from a callback
   */
  switchTasks(names?: readonly string[]): SwitchAttempt[] {
    return this.#operate('switch', () => {
      const running = this.#transition;
      if (running === undefined) {
        throw new PatchError('EINVAL', 'no transition is running', { operation: 'switch' });
      }
      const { tasks } = this.#parts;
      const chosen: readonly Task[] = names === undefined ? tasks.all : names.map((name) => tasks.need(name));
      const attempts = chosen.map((task) => running.trySwitch(task));
      this.#completeIfDone(running);
      return attempts;
    });
  }

  /** Lets the periodic work of a transition run so many times, a second of the kernel's each (L72). */
  tick(count = 1): void {
    this.#operate('tick', () => {
      for (let i = 0; i < count && this.#transition !== undefined; i++) this.#tryComplete(this.#transition);
    });
  }

  /** Lets tasks switch after something about them changed; does nothing in manual mode. */
  settle(): void {
    this.#operate('switch', () => this.#settle());
  }

  /**
   * Removes a patch's module.
   * @throws {PatchError} ENOENT it is not inserted · EBUSY its patch is listed, or was forced (L74)
   */
  unload(name: string): void {
    this.#operate('unload', () => {
      const about = { operation: 'unload', patch: name };
      const module = this.#inserted.get(name);
      if (module === undefined) throw new PatchError('ENOENT', `module '${name}' is not loaded`, about);
      if (module.held) throw new PatchError('EBUSY', `module '${name}' is in use by its patch`, about);
      this.#inserted.delete(name);
    });
  }

  /** True while a patch's module is inserted. */
  isInserted(name: string): boolean {
    return this.#inserted.has(name);
  }

  /**
   * Applies the listed patches to a module that is loading, before its init runs (L63–L65, L68).
   * @throws {PatchError} what refused it; what was applied to the module is undone, the patches stay as they were
   */
  moduleComing(module: string): void {
    this.#operate('load', () => moduleComing(module, this.#moduleParts()));
  }

  /**
   * Takes the listed patches off a module, after its exit has run (L66).
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11); nothing is changed then
   */
  moduleGoing(module: string): void {
    this.#operate('unload', () => {
      verifyModule(module, this.#moduleParts());
      moduleGoing(module, this.#moduleParts());
    });
  }

  /** The func stack of the function with this site, newest first; empty where it runs its original. */
  stack(site: bigint): StackEntry[] {
    return this.#attacher.stack(site).map(({ patch, newName, newFunc, nop, transition }) => {
      return { patch, newFunc: newName, address: newFunc, nop, transition };
    });
  }

  /** The file or directory at a path relative to /sys/kernel/livepatch; undefined where there is none (L82). */
  sysfs(path: string): SysfsNode | undefined {
    return sysfsNode(path, this.#patches, this.#transition?.patch, this.#parts.kernel);
  }

  /**
   * Writes to a file under /sys/kernel/livepatch.
   * @throws {PatchError} ENOENT no such file · EPERM it cannot be written · EINVAL L83, L84 · EBUSY L47
   * @throws {SiteError} as `disable`
   */
  writeSysfs(path: string, value: string): void {
    this.#operate('sysfs write', () =>
      sysfsWrite(path, value, this.#patches, {
        transitioning: () => this.#transition?.patch,
        reverse: () => this.#transition && this.#reverse(this.#transition),
        disable: (patch) => this.#disable(patch),
        enable: this.#parts.policy === 'strict-stack' ? (patch) => this.#enableRegistered(patch.name) : undefined,
        force: () => this.#transition && this.#force(this.#transition),
      }),
    );
  }

  /** klp_get_state: a listed patch's state with this id (L80), or undefined. */
  state(patch: string, id: number): StateSpec | undefined {
    const found = this.#patches.find((one) => one.name === patch);
    return found && stateOf(found.spec, id);
  }

  /** klp_get_prev_state: the state with this id before the patch in transition; undefined without one (L80). */
  previousState(id: number): StateSpec | undefined {
    const running = this.#transition;
    return running && lastState(this.#earlier(running.patch), id);
  }

  /** klp_init_patch, and what is checked before it. */
  #init(operation: string, spec: PatchSpec): Patch {
    const about = { operation, patch: spec.name };
    if (this.#patches.some((patch) => patch.name === spec.name)) {
      throw new PatchError(
        'EEXIST',
        `patch '${spec.name}' is ${operation === 'enable' ? 'enabled' : 'there'} already`,
        about,
      );
    }
    if (this.#inserted.get(spec.name)?.held === true) {
      throw new PatchError('EEXIST', `the module of '${spec.name}' is loaded for good: the patch was forced`, about);
    }
    if (!isCompatible(spec, this.#patches)) {
      throw this.#parts.log.refuse('EINVAL', { kind: 'incompatible', patch: spec.name }, about);
    }
    return initPatch(spec, this.#patches, this.#parts);
  }

  /** klp_enable_patch of 5.0 and earlier: only the first disabled patch (L52). */
  #enableRegistered(name: string): Patch {
    const about = { operation: 'enable', patch: name };
    const at = this.#patches.findIndex((one) => one.name === name);
    const patch = this.#patches[at];
    if (patch === undefined) throw new PatchError('EINVAL', `patch '${name}' is not registered`, about);
    this.#refuseInTransition('enable', name);
    if (patch.enabled) throw new PatchError('EINVAL', `patch '${name}' is enabled already`, about);
    const before = this.#patches[at - 1];
    if (before?.enabled === false) {
      throw new PatchError('EBUSY', `patch '${name}' must wait until '${before.name}' is enabled`, about);
    }
    try {
      this.#enable(patch);
    } catch (error) {
      this.#transition = undefined;
      throw error;
    }
    this.#start();
    return patch;
  }

  #needStrictStack(operation: string, patch: string): void {
    if (this.#parts.policy === 'strict-stack') return;
    throw new PatchError('ENOTSUPP', "only the policy 'strict-stack' registers patches", { operation, patch });
  }

  /** __klp_enable_patch up to the start of the transition; undone where it throws (L45, L46). */
  #enable(patch: Patch): void {
    const { log } = this.#parts;
    log.emit({ kind: 'enabling', patch: patch.name });
    const running = this.#begin(patch, 'patched');
    try {
      for (const object of patch.objects) {
        if (!object.loaded) continue;
        const title = objectTitle(object.name);
        try {
          this.#callbacks.prePatch(patch, object);
        } catch (error) {
          log.emit({ kind: 'prePatchFailed', object: title });
          throw error;
        }
        try {
          this.#attacher.patchObject(object);
        } catch (error) {
          log.emit({ kind: 'patchObjectFailed', object: title });
          throw error;
        }
      }
    } catch (error) {
      log.emit({ kind: 'enableFailed', patch: patch.name });
      running.cancel();
      throw error;
    }
    running.start();
    patch.enabled = true;
  }

  /** __klp_disable_patch (L47). */
  #disable(patch: Patch): void {
    this.#refuseInTransition('disable', patch.name);
    const after = this.#patches[this.#patches.indexOf(patch) + 1];
    if (this.#parts.policy === 'strict-stack' && after?.enabled === true) {
      const about = { operation: 'disable', patch: patch.name };
      throw new PatchError('EBUSY', `patch '${patch.name}' must wait until '${after.name}' is disabled`, about);
    }
    for (const object of patch.objects) this.#attacher.verify(object);
    const running = this.#begin(patch, 'unpatched');
    for (const object of patch.objects) if (object.patched) this.#callbacks.preUnpatch(patch, object);
    running.start();
    patch.enabled = false;
    this.#start();
  }

  #reverse(running: Transition): void {
    running.reverse();
    this.#start();
  }

  #force(running: Transition): void {
    running.force(this.#patches);
    this.#completeIfDone(running);
  }

  #begin(patch: Patch, target: Target): Transition {
    const { core, tasks, log } = this.#parts;
    const parts: TransitionParts = {
      core,
      tasks,
      log,
      attacher: this.#attacher,
      callbacks: this.#callbacks,
      earlier: (one) => this.#earlier(one),
    };
    this.#transition = new Transition(patch, target, parts);
    return this.#transition;
  }

  /** The first attempt to complete, right after a start. */
  #start(): void {
    const running = this.#transition;
    if (running === undefined) return;
    if (this.#parts.transition === 'auto') this.#tryComplete(running);
    else this.#completeIfDone(running);
  }

  #settle(): void {
    if (this.#transition !== undefined && this.#parts.transition === 'auto') this.#tryComplete(this.#transition);
  }

  /** klp_try_complete_transition. */
  #tryComplete(running: Transition): void {
    running.tryAll();
    this.#completeIfDone(running);
  }

  #completeIfDone(running: Transition): void {
    if (!running.done) return;
    running.verify();
    running.complete();
    this.#transition = undefined;
    const { patch } = running;
    // a registered patch stays until it is unregistered
    if (this.#parts.policy === 'strict-stack') return;
    // klp_free_patch_async, klp_free_replaced_patches_async (L49)
    if (!patch.enabled) this.#free(patch);
    else if (patch.spec.replace === true) for (const old of this.#earlier(patch)) this.#free(old);
  }

  /** The patch leaves the list and sysfs; its module is given back unless it was forced (L74). */
  #free(patch: Patch): void {
    this.#patches.splice(this.#patches.indexOf(patch), 1);
    const module = this.#inserted.get(patch.name);
    if (module !== undefined) module.held = patch.forced;
  }

  #earlier(patch: Patch): readonly Patch[] {
    return this.#patches.slice(0, this.#patches.indexOf(patch));
  }

  #transitionOf(operation: string, name: string): Transition {
    if (this.#transition?.patch.name === name) return this.#transition;
    throw new PatchError('EINVAL', `patch '${name}' is not in transition`, { operation, patch: name });
  }

  #refuseInTransition(operation: string, name: string): void {
    const running = this.#transition?.patch.name;
    if (running === undefined) return;
    throw new PatchError('EBUSY', `patch '${name}' must wait, '${running}' is in transition`, {
      operation,
      patch: name,
    });
  }

  #moduleParts(): ModuleParts {
    return {
      log: this.#parts.log,
      attacher: this.#attacher,
      callbacks: this.#callbacks,
      init: this.#parts,
      patches: () => this.#patches,
      transitioning: () => this.#transition?.patch,
    };
  }

  /** Runs one operation: none inside another, and what a callback threw comes out at its end. */
  #operate<T>(operation: string, act: () => T): T {
    if (this.#busy) {
      throw new PatchError('EBUSY', 'called from inside a callback', { operation });
    }
    this.#busy = true;
    let result: T;
    try {
      result = act();
    } finally {
      this.#busy = false;
    }
    this.#callbacks.rethrow();
    return result;
  }
}
