// Forks of a machine: from there on each is as a machine of its own that has the same past.
import { test } from 'vitest';
import type { MachineOptions } from '../../src/machine.ts';
import { playForks } from '../support/forks.ts';
import { operation, Subject } from './fork-subject.ts';

const CONFIGURATIONS: readonly [string, MachineOptions][] = [
  ['', { jit: 'eager' }],
  [', by hand', { jit: 'sync', transition: 'manual' }],
  [', with guest handlers', { jit: false, handler: 'guest', transition: 'manual' }],
  [' of 5.0', { jit: 'eager', policy: 'strict-stack', trampoline: 'regs' }],
  [' of the series before 5.1', { jit: false, policy: 'v10', transition: 'manual' }],
];

test.each(CONFIGURATIONS)('parent, fork and fork of the fork%s are as machines of their own', async (_, options) => {
  await playForks(() => Subject.create(options), operation, 6);
});
