// Snapshots of a machine: calls that change guest memory are as the first one again after a reset.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EngineError } from '../../src/errors.ts';
import { GUEST_MAP } from '../../src/machine/guest-map.ts';
import { Machine } from '../../src/machine.ts';
import { Edit } from '../image/edit.ts';
import { catchError } from '../support/catch-error.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
const CODE = GUEST_MAP.modules.base + 0x1000_0000n;
const DATA = CODE + 0x100_0000n;

/** A machine with `divide` patched, and at CODE a function that counts its calls in the quad that rdi points to. */
async function counting(): Promise<Machine> {
  const machine = await Machine.create({ engine: 'wasm', tasks: ['t0', 't1'] });
  machine.load(object('target.o'), { name: 'vmlinux' });
  machine.load(object('fix-a.o'), { name: 'fix_a', kind: 'livepatch' });
  machine.engine.map(CODE, 0x1000n, 'rx');
  machine.engine.map(DATA, 0x1000n, 'rw');
  // inc qword [rdi]; mov rax, [rdi]; ret
  machine.engine.write(CODE, Uint8Array.of(0x48, 0xff, 0x07, 0x48, 0x8b, 0x07, 0xc3));
  machine.livepatch.enable({
    name: 'fix_a',
    objects: [{ name: null, funcs: [{ oldName: 'divide', newFunc: 'livepatch_divide' }] }],
  });
  return machine;
}

test('what calls and the host have written is put back, and patches go on working', async () => {
  const machine = await counting();
  machine.call(CODE, [DATA]);
  const snapshot = machine.snapshot();
  const site = machine.images.site(machine.address('divide')) ?? 0n;
  for (let round = 0; round < 3; round++) {
    expect(machine.call(CODE, [DATA]).returns).toBe(2n);
    expect(machine.call('reverse_text', ['abcde', 5n]).runs.name).toBe('vmlinux:reverse_text');
    machine.engine.write(site, Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0));
    expect(machine.call('divide', [100n, 7n]).runs.name).toBe('vmlinux:divide');
    machine.reset(snapshot);
    expect(snapshot.changes).toBe(0);
    expect(machine.call('divide', [100n, 7n]).runs.name).toBe('fix_a:livepatch_divide');
    machine.reset(snapshot);
  }
  machine.release(snapshot);
  expect(catchError(EngineError, () => machine.reset(snapshot)).code).toBe('EINVAL');
  machine.dispose();
});

test('stacks that were mapped since are mapped again when they are needed', async () => {
  const machine = await counting();
  const snapshot = machine.snapshot();
  for (let round = 0; round < 2; round++) {
    machine.park('divide', [100n, 7n], 'fix_a:livepatch_divide', { task: 't0' });
    expect(catchError(EngineError, () => machine.reset(snapshot)).code).toBe('EBUSY');
    machine.call(CODE, [DATA], { task: 't1' });
    machine.resume('t0');
    machine.reset(snapshot);
    expect(machine.call(CODE, [DATA], { task: 't1' }).returns).toBe(1n);
    machine.reset(snapshot);
  }
  machine.dispose();
});

test('after a change of patches, images, tasks or services there is no way back: EINVAL', async () => {
  const changes: [string, (machine: Machine) => void][] = [
    ['a patch', (machine) => machine.livepatch.disable('fix_a')],
    ['an image', (machine) => machine.load(object('fix-b.o'), { name: 'fix_b', kind: 'livepatch' })],
    ['a task', (machine) => machine.tasks.add('t2')],
    ['a routine', (machine) => machine.serve('routine', () => 0n)],
  ];
  for (const [what, change] of changes) {
    const machine = await counting();
    const snapshot = machine.snapshot();
    change(machine);
    expect(catchError(EngineError, () => machine.reset(snapshot)).code, what).toBe('EINVAL');
    machine.reset(machine.snapshot());
    machine.dispose();
  }
});

test('an image of 100 MB is loaded once, and a reset puts back what changed and nothing else', async () => {
  const edit = new Edit(object('target.o'));
  // sh_size of .bss
  edit.u64(edit.header('.bss') + 32, 100n << 20n);
  const machine = await Machine.create({ engine: 'wasm' });
  const image = machine.load(edit.bytes, { name: 'vmlinux' });
  const { memory } = machine.core.instance;
  // beside the image: the core's and the CPU's tables
  const loaded = memory.buffer.byteLength;
  expect(loaded).toBeLessThan(180 << 20);
  const snapshot = machine.snapshot();
  for (let round = 0; round < 20; round++) {
    for (let i = 0n; i < 64n; i++) machine.engine.write(image.end - (i + 1n) * 0x100_000n, Uint8Array.of(1));
    expect(snapshot.changes).toBe(64);
    machine.reset(snapshot);
    expect(machine.call('divide', [100n, 7n]).returns).toBe(14n);
    machine.reset(snapshot);
  }
  expect(memory.buffer.byteLength - loaded).toBeLessThan(2 << 20);
  machine.dispose();
});

test('an engine without snapshots says so, and a disposed machine too', async () => {
  const machine = await Machine.create({ engine: 'unicorn' });
  expect(catchError(EngineError, () => machine.snapshot()).code).toBe('EOPNOTSUPP');
  machine.dispose();
  const other = await counting();
  other.dispose();
  expect(catchError(EngineError, () => other.snapshot()).code).toBe('EINVAL');
});
