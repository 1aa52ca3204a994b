// Calls that wait: parked at an instruction, suspended in a service, interrupted; each task with a stack of its own.
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { EngineError, TrampolineError } from '../../src/errors.ts';
import { Machine } from '../../src/machine.ts';
import { catchError } from '../support/catch-error.ts';
import { ENGINES } from '../support/engines.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
const machines: Machine[] = [];

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

/** Eight quads, lowest byte first. */
const quads = (...values: number[]): Uint8Array => new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer);
const sorted = (machine: Machine, at: bigint | undefined, count: number): number[] =>
  [...new BigUint64Array(machine.read(at ?? 0n, 8 * count).slice().buffer)].map(Number);

describe.each(ENGINES)('on %s', (engine) => {
  async function world(): Promise<Machine> {
    const machine = await Machine.create({ engine, tasks: ['t0', 't1', 't2'] });
    machines.push(machine);
    machine.load(object('target.o'), { name: 'vmlinux' });
    machine.load(object('fix-a.o'), { name: 'fix_a', kind: 'livepatch' });
    return machine;
  }

  /** An instruction in the middle of a function, by running it a few steps. */
  function inside(machine: Machine, name: string, args: bigint[], steps: number): bigint {
    const seen = [...machine.trace(name, args)].filter(({ part }) => part === 'function');
    return seen[steps]?.ip ?? 0n;
  }

  test('a parked call gives what the same call gives in one piece, whatever others did meanwhile', async () => {
    const machine = await world();
    const whole = machine.call('fibonacci', [10n]);
    for (const steps of [0, 1, 5, 17]) {
      const at = inside(machine, 'fibonacci', [10n], steps);
      const where = machine.park('fibonacci', [10n], at, { task: 't1' });
      expect(where).toMatchObject({ address: at, name: 'vmlinux:fibonacci' });
      expect(machine.parkedAt('t1')).toEqual(where);
      expect(machine.call('fibonacci', [7n], { task: 't2' }).returns).toBe(13n);
      expect(machine.call('checksum', ['hello', 5n]).returns).toBe(machine.call('checksum', ['hello', 5n]).returns);
      const result = machine.resume('t1');
      expect(result).toMatchObject({ returns: 55n, clobbered: [], instructions: whole.instructions });
      expect(result.runs).toMatchObject({ name: 'vmlinux:fibonacci', changed: [], returnsToCaller: true });
      expect(machine.parkedAt('t1')).toBeUndefined();
    }
  });

  test('many tasks are parked at once, each with its own buffers', async () => {
    const machine = await world();
    const names = Array.from({ length: 40 }, (_, i) => `n${i}`);
    for (const name of names) machine.tasks.add(name);
    const at = machine.address('compare_up');
    const up = machine.address('compare_up');
    for (const [i, task] of names.entries())
      machine.park('sort_items', [quads(9 - (i % 5), 3, 7, i), 4n, up], at, { task });
    for (const [i, task] of names.entries()) {
      const { buffers } = machine.resume(task);
      expect(sorted(machine, buffers[0], 4)).toEqual([9 - (i % 5), 3, 7, i].sort((a, b) => a - b));
    }
  });

  test('a call parks in a redirected call as well, in the site, the trampoline and the new function', async () => {
    const machine = await world();
    machine.livepatch.enable({
      name: 'fix_a',
      objects: [{ name: null, funcs: [{ oldName: 'fibonacci', newFunc: 'livepatch_fibonacci' }] }],
    });
    const whole = machine.call('fibonacci', [6n]);
    const steps = [...machine.trace('fibonacci', [6n])].filter(({ part }) => part !== 'gate').slice(0, 60);
    expect(new Set(steps.map(({ part }) => part))).toEqual(new Set(['site', 'trampoline', 'routine', 'function']));
    for (const { ip } of steps) {
      machine.park('fibonacci', [6n], ip, { task: 't1' });
      expect(machine.parkedAt('t1')?.address).toBe(ip);
      const result = machine.resume('t1');
      expect(result).toMatchObject({ returns: whole.returns, instructions: whole.instructions, clobbered: [] });
      expect(result.visits).toEqual(whole.visits);
      expect(result.runs).toEqual(whole.runs);
    }
  });

  test('a resumed call may park again, at the same place in the next recursion', async () => {
    const machine = await world();
    const entry = inside(machine, 'fibonacci', [5n], 0);
    machine.park('fibonacci', [5n], entry, { task: 't1' });
    const calls = [...machine.trace('fibonacci', [5n])].filter(({ ip }) => ip === entry).length;
    let times = 1;
    while (catchOr(() => machine.resumeUntil('t1', entry))) times++;
    expect(times).toBe(calls);
    expect(times).toBeGreaterThan(4);
    expect(machine.parkedAt('t1')).toBeUndefined();
  });

  test('a place inside an instruction is refused before anything runs: the task stays where it is', async () => {
    const machine = await world();
    const [, second] = [...machine.trace('fibonacci', [3n])].filter(({ part }) => part === 'function');
    const middle = (second?.ip ?? 0n) + 1n;
    const where = machine.park('fibonacci', [3n], 'fibonacci', { task: 't1' });
    expect(catchError(EngineError, () => machine.resumeUntil('t1', middle)).code).toBe('EINVAL');
    expect(catchError(EngineError, () => machine.resumeUntil('t1', 'fibonacci+0x1')).code).toBe('EINVAL');
    expect(machine.parkedAt('t1')).toEqual(where);
    expect(machine.resume('t1').returns).toBe(2n);
  });

  test('what cannot be parked or resumed says so, and the task is free again', async () => {
    const machine = await world();
    const never = catchError(EngineError, () => machine.park('fibonacci', [3n], 'checksum+0x9', { task: 't1' }));
    expect(never.message).toBe("park: 'fibonacci' returned without coming to checksum+0x9 (EINVAL)");
    const [, second] = [...machine.trace('fibonacci', [3n])].filter(({ part }) => part === 'function');
    const middle = (second?.ip ?? 0n) + 1n;
    const inner = catchError(EngineError, () => machine.park('fibonacci', [3n], middle, { task: 't1' }));
    expect(inner.message).toMatch(
      /^park: 0x[0-9a-f]+ lies inside of ".*" at vmlinux:fibonacci\+0x[0-9a-f]+; .*\(EINVAL\)$/,
    );
    expect(catchError(EngineError, () => machine.resume('t1')).code).toBe('EINVAL');
    expect(catchError(TrampolineError, () => machine.resume('x')).code).toBe('ENOENT');
    expect(catchError(TrampolineError, () => machine.place('fibonacci+z')).code).toBe('EINVAL');
    machine.park('fibonacci', [3n], 'fibonacci', { task: 't1' });
    expect(catchError(EngineError, () => machine.call('fibonacci', [3n], { task: 't1' })).code).toBe('EBUSY');
    expect(machine.resume('t1').returns).toBe(2n);
    expect(machine.call('fibonacci', [3n], { task: 't1' }).returns).toBe(2n);
  });

  test('a task that exits while it is parked gives its stack back', async () => {
    const machine = await world();
    machine.park('fibonacci', [3n], 'fibonacci', { task: 't1' });
    machine.tasks.exit('t1');
    machine.tasks.add('t1');
    expect(catchError(EngineError, () => machine.resume('t1')).code).toBe('EINVAL');
    expect(machine.call('fibonacci', [3n], { task: 't1' }).returns).toBe(2n);
  });

  test('an interrupt runs on the stack of a parked task and leaves its call as it was', async () => {
    const machine = await world();
    const at = inside(machine, 'fibonacci', [9n], 30);
    machine.park('fibonacci', [9n], at, { task: 't1' });
    for (const context of ['softirq', 'irq', 'nmi'] as const) {
      expect(machine.call('sum_eight', [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n], { task: 't1', context })).toMatchObject({
        returns: machine.call('sum_eight', [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]).returns,
        clobbered: [],
      });
      expect(machine.core.context(machine.tasks.need('t1').handle)).toBe('task');
    }
    expect(machine.resume('t1')).toMatchObject({ returns: 34n, clobbered: [] });
  });

  describe('a routine that the host serves', () => {
    test('gets the arguments, gives rax, and costs no instruction', async () => {
      const machine = await world();
      const seen: bigint[][] = [];
      const compare = machine.serve('compare_on_host', (call) => {
        expect(call.task.name).toBe('t2');
        const [a, b] = [call.argument(0), call.argument(1)];
        seen.push([a, b]);
        return a - b;
      });
      const { buffers } = machine.call('sort_items', [quads(5, 3, 9, 1), 4n, compare], { task: 't2' });
      expect(sorted(machine, buffers[0], 4)).toEqual([1, 3, 5, 9]);
      expect(seen.length).toBeGreaterThan(2);
      expect(catchError(TrampolineError, () => machine.serve('compare_on_host', () => 0n)).code).toBe('EEXIST');
    });

    test('may call guest functions, of the same task and of others, and let parked ones go on', async () => {
      const machine = await world();
      machine.park('fibonacci', [8n], inside(machine, 'fibonacci', [8n], 12), { task: 't1' });
      let resumed: bigint | undefined;
      const compare = machine.serve('compare_on_host', (call) => {
        resumed ??= machine.resume('t1').returns;
        const own = machine.call('compare_up', [call.argument(0), call.argument(1)], { task: call.task.name });
        const others = machine.call('compare_up', [call.argument(0), call.argument(1)], { task: 't2' });
        expect(others).toMatchObject({ returns: own.returns, clobbered: [] });
        return own.returns;
      });
      const { buffers, clobbered } = machine.call('sort_items', [quads(5, 3, 9, 1, 8), 5n, compare]);
      expect(sorted(machine, buffers[0], 5)).toEqual([1, 3, 5, 8, 9]);
      expect({ resumed, clobbered }).toEqual({ resumed: 21n, clobbered: [] });
    });

    test('may be where a task sleeps, and is served when the task is resumed', async () => {
      const machine = await world();
      let served = 0;
      const compare = machine.serve('wait', () => BigInt(++served) - 1n);
      machine.park('sort_items', [quads(2, 1), 2n, compare], compare, { task: 't1' });
      expect({ served, at: machine.parkedAt('t1')?.name }).toEqual({ served: 0, at: 'wait' });
      machine.resume('t1');
      expect(served).toBeGreaterThan(0);
    });

    test('that throws ends the call with what it threw, and the machine can be used', async () => {
      const machine = await world();
      const fails = machine.serve('fails', () => {
        throw new RangeError('not today');
      });
      expect(() => machine.call('sort_items', [quads(2, 1), 2n, fails])).toThrow('not today');
      expect(machine.call('fibonacci', [3n]).returns).toBe(2n);
    });

    test('is one step of a trace', async () => {
      const machine = await world();
      const compare = machine.serve('compare_on_host', (call) => call.argument(0) - call.argument(1));
      const steps = [...machine.trace('sort_items', [quads(5, 3), 2n, compare])];
      expect(steps.filter(({ ip }) => ip === compare)).toHaveLength(1);
      expect(steps.find(({ ip }) => ip === compare)?.part).toBe('routine');
    });
  });
});

/** Whether it went on to park again. */
function catchOr(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return false;
  }
}
