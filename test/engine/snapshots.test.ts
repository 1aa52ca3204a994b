// Snapshots of guest memory and registers: what changed is put back, whatever there is beside it.
import { describe, expect, test } from 'vitest';
import type { Access } from '../../src/engine/engine.ts';
import { createWasm, type WasmEngine } from '../../src/engine/wasm.ts';
import { EngineError } from '../../src/errors.ts';
import { Instance } from '../../src/wasm/instance.ts';
import { catchError } from '../support/catch-error.ts';

const CODE = 0xffffffff81000000n;
const DATA = 0xffffc90000000000n;
const PAGE = 0x1000n;

async function engine(): Promise<{ cpu: WasmEngine; frames: () => number }> {
  const instance = await Instance.create();
  const cpu = await createWasm(instance);
  return { cpu, frames: () => instance.exports.framesInUse() };
}

/** Runs the code at CODE to its end at `until` and returns rax. */
function run(cpu: WasmEngine, until: bigint): bigint {
  expect(cpu.run({ from: CODE, until, budget: 100_000 }).reason).toBe('until');
  return cpu.readRegister('rax');
}

/** mov eax, value */
const movEax = (value: number) => Uint8Array.of(0xb8, value, 0, 0, 0);

describe('going back to a snapshot', () => {
  test('puts registers, flags, vector registers and written bytes back, again and again', async () => {
    const { cpu } = await engine();
    cpu.map(DATA, 4n * PAGE, 'rw');
    cpu.write(DATA + PAGE - 2n, Uint8Array.of(1, 2, 3, 4));
    cpu.writeRegister('r13', 7n);
    cpu.writeRegister('rflags', 0x8d5n);
    cpu.writeXmm(3, new Uint8Array(16).fill(9));
    const snapshot = cpu.snapshots.take();
    const flags = cpu.readRegister('rflags');
    for (let round = 0; round < 3; round++) {
      cpu.write(DATA + PAGE - 2n, Uint8Array.of(5, 6, 7, 8));
      cpu.writeRegister('r13', 8n);
      cpu.writeRegister('rflags', 2n);
      cpu.writeXmm(3, new Uint8Array(16));
      expect(snapshot.changes).toBe(2);
      cpu.snapshots.restore(snapshot);
      expect(snapshot.changes).toBe(0);
      expect(cpu.read(DATA + PAGE - 2n, 4)).toEqual(Uint8Array.of(1, 2, 3, 4));
      expect(cpu.readRegister('r13')).toBe(7n);
      expect(cpu.readRegister('rflags')).toBe(flags);
      expect(cpu.readXmm(3)).toEqual(new Uint8Array(16).fill(9));
    }
    cpu.dispose();
  });

  test('puts code back that was patched by the host and code that the guest has written', async () => {
    const { cpu } = await engine();
    cpu.map(CODE, PAGE, 'rwx');
    // mov eax, 1; mov byte [rdi], 0x90
    cpu.write(CODE, Uint8Array.of(...movEax(1), 0xc6, 0x07, 0x90));
    cpu.writeRegister('rdi', CODE + 0x100n);
    expect(run(cpu, CODE + 8n)).toBe(1n);
    const snapshot = cpu.snapshots.take();
    cpu.write(CODE, movEax(2));
    expect(run(cpu, CODE + 8n)).toBe(2n);
    cpu.snapshots.restore(snapshot);
    cpu.writeRegister('rdi', CODE + 1n);
    expect(run(cpu, CODE + 8n)).toBe(1n);
    expect(run(cpu, CODE + 8n)).toBe(0x90n);
    cpu.snapshots.restore(snapshot);
    expect(run(cpu, CODE + 8n)).toBe(1n);
    cpu.dispose();
  });

  test('undoes what was mapped, unmapped and protected since, in any mixture', async () => {
    const { cpu } = await engine();
    cpu.map(DATA, 2n * PAGE, 'rw');
    cpu.write(DATA, Uint8Array.of(11));
    const snapshot = cpu.snapshots.take();
    cpu.write(DATA, Uint8Array.of(12));
    cpu.unmap(DATA, PAGE);
    cpu.map(DATA, PAGE, 'r');
    cpu.write(DATA, Uint8Array.of(13));
    cpu.protect(DATA, 2n * PAGE, 'rwx');
    cpu.write(DATA + PAGE, Uint8Array.of(14));
    cpu.map(DATA + 2n * PAGE, PAGE, 'rw');
    cpu.snapshots.restore(snapshot);
    expect(cpu.read(DATA, 1)).toEqual(Uint8Array.of(11));
    expect(cpu.read(DATA + PAGE, 1)).toEqual(Uint8Array.of(0));
    expect(catchError(EngineError, () => cpu.read(DATA + 2n * PAGE, 1)).code).toBe('EFAULT');
    expect(cpu.run({ from: DATA, until: 0n, budget: 5 }).fault).toMatchObject({ kind: 'protected', access: 'fetch' });
    cpu.map(DATA + 2n * PAGE, PAGE, 'rw');
    cpu.dispose();
  });

  test('an older one takes those after it with it: EINVAL', async () => {
    const { cpu } = await engine();
    cpu.map(DATA, PAGE, 'rw');
    const byte = () => cpu.read(DATA, 1)[0];
    const oldest = cpu.snapshots.take();
    cpu.write(DATA, Uint8Array.of(1));
    const middle = cpu.snapshots.take();
    cpu.write(DATA, Uint8Array.of(2));
    const newest = cpu.snapshots.take();
    cpu.write(DATA, Uint8Array.of(3));
    cpu.snapshots.restore(newest);
    expect(byte()).toBe(2);
    cpu.write(DATA, Uint8Array.of(4));
    cpu.snapshots.restore(middle);
    expect(byte()).toBe(1);
    expect(catchError(EngineError, () => cpu.snapshots.restore(newest)).code).toBe('EINVAL');
    cpu.write(DATA, Uint8Array.of(5));
    cpu.snapshots.restore(oldest);
    expect(byte()).toBe(0);
    const other = await engine();
    expect(catchError(EngineError, () => other.cpu.snapshots.restore(oldest)).code).toBe('EINVAL');
    cpu.dispose();
    other.cpu.dispose();
  });

  test('touches the pages that changed and no other, and gives the copies back when it is released', async () => {
    const { cpu, frames } = await engine();
    cpu.map(DATA, 4096n * PAGE, 'rw');
    const before = frames();
    const snapshot = cpu.snapshots.take();
    for (let round = 0; round < 3; round++) {
      for (let i = 0n; i < 64n; i++) cpu.write(DATA + i * 61n * PAGE, Uint8Array.of(1));
      expect(snapshot.changes).toBe(64);
      // one more for the log
      expect(frames() - before).toBe(65);
      cpu.snapshots.restore(snapshot);
      expect(frames() - before).toBe(1);
    }
    cpu.write(DATA, Uint8Array.of(7));
    cpu.snapshots.release(snapshot);
    cpu.snapshots.release(snapshot);
    expect(frames()).toBe(before);
    expect(cpu.read(DATA, 1)).toEqual(Uint8Array.of(7));
    expect(catchError(EngineError, () => cpu.snapshots.restore(snapshot)).code).toBe('EINVAL');
    cpu.dispose();
  });

  test('from inside a run is EBUSY', async () => {
    const { cpu } = await engine();
    cpu.map(CODE, PAGE, 'rx');
    cpu.write(CODE, movEax(1));
    const snapshot = cpu.snapshots.take();
    const codes: string[] = [];
    cpu.run({
      from: CODE,
      until: CODE + 5n,
      budget: 10,
      onBlock: () => {
        codes.push(catchError(EngineError, () => cpu.snapshots.restore(snapshot)).code);
        codes.push(catchError(EngineError, () => cpu.snapshots.take()).code);
        return undefined;
      },
    });
    expect(codes).toEqual(['EBUSY', 'EBUSY']);
    cpu.dispose();
  });
});

/** A small generator of numbers below `limit`; the seed is printed where a case fails. */
function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

test.each([1, 2, 3, 4, 5, 6])('any changes between snapshots are undone (seed %i)', async (seed) => {
  const { cpu } = await engine();
  const next = generator(seed);
  const pages = 8;
  const accesses: readonly Access[] = ['r', 'rw', 'rwx'];
  /** First byte of each page, undefined where none is mapped. */
  let model: (number | undefined)[] = new Array<number | undefined>(pages).fill(undefined);
  const stack: { snapshot: ReturnType<typeof cpu.snapshots.take>; model: (number | undefined)[] }[] = [];
  for (let step = 0; step < 400; step++) {
    const page = next(pages);
    const at = DATA + BigInt(page) * PAGE;
    const action = next(10);
    if (action < 4) {
      if (model[page] === undefined) cpu.map(at, PAGE, accesses[next(3)] ?? 'rw');
      model[page] = next(256);
      cpu.write(at, Uint8Array.of(model[page] ?? 0));
    } else if (action < 6 && model[page] !== undefined) {
      cpu.unmap(at, PAGE);
      model[page] = undefined;
    } else if (action < 7 && model[page] !== undefined) {
      cpu.protect(at, PAGE, accesses[next(3)] ?? 'rw');
    } else if (action < 8 && stack.length < 4) {
      stack.push({ snapshot: cpu.snapshots.take(), model: [...model] });
    } else if (stack.length > 0) {
      const index = next(stack.length);
      const one = stack[index];
      stack.length = index + 1;
      if (one === undefined) continue;
      cpu.snapshots.restore(one.snapshot);
      model = [...one.model];
    }
    for (const [i, byte] of model.entries()) {
      const address = DATA + BigInt(i) * PAGE;
      if (byte === undefined) expect(() => cpu.read(address, 1), `seed ${seed} step ${step}`).toThrow(EngineError);
      else expect(cpu.read(address, 1)[0], `seed ${seed} step ${step}`).toBe(byte);
    }
  }
  cpu.dispose();
});
