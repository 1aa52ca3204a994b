// Guest pages that are bytes of a WASM memory: one store is seen by both sides, and the memory stays while the guest has it.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEngine } from '../../src/engine/create.ts';
import type { Engine, WasmPages } from '../../src/engine/engine.ts';
import { createUnicornNative } from '../../src/engine/unicorn-native.ts';
import { missingUnicorn } from '../support/native-unicorn.ts';

const CODE = 0x1000n;
const DATA = 0xffff_8880_0000_0000n;
// mov rax, [rdi]; inc rax; mov [rdi + 8], rax
const CODE_BYTES = Uint8Array.of(0x48, 0x8b, 0x07, 0x48, 0xff, 0xc0, 0x48, 0x89, 0x47, 0x08);

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Collects what nobody holds; a WeakRef holds what it was asked for until the next turn of the event loop. */
async function collect(): Promise<void> {
  await new Promise(setImmediate);
  gc();
}

describe.skipIf(missingUnicorn !== undefined)('pages of a WASM memory on native Unicorn', () => {
  let engine: Engine;
  let memory: WebAssembly.Memory;
  let pages: WasmPages;

  beforeEach(async () => {
    engine = await createUnicornNative();
    memory = new WebAssembly.Memory({ initial: 2, maximum: 64 });
    if (engine.wasmPages === undefined) throw new Error('the native engine maps no WASM memory');
    pages = engine.wasmPages;
    engine.map(CODE, 0x1000n, 'rx');
    engine.write(CODE, CODE_BYTES);
  });
  afterEach(() => engine.dispose());

  const word = (offset: number) => new DataView(memory.buffer).getBigUint64(offset, true);
  const store = (offset: number, value: bigint) => new DataView(memory.buffer).setBigUint64(offset, value, true);
  const run = (rdi: bigint) => {
    engine.writeRegister('rdi', rdi);
    return engine.run({ from: CODE, until: CODE + BigInt(CODE_BYTES.length), budget: 9 });
  };

  test('the guest reads what the host stores there, and the host what the guest stores', () => {
    pages.map(DATA, 0x2000n, 'rw', memory, 0x3000);
    for (const value of [41n, 0xffff_ffff_ffff_fffen]) {
      store(0x4ff0, value);
      expect(run(DATA + 0x1ff0n)).toMatchObject({ reason: 'until', instructions: 3 });
      expect(word(0x4ff8)).toBe(value + 1n);
      expect(engine.read(DATA + 0x1ff8n, 8)).toEqual(new Uint8Array(memory.buffer, 0x4ff8, 8));
    }
    engine.write(DATA, Uint8Array.of(7));
    expect(word(0x3000)).toBe(7n);
  });

  test('they are the same bytes after the memory has grown', () => {
    pages.map(DATA, 0x1000n, 'rw', memory, 0);
    for (let i = 0; i < 10; i++) memory.grow(4);
    store(0, 99n);
    run(DATA);
    expect(word(8)).toBe(100n);
  });

  test('the memory stays while the guest has it, though nobody else does, and no longer', async () => {
    pages.map(DATA, 0x1000n, 'rw', memory, 0);
    store(0, 5n);
    const weak = new WeakRef(memory);
    memory = new WebAssembly.Memory({ initial: 1 });
    await collect();
    expect(weak.deref()).toBeDefined();
    await collect();
    run(DATA);
    expect(engine.read(DATA + 8n, 1)).toEqual(Uint8Array.of(6));
    engine.dispose();
    await collect();
    expect(weak.deref()).toBeUndefined();
  });

  test('a page that may only be read faults when the guest writes it, and stays as it was', () => {
    pages.map(DATA, 0x1000n, 'r', memory, 0);
    expect(run(DATA)).toMatchObject({ reason: 'fault', fault: { access: 'write', address: DATA + 8n } });
    expect(word(8)).toBe(0n);
  });

  test('some of the pages can be protected or taken out, and the others are still shared', () => {
    pages.map(DATA, 0x3000n, 'rw', memory, 0);
    engine.unmap(DATA + 0x1000n, 0x1000n);
    engine.protect(DATA, 0x1000n, 'r');
    expect(run(DATA + 0x1000n).reason).toBe('fault');
    expect(run(DATA).reason).toBe('fault');
    store(0x2000, 1n);
    expect(run(DATA + 0x2000n).reason).toBe('until');
    expect(word(0x2008)).toBe(2n);
    store(0, 3n);
    expect(engine.read(DATA, 1)).toEqual(Uint8Array.of(3));
    // what was taken out may be common memory afterwards
    engine.map(DATA + 0x1000n, 0x1000n, 'rwx');
    expect(run(DATA + 0x1000n).reason).toBe('until');
  });

  test.each([
    ['an offset inside a page', DATA, 0x1000n, 8, 'EINVAL'],
    ['more than there is', DATA, 0x2000n, 0x1f000, 'EINVAL'],
    ['a negative offset', DATA, 0x1000n, -0x1000, 'EINVAL'],
    ['an address inside a page', DATA + 8n, 0x1000n, 0, 'EINVAL'],
    ['no pages', DATA, 0n, 0, 'EINVAL'],
    ['pages that are taken', CODE, 0x1000n, 0, 'EEXIST'],
  ])('%s is refused, and nothing is mapped', (_, address, size, offset, code) => {
    expect(() => pages.map(address, size, 'rw', memory, offset)).toThrow(expect.objectContaining({ code }));
    expect(() => engine.read(DATA, 1)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
  });

  test('code there is refused, at once and later', () => {
    expect(() => pages.map(DATA, 0x1000n, 'rx' as 'r', memory, 0)).toThrow(/hold data, not code/);
    pages.map(DATA, 0x1000n, 'rw', memory, 0);
    expect(() => engine.protect(DATA, 0x1000n, 'rwx')).toThrow(/hold data, not code/);
    engine.protect(DATA, 0x1000n, 'r');
  });

  test('a memory of several threads is refused', () => {
    const shared = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    expect(() => pages.map(DATA, 0x1000n, 'rw', shared, 0)).toThrow(/threads share/);
  });

  test('a disposed engine maps nothing', () => {
    engine.dispose();
    expect(() => pages.map(DATA, 0x1000n, 'rw', memory, 0)).toThrow(/disposed/);
  });
});

test.each(['wasm', 'unicorn'] as const)('engine %s has guest memory of its own only', async (name) => {
  const engine = await createEngine(name);
  expect(engine.wasmPages).toBeUndefined();
  engine.dispose();
});
