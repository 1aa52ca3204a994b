// One transition: tasks switch on their own until all have reached the target; reverse, force, completion (klp/transition.c).
import type { Core } from '../core/core.ts';
import type { FuncAttacher } from './attach.ts';
import type { CallbackRunner } from './callbacks.ts';
import { other } from './events.ts';
import type { Log } from './log.ts';
import { type Func, funcsOf, type Patch } from './patch.ts';
import { type CheckedRange, CheckedRanges, type StackTrace } from './stack-check.ts';
import type { Task, TaskList } from './tasks.ts';

/** Where a transition goes. */
export type Target = 'patched' | 'unpatched';

/**
 * What came of an attempt (L69): EBUSY the task runs on another CPU · EINVAL its stack cannot be relied on · EADDRINUSE it
 * sleeps in a function that must not be on any stack (L70).
 */
export type SwitchAnswer = 'ok' | 'EBUSY' | 'EINVAL' | 'EADDRINUSE';

/** One attempt to switch one task. */
export interface SwitchAttempt {
  readonly task: string;
  readonly answer: SwitchAnswer;
  /** With EADDRINUSE: the name of the original function, as the kernel's log has it. */
  readonly on?: string;
  /** With EINVAL: what is wrong with the stack. */
  readonly why?: string;
}

/** The transition that runs. */
export interface TransitionState {
  readonly patch: string;
  readonly target: Target;
  /** Tasks that have not reached the target, and what keeps each from it now. */
  readonly left: readonly SwitchAttempt[];
}

/** Every so many retries the tasks that are left get a signal (L72). */
const SIGNALS_TIMEOUT = 15;

/** What a transition works with. */
export interface TransitionParts {
  core: Core;
  tasks: TaskList;
  log: Log;
  attacher: FuncAttacher;
  callbacks: CallbackRunner;
  /** True for the task that has the machine's own CPU. */
  isRunning(task: Task): boolean;
  /** Where a sleeping task's functions stand, read off its stack; undefined where it is in no call. */
  stackTrace(task: Task): StackTrace | undefined;
  /** The patches before this one on the list (klp_patches). */
  earlier(patch: Patch): readonly Patch[];
}

/** A transition that runs; one at a time in a machine. Made by klp_init_transition (L45, L47). */
export class Transition {
  readonly patch: Patch;
  readonly #parts: TransitionParts;
  #target: Target;
  #tries = 0;
  /** What is checked, as of a version of the func stacks. */
  #checked: { readonly target: Target; readonly version: number; readonly ranges: CheckedRanges } | undefined;

  /** @param from the one of the machine that this one is a fork of, with its patch as it is here: it goes on */
  constructor(patch: Patch, target: Target, parts: TransitionParts, from?: Transition) {
    this.patch = patch;
    this.#parts = parts;
    this.#target = target;
    if (from !== undefined) {
      this.#tries = from.#tries;
      return;
    }
    parts.log.emit({ kind: 'initializing', patch: patch.name, target });
    parts.core.setPatchStateAll(other(target));
    for (const func of funcsOf(patch)) parts.attacher.setTransition(func, true);
  }

  get target(): Target {
    return this.#target;
  }

  /** klp_start_transition. */
  start(): void {
    this.#tries = 0;
    this.#parts.log.emit({ kind: 'starting', patch: this.patch.name, target: this.#target });
  }

  /** What keeps a task from switching, `ok` where nothing does (L69), in the kernel's order. Changes nothing. */
  check(task: Task): SwitchAttempt {
    const { name } = task;
    const { core, isRunning, stackTrace } = this.#parts;
    if (core.patchState(task.handle) === this.#target) return { task: name, answer: 'ok' };
    if (task.onCpu || isRunning(task)) return { task: name, answer: 'EBUSY' };
    const trace = stackTrace(task);
    if (trace === undefined) return { task: name, answer: 'ok' };
    if (trace.unreliable !== undefined) return { task: name, answer: 'EINVAL', why: trace.unreliable };
    const on = this.#ranges().standing(trace.addresses);
    return on === undefined ? { task: name, answer: 'ok' } : { task: name, answer: 'EADDRINUSE', on };
  }

  /** Which patch, where to, and the tasks that have not reached the target. */
  state(): TransitionState {
    const { core, tasks } = this.#parts;
    const left: SwitchAttempt[] = [];
    for (const task of tasks) if (core.patchState(task.handle) !== this.#target) left.push(this.check(task));
    return { patch: this.patch.name, target: this.#target, left };
  }

  /** Tries to switch one task (klp_try_switch_task, L69). */
  trySwitch(task: Task): SwitchAttempt {
    const { core, log } = this.#parts;
    const { name, pid } = task;
    const attempt = this.check(task);
    switch (attempt.answer) {
      case 'ok':
        core.setPatchState(task.handle, this.#target);
        task.pending = undefined;
        break;
      case 'EBUSY':
        log.emit({ kind: 'running', task: name, pid });
        break;
      case 'EINVAL':
        log.emit({ kind: 'unreliable', task: name, pid });
        break;
      case 'EADDRINUSE':
        log.emit({ kind: 'sleeping', task: name, pid, func: attempt.on ?? '' });
    }
    return attempt;
  }

  /** True once every task has reached the target (L73). */
  get done(): boolean {
    return this.#parts.core.tasksIn(this.#target) === this.#parts.tasks.size;
  }

  /** One pass of the periodic work: every task tries; those left get a signal every 15th time (L72). */
  tryAll(): void {
    for (const task of this.#parts.tasks) this.trySwitch(task);
    if (this.done) return;
    if (this.#tries > 0 && this.#tries % SIGNALS_TIMEOUT === 0) this.#signal();
    this.#tries++;
  }

  /** klp_reverse_transition: turns round and starts again; no callback runs (L50). */
  reverse(): void {
    const to = other(this.#target);
    this.#parts.log.emit({ kind: 'reversing', patch: this.patch.name, to });
    this.patch.enabled = to === 'patched';
    this.#target = to;
    this.start();
  }

  /**
   * klp_force_transition: all tasks have reached the target, whatever they do (L74).
   * @param listed all patches
   * @param everyPatch none of them can ever be removed, as before 5.18
   */
  force(listed: readonly Patch[], everyPatch: boolean): void {
    this.#parts.log.emit({ kind: 'forcing' });
    this.#parts.core.setPatchStateAll(this.#target);
    if (everyPatch) for (const patch of listed) patch.forced = true;
    else if (this.#target === 'unpatched') this.patch.forced = true;
    else if (this.patch.spec.replace === true) {
      for (const patch of listed) if (patch !== this.patch) patch.forced = true;
    }
  }

  /** klp_cancel_transition: enabling failed; goes back at once (L46). */
  cancel(): void {
    this.#parts.log.emit({ kind: 'canceling', patch: this.patch.name });
    this.#target = 'unpatched';
    this.complete();
  }

  /**
   * Compares the sites that completing will write, so that it fails before its first change or not at all.
   * @throws {SiteError} EFAULT, EINVAL a site was changed from outside (F11)
   */
  verify(): void {
    for (const patch of this.#leaving()) for (const object of patch.objects) this.#parts.attacher.verify(object);
  }

  /** klp_complete_transition (L48). */
  complete(): void {
    const { core, log, attacher, callbacks, earlier } = this.#parts;
    const { patch } = this;
    const target = this.#target;
    log.emit({ kind: 'completing', patch: patch.name, target });
    if (target === 'unpatched') {
      for (const object of patch.objects) if (object.patched) attacher.unpatchObject(object);
    } else if (patch.spec.replace === true) {
      for (const old of earlier(patch)) {
        old.enabled = false;
        for (const object of old.objects) if (object.patched) attacher.unpatchObject(object);
      }
      // klp_discard_nops (L58)
      for (const object of patch.objects) attacher.unpatchObject(object, true);
      patch.objects = patch.objects.filter((object) => !object.dynamic);
      for (const object of patch.objects) {
        object.funcs.splice(0, object.funcs.length, ...object.funcs.filter((func) => !func.nop));
      }
    }
    for (const func of funcsOf(patch)) attacher.setTransition(func, false);
    core.setPatchStateAll('idle');
    for (const object of patch.objects) {
      if (!object.loaded) continue;
      if (target === 'patched') callbacks.postPatch(patch, object);
      else callbacks.postUnpatch(patch, object);
    }
    log.emit({ kind: 'complete', patch: patch.name, target });
  }

  /** klp_send_signals: user tasks get a fake signal, kthreads are woken (L72). */
  #signal(): void {
    const { core, log, tasks } = this.#parts;
    // the kernel says so once in a transition
    if (this.#tries === SIGNALS_TIMEOUT) log.emit({ kind: 'signaling' });
    for (const task of tasks) {
      if (core.patchState(task.handle) !== this.#target) task.pending = task.kthread ? 'wakeup' : 'signal';
    }
  }

  /** The ranges that must be on no stack; made again only when the func stacks or the target have changed. */
  #ranges(): CheckedRanges {
    const target = this.#target;
    const { version } = this.#parts.attacher;
    if (this.#checked?.target !== target || this.#checked.version !== version) {
      const ranges: CheckedRange[] = [];
      for (const object of this.patch.objects) {
        if (object.patched) for (const func of object.funcs) ranges.push(this.#rangeOf(func));
      }
      this.#checked = { target, version, ranges: new CheckedRanges(ranges) };
    }
    return this.#checked.ranges;
  }

  /**
   * klp_check_stack_func (L70): going back, the new function; going forward, what this func replaces, the original where
   * nothing is under it on its stack.
   */
  #rangeOf(func: Func): CheckedRange {
    const { oldName, old } = func;
    const left = this.#target === 'unpatched' ? func : this.#parts.attacher.below(func);
    if (left !== undefined) return { start: left.newFunc, size: left.newSize, func: oldName };
    return { start: old?.address ?? 0n, size: old?.size ?? 0n, func: oldName };
  }

  /** The patches whose funcs completing takes off. */
  #leaving(): readonly Patch[] {
    if (this.#target === 'unpatched') return [this.patch];
    return this.patch.spec.replace === true ? [...this.#parts.earlier(this.patch), this.patch] : [];
  }
}
