// The calls of livepatch and ftrace that can fail, one row each, and how a user makes one of them fail on purpose.
import { type ErrnoName, PatchError, type TrampolineError } from './errors.ts';

/** The kernel's own errno for the failure of a call, and what the call is. */
export interface FaultPointInfo {
  readonly errno: ErrnoName;
  readonly call: string;
}

/** Every fallible call, in the order in which enabling a patch reaches them. */
export const FAULT_POINTS = {
  'module-get': { errno: 'ENODEV', call: 'try_module_get of the patch’s module (L14)' },
  'sysfs-patch': { errno: 'ENOMEM', call: 'kobject_add of the patch’s directory (L15)' },
  'nop-allocation': { errno: 'ENOMEM', call: 'kzalloc of a nop, or of an object for nops (L15, L55)' },
  'sysfs-object': { errno: 'ENOMEM', call: 'kobject_add of an object’s directory (L15)' },
  'sysfs-func': { errno: 'ENOMEM', call: 'kobject_add of a func’s directory (L15)' },
  relocations: { errno: 'EINVAL', call: 'klp_apply_object_relocs (L18, L25)' },
  symbol: { errno: 'EINVAL', call: 'klp_find_object_symbol (L22)' },
  size: { errno: 'ENOENT', call: 'kallsyms_lookup_size_offset of the original (L18)' },
  'new-size': { errno: 'ENOENT', call: 'kallsyms_lookup_size_offset of the replacement (L18)' },
  'pre-patch': { errno: 'ENODEV', call: 'the pre_patch callback (L46, L77)' },
  location: { errno: 'EINVAL', call: 'ftrace_location (L29)' },
  'ops-allocation': { errno: 'ENOMEM', call: 'kzalloc of klp_ops, and of the func’s place on the stack (L29)' },
  'set-filter': { errno: 'ENOMEM', call: 'ftrace_set_filter_ip (L31)' },
  register: { errno: 'EBUSY', call: 'register_ftrace_function (L31)' },
  'site-verify': { errno: 'EINVAL', call: 'ftrace_verify_code; ftrace is dead afterwards (F11, F14)' },
  'trampoline-allocation': {
    errno: 'ENOMEM',
    call: 'the memory of an ops’ own trampoline; its sites call a common caller (F28)',
  },
} as const satisfies Readonly<Record<string, FaultPointInfo>>;

/** A call that can be made to fail. */
export type FaultPoint = keyof typeof FAULT_POINTS;

/** The points by name. */
export const FAULT_POINT_NAMES = Object.keys(FAULT_POINTS) as readonly FaultPoint[];

/** Where and how to fail. */
export interface FaultOptions {
  /** Which of the calls made from now on, counted from 1; 1 by default. */
  nth?: number;
  /** With what; the kernel's own errno of that call by default. */
  errno?: ErrnoName;
}

/** Makes the error of a failure; it may log on the way. */
export type FaultRefusal = (code: ErrnoName) => TrampolineError;

/**
 * The one way by which fallible calls are made, so that each of them can be made to fail once. A failure that was asked
 * for takes the way of a real one.
 */
export class Faults {
  readonly #armed: { readonly point: FaultPoint; left: number; readonly errno: ErrnoName }[] = [];
  readonly #calls: Map<FaultPoint, number>;

  /** @param from those of the machine that this one is a fork of */
  constructor(from?: Faults) {
    this.#calls = new Map(from === undefined ? [] : from.#calls);
    if (from !== undefined) this.#armed.push(...from.#armed.map((one) => ({ ...one })));
  }

  /**
   * Makes a call that comes later fail, once.
   * @throws {RangeError} `nth` is no integer from 1 upwards
   */
  inject(point: FaultPoint, { nth = 1, errno = FAULT_POINTS[point].errno }: FaultOptions = {}): void {
    if (!Number.isSafeInteger(nth) || nth < 1) throw new RangeError(`"nth" expected an integer from 1, got ${nth}`);
    this.#armed.push({ point, left: nth, errno });
  }

  /** Failures that were asked for and have not come yet. */
  get pending(): number {
    return this.#armed.length;
  }

  /** Takes back all failures that have not come yet. */
  clear(): void {
    this.#armed.length = 0;
  }

  /** How many calls of a point there have been. */
  calls(point: FaultPoint): number {
    return this.#calls.get(point) ?? 0;
  }

  /**
   * Makes a fallible call, or fails in its place.
   * @throws {TrampolineError} what `refuse` makes, a PatchError by default, where a failure is due
   */
  call<T>(point: FaultPoint, act: () => T, refuse?: FaultRefusal): T {
    this.pass(point, refuse);
    return act();
  }

  /**
   * Passes a call that nothing but a fault makes fail, since the machine has no such resource.
   * @throws {TrampolineError} as `call`
   */
  pass(point: FaultPoint, refuse: FaultRefusal = (code) => refusal(point, code)): void {
    this.#calls.set(point, this.calls(point) + 1);
    if (this.#armed.length === 0) return;
    const due = this.#armed.filter((one) => one.point === point && --one.left === 0);
    const [first] = due;
    if (first === undefined) return;
    this.#armed.splice(0, this.#armed.length, ...this.#armed.filter((one) => one.left > 0));
    throw refuse(first.errno);
  }
}

function refusal(point: FaultPoint, code: ErrnoName): TrampolineError {
  return new PatchError(code, `'${point}' was made to fail`, { operation: 'inject' });
}
