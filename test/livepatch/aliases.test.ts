// Two names for one address across patches: stacks are keyed by address, nops by name (L26, L55).
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { PatchSpec } from '../../src/livepatch/patch.ts';
import { Machine } from '../../src/machine.ts';
import { PROBE_IMAGE, probeObject } from '../../src/scenario/probes.ts';

const odd = new Uint8Array(readFileSync(new URL('../fixtures/objects/odd-kernel-O2.o', import.meta.url)));
const spec = (name: string, oldName: string, newFunc: string, replace = false): PatchSpec => ({
  name,
  image: PROBE_IMAGE,
  replace,
  objects: [{ name: null, funcs: [{ oldName, newFunc }] }],
});

async function twoTasks(): Promise<Machine> {
  const machine = await Machine.create({ tasks: ['t1', 't2'], transition: 'manual' });
  machine.load(odd, { name: 'vmlinux' });
  machine.load(probeObject(), { name: PROBE_IMAGE, kind: 'livepatch' });
  return machine;
}

test('patches that name a function differently share its one stack and its one site', async () => {
  const machine = await twoTasks();
  machine.livepatch.enable(spec('a', 'plain', 'probe_a'));
  machine.livepatch.switchTasks();
  machine.livepatch.enable(spec('b', 'plain_alias', 'probe_b'));
  machine.livepatch.switchTasks();
  const site = machine.images.site(machine.address('vmlinux:plain')) ?? 0n;
  expect(machine.livepatch.stack(site).map((entry) => entry.patch)).toEqual(['b', 'a']);
  expect(machine.call('plain', [1n]).returns).toBe(2n);
  machine.dispose();
});

test('a replacing patch under the other name adds a nop above its own func: the original runs until the transition ends', async () => {
  const machine = await twoTasks();
  machine.livepatch.enable(spec('a', 'plain', 'probe_a'));
  machine.livepatch.switchTasks();
  const original = 'vmlinux:plain';
  machine.livepatch.enable(spec('b', 'plain_alias', 'probe_b', true));
  machine.livepatch.switchTasks(['t1']);
  const site = machine.images.site(machine.address(original)) ?? 0n;
  expect(machine.livepatch.stack(site).map(({ patch, nop }) => `${patch} ${nop}`)).toEqual([
    'b true',
    'b false',
    'a false',
  ]);
  expect(machine.call('plain', [1n], { task: 't1' }).runs.name).toBe(original);
  machine.livepatch.switchTasks();
  expect(machine.call('plain', [1n], { task: 't1' }).runs.name).toBe('probes:probe_b');
  expect(machine.livepatch.stack(site).map((entry) => entry.patch)).toEqual(['b']);
  machine.dispose();
});
