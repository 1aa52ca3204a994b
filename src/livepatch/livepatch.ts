// The patches of one machine as its users reach them: each operation whole, and none inside another.
import { PatchError } from '../errors.ts';
import type { Twins } from '../twins.ts';
import type { StackEntry } from './attach.ts';
import { Lifecycle, type LivepatchParts } from './lifecycle.ts';
import { moduleComing, moduleGoing, verifyModule } from './modules.ts';
import type { Patch, PatchSpec, StateSpec } from './patch.ts';
import { needRegistration, refuseReplace, registers } from './policy.ts';
import { lastState, stateOf } from './states.ts';
import { type SysfsNode, sysfsNode, sysfsWrite } from './sysfs.ts';
import type { SwitchAttempt, Transition, TransitionState } from './transition.ts';

export type { StackEntry } from './attach.ts';
export type { LivepatchParts, TransitionMode } from './lifecycle.ts';
export type { Policy } from './policy.ts';
export type { TransitionState } from './transition.ts';

/**
 * The patches of one machine. By the policy of 5.1 and later any patch may be disabled at any time; the order of
 * enabling lives on in the func stacks alone (L52). A call from inside a callback is EBUSY.
 */
export class Livepatch {
  readonly #parts: LivepatchParts;
  readonly #life: Lifecycle;
  #busy = false;
  /** WARN_ON_ONCE of klp_get_prev_state. */
  #warnedOfState = false;

  /** @param fork that of the machine that this one is a fork of */
  constructor(parts: LivepatchParts, fork?: { readonly from: Livepatch; readonly twins: Twins }) {
    this.#parts = parts;
    this.#life = new Lifecycle(parts, fork && { from: fork.from.#life, twins: fork.twins });
    if (fork !== undefined) this.#warnedOfState = fork.from.#warnedOfState;
  }

  /** True inside an operation, which callbacks are. */
  get busy(): boolean {
    return this.#busy;
  }

  /** The listed patches (klp_patches) in the order of enabling; one that is being disabled is still among them. */
  get patches(): readonly Patch[] {
    return this.#life.patches.all;
  }

  /** The transition that runs, or undefined. */
  get transition(): TransitionState | undefined {
    return this.#life.transition?.state();
  }

  /**
   * Inserts a patch's module and enables the patch (L9–L20, L45). Its funcs go on top of the stacks of the functions
   * they replace; the site of a function whose stack was empty becomes a call of its trampoline (L28–L31). A module
   * that is inserted but no longer held is removed first. By the policies `strict-stack` and `v10` the patch must be
   * registered, and be the first disabled one (L52) or replace those before it (L53).
   *
   * @throws {PatchError} EEXIST the patch is listed or its module cannot be removed, or it names a function twice
   * (L15) · EINVAL L9, L13, L16, L17, L22, L23, L29 · ENOENT a size is unknown (L18) · EBUSY a transition runs (L19), or
   * called from a callback · ENOMEM a pool is full · what pre_patch returned (L46)
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11) · ERANGE a trampoline is out of reach
   * Nothing is changed then.
   */
  enable(spec: PatchSpec): Patch {
    return this.#operate('enable', () =>
      registers(this.#parts.policy) ? this.#life.enableRegistered(spec.name) : this.#life.insertAndEnable(spec),
    );
  }

  /**
   * Inserts a patch's module and registers the patch, disabled (klp_register_patch of 5.0 and earlier, L52). The nops of
   * one that replaces are made now, over all registered patches (L53).
   *
   * @throws {PatchError} ENOTSUPP the policy is `independent`, or it is `strict-stack` and the patch replaces · and as
   * `enable` where the patch itself is wrong
   */
  register(spec: PatchSpec): Patch {
    return this.#operate('register', () => {
      needRegistration(this.#parts.policy, 'register', spec.name);
      if (spec.replace === true) refuseReplace(this.#parts.policy, spec.name);
      const patch = this.#life.init('register', spec);
      this.#life.patches.add(patch);
      this.#life.patches.hold(patch);
      return patch;
    });
  }

  /**
   * Unregisters a disabled or replaced patch (klp_unregister_patch of 5.0 and earlier, L52, L53).
   * @throws {PatchError} ENOTSUPP the policy is `independent` · EINVAL not registered · EBUSY enabled or in transition
   */
  unregister(name: string): void {
    this.#operate('unregister', () => {
      needRegistration(this.#parts.policy, 'unregister', name);
      const about = { operation: 'unregister', patch: name };
      const { patches } = this.#life;
      const patch = patches.get(name) ?? patches.getReplaced(name);
      if (patch === undefined) throw new PatchError('EINVAL', `patch '${name}' is not registered`, about);
      if (patch.enabled || this.#life.transition?.patch === patch) {
        throw new PatchError('EBUSY', `patch '${name}' is in use; disable it first`, about);
      }
      patches.free(patch);
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
      const patch = this.#life.patches.get(name);
      if (patch === undefined || !patch.enabled) {
        throw new PatchError('EINVAL', `patch '${name}' is not enabled`, { operation: 'disable', patch: name });
      }
      const running = this.#life.transition;
      if (running?.patch === patch) this.#life.reverse(running);
      else this.#life.disable(patch);
    });
  }

  /**
   * Turns the transition of a patch round, in either direction (L50).
   * @throws {PatchError} EINVAL the patch is not in transition · EBUSY called from a callback
   */
  reverse(name: string): void {
    this.#operate('reverse', () => this.#life.reverse(this.#transitionOf('reverse', name)));
  }

  /**
   * Makes every task reach the target of a patch's transition, whatever it does (L74).
   * @throws {PatchError} EINVAL the patch is not in transition (L84) · EBUSY called from a callback
   */
  force(name: string): void {
    this.#operate('force', () => this.#life.force(this.#transitionOf('force', name)));
  }

  /**
   * Tries to switch tasks, each one once (L69); the transition completes when all have reached the target.
   *
   * @param names all tasks by default
   * @throws {PatchError} ENOENT no such task · EINVAL no transition runs · EBUSY called from a callback
   */
  switchTasks(names?: readonly string[]): SwitchAttempt[] {
    return this.#operate('switch', () => {
      const running = this.#life.transition;
      if (running === undefined) {
        throw new PatchError('EINVAL', 'no transition is running', { operation: 'switch' });
      }
      const { tasks } = this.#parts;
      const chosen = names === undefined ? tasks.all : names.map((name) => tasks.need(name));
      const attempts = chosen.map((task) => running.trySwitch(task));
      this.#life.completeIfDone(running);
      return attempts;
    });
  }

  /** Lets the periodic work of a transition run so many times, a second of the kernel's each (L72). */
  tick(count = 1): void {
    this.#operate('tick', () => {
      for (let i = 0; i < count && this.#life.transition !== undefined; i++) this.#life.tryComplete();
    });
  }

  /** Lets tasks switch after something about them changed; does nothing in manual mode. */
  settle(): void {
    this.#operate('switch', () => {
      if (this.#parts.transition === 'auto') this.#life.tryComplete();
    });
  }

  /**
   * Removes a patch's module.
   * @throws {PatchError} ENOENT it is not inserted · EBUSY its patch is listed, or was forced (L74)
   */
  unload(name: string): void {
    this.#operate('unload', () => this.#life.patches.removeModule(name));
  }

  /** True while a patch's module is inserted. */
  isInserted(name: string): boolean {
    return this.#life.patches.isInserted(name);
  }

  /**
   * Applies the listed patches to a module that is loading, before its init runs (L63–L65, L68).
   * @throws {PatchError} what refused it; what was applied to the module is undone, the patches stay as they were
   */
  moduleComing(module: string): void {
    this.#operate('load', () => moduleComing(module, this.#life.moduleParts()));
  }

  /**
   * Takes the listed patches off a module, after its exit has run (L66).
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11); nothing is changed then
   */
  moduleGoing(module: string): void {
    this.#operate('unload', () => {
      verifyModule(module, this.#life.moduleParts());
      moduleGoing(module, this.#life.moduleParts());
    });
  }

  /** The func stack of the function with this site, newest first; empty where it runs its original. */
  stack(site: bigint): StackEntry[] {
    return this.#life.attacher.stack(site);
  }

  /** The file or directory at a path relative to /sys/kernel/livepatch; undefined where there is none (L82). */
  sysfs(path: string): SysfsNode | undefined {
    return sysfsNode(path, this.#life.patches, this.#life.transition?.patch, this.#parts.kernel);
  }

  /**
   * Writes to a file under /sys/kernel/livepatch.
   * @throws {PatchError} ENOENT no such file · EACCES it cannot be written · EINVAL L83, L84 · EBUSY L47
   * @throws {SiteError} as `disable`
   */
  writeSysfs(path: string, value: string): void {
    const life = this.#life;
    this.#operate('sysfs write', () =>
      sysfsWrite(path, value, life.patches, {
        transitioning: () => life.transition?.patch,
        reverse: () => life.transition && life.reverse(life.transition),
        disable: (patch) => life.disable(patch),
        enable: registers(this.#parts.policy) ? (patch) => life.enableRegistered(patch.name) : undefined,
        force: () => life.transition && life.force(life.transition),
      }),
    );
  }

  /** klp_get_state: a listed patch's state with this id (L80), or undefined. */
  state(patch: string, id: number): StateSpec | undefined {
    const found = this.#life.patches.get(patch);
    return found && stateOf(found.spec, id);
  }

  /**
   * klp_get_prev_state: the state with this id before the patch in transition, or undefined. Outside a transition there is
   * none, and the first such question is an event (L80).
   */
  previousState(id: number | bigint): StateSpec | undefined {
    const running = this.#life.transition;
    if (running !== undefined) return lastState(this.#life.patches.earlier(running.patch), Number(id));
    if (!this.#warnedOfState) this.#parts.log.emit({ kind: 'noPreviousState', id: BigInt(id) });
    this.#warnedOfState = true;
    return undefined;
  }

  /**
   * Takes a patch off whose module is freed under it, because its init failed after it had enabled the patch: no callback
   * runs and nothing is logged. What the patch has replaced does not come back.
   *
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11)
   */
  abandon(name: string): void {
    this.#operate('load', () => this.#life.abandon(name));
  }

  /** @throws {PatchError} EBUSY the module of that name is held by its patch, or for good (L74) */
  refuseRemoval(name: string): void {
    this.#life.patches.refuseRemoval(name);
  }

  #transitionOf(operation: string, name: string): Transition {
    const running = this.#life.transition;
    if (running?.patch.name === name) return running;
    throw new PatchError('EINVAL', `patch '${name}' is not in transition`, { operation, patch: name });
  }

  /** Runs one operation: none inside another, and what a callback threw comes out at its end. */
  #operate<T>(operation: string, act: () => T): T {
    if (this.#busy) {
      throw new PatchError('EBUSY', 'called from inside a callback', { operation });
    }
    this.#busy = true;
    const before = this.#life.patches.all;
    let result: T;
    try {
      result = act();
    } finally {
      this.#busy = false;
      for (const patch of new Set([...before, ...this.#life.patches.all])) this.#parts.writeBack(patch);
    }
    this.#life.callbacks.rethrow();
    return result;
  }
}
