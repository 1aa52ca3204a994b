// Forks of a machine: what each side keeps for itself, what they have in common, and when there is no fork.
import { describe, expect, test, vi } from 'vitest';
import { WasmEngine } from '../../src/engine/wasm.ts';
import { EngineError, TrampolineError } from '../../src/errors.ts';
import { GUEST_MAP } from '../../src/machine/guest-map.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { Edit } from '../image/edit.ts';
import { func, machineWith, patchOf, patchOfObjects, shipped } from '../livepatch/patches.ts';
import { catchError } from '../support/catch-error.ts';

const FIX = patchOf('fix', [func('divide', 'livepatch_sum_eight')]);
const runs = (machine: Machine, task = 't0') => machine.call('divide', [100n, 7n], { task }).runs.name;
const ORIGINAL = 'vmlinux:divide';
const FIXED = 'fixes:livepatch_sum_eight';
const world = (options: MachineOptions = {}) => machineWith({ tasks: ['t0', 't1'], ...options });
const CODE = GUEST_MAP.modules.base + 0x1000_0000n;

/** A guest function that goes to a routine. */
function caller(machine: Machine, routine: bigint): bigint {
  machine.engine.map(CODE, 0x1000n, 'rx');
  // mov rax, routine; jmp rax
  machine.engine.write(
    CODE,
    Uint8Array.of(0x48, 0xb8, ...new Uint8Array(BigUint64Array.of(routine).buffer), 0xff, 0xe0),
  );
  return CODE;
}

describe.each(['eager', false] as const)('with the JIT %s', (jit) => {
  test('a patch that one side enables or disables stays what it was on the other', async () => {
    const machine = await world({ jit });
    machine.livepatch.enable(FIX);
    const hot = (one: Machine) => Array.from({ length: 4 }, () => runs(one)).at(-1);
    expect(hot(machine)).toBe(FIXED);
    const fork = machine.fork();
    fork.livepatch.disable('fix');
    expect([hot(machine), hot(fork)]).toEqual([FIXED, ORIGINAL]);
    machine.livepatch.disable('fix');
    fork.livepatch.enable(FIX);
    expect([hot(machine), hot(fork)]).toEqual([ORIGINAL, FIXED]);
    machine.dispose();
    expect(hot(fork)).toBe(FIXED);
    const second = fork.fork();
    fork.dispose();
    second.livepatch.disable('fix');
    expect(hot(second)).toBe(ORIGINAL);
    second.dispose();
  });

  test('code that the host patches on one side is not the code of the other', async () => {
    const machine = await world({ jit });
    const at = machine.probe('divide').address;
    const [args, code]: [bigint[], Uint8Array] = [[100n, 7n], Uint8Array.of(0x6a, 0x05, 0x58, 0xc3)]; // push 5; pop rax; ret
    for (let i = 0; i < 4; i++) expect(machine.call(at, args).returns).toBe(14n);
    const fork = machine.fork();
    for (let i = 0; i < 4; i++) expect(fork.call(at, args).returns).toBe(14n);
    fork.engine.write(at, code);
    for (let i = 0; i < 4; i++) {
      expect([machine.call(at, args).returns, fork.call(at, args).returns]).toEqual([14n, 5n]);
    }
    fork.dispose();
    machine.dispose();
  });
});

test('code that is compiled beside the guest goes to the side that it was recorded on', async () => {
  const machine = await world({ jit: 'async' });
  machine.livepatch.enable(FIX);
  machine.callMany('divide', [100n, 7n], 5_000);
  const fork = machine.fork();
  fork.livepatch.disable('fix');
  fork.callMany('divide', [100n, 7n], 5_000);
  const live = ({ engine }: Machine) => (engine instanceof WasmEngine ? engine.jitCounts?.live : undefined);
  await vi.waitFor(() => expect(live(machine)).toBeGreaterThan(0), { timeout: 20_000 });
  // without the trampoline there is too little to compile
  expect(live(fork)).toBe(0);
  machine.callMany('divide', [100n, 7n], 5_000);
  fork.callMany('divide', [100n, 7n], 5_000);
  expect([runs(machine), runs(fork)]).toEqual([FIXED, ORIGINAL]);
  machine.dispose();
  fork.dispose();
});

test('a transition goes on on each side, and its tasks switch there alone', async () => {
  const machine = await world({ transition: 'manual' });
  machine.livepatch.enable(FIX);
  machine.livepatch.switchTasks(['t0']);
  const fork = machine.fork();
  expect(fork.livepatch.transition).toEqual(machine.livepatch.transition);
  fork.livepatch.switchTasks(['t1']);
  expect(fork.livepatch.transition).toBeUndefined();
  expect([runs(machine, 't1'), runs(fork, 't1')]).toEqual([ORIGINAL, FIXED]);
  machine.livepatch.reverse('fix');
  machine.livepatch.switchTasks();
  expect(machine.livepatch.patches).toEqual([]);
  expect([runs(machine, 't0'), runs(fork, 't0')]).toEqual([ORIGINAL, FIXED]);
  expect(fork.log.take().at(-1)).toBe("livepatch: 'fix': patching complete");
  machine.dispose();
  fork.dispose();
});

test('tasks that are left get their signal after as many tries as there were, on each side (L72)', async () => {
  const machine = await world({ transition: 'manual' });
  machine.tasks.need('t1').onCpu = true;
  machine.livepatch.enable(FIX);
  machine.livepatch.tick(10);
  const fork = machine.fork();
  const signalled = (one: Machine, ticks: number) => {
    one.livepatch.tick(ticks);
    return one.tasks.need('t1').pending;
  };
  expect([signalled(machine, 5), signalled(fork, 5)]).toEqual([undefined, undefined]);
  expect(signalled(fork, 1)).toBe('signal');
  expect(machine.tasks.need('t1').pending).toBeUndefined();
  expect(signalled(machine, 1)).toBe('signal');
  machine.dispose();
  fork.dispose();
});

test('the stack of a parked task that has exited is still in use on both sides, until the next call', async () => {
  const machine = await world();
  machine.livepatch.enable(FIX);
  machine.park('operate', [9n, 5n, 1n], machine.probe('operate').address, { task: 't1' });
  const trampoline = machine.ftrace.record(machine.images.site(machine.address('divide')) ?? 0n)?.calls ?? 0n;
  machine.tasks.exit('t1');
  const fork = machine.fork();
  for (const one of [machine, fork]) {
    one.livepatch.disable('fix');
    // a task may stand in it
    expect(one.read(trampoline, 1)[0]).not.toBe(0xcc);
  }
  for (const one of [machine, fork]) {
    expect(runs(one)).toBe(ORIGINAL);
    one.livepatch.enable(FIX);
    expect(runs(one)).toBe(FIXED);
    one.dispose();
  }
});

test('what was freed before the fork is handed out anew by each side', async () => {
  const machine = await world();
  const [first, second] = [machine.heap.allocate(64n, true), machine.heap.allocate(64n, true)];
  machine.heap.free(first);
  machine.heap.free(second);
  const fork = machine.fork();
  const both = (one: Machine) => [one.heap.allocate(64n, true), one.heap.allocate(64n, true)];
  expect(both(machine)).toEqual([second, first]);
  expect(both(fork)).toEqual([second, first]);
  machine.dispose();
  fork.dispose();
});

test('a task that is parked at the fork is parked on both sides, with the stack that it has there', async () => {
  const machine = await world({ transition: 'manual' });
  const seen: string[] = [];
  const options = { task: 't1', models: true, onArrival: ({ name }: { name: string }) => void seen.push(name) };
  const { address } = machine.probe('fibonacci');
  machine.park('operate', [9n, 5n, 1n], address, options);
  machine.livepatch.enable(patchOf('fix', [func('fibonacci')]));
  const fork = machine.fork();
  expect(fork.stackTrace('t1')).toEqual(machine.stackTrace('t1'));
  expect(fork.livepatch.transition?.left).toEqual(machine.livepatch.transition?.left);
  const call = (one: Machine) => one.call('divide', [9n, 3n], { task: 't1', context: 'irq' }).returns;
  expect([call(machine), call(fork)]).toEqual([3n, 3n]);
  const whole = machine.resume('t1');
  expect(catchError(EngineError, () => machine.resume('t1')).code).toBe('EINVAL');
  expect(fork.parkedAt('t1')?.name).toBe('vmlinux:fibonacci');
  machine.dispose();
  expect(fork.resume('t1')).toEqual(whole);
  expect(seen.filter((name) => name === 'vmlinux:operate')).toHaveLength(1);
  expect(fork.parkedAt('t1')).toBeUndefined();
  fork.dispose();
});

describe('what users gave as functions is common', () => {
  test('a service and a handler are called by both, and act on the side that called', async () => {
    const machine = await world();
    let calls = 0;
    const twice = machine.serve('twice', (call) => {
      calls++;
      return 2n * call.argument(0);
    });
    caller(machine, twice);
    const handled: string[] = [];
    machine.tracers.add({ name: 'host', filter: ['divide'], target: (call) => void handled.push(call.task) });
    machine.tracers.add({ name: 'probe', kind: 'kprobe', filter: ['checksum'], target: () => 0 });
    const fork = machine.fork();
    expect([machine, fork].map((one) => one.call(CODE, [21n]).returns)).toEqual([42n, 42n]);
    expect(calls).toBe(2);
    fork.call('divide', [100n, 7n], { task: 't1' });
    expect(handled).toEqual(['t1']);
    expect([machine, fork].map((one) => one.tracers.counts('host').calls)).toEqual([0n, 1n]);
    fork.tracers.remove('host');
    fork.tracers.remove('probe');
    expect(fork.tracers.names).toEqual([]);
    machine.call('divide', [100n, 7n]);
    fork.call('divide', [100n, 7n]);
    expect(handled).toEqual(['t1', 't0']);
    const third = machine.serve('thrice', () => 3n);
    expect(fork.serve('other', () => 4n)).toBe(third);
    for (const one of [machine, fork]) {
      one.engine.unmap(CODE, 0x1000n);
      caller(one, third);
    }
    expect([machine.call(CODE).returns, fork.call(CODE).returns]).toEqual([3n, 4n]);
    machine.dispose();
    fork.dispose();
  });

  test('services and handlers may use the other side; who is told while the CPU runs may not: EBUSY', async () => {
    const machine = await world();
    const fork = machine.fork();
    const codes: string[] = [];
    const answers: string[] = [];
    const ask = machine.serve('ask', () => fork.call('divide', [100n, 7n]).returns);
    expect(machine.call(caller(machine, ask)).returns).toBe(14n);
    const refused = (): void => {
      for (const act of [
        () => fork.call('divide'),
        () => fork.read(GUEST_MAP.stack.base, 1),
        () => fork.dispose(),
        () => fork.fork(),
      ]) {
        codes.push(catchError(EngineError, act).code);
      }
    };
    machine.tracers.add({ name: 'host', filter: ['divide'], target: () => void answers.push(runs(fork)) });
    expect(runs(machine)).toBe(ORIGINAL);
    expect(answers).toEqual([ORIGINAL]);
    machine.tracers.remove('host');
    machine.call('divide', [100n, 7n], { onArrival: refused });
    expect(codes).toEqual(['EBUSY', 'EBUSY', 'EBUSY', 'EBUSY']);
    expect(runs(fork)).toBe(ORIGINAL);
    fork.dispose();
    machine.dispose();
  });
});

test('patches, modules, heap, shadow variables, log, failures and names are those of one side', async () => {
  const machine = await world();
  const patch = machine.livepatch.enable(
    patchOfObjects('late', [{ name: 'mod', funcs: [func('divide', 'livepatch_sum_eight')] }]),
  );
  const place = machine.heap.allocate(64n, true);
  machine.shadow.allocate({ object: 1n, id: 2n, size: 8n });
  machine.faults.inject('register');
  machine.log.say('before');
  const fork = machine.fork();
  expect(catchError(Error, () => fork.load(shipped('target.o'), { name: 'mod', kind: 'module' }))).toMatchObject({
    code: 'EBUSY',
  });
  expect([fork.faults.pending, machine.faults.pending]).toEqual([0, 1]);
  fork.load(shipped('target.o'), { name: 'mod', kind: 'module' });
  expect(fork.call('mod:divide', [1n, 1n]).runs.name).toBe(FIXED);
  expect(machine.images.get('mod')).toBeUndefined();
  fork.heap.free(place);
  fork.shadow.free(1n, 2n);
  expect([machine.heap.inUse > 0, machine.shadow.size, fork.shadow.size]).toEqual([true, 1, 0]);
  fork.livepatch.disable('late');
  // a patch that `enable` gave is the machine's that gave it
  expect([patch.enabled, fork.livepatch.patches]).toEqual([true, []]);
  expect(machine.log.take()).toEqual(expect.arrayContaining(['before']));
  expect(fork.log.take().at(-1)).toBe("livepatch: 'late': unpatching complete");
  fork.tasks.exit('t0');
  expect([machine.tasks.first.name, fork.tasks.first.name]).toEqual(['t0', 't1']);
  machine.dispose();
  fork.dispose();
});

test('a module leaves with its own exit on each side, and what was freed before stays freed', async () => {
  const machine = await world();
  let exits = 0;
  const exit = (): number => {
    exits++;
    return 0;
  };
  machine.load(shipped('target.o'), { name: 'mod', kind: 'module', exit });
  const place = machine.heap.allocate(64n, true);
  machine.heap.free(place);
  const fork = machine.fork();
  for (const one of [fork, machine]) {
    expect(catchError(EngineError, () => one.heap.free(place)).engineCode).toBe('double-free');
    one.unload('mod');
    expect(one.images.get('mod')).toBeUndefined();
  }
  expect(exits).toBe(2);
  machine.dispose();
  fork.dispose();
});

test('what stands under a patch, a stack through a served routine, and a dead ftrace are on both sides what they were', async () => {
  const machine = await world({ transition: 'manual' });
  const over = patchOf('over', [func('divide', 'livepatch_checksum')]);
  for (const patch of [FIX, over]) {
    machine.livepatch.enable(patch);
    machine.livepatch.switchTasks();
  }
  const served = machine.serve('served', () => 1n);
  machine.park(caller(machine, served), [], served, { task: 't1' });
  const fork = machine.fork();
  expect(fork.stackTrace('t1')).toEqual(machine.stackTrace('t1'));
  expect([fork.resume('t1').returns, machine.resume('t1').returns]).toEqual([1n, 1n]);
  fork.livepatch.disable('over');
  fork.livepatch.switchTasks();
  expect(runs(fork)).toBe(FIXED);
  // F14: a site that was changed from outside
  const site = machine.images.site(machine.address('vmlinux:checksum')) ?? 0n;
  machine.engine.write(site, Uint8Array.of(0xcc));
  const add = (one: Machine, name: string) => () => one.tracers.add({ name, filter: ['checksum'] });
  expect(catchError(TrampolineError, add(machine, 'a')).code).toBe('EINVAL');
  const dead = machine.fork();
  expect(catchError(TrampolineError, add(dead, 'a')).code).toBe('ENODEV');
  add(fork, 'a')();
  for (const one of [machine, fork, dead]) one.dispose();
});

test('a batch of the core takes no memory that the guest of any side has', async () => {
  const machine = await world();
  machine.livepatch.enable(FIX);
  const fork = machine.fork();
  const batch = machine.core.batch(100_000);
  batch.sites.fill(machine.images.site(machine.address('vmlinux:divide')) ?? 0n);
  expect(batch.run(machine.tasks.first.handle)).toBe(100_000);
  fork.livepatch.disable('fix');
  expect([machine, fork].map((one) => one.call('divide', [100n, 7n], { budget: 1000 }).runs.name)).toEqual([
    FIXED,
    ORIGINAL,
  ]);
  machine.dispose();
  fork.dispose();
});

test('a snapshot goes back on its own side; on another one it is EINVAL', async () => {
  const machine = await world();
  const snapshot = machine.snapshot();
  const fork = machine.fork();
  expect(catchError(EngineError, () => fork.reset(snapshot)).code).toBe('EINVAL');
  const at = machine.address('vmlinux:call_count');
  const before = machine.read(at, 1)[0];
  machine.engine.write(at, Uint8Array.of(7));
  fork.engine.write(at, Uint8Array.of(8));
  machine.reset(snapshot);
  expect([machine.read(at, 1)[0], fork.read(at, 1)[0]]).toEqual([before, 8]);
  machine.release(snapshot);
  machine.dispose();
  fork.dispose();
});

describe('there is no fork', () => {
  test('while anything is under way: EBUSY, and nothing is changed', async () => {
    const machine = await world();
    const codes: string[] = [];
    const refused = (): number => {
      codes.push(catchError(EngineError, () => machine.fork()).code);
      return 0;
    };
    machine.call('divide', [1n, 1n], { onArrival: () => void refused() });
    const inside = machine.serve('inside', () => BigInt(refused()));
    machine.call(caller(machine, inside));
    machine.livepatch.enable(
      patchOfObjects('fix', [
        { name: null, funcs: [func('divide', 'livepatch_sum_eight')], callbacks: { prePatch: refused } },
      ]),
    );
    machine.load(shipped('target.o'), { name: 'mod', kind: 'module', init: refused, exit: refused });
    machine.unload('mod');
    const steps = machine.trace('checksum', [0n, 0n]);
    steps.next();
    refused();
    steps.return();
    machine.tracers.add({ name: 'd', kind: 'direct', filter: ['divide'], target: 'tail_target', opsFunc: refused });
    expect(codes).toEqual(Array.from({ length: 7 }, () => 'EBUSY'));
    const fork = machine.fork();
    expect(runs(fork)).toBe(FIXED);
    fork.dispose();
    machine.dispose();
  });

  test('of a disposed machine: EINVAL; with another engine: EOPNOTSUPP that names wasm', async () => {
    const machine = await world();
    const fork = machine.fork();
    machine.dispose();
    expect(catchError(EngineError, () => machine.fork()).code).toBe('EINVAL');
    fork.dispose();
    expect(catchError(EngineError, () => fork.fork()).code).toBe('EINVAL');
    const unicorn = await world({ engine: 'unicorn' });
    const error = catchError(EngineError, () => unicorn.fork());
    expect([error.code, error.message]).toEqual(['EOPNOTSUPP', expect.stringContaining("'wasm'")]);
    unicorn.dispose();
  });
});

test('of an image of 100 MB takes its tables and no page; a thousand of them, one after the other, no more', async () => {
  const edit = new Edit(shipped('target.o'));
  // sh_size of .bss
  edit.u64(edit.header('.bss') + 32, 100n << 20n);
  const machine = await Machine.create({ engine: 'wasm' });
  const image = machine.load(edit.bytes, { name: 'vmlinux' });
  const { memory, exports } = machine.core.instance;
  const loaded = memory.buffer.byteLength;
  const once = (i: number): void => {
    const fork = machine.fork();
    fork.engine.write(image.end - 1n, Uint8Array.of(i & 0xff));
    expect(fork.call('divide', [BigInt(7 * i), 7n]).returns).toBe(BigInt(i));
    fork.dispose();
  };
  once(1);
  once(2);
  const grown = memory.buffer.byteLength;
  expect(grown - loaded).toBeLessThan(20 << 20);
  expect(machine.read(image.end - 1n, 1)[0]).toBe(0);
  const frames = exports.framesInUse();
  for (let i = 0; i < 1000; i++) once(i);
  expect(machine.read(image.end - 1n, 1)[0]).toBe(0);
  expect([memory.buffer.byteLength, exports.framesInUse()]).toEqual([grown, frames]);
  machine.dispose();
});
