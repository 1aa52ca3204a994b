// What does and what does not keep a sleeping task from switching: only true frames count (L69, L70).
import { afterEach, describe, expect, test } from 'vitest';
import { ElfFile } from '../../src/image/elf.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { PROBE_IMAGE, probeObject } from '../../src/scenario/probes.ts';
import { randomIntegers } from '../core/random.ts';
import { fixture } from '../fixtures/manifest.ts';

const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

async function world(options: MachineOptions & { target?: string } = {}): Promise<Machine> {
  const { target = 'target-kernel-O2.o', ...rest } = options;
  const machine = await Machine.create({ engine: 'wasm', tasks: ['t0', 't1'], transition: 'manual', ...rest });
  machines.push(machine);
  machine.load(fixture(target), { name: 'vmlinux' });
  for (const letter of ['a', 'b'])
    machine.load(fixture(`fix_${letter}-kernel-O2.o`), { name: `fix_${letter}`, kind: 'livepatch' });
  return machine;
}

const spec = (name: string, functions: readonly string[]) => ({
  name,
  objects: [{ name: null, funcs: functions.map((oldName) => ({ oldName, newFunc: `livepatch_${oldName}` })) }],
});
const attempt = (machine: Machine) => machine.livepatch.switchTasks(['t1'])[0];
const OK = { task: 't1', answer: 'ok' };
const inUse = (on: string) => ({ task: 't1', answer: 'EADDRINUSE', on });
const quads = (...values: number[]): Uint8Array => new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer);
const quad = (machine: Machine, at: bigint): bigint =>
  new DataView(machine.read(at, 8).slice().buffer).getBigUint64(0, true);
const holds = (machine: Machine, name: string, address: bigint): boolean =>
  machine.images.locate(address).name === `vmlinux:${name}`;
/** The task's stack, lowest quad first. */
function words(machine: Machine): { at: bigint; value: bigint }[] {
  const base = 0xffffc90000000000n;
  const bytes = machine.read(base, 0x40000);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: 0x8000 }, (_, i) => ({
    at: base + BigInt(8 * i),
    value: view.getBigUint64(8 * i, true),
  }));
}

describe('what is no frame does not block (L70)', () => {
  test('a stale return address below rsp', async () => {
    const machine = await world();
    const args = [9n, 5n, 1n]; // operate calls fibonacci(5)
    let rsp = 0n;
    let back = 0n;
    let went = false;
    for (const { ip, location } of machine.trace('operate', args)) {
      went ||= location.name === 'vmlinux:fibonacci';
      if (!went || back !== 0n || location.name !== 'vmlinux:operate') continue;
      back = ip;
      rsp = machine.engine.readRegister('rsp');
    }
    machine.park('operate', args, back, { task: 't1' });
    const stale = words(machine).filter(({ at, value }) => at < rsp && holds(machine, 'fibonacci', value));
    expect(stale.length).toBeGreaterThan(0);
    machine.livepatch.enable(spec('fix_a', ['fibonacci']));
    expect(attempt(machine)).toEqual(OK);
    expect(machine.resume('t1')).toMatchObject({ returns: 4n, clobbered: [] });
  });

  test('a callee-saved register that holds a code address', async () => {
    const machine = await world();
    const compare = machine.address('compare_up');
    const args = [quads(3, 1, 2), 3n, compare];
    let at = 0n;
    for (const { ip, location } of machine.trace('sort_items', args)) {
      const saved = (['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const).map((name) =>
        machine.engine.readRegister(name),
      );
      if (location.name === 'vmlinux:sort_items' && saved.includes(compare)) at = ip;
    }
    expect(at, 'a register holds it').not.toBe(0n);
    machine.park('sort_items', args, at, { task: 't1' });
    machine.livepatch.enable({
      name: 'fix_a',
      objects: [{ name: null, funcs: [{ oldName: 'compare_up', newFunc: 'livepatch_fibonacci' }] }],
    });
    expect(attempt(machine)).toEqual(OK);
    expect(machine.resume('t1').clobbered).toEqual([]);
  });

  test('a data word on the stack that looks like a return address', async () => {
    const machine = await world();
    const inside = machine.address('fibonacci') + 9n;
    machine.park('sum_eight', [1n, 2n, 3n, 4n, 5n, 6n, inside, inside], 'sum_eight', { task: 't1' });
    expect(words(machine).filter(({ value }) => value === inside)).toHaveLength(2);
    machine.livepatch.enable(spec('fix_a', ['fibonacci']));
    expect(attempt(machine)).toEqual(OK);
  });
});

describe('depth (L69)', () => {
  test.each([
    { depth: 99, answer: inUse('fibonacci') },
    { depth: 100, answer: inUse('fibonacci') },
    { depth: 101, answer: { task: 't1', answer: 'EINVAL', why: 'more than 100 frames' } },
    { depth: 300, answer: { task: 't1', answer: 'EINVAL', why: 'more than 100 frames' } },
  ])('$depth frames', async ({ depth, answer }) => {
    const machine = await world({ target: 'target-kernel-O0.o' });
    machine.park('fibonacci', [1000n], 'fibonacci', { task: 't1' });
    for (let i = 1; i < depth; i++) machine.resumeUntil('t1', 'fibonacci');
    expect(machine.stackTrace('t1')?.addresses).toHaveLength(Math.min(depth, 100));
    machine.livepatch.enable(spec('fix_a', ['fibonacci']));
    expect(attempt(machine)).toEqual(answer);
  });
});

describe('a stack that cannot be relied on is EINVAL (L69)', () => {
  test('code without call frame information', async () => {
    const machine = await world();
    machine.load(probeObject(), { name: PROBE_IMAGE });
    machine.park('sort_items', [quads(2, 1), 2n, machine.address('probe_a')], 'probe_a', { task: 't1' });
    machine.livepatch.enable(spec('fix_a', ['fibonacci']));
    expect(attempt(machine)).toMatchObject({
      answer: 'EINVAL',
      why: expect.stringMatching(/no call frame information/),
    });
    expect(machine.resume('t1').clobbered).toEqual([]);
    expect(attempt(machine)).toEqual(OK);
  });

  test('call frame information that is damaged: the image is loaded all the same', async () => {
    const bytes = fixture('target-kernel-O2.o').slice();
    const [section] = ElfFile.parse(bytes, 'target').sectionsNamed('.eh_frame');
    bytes.set([0xff, 0xff, 0, 0], Number(section?.bytes.byteOffset) - bytes.byteOffset);
    const machine = await world();
    machine.load(bytes, { name: 'damaged' });
    machine.park('damaged:operate', [9n, 5n, 1n], 'damaged:fibonacci', { task: 't1' });
    machine.livepatch.enable(spec('fix_a', ['divide']));
    const why = /'damaged' section '\.eh_frame': at \+0x4: an entry of 65535 bytes ends outside of it/;
    expect(attempt(machine)).toMatchObject({ answer: 'EINVAL', why: expect.stringMatching(why) });
    expect(machine.resume('t1').clobbered).toEqual([]);
  });

  test('a module that went while a task slept in it', async () => {
    const machine = await world();
    machine.load(fixture('target-kernel-O2.o'), { name: 'mod', kind: 'module' });
    machine.park('mod:operate', [9n, 5n, 1n], 'mod:fibonacci', { task: 't1' });
    machine.livepatch.enable(spec('fix_a', ['divide']));
    machine.unload('mod');
    expect(attempt(machine)).toMatchObject({ answer: 'EINVAL', why: expect.stringMatching(/in no known code/) });
  });

  // operate calls fibonacci, both with frame pointers: fibonacci's frame lies below operate's
  test.each([
    { what: 'a return address in data', slot: 1, value: 0xffff888000000010n, why: /in no known code/ },
    { what: 'a return address in a hole', slot: 1, value: 0n, why: /in no known code/ },
    {
      what: 'a return address behind the code of an image',
      slot: 1,
      value: 'end',
      why: /no call frame information|known code/,
    },
    { what: 'a frame pointer that leads back to itself', slot: 0, value: 'self', why: /is not above/ },
    { what: 'a frame pointer that leads down', slot: 0, value: 'down', why: /is not above/ },
    { what: 'a misaligned frame pointer', slot: 0, value: 'odd', why: /is not above/ },
    { what: 'a frame pointer above the stack', slot: 0, value: 0xffffc90000040000n, why: /is not above/ },
    { what: 'a frame pointer to nowhere', slot: 0, value: 0xfffffffffffffff8n, why: /is not above/ },
  ])('$what', async ({ slot, value, why }) => {
    const machine = await world({ target: 'target-kernel-O0.o' });
    const steps = [...machine.trace('operate', [9n, 5n, 1n])];
    const at = steps.findIndex(({ location }) => location.name === 'vmlinux:fibonacci');
    // after push rbp; mov rbp, rsp
    const inside = steps.slice(at).filter(({ part }) => part === 'function')[3];
    machine.park('operate', [9n, 5n, 1n], inside?.ip ?? 0n, { task: 't1' });
    expect(machine.stackTrace('t1')?.unreliable).toBeUndefined();
    const back = machine.stackTrace('t1')?.addresses[1];
    const place =
      words(machine)
        .filter((word) => word.value === back)
        .at(-1)?.at ?? 0n;
    const own = place - 8n;
    const values: Record<string, bigint> = {
      end: (machine.images.get('vmlinux')?.end ?? 0n) - 1n,
      self: own,
      down: own - 64n,
      odd: quad(machine, own) + 4n,
    };
    const bytes = new Uint8Array(8);
    const written = typeof value === 'string' ? (values[value] ?? 0n) : value;
    new DataView(bytes.buffer).setBigUint64(0, written, true);
    machine.engine.write(slot === 1 ? place : own, bytes);
    machine.livepatch.enable(spec('fix_a', ['divide']));
    expect(attempt(machine)).toMatchObject({ answer: 'EINVAL', why: expect.stringMatching(why) });
  });
});

describe.each([
  { trampoline: 'args', handler: 'core', engine: 'wasm' },
  { trampoline: 'regs', handler: 'core', engine: 'unicorn' },
  { trampoline: 'args', handler: 'guest', engine: 'unicorn' },
  { trampoline: 'regs', handler: 'guest', engine: 'wasm' },
] as const)('asleep in a redirected call, $trampoline trampoline, handler $handler, on $engine', (options) => {
  const ARGS = [8n, 1n, 2n]; // operate calls checksum

  test('the new function counts once the return slot leads there, and a trampoline that goes stays for who is in it (L70, F22, F31)', async () => {
    const machine = await world(options);
    const begin = (): void => {
      machine.livepatch.enable(spec('fix_a', ['checksum']));
      machine.livepatch.switchTasks();
    };
    const trace = () => [...machine.trace('operate', ARGS)].filter(({ part }) => part !== 'gate').map(({ ip }) => ip);
    begin();
    const name = (ip: bigint): string => machine.images.locate(ip).name;
    const steps = trace();
    const from = steps.findIndex((ip) => name(ip) === 'vmlinux:checksum');
    const last = steps.findIndex((ip) => name(ip) === 'fix_a:livepatch_checksum');
    const answers: string[] = [];
    for (let step = from; step <= last; step++) {
      // the trampoline may be at another place by now; a thunk is passed several times
      const way = trace().slice(0, step + 1);
      const at = way.at(-1) ?? 0n;
      machine.park('operate', ARGS, at, { task: 't1' });
      for (let again = way.filter((ip) => ip === at).length; again > 1; again--) machine.resumeUntil('t1', at);
      machine.livepatch.disable('fix_a');
      const answer = attempt(machine);
      answers.push(answer?.answer === 'ok' ? 'ok' : (answer?.on ?? answer?.why ?? ''));
      machine.livepatch.switchTasks();
      const gone = machine.livepatch.transition === undefined;
      expect(gone).toBe(answer?.answer === 'ok');
      const others = gone && step % 2 === 0;
      if (others) {
        // these get trampolines while it still stands in one that is off
        machine.livepatch.enable(spec('fix_b', ['operate', 'fibonacci']));
        expect(attempt(machine)).toEqual(inUse('operate'));
      }
      expect(machine.resume('t1')).toMatchObject({ clobbered: [] });
      if (!gone || others) machine.livepatch.switchTasks();
      if (others) {
        machine.livepatch.disable('fix_b');
        machine.livepatch.switchTasks();
      }
      begin();
    }
    const first = answers.indexOf('checksum');
    expect(first).toBeGreaterThan(20);
    expect(new Set(answers.slice(0, first))).toEqual(new Set(['ok']));
    expect(new Set(answers.slice(first))).toEqual(new Set(['checksum']));
  });
});

describe('an interrupt on a sleeping task (L71)', () => {
  test('its own frames and those below count', async () => {
    const machine = await world();
    machine.park('operate', [8n, 1n, 2n], 'checksum', { task: 't1' });
    const below = machine.stackTrace('t1')?.addresses ?? [];
    expect(below).toHaveLength(2);
    let depth = 0;
    for (const { ip } of machine.trace('fibonacci', [3n], { task: 't1', context: 'irq' })) {
      const trace = machine.stackTrace('t1');
      expect(trace?.unreliable).toBeUndefined();
      expect(trace?.addresses[0]).toBe(ip);
      expect(trace?.addresses.slice(-2)).toEqual(below);
      depth = Math.max(depth, trace?.addresses.length ?? 0);
    }
    expect(depth).toBeGreaterThan(4);
    expect(machine.resume('t1').clobbered).toEqual([]);
  });

  test('what it leaves in a service is seen there, interrupts of interrupts as well', async () => {
    const machine = await world();
    const seen: string[][] = [];
    const note = machine.serve('note', () => {
      seen.push((machine.stackTrace('t1')?.places ?? []).map(({ name }) => name));
      return 0n;
    });
    const nest = machine.serve('nest', () => {
      machine.call('sort_items', [quads(2, 1), 2n, note], { task: 't1', context: 'nmi' });
      return 0n;
    });
    machine.park('tail_call', [1n], 'tail_target', { task: 't1' });
    machine.call('sort_items', [quads(2, 1), 2n, nest], { task: 't1', context: 'irq' });
    const nmi = ['note', 'vmlinux:sort_items'];
    const irq = ['nest', 'vmlinux:sort_items'];
    expect(seen).toEqual([[...nmi, ...irq, 'vmlinux:tail_target']]);
  });

  test('a frame of registers that was overwritten is no frame', async () => {
    const machine = await world();
    machine.park('operate', [8n, 1n, 2n], 'checksum', { task: 't1' });
    let last: string | undefined;
    const spoil = machine.serve('spoil', () => {
      const at = machine.stackTrace('t1')?.addresses.at(-2) ?? 0n;
      for (const word of words(machine)) if (word.value === at) machine.engine.write(word.at, new Uint8Array(8));
      last = machine.stackTrace('t1')?.unreliable;
      return 0n;
    });
    machine.call('sort_items', [quads(2, 1), 2n, spoil], { task: 't1', context: 'irq' });
    expect(last).toMatch(/in no known code/);
  });
});

test('the task that has the CPU is running (L69)', async () => {
  const machine = await world();
  machine.livepatch.enable(spec('fix_a', ['divide']));
  const answers: unknown[] = [];
  const onArrival = (): void => {
    answers.push(...machine.livepatch.switchTasks(['t0', 't1']));
  };
  machine.call('fibonacci', [1n], { task: 't1', onArrival });
  expect(answers).toEqual([
    { task: 't0', answer: 'ok' },
    { task: 't1', answer: 'EBUSY' },
  ]);
  expect(attempt(machine)).toEqual(OK);
});

test('user tasks get a signal and kernel threads are woken, each 15th retry until they switch (L72)', async () => {
  const machine = await world();
  machine.tasks.add('k1', undefined, true);
  for (const task of ['t1', 'k1']) machine.park('operate', [8n, 1n, 2n], 'checksum', { task });
  const pending = () => machine.tasks.all.map((task) => task.pending);
  machine.livepatch.enable(spec('fix_a', ['checksum']));
  machine.livepatch.tick(15);
  expect(pending()).toEqual([undefined, undefined, undefined]);
  machine.livepatch.tick(1);
  expect(pending()).toEqual([undefined, 'signal', 'wakeup']);
  machine.resume('t1');
  machine.livepatch.tick(1);
  expect(pending()).toEqual([undefined, undefined, 'wakeup']);
});

test('a stack of random words is walked to an end, reliable or not, without any other error (seed 725)', async () => {
  const random = randomIntegers(725);
  const machine = await world({ target: 'target-kernel-O0.o' });
  machine.park('operate', [9n, 9n, 1n], 'fibonacci+0x9', { task: 't1' });
  const depth = machine.stackTrace('t1')?.addresses.length ?? 0;
  const top = 0xffffc90000040000n;
  const from = top - 0x200n;
  const text = machine.images.get('vmlinux')?.functions ?? [];
  const before = machine.read(from, 0x200).slice();
  const kinds = [
    () => top - BigInt(8 * random(64)),
    () => top - BigInt(random(512)),
    () => (text[random(text.length)]?.address ?? 0n) + BigInt(random(80)),
    () => machine.address('tramp64_return'),
    () => machine.address('tramp64_iret'),
    () => BigInt(random(2 ** 31)) << BigInt(random(33)),
  ];
  const ends = { reliable: 0, unreliable: 0 };
  for (let round = 0; round < 4000; round++) {
    const bytes = before.slice();
    const view = new DataView(bytes.buffer);
    for (let i = random(12); i >= 0; i--)
      view.setBigUint64(8 * random(64), kinds[random(kinds.length)]?.() ?? 0n, true);
    machine.engine.write(from, bytes);
    const trace = machine.stackTrace('t1');
    expect(trace?.addresses.length).toBeLessThanOrEqual(100);
    if (trace?.unreliable === undefined) ends.reliable++;
    else ends.unreliable++;
  }
  expect(ends.reliable).toBeGreaterThan(100);
  expect(ends.unreliable).toBeGreaterThan(100);
  machine.engine.write(from, before);
  expect(machine.stackTrace('t1')).toMatchObject({ unreliable: undefined, addresses: { length: depth } });
  expect(machine.resume('t1').clobbered).toEqual([]);
});
