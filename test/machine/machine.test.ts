// Calls of real compiled code: arguments, results, registers, faults, budgets and re-entrancy.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EngineError, ImageError, TrampolineError } from '../../src/errors.ts';
import { USER_MAP } from '../../src/machine/guest-map.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { catchError } from '../support/catch-error.ts';
import { ENGINES } from '../support/engines.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));

async function loadedWith(options: MachineOptions): Promise<Machine> {
  const machine = await Machine.create(options);
  machine.load(object('target.o'), { name: 'vmlinux' });
  machine.load(object('fix-a.o'), { name: 'fix_a', kind: 'livepatch' });
  return machine;
}

function patchAll(machine: Machine): void {
  const funcs = ['checksum', 'find_text', 'divide', 'fibonacci'].map((oldName) => ({
    oldName,
    newFunc: `livepatch_${oldName}`,
  }));
  machine.livepatch.enable({ name: 'fix_a', objects: [{ name: null, funcs }] });
}

describe.each(ENGINES)('on %s', (engine) => {
  const loaded = (options: MachineOptions = {}) => loadedWith({ engine, ...options });

  describe('a call of real code', () => {
    test('passes eight arguments, six of them in registers', async () => {
      const machine = await loaded();
      const { returns, clobbered, runs } = machine.call('sum_eight', [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
      const again = machine.call('sum_eight', [1n, 2n, 3n, 4n, 5n, 6n, 7n, 9n]);
      expect(again.returns).not.toBe(returns);
      expect({ clobbered, changed: runs.changed, returnsToCaller: runs.returnsToCaller }).toEqual({
        clobbered: [],
        changed: [],
        returnsToCaller: true,
      });
      machine.dispose();
    });

    test('returns a struct in rax and rdx', async () => {
      const machine = await loaded();
      expect(machine.call('divide', [100n, 7n])).toMatchObject({ returns: 14n, rdx: 2n });
      machine.dispose();
    });

    test('writes into a buffer that the caller reads back', async () => {
      const machine = await loaded();
      const { buffers } = machine.call('reverse_text', ['abcde', 5n]);
      expect(new TextDecoder().decode(machine.read(buffers[0] ?? 0n, 5))).toBe('edcba');
      machine.dispose();
    });

    test('takes negative integers as two’s complement, and refuses what does not fit', async () => {
      const machine = await loaded();
      expect(machine.call('tail_target', [-1n]).returns).toBe(
        machine.call('tail_target', [0xffffffffffffffffn]).returns,
      );
      expect(() => machine.call('tail_target', [1n << 64n])).toThrow(RangeError);
      expect(() => machine.call('tail_target', [-(1n << 63n) - 1n])).toThrow(RangeError);
      expect(catchError(EngineError, () => machine.call('checksum', [new Uint8Array(1 << 20)])).code).toBe('ENOMEM');
      machine.dispose();
    });
  });

  describe.each([
    { kernel: '6.1', trampoline: 'args' },
    { kernel: '6.1', trampoline: 'regs' },
    { kernel: '6.12', trampoline: 'args' },
    { kernel: '6.12', trampoline: 'regs' },
  ] as const)('a redirected call through the $trampoline trampoline of $kernel', (options) => {
    test('arrives with every register as in a plain call, and returns to the caller (I3)', async () => {
      const machine = await loaded(options);
      patchAll(machine);
      const calls = { checksum: ['hello', 5n], find_text: ['hello', 'l'], divide: [7n, 2n], fibonacci: [5n] };
      for (const [name, args] of Object.entries(calls)) {
        const { runs, clobbered, visits } = machine.call(name, args);
        expect(runs).toMatchObject({ name: `fix_a:livepatch_${name}`, changed: [], returnsToCaller: true });
        expect(clobbered).toEqual([]);
        expect(visits[0]).toEqual(runs);
      }
      machine.dispose();
    });

    test('is the same single-stepped as run', async () => {
      const machine = await loaded(options);
      patchAll(machine);
      const { instructions } = machine.call('checksum', ['hello', 5n]);
      const steps = [...machine.trace('checksum', ['hello', 5n])];
      expect(steps.filter((step) => step.part !== 'gate')).toHaveLength(instructions);
      expect(steps.filter((step) => step.part === 'gate')).toHaveLength(1);
      expect(new Set(steps.map((step) => step.part))).toEqual(
        new Set(['site', 'trampoline', 'gate', 'routine', 'function']),
      );
      machine.dispose();
    });
  });

  describe('what goes wrong has a type, a place and leaves a usable machine', () => {
    test('a bad pointer is EFAULT with the function and offset', async () => {
      const machine = await loaded();
      const error = catchError(EngineError, () => machine.call('checksum', [0x10n, 5n]));
      expect(error).toMatchObject({ code: 'EFAULT', engineCode: 'unmapped' });
      expect(error.message).toMatch(/'checksum': read of unmapped 0x10 at vmlinux:checksum\+0x/);
      expect(machine.call('checksum', ['hello', 5n]).runs.name).toBe('vmlinux:checksum');
      machine.dispose();
    });

    test('an endless or long call is ETIMEDOUT at the budget', async () => {
      const machine = await loaded({ budget: 1000 });
      expect(catchError(EngineError, () => machine.call('fibonacci', [40n])).code).toBe('ETIMEDOUT');
      expect(catchError(EngineError, () => [...machine.trace('fibonacci', [40n])]).code).toBe('ETIMEDOUT');
      expect(machine.call('fibonacci', [3n], { budget: 100_000 }).returns).toBe(2n);
      machine.dispose();
    });

    test('unknown functions, tasks and images are named', async () => {
      const machine = await loaded();
      expect(catchError(TrampolineError, () => machine.call('nothing')).message).toMatch(/'nothing'.*ENOENT/);
      expect(catchError(TrampolineError, () => machine.call('checksum', [], { task: 'x' })).message).toMatch(
        /'x'.*ENOENT/,
      );
      const again = catchError(ImageError, () => machine.load(object('fix-a.o'), { name: 'fix_a' }));
      expect(again.code).toBe('EEXIST');
      machine.dispose();
    });

    test('an image that cannot be loaded leaves nothing behind', async () => {
      const machine = await loaded();
      const before = machine.images.all.length;
      catchError(ImageError, () => machine.load(object('target.o').subarray(0, 200), { name: 'cut' }));
      expect(machine.images.all).toHaveLength(before);
      machine.load(object('fix-b.o'), { name: 'cut', kind: 'livepatch' });
      machine.dispose();
    });

    test('call, trace and dispose from inside a run are EBUSY, and the run goes on', async () => {
      const machine = await loaded();
      const codes: string[] = [];
      const { returns } = machine.call('divide', [9n, 3n], {
        onArrival: () => {
          for (const action of [
            () => machine.call('divide'),
            () => [...machine.trace('divide')],
            () => machine.dispose(),
          ]) {
            codes.push(catchError(EngineError, action).code);
          }
        },
      });
      expect(codes).toEqual(['EBUSY', 'EBUSY', 'EBUSY']);
      expect(returns).toBe(3n);
      machine.dispose();
    });

    test('a disposed machine says so, and disposing twice is harmless', async () => {
      const machine = await loaded();
      machine.dispose();
      machine.dispose();
      expect(catchError(EngineError, () => machine.call('divide')).code).toBe('EINVAL');
    });
  });

  test('two machines in one process know nothing of each other', async () => {
    const [one, two] = [await loaded(), await loaded()];
    patchAll(one);
    expect(one.call('checksum', ['hello', 5n]).runs.name).toBe('fix_a:livepatch_checksum');
    expect(two.call('checksum', ['hello', 5n]).runs.name).toBe('vmlinux:checksum');
    one.dispose();
    expect(two.call('checksum', ['hello', 5n]).runs.name).toBe('vmlinux:checksum');
    two.dispose();
  });
});

describe('a machine in the lower half, as a process would hold it', () => {
  test.each(['core', 'guest'] as const)(
    'redirects and gives back as one in the upper half (handler: %s)',
    async (handler) => {
      for (const engine of ENGINES) {
        const high = await loadedWith({ engine, handler });
        const low = await loadedWith({ engine, handler, map: USER_MAP });
        const results = [high, low].map((machine) => {
          const plain = machine.call('checksum', ['hello', 5n]);
          patchAll(machine);
          const { returns, runs, instructions } = machine.call('checksum', ['hello', 5n]);
          return { plain: plain.returns, returns, instructions, name: runs.name, changed: runs.changed };
        });
        expect(results[1], engine).toEqual(results[0]);
        expect(low.address('vmlinux:checksum')).toBeLessThan(1n << 31n);
        expect(low.ftrace.record(low.images.site(low.address('vmlinux:checksum')) ?? 0n)?.calls).toBeLessThan(
          1n << 31n,
        );
        high.dispose();
        low.dispose();
      }
    },
  );
});
