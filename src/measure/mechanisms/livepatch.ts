// The rows of livepatch: with the handler as guest code, which is its true cost, and with the core behind the gate.
import type { KernelVersion } from '../../ftrace/trampoline.ts';
import type { Machine } from '../../machine.ts';
import type { Mechanism } from '../mechanism.ts';
import { livepatch, makeMachine, REPLACEMENT } from './machine.ts';

const KINDS = ['args', 'regs'] as const;

/** Livepatch as one kernel does it. */
export function livepatchRows(kernel: KernelVersion): Mechanism[] {
  const setup = { kernel, reaches: REPLACEMENT, patch: (machine: Machine) => livepatch(machine) };
  return [
    ...KINDS.map(
      (trampoline): Mechanism => ({
        id: `livepatch-${trampoline}`,
        family: 'livepatch',
        effect: 'redirect',
        title: `livepatch, ${trampoline} trampoline`,
        ...(trampoline === 'regs' ? { note: 'as before 5.11' } : {}),
        make: (engine) => makeMachine(engine, { ...setup, trampoline, handler: 'guest' }),
      }),
    ),
    ...KINDS.map(
      (trampoline): Mechanism => ({
        id: `livepatch-${trampoline}-core`,
        family: 'livepatch',
        effect: 'redirect',
        title: `${trampoline} trampoline, without handler`,
        note: 'the core answers behind the gate: no guest instruction is the handler’s',
        make: (engine) => makeMachine(engine, { ...setup, trampoline, handler: 'core' }),
      }),
    ),
  ];
}
