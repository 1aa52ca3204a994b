// Redirections by ftrace and livepatch: a machine of its own holds the object, patches it, and is then measured.
import type { EngineName } from '../../engine/engine.ts';
import type { HandlerKind } from '../../ftrace/guest/handlers.ts';
import { GATE } from '../../ftrace/kernel-text.ts';
import type { KernelVersion, TrampolineKind } from '../../ftrace/trampoline.ts';
import { USER_MAP } from '../../machine/guest-map.ts';
import { Machine } from '../../machine.ts';
import { prepare, type Subject } from '../subject.ts';
import { ARGUMENT, NEW_ADDS, OLD_ADDS } from './hot.ts';
import { HOT_OBJECT_BASE64 } from './hot-object.generated.ts';

/** A machine to be set up. */
export interface MachineSetup {
  readonly kernel: KernelVersion;
  readonly trampoline?: TrampolineKind;
  readonly handler?: HandlerKind;
  /** The function that the call must come to: `image:symbol`. */
  readonly reaches: string;
  /** Patches or traces `vmlinux:hot`. */
  readonly patch: (machine: Machine, site: bigint) => void;
}

const FUNCTION = 'vmlinux:hot';
const object = (): Uint8Array => Uint8Array.from(atob(HOT_OBJECT_BASE64), (char) => char.charCodeAt(0));

/** Makes the machine, patches it, and calls the function once as the task that calls from then on. */
export async function makeMachine(
  engine: EngineName,
  { kernel, trampoline, handler, reaches, patch }: MachineSetup,
): Promise<Subject> {
  const machine = await Machine.create({
    engine,
    kernel,
    map: USER_MAP,
    ...(trampoline === undefined ? {} : { trampoline }),
    ...(handler === undefined ? {} : { handler }),
  });
  try {
    machine.load(object(), { name: 'vmlinux' });
    machine.load(object(), { name: 'fix', kind: 'livepatch' });
    const entry = machine.address(FUNCTION);
    const site = machine.images.site(entry) ?? entry;
    patch(machine, site);
    machine.call(FUNCTION, [ARGUMENT]);
    prepare(machine.engine);
    const redirects = reaches === REPLACEMENT;
    return {
      engine: machine.engine,
      entry,
      args: [ARGUMENT],
      reaches: machine.address(reaches),
      returns: ARGUMENT + BigInt(redirects ? NEW_ADDS : OLD_ADDS),
      gate: machine.address(GATE),
      portable: handler !== 'core',
      dispose: () => machine.dispose(),
    };
  } catch (error) {
    machine.dispose();
    throw error;
  }
}

/** The function that a livepatch of `vmlinux:hot` brings. */
export const REPLACEMENT = 'fix:livepatch_hot';

/** Enables the livepatch. */
export function livepatch(machine: Machine): void {
  machine.livepatch.enable({
    name: 'fix',
    objects: [{ name: null, funcs: [{ oldName: 'hot', newFunc: 'livepatch_hot' }] }],
  });
}
