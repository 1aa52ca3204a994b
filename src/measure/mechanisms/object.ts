// A user's own function out of an object file: unpatched, livepatched, and with the jump that a livepatch could be.
import { TrampolineError } from '../../errors.ts';
import { SITE_SIZE } from '../../ftrace/site.ts';
import type { KernelVersion } from '../../ftrace/trampoline.ts';
import { USER_MAP } from '../../machine/guest-map.ts';
import { Machine, type MachineOptions } from '../../machine.ts';
import { assemble, jmp } from '../../x86/encode.ts';
import type { Mechanism } from '../mechanism.ts';
import type { Subject } from '../subject.ts';
import { subjectOf } from './machine.ts';

/** What is measured. */
export interface OwnFunction {
  readonly kernel: KernelVersion;
  /** The object with the function, and the one with its replacement. */
  readonly target: Uint8Array;
  readonly fix: Uint8Array;
  readonly oldName: string;
  readonly newFunc: string;
  /** Integers, and texts that are passed by address. */
  readonly args: readonly (bigint | string)[];
}

/** What a redirected call is compared with: the new function, called by its own name. */
const BASELINE = 'own-new';

/** The rows for one function; ratios are to a plain call of its replacement, so that the bodies are alike. */
export function ownFunctionRows(own: OwnFunction): Mechanism[] {
  const { oldName } = own;
  const row = (id: string, title: string, make: Mechanism['make'], more: Partial<Mechanism> = {}): Mechanism => ({
    id,
    title: `${oldName}: ${title}`,
    family: 'own',
    effect: 'redirect',
    baseline: BASELINE,
    make,
    ...more,
  });
  const patched = (options: MachineOptions, id: string, title: string, more: Partial<Mechanism> = {}): Mechanism =>
    row(id, title, (engine) => make(own, { ...options, engine }, (machine) => enable(machine, own)), more);
  return [
    row('own-old', 'unpatched', (engine) => make(own, { engine }, `vmlinux:${oldName}`), { effect: 'none' }),
    row(BASELINE, `${own.newFunc} called directly`, (engine) => make(own, { engine }, `fix:${own.newFunc}`), {
      effect: 'none',
    }),
    patched({ handler: 'guest' }, 'own-livepatch', 'livepatch'),
    patched({}, 'own-livepatch-core', 'livepatch, without handler'),
    row('own-jmp', 'jmp at the site', (engine) => make(own, { engine }, (machine, site) => jump(machine, own, site)), {
      note: 'what Ksplice and kGraft wrote; no func stack, no consistency',
    }),
  ];
}

/** @param patch what redirects the call, or the name of the function to call instead */
async function make(
  { kernel, target, fix, oldName, newFunc, args }: OwnFunction,
  options: MachineOptions,
  patch: ((machine: Machine, site: bigint) => void) | string,
): Promise<Subject> {
  const machine = await Machine.create({ ...options, kernel, map: USER_MAP });
  return subjectOf(machine, () => {
    machine.load(target, { name: 'vmlinux' });
    machine.load(fix, { name: 'fix', kind: 'livepatch' });
    const plain = typeof patch === 'string';
    const entry = plain ? patch : `vmlinux:${oldName}`;
    const site = machine.images.site(machine.address(entry));
    if (site === undefined) {
      throw new TrampolineError('EINVAL', `'${entry}' has no site; see tramp64 inspect`, { operation: 'bench' });
    }
    if (!plain) patch(machine, site);
    const wanted = plain ? entry : `fix:${newFunc}`;
    const { runs, returns } = machine.call(entry, args);
    if (runs.name !== wanted) {
      throw new TrampolineError('EINVAL', `the call ran ${runs.name} instead of ${wanted}`, { operation: 'bench' });
    }
    const reaches = plain ? site + BigInt(SITE_SIZE) : machine.address(wanted);
    return { entry, reaches, returns, args, portable: plain || options.handler === 'guest' };
  });
}

function enable(machine: Machine, { oldName, newFunc }: OwnFunction): void {
  machine.livepatch.enable({ name: 'fix', objects: [{ name: null, funcs: [{ oldName, newFunc }] }] });
}

function jump(machine: Machine, { newFunc }: OwnFunction, site: bigint): void {
  machine.engine.write(site, assemble(site, [jmp(machine.address(`fix:${newFunc}`))]).bytes);
}
