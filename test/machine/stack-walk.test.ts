// The stack walker finds the true callers (L69): at each instruction of real code, of both trampolines, thunks and interrupts.
import { afterEach, describe, expect, test } from 'vitest';
import { USER_MAP } from '../../src/machine/guest-map.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { fixture, readManifest } from '../fixtures/manifest.ts';
import { shadowTrace } from './shadow-stack.ts';

const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

async function world(options: MachineOptions = {}): Promise<Machine> {
  const machine = await Machine.create({ engine: 'wasm', tasks: ['t0', 't1'], ...options });
  machines.push(machine);
  return machine;
}

const quads = (...values: number[]): Uint8Array => new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer);

/** Calls that between them reach every function of target.c. */
const CALLS = (machine: Machine, image: string): [string, (bigint | string | Uint8Array)[]][] => {
  const at = (name: string): bigint => machine.address(`${image}:${name}`);
  return [
    [`${image}:checksum`, ['hi', 2n]],
    [`${image}:find_text`, ['abc', 'c']],
    [`${image}:sort_items`, [quads(3, 1, 2), 3n, at('compare_down')]],
    [`${image}:format_text`, [new Uint8Array(16), 16n, '%d%x%s%c', 12n, 10n, 'a', 33n]],
    [`${image}:fibonacci`, [4n]],
    [`${image}:divide`, [7n, 2n]],
    [`${image}:tail_call`, [6n]],
    [`${image}:sum_eight`, [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]],
    ...[0n, 3n, 8n, 9n].map((op): [string, bigint[]] => [`${image}:operate`, [op, 3n, 2n]]),
    [`${image}:reverse_text`, ['abc', 3n]],
    [`${image}:count_calls`, [2n]],
    [`${image}:compare_by`, [1n, 3n, 2n]],
  ];
};

/** Compares every step; how many there were. */
function compareAll(machine: Machine, ...call: Parameters<Machine['trace']>): number {
  const bottom = machine.address('tramp64_return');
  let steps = 0;
  for (const { step, chain } of shadowTrace(machine, ...call)) {
    expect(chain.at(-1)).toBe(bottom);
    const trace = machine.stackTrace(call[2]?.task ?? 't0');
    const where = `${step.location.name}+0x${step.location.offset.toString(16)}`;
    expect({ where, ...trace, places: undefined }).toEqual({
      where,
      addresses: chain.slice(0, -1),
      unreliable: undefined,
      places: undefined,
    });
    steps++;
  }
  return steps;
}

describe('at each instruction of a call (L69)', () => {
  const targets = readManifest().objects.filter(({ file }) => file.startsWith('target-') && file.endsWith('.o'));

  test.each(targets.map(({ file }) => file))('of %s', async (file) => {
    const machine = await world();
    machine.load(fixture(file), { name: 'vmlinux' });
    for (const [name, args] of CALLS(machine, 'vmlinux')) expect(compareAll(machine, name, args)).toBeGreaterThan(1);
  });
});

describe('at each instruction of frames of every shape', () => {
  const FRAMES: [string, bigint[]][] = [
    ...['realigned', 'variable', 'both', 'early', 'outgoing'].map((name): [string, bigint[]] => [name, [5n]]),
    ['early', [1n]],
    ['crowded', [1n, 2n, 3n, 4n, 5n, 6n]],
  ];
  const files = readManifest().objects.filter(({ file }) => file.startsWith('frames-'));

  test.each(files.map(({ file }) => file))('of %s', async (file) => {
    const machine = await world();
    machine.load(fixture(file), { name: 'vmlinux' });
    for (const [name, args] of FRAMES) expect(compareAll(machine, name, args)).toBeGreaterThan(3);
  });

  test.each(['target.so', 'target-pie.elf', 'target-static.elf'])('of the linked %s, with its PLT', async (file) => {
    const machine = await world();
    machine.load(fixture(file), { name: 'vmlinux', symbols: { __fentry__: 'ret' } });
    for (const [name, args] of CALLS(machine, 'vmlinux')) expect(compareAll(machine, name, args)).toBeGreaterThan(1);
  });

  test('in a process, where addresses are low', async () => {
    const machine = await world({ map: USER_MAP });
    machine.load(fixture('target-pie-O2.o'), { name: 'vmlinux' });
    for (const [name, args] of CALLS(machine, 'vmlinux')) expect(compareAll(machine, name, args)).toBeGreaterThan(1);
  });
});

describe.each(['6.1', '6.12'] as const)('of a redirected call on kernel %s', (kernel) => {
  test.each([
    { trampoline: 'args', variant: 'kernel-O2', handler: 'core' },
    { trampoline: 'regs', variant: 'kernel-O2', handler: 'core' },
    { trampoline: 'args', variant: 'endbr-O2', handler: 'core' },
    { trampoline: 'regs', variant: 'thunks', handler: 'core' },
    { trampoline: 'args', variant: 'kernel-O2', handler: 'guest' },
    { trampoline: 'regs', variant: 'thunks', handler: 'guest' },
  ] as const)('through the $trampoline trampoline, objects $variant, handler $handler (F20, F24)', async (options) => {
    const { variant, handler } = options;
    const machine = await world({ ...options, kernel });
    machine.load(fixture(`target-${variant}.o`), { name: 'vmlinux' });
    for (const letter of ['a', 'b'])
      machine.load(fixture(`fix_${letter}-${variant}.o`), { name: `fix_${letter}`, kind: 'livepatch' });
    const patch = (name: string, functions: readonly string[]) =>
      machine.livepatch.enable({
        name,
        objects: [{ name: null, funcs: functions.map((oldName) => ({ oldName, newFunc: `livepatch_${oldName}` })) }],
      });
    patch('fix_a', ['checksum', 'fibonacci', 'divide']);
    patch('fix_b', ['checksum', 'sort_items', 'operate']);
    const parts = new Set<string>();
    for (const [name, args] of CALLS(machine, 'vmlinux')) {
      for (const { step } of shadowTrace(machine, name, args)) parts.add(step.part);
      compareAll(machine, name, args);
    }
    const gate = handler === 'core' ? ['gate'] : [];
    expect(parts).toEqual(new Set(['function', 'routine', 'site', 'trampoline', ...gate]));
    // the return slot is rewritten by now, and is not where an original runs
    machine.livepatch.disable('fix_b');
    compareAll(machine, 'fibonacci', [3n]);
  });
});
