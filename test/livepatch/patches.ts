// What tests of patches share: a machine on the WASM CPU with the shipped objects, and patches of them.
import { readFileSync } from 'node:fs';
import { TrampolineError } from '../../src/errors.ts';
import type { FuncSpec, ObjectSpec, PatchSpec } from '../../src/livepatch/patch.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { fixture } from '../fixtures/manifest.ts';
import { catchError } from '../support/catch-error.ts';

/** A shipped object. */
export const shipped = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));

/** A machine with target.o as its kernel and fix-b.o, whose functions patches bring, as the image `fixes`. */
export async function machineWith(options: MachineOptions = {}, kernel = shipped('target.o')): Promise<Machine> {
  const machine = await Machine.create({ engine: 'wasm', ...options });
  machine.load(kernel, { name: 'vmlinux' });
  machine.load(shipped('fix-b.o'), { name: 'fixes', kind: 'livepatch' });
  return machine;
}

/** A fixture that is an object or a module. */
export { fixture };

/** A func: its original, and a function of `fixes`. */
export const func = (oldName: string, newFunc = 'livepatch_checksum', oldSympos = 0): FuncSpec => ({
  ...{ oldName, newFunc, oldSympos },
});

/** A patch of vmlinux. */
export function patchOf(name: string, funcs: readonly FuncSpec[], more: Partial<PatchSpec> = {}): PatchSpec {
  return { name, image: 'fixes', objects: [{ name: null, funcs }], ...more };
}

/** A patch of some objects. */
export function patchOfObjects(name: string, objects: readonly ObjectSpec[]): PatchSpec {
  return { name, image: 'fixes', objects };
}

/** The error code of an action that must fail. */
export function codeOf(act: () => unknown): string {
  return catchError(TrampolineError, act).code;
}
