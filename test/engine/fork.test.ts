// Forks of an engine: each goes its own way from where it was made, as an engine does that has replayed the same past.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Core } from '../../src/core/core.ts';
import type { EngineSnapshot } from '../../src/engine/engine.ts';
import { createUnicorn } from '../../src/engine/unicorn.ts';
import { createWasm, WasmEngine } from '../../src/engine/wasm.ts';
import { EngineError } from '../../src/errors.ts';
import { Instance } from '../../src/wasm/instance.ts';
import { catchError } from '../support/catch-error.ts';
import { playForks } from '../support/forks.ts';
import { CODE, DATA, operation, PAGE, Subject } from './fork-subject.ts';

async function engine(): Promise<{ cpu: WasmEngine; frames: () => number; bytes: () => number }> {
  const instance = await Instance.create();
  const cpu = await createWasm(instance);
  return { cpu, frames: () => instance.exports.framesInUse(), bytes: () => instance.memory.buffer.byteLength };
}

/** mov eax, value */
const movEax = (value: number) => Uint8Array.of(0xb8, value, 0, 0, 0);

/** Runs the five bytes at CODE and returns rax. */
function run(cpu: WasmEngine): bigint {
  expect(cpu.run({ from: CODE, until: CODE + 5n, budget: 100 }).reason).toBe('until');
  return cpu.readRegister('rax');
}

// a pool of a few blocks is begun anew all the time, under the feet of those who are not running
const POOLS = { 'its usual pool of blocks': 1 << 20, 'a tiny pool of blocks': 3 << 12 };

describe.each(['eager', 'sync', false] as const)('with the JIT %s', (jit) => {
  test.each(Object.entries(POOLS))(
    'and %s, parent, fork and fork of the fork are as engines of their own',
    async (_, pool) => {
      await playForks(() => Subject.create(jit, pool), operation, 40);
    },
  );
});

describe('a fork', () => {
  test('shares pages until one of the two writes them, and copies that one page', async () => {
    const { cpu, frames } = await engine();
    cpu.map(DATA - 1000n * PAGE, 1000n * PAGE, 'rw');
    cpu.fork().dispose();
    const before = frames();
    const fork = cpu.fork();
    const tables = frames() - before;
    expect(tables).toBeLessThan(1000);
    const at = DATA - 500n * PAGE - 4n;
    fork.write(at, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(frames() - before - tables).toBe(2);
    cpu.write(at, Uint8Array.of(9));
    expect(frames() - before - tables).toBe(2);
    expect(cpu.read(at, 8)).toEqual(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    expect(fork.read(at, 8)).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    fork.dispose();
    expect(frames()).toBe(before);
    expect(cpu.read(at, 8)).toEqual(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
    cpu.dispose();
  });

  test('runs the code that it has, whoever else changes his', async () => {
    const { cpu } = await engine();
    cpu.map(CODE, PAGE, 'rwx');
    cpu.write(CODE, movEax(1));
    expect(run(cpu)).toBe(1n);
    const fork = cpu.fork();
    expect(run(fork)).toBe(1n);
    cpu.write(CODE, movEax(2));
    expect([run(cpu), run(fork)]).toEqual([2n, 1n]);
    fork.write(CODE, movEax(3));
    expect([run(cpu), run(fork)]).toEqual([2n, 3n]);
    cpu.dispose();
    expect(run(fork)).toBe(3n);
    fork.dispose();
  });

  test('is unmapped, protected and mapped by itself', async () => {
    const { cpu } = await engine();
    cpu.map(DATA, 4n * PAGE, 'rw');
    cpu.write(DATA, Uint8Array.of(7));
    const fork = cpu.fork();
    fork.unmap(DATA, PAGE);
    fork.protect(DATA + PAGE, PAGE, 'r');
    fork.map(CODE, PAGE, 'rx');
    expect(cpu.read(DATA, 1)).toEqual(Uint8Array.of(7));
    cpu.protect(DATA + 2n * PAGE, PAGE, 'r');
    cpu.map(CODE, PAGE, 'rwx');
    cpu.write(CODE, Uint8Array.of(0xc6, 0x07, 0x55)); // mov byte [rdi], 0x55
    fork.write(CODE, Uint8Array.of(0xc6, 0x07, 0x66));
    const store = (one: WasmEngine, at: bigint) => {
      one.writeRegister('rdi', at);
      return one.run({ from: CODE, until: CODE + 3n, budget: 5 }).fault?.kind;
    };
    expect([0n, 1n, 2n, 3n].map((i) => store(cpu, DATA + i * PAGE))).toEqual([
      undefined,
      undefined,
      'protected',
      undefined,
    ]);
    expect([0n, 1n, 2n, 3n].map((i) => store(fork, DATA + i * PAGE))).toEqual([
      'unmapped',
      'protected',
      undefined,
      undefined,
    ]);
    expect(cpu.read(DATA + 3n * PAGE, 1)).toEqual(Uint8Array.of(0x55));
    expect(fork.read(DATA + 3n * PAGE, 1)).toEqual(Uint8Array.of(0x66));
    expect(cpu.read(DATA + 2n * PAGE, 1)).toEqual(Uint8Array.of(0));
    fork.dispose();
    cpu.dispose();
  });

  test('has no snapshots; those of its parent stay good, and are refused here: EINVAL', async () => {
    const { cpu } = await engine();
    cpu.map(DATA, 2n * PAGE, 'rw');
    cpu.write(DATA, Uint8Array.of(1));
    const snapshot = cpu.snapshots.take();
    cpu.write(DATA, Uint8Array.of(2));
    const fork = cpu.fork();
    expect(catchError(EngineError, () => fork.snapshots.restore(snapshot)).code).toBe('EINVAL');
    const own = fork.snapshots.take();
    fork.write(DATA, Uint8Array.of(3));
    expect([snapshot.changes, own.changes]).toEqual([1, 1]);
    cpu.snapshots.restore(snapshot);
    expect([cpu.read(DATA, 1)[0], fork.read(DATA, 1)[0]]).toEqual([1, 3]);
    fork.snapshots.restore(own);
    expect([cpu.read(DATA, 1)[0], fork.read(DATA, 1)[0]]).toEqual([1, 2]);
    cpu.dispose();
    expect(fork.read(DATA, 1)[0]).toBe(2);
    fork.dispose();
  });

  test('made and disposed a thousand times takes no memory for good', async () => {
    const { cpu, frames, bytes } = await engine();
    cpu.map(DATA, 4n * PAGE, 'rw');
    cpu.map(CODE, PAGE, 'rwx');
    cpu.write(CODE, movEax(1));
    // what a log of changes holds may be what the other side still has
    const once = (): void => {
      const snapshot = cpu.snapshots.take();
      cpu.write(DATA, Uint8Array.of(1));
      const fork = cpu.fork();
      fork.snapshots.take();
      fork.write(DATA, Uint8Array.of(2));
      fork.unmap(DATA + PAGE, PAGE);
      fork.write(CODE, movEax(2));
      run(fork);
      cpu.write(DATA, Uint8Array.of(3));
      cpu.unmap(DATA + 2n * PAGE, PAGE);
      cpu.snapshots.restore(snapshot);
      fork.dispose();
      cpu.snapshots.release(snapshot);
    };
    // the second one knows what the first one has left
    once();
    once();
    const before = [frames(), bytes()];
    for (let i = 0; i < 1000; i++) once();
    expect([frames(), bytes()]).toEqual(before);
    expect(run(cpu)).toBe(1n);
    cpu.dispose();
  });

  // sizes around all that a fork allocates: its tables, and copies of both pools of the core
  test.each(Array.from({ length: 16 }, (_, i) => 1 + 64 * i))(
    'for which %i pages are left is made whole, or is ENOMEM and nothing is changed',
    async (left) => {
      const instance = await Instance.create();
      const core = await Core.create({ instance, sites: 1 << 14, funcs: 1 << 14, tasks: 4 });
      const cpu = WasmEngine.over(instance, false, 1 << 20);
      const task = core.addTask();
      for (let i = 1n; i < 15_000n; i++) core.pushFunc(i * 16n, i, 1);
      cpu.map(CODE, PAGE, 'rwx');
      cpu.write(CODE, movEax(1));
      instance.exports.reservePages(left);
      // others have taken the rest
      instance.memory.grow((1 << 16) - instance.memory.buffer.byteLength / (1 << 16));
      const both = (): unknown => [run(cpu), core.dispatch(16n * 7n, task), core.counters().calls];
      let fork: WasmEngine | undefined;
      try {
        const own = instance.fork();
        fork = cpu.fork(own);
        fork.write(CODE, movEax(2));
        expect(core.fork(own).dispatch(16n * 9n, task)).toBe(9n);
        expect(run(fork)).toBe(2n);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOMEM' });
      }
      expect(both()).toEqual([1n, 7n, 1]);
      fork?.dispose();
      expect(both()).toEqual([1n, 7n, 2]);
      cpu.dispose();
    },
  );

  test('gives back exactly what it took, whatever its relatives did, in whatever order they go', async () => {
    const seed = Number(process.env.TRAMP64_SEED ?? Date.now() % 2 ** 31);
    const pages = 16;
    const step = fc.record({
      kind: fc.constantFrom('fork', 'dispose', 'take', 'restore', 'forget', 'remap', 'write', 'write', 'write'),
      who: fc.nat(1000),
      page: fc.nat(pages - 1),
      value: fc.nat(255),
    });
    const steps = fc.array(step, { minLength: 100, maxLength: 200, size: 'max' });
    const property = fc.asyncProperty(steps, async (all) => {
      const root = await Instance.create();
      const cpu = WasmEngine.over(root, false, 1 << 20);
      cpu.fork().dispose();
      const before = root.exports.framesInUse();
      type Bytes = (number | undefined)[];
      let family = [
        { own: root, cpu, bytes: new Array<number | undefined>(pages), taken: [] as [EngineSnapshot, Bytes][] },
      ];
      for (const { kind, who, page, value } of all) {
        const one = family[who % family.length];
        if (one === undefined) continue;
        const at = DATA - BigInt(page + 1) * PAGE;
        const last = one.taken.at(-1);
        if (kind === 'fork' && family.length < 10) {
          const own = one.own.fork();
          family.push({ own, cpu: one.cpu.fork(own), bytes: [...one.bytes], taken: [] });
        } else if (kind === 'dispose' && family.length > 1) {
          one.cpu.dispose();
          family = family.filter((other) => other !== one);
        } else if (kind === 'take') one.taken.push([one.cpu.snapshots.take(), [...one.bytes]]);
        else if (kind === 'restore' && last !== undefined) {
          one.cpu.snapshots.restore(last[0]);
          one.bytes = [...last[1]];
        } else if (kind === 'forget') for (const [taken] of one.taken.splice(0)) one.cpu.snapshots.release(taken);
        else if (one.bytes[page] === undefined) {
          one.cpu.map(at, PAGE, 'rw');
          one.bytes[page] = 0;
        } else if (kind === 'remap') {
          one.cpu.unmap(at, PAGE);
          one.bytes[page] = undefined;
        } else {
          one.cpu.write(at, Uint8Array.of(value));
          one.bytes[page] = value;
        }
      }
      for (const one of family) {
        for (const [page, value] of one.bytes.entries()) {
          const at = DATA - BigInt(page + 1) * PAGE;
          if (value !== undefined) expect(one.cpu.read(at, 1)[0]).toBe(value);
          else expect(catchError(EngineError, () => one.cpu.read(at, 1)).code).toBe('EFAULT');
        }
      }
      const [last, ...others] = family;
      for (const one of others) one.cpu.dispose();
      if (last === undefined) return;
      for (const [taken] of last.taken) last.cpu.snapshots.release(taken);
      for (const [page, value] of last.bytes.entries()) {
        if (value !== undefined) last.cpu.unmap(DATA - BigInt(page + 1) * PAGE, PAGE);
      }
      expect(last.own.exports.framesInUse()).toBe(before);
      last.cpu.dispose();
    });
    await fc.assert(property, { seed, numRuns: Number(process.env.TRAMP64_RUNS ?? 20) });
  });

  test('can be one of many, disposed in any order, and the last one goes on', async () => {
    const { cpu } = await engine();
    cpu.map(CODE, PAGE, 'rwx');
    cpu.write(CODE, movEax(0));
    const forks = Array.from({ length: 60 }, (_, i) => {
      const fork = cpu.fork();
      fork.write(CODE, movEax(i + 1));
      return fork;
    });
    cpu.dispose();
    for (const [i, fork] of forks.entries()) if (i % 2 === 0) fork.dispose();
    const left = forks.filter((_, i) => i % 2 === 1);
    expect(left.map(run)).toEqual(left.map((_, i) => BigInt(2 * i + 2)));
    const [last, ...others] = left;
    for (const fork of others.reverse()) fork.dispose();
    expect(last && run(last)).toBe(2n);
    last?.dispose();
    last?.dispose();
  });

  test('made from inside a run, used or disposed there, is EBUSY; nothing of it is done', async () => {
    const { cpu } = await engine();
    cpu.map(CODE, PAGE, 'rx');
    cpu.write(CODE, movEax(1));
    const fork = cpu.fork();
    const codes: string[] = [];
    const refused = (what: () => unknown) => codes.push(catchError(EngineError, what).code);
    const onBlock = (): undefined => {
      refused(() => cpu.fork());
      refused(() => fork.fork());
      refused(() => fork.read(CODE, 1));
      refused(() => fork.writeRegister('rax', 5n));
      refused(() => fork.run({ from: CODE, until: CODE + 5n, budget: 5 }));
      refused(() => fork.dispose());
      return undefined;
    };
    cpu.run({ from: CODE, until: CODE + 5n, budget: 10, onBlock });
    expect(codes).toEqual(Array.from({ length: 6 }, () => 'EBUSY'));
    expect([run(cpu), run(fork)]).toEqual([1n, 1n]);
    fork.dispose();
    cpu.dispose();
  });

  test('of a disposed engine is EINVAL; Unicorn has none', async () => {
    const { cpu } = await engine();
    cpu.dispose();
    expect(catchError(EngineError, () => cpu.fork()).code).toBe('EINVAL');
    const unicorn = await createUnicorn();
    expect('fork' in unicorn && unicorn.fork).toBeFalsy();
    unicorn.dispose();
  });

  test('keeps its blocks while others fill the pool that they share', async () => {
    const { cpu } = await engine();
    cpu.map(CODE, PAGE, 'rwx');
    cpu.write(CODE, movEax(1));
    const fork = cpu.fork();
    // 25,600 blocks of 64 instructions, 54 MB of ops, are more than the pool of 32 MiB holds
    const pages = 400n;
    cpu.map(DATA - pages * PAGE, pages * PAGE, 'rx');
    cpu.write(DATA - pages * PAGE, new Uint8Array(Number(pages * PAGE)).fill(0x90));
    for (let round = 0; round < 3; round++) {
      cpu.run({ from: DATA - pages * PAGE, until: DATA, budget: 10_000_000 });
      expect(run(fork)).toBe(1n);
      fork.write(CODE, movEax(1));
      expect(run(fork)).toBe(1n);
    }
    fork.dispose();
    cpu.dispose();
  });
});
