// Redirections by ftrace and livepatch: a machine of its own holds the object, patches it, and is then measured.
import type { EngineName } from '../../engine/engine.ts';
import type { HandlerKind } from '../../ftrace/guest/handlers.ts';
import { GATE } from '../../ftrace/kernel-text.ts';
import type { KernelVersion, TrampolineKind } from '../../ftrace/trampoline.ts';
import { USER_MAP } from '../../machine/guest-map.ts';
import { Machine, type MachineOptions } from '../../machine.ts';
import { placeTexts, prepare, type Subject } from '../subject.ts';
import { ARGUMENT, NEW_ADDS, OLD_ADDS } from './hot.ts';
import { HOT_OBJECT_BASE64 } from './hot-object.generated.ts';

/** A machine to be set up. */
export interface MachineSetup {
  readonly kernel: KernelVersion;
  readonly trampoline?: TrampolineKind;
  readonly handler?: HandlerKind;
  readonly options?: Pick<MachineOptions, 'tasks' | 'transition'>;
  /** The function that the call must come to: `image:symbol`. */
  readonly reaches: string;
  /** What the function's argument grows by; 1 in the function itself, 2 in its replacement. */
  readonly adds?: number;
  /** Patches or traces `vmlinux:hot`. */
  readonly patch: (machine: Machine) => unknown;
}

const FUNCTION = 'vmlinux:hot';
const object = (): Uint8Array => Uint8Array.from(atob(HOT_OBJECT_BASE64), (char) => char.charCodeAt(0));

/** Makes the machine and patches it. */
export async function makeMachine(engine: EngineName, setup: MachineSetup): Promise<Subject> {
  const { kernel, trampoline, handler, reaches, patch } = setup;
  const machine = await Machine.create({
    engine,
    kernel,
    map: USER_MAP,
    ...setup.options,
    ...(trampoline === undefined ? {} : { trampoline }),
    ...(handler === undefined ? {} : { handler }),
  });
  return subjectOf(machine, () => {
    machine.load(object(), { name: 'vmlinux' });
    machine.load(object(), { name: 'fix', kind: 'livepatch' });
    patch(machine);
    const adds = setup.adds ?? (reaches === REPLACEMENT ? NEW_ADDS : OLD_ADDS);
    return { entry: FUNCTION, reaches, returns: ARGUMENT + BigInt(adds), portable: handler !== 'core' };
  });
}

/** The call to measure, by name. */
interface MachineCall extends Pick<Subject, 'returns' | 'portable' | 'entries'> {
  readonly entry: string;
  readonly reaches: string | bigint;
  /** Integers, and texts passed by address. */
  readonly args?: readonly (bigint | string)[];
}

/**
 * Sets a machine up and calls the function once, as the task that calls from then on. Where that fails the machine is
 * gone.
 */
export function subjectOf(machine: Machine, setUp: () => MachineCall): Subject {
  try {
    const { entry, reaches, args = [ARGUMENT], ...call } = setUp();
    machine.call(entry, args);
    const { engine } = machine;
    prepare(engine);
    const { values, texts } = placeTexts(args);
    for (const { at, bytes } of texts) engine.write(at, bytes);
    return {
      ...call,
      engine,
      entry: machine.address(entry),
      args: values,
      reaches: machine.address(reaches),
      gate: machine.address(GATE),
      dispose: () => machine.dispose(),
    };
  } catch (error) {
    machine.dispose();
    throw error;
  }
}

/** The function that a livepatch of `vmlinux:hot` brings. */
export const REPLACEMENT = 'fix:livepatch_hot';

/** Enables a livepatch of the function. @param name of the patch; several may patch it */
export function livepatch(machine: Machine, name = 'fix'): void {
  machine.livepatch.enable({
    name,
    image: 'fix',
    objects: [{ name: null, funcs: [{ oldName: 'hot', newFunc: 'livepatch_hot' }] }],
  });
}
