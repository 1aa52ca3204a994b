// Traces come and go with their machine, and beside it where they are compiled later.
import { existsSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { Core } from '../../src/core/core.ts';
import { defaultJitMode, type JitCounts } from '../../src/engine/jit/jit.ts';
import { createWasm, type WasmEngine } from '../../src/engine/wasm.ts';
import { EngineError } from '../../src/errors.ts';
import { JIT_FREE } from '../support/jit-free-files.ts';
import { Pair } from './pair.ts';

const CODE = 0xffffffff81000000n;
const STACK = 0xffffc90000000000n;
const SP = STACK + 0x800n;
const UNTIL = CODE + 0x100n;
/** push rbx; add rax, 3; pop rbx; dec ecx; jnz; ret */
const LOOP = bytesOfHex('53 4883c003 5b ffc9 75f6 c3');

function prepare(engine: WasmEngine): void {
  engine.map(CODE, 0x1000n, 'rx');
  engine.map(STACK, 0x1000n, 'rw');
  engine.write(CODE, LOOP);
}

function run(engine: WasmEngine, turns: bigint): bigint {
  engine.write(SP, new Uint8Array(BigUint64Array.of(UNTIL).buffer));
  engine.writeRegister('rsp', SP);
  engine.writeRegister('rax', 0n);
  engine.writeRegister('rcx', turns);
  expect(engine.run({ from: CODE, until: UNTIL, budget: 1e6 }).reason).toBe('until');
  return engine.readRegister('rax');
}

/** Waits until what is being compiled is done, and was found to be of these counts. */
const settled = (engine: WasmEngine, counts: Partial<JitCounts>) =>
  vi.waitFor(() => expect(engine.jitCounts).toMatchObject(counts), { timeout: 20_000 });

test('a trace that is compiled beside the guest runs once it is there', async () => {
  const engine = await createWasm(undefined, 'async');
  prepare(engine);
  expect(run(engine, 2000n)).toBe(6000n);
  expect(engine.jitCounts).toMatchObject({ compiled: 0 });
  await settled(engine, { compiled: 1, live: 1 });
  expect(run(engine, 2000n)).toBe(6000n);
  engine.dispose();
});

test('code that changes while its trace is being compiled never runs as it was', async () => {
  const engine = await createWasm(undefined, 'async');
  prepare(engine);
  run(engine, 2000n);
  engine.write(CODE + 4n, Uint8Array.of(5));
  await settled(engine, { compiled: 0, refused: 1 });
  expect(run(engine, 2000n)).toBe(10000n);
  await settled(engine, { compiled: 1, live: 1 });
  expect(run(engine, 2000n)).toBe(10000n);
  engine.dispose();
});

test('a machine that is disposed meanwhile takes no trace any more', async () => {
  const engine = await createWasm(undefined, 'async');
  prepare(engine);
  run(engine, 2000n);
  engine.dispose();
  await settled(engine, { compiled: 0, live: 0, refused: 1 });
});

test('a trace whose machine has no memory left to be entered is given up, and its slot is free', async () => {
  const core = await Core.create({ sites: 1, funcs: 1, tasks: 1 });
  const engine = await createWasm(core.instance, 'async');
  prepare(engine);
  const slots = core.instance.table.length;
  run(engine, 2000n);
  const exports = vi.spyOn(core.instance, 'exports', 'get').mockImplementation(() => {
    throw new EngineError('ENOMEM', 'no memory to change the side', { operation: 'run' });
  });
  await settled(engine, { compiled: 0, live: 0, refused: 1 });
  exports.mockRestore();
  expect(run(engine, 2000n)).toBe(6000n);
  const slot = core.instance.takeSlot();
  expect(slot).toBe(slots);
  core.instance.giveSlot(slot);
  engine.dispose();
});

test('traces that are compiled beside a guest and its fork run on the side that they were recorded on', async () => {
  const engine = await createWasm(undefined, 'async');
  prepare(engine);
  run(engine, 2000n);
  const fork = engine.fork();
  fork.write(CODE + 4n, Uint8Array.of(5));
  expect(run(fork, 2000n)).toBe(10000n);
  await settled(engine, { compiled: 1, live: 1 });
  await settled(fork, { compiled: 1, live: 1 });
  for (let i = 0; i < 3; i++) {
    expect(run(engine, 2000n)).toBe(6000n);
    expect(run(fork, 2000n)).toBe(10000n);
  }
  run(fork, 2000n);
  engine.dispose();
  expect(run(fork, 2000n)).toBe(10000n);
  fork.dispose();
});

test('two machines with the same code know nothing of each other', async () => {
  const [a, b] = [await createWasm(undefined, 'eager'), await createWasm(undefined, 'eager')];
  for (const engine of [a, b]) prepare(engine);
  expect(run(a, 20n)).toBe(60n);
  expect(b.jitCounts).toMatchObject({ compiled: 0 });
  expect(run(b, 20n)).toBe(60n);
  b.write(CODE + 4n, Uint8Array.of(5));
  expect(run(a, 20n)).toBe(60n);
  expect(run(b, 20n)).toBe(100n);
  a.dispose();
  expect(a.jitCounts).toMatchObject({ live: 0 });
  expect(run(b, 20n)).toBe(100n);
  b.dispose();
});

test('a module that the host refuses leaves the interpreter', async () => {
  const engine = await createWasm(undefined, 'eager');
  prepare(engine);
  const { Module } = WebAssembly;
  WebAssembly.Module = class extends Module {
    constructor() {
      super(new Uint8Array());
    }
  };
  try {
    expect(run(engine, 20n)).toBe(60n);
    expect(engine.jitCounts?.compiled).toBe(0);
    expect(engine.jitCounts?.refused).toBeGreaterThan(0);
  } finally {
    WebAssembly.Module = Module;
  }
  expect(run(engine, 20n)).toBe(60n);
  engine.dispose();
});

test('a JIT that is off compiles nothing', async () => {
  const engine = await createWasm(undefined, false);
  prepare(engine);
  expect(run(engine, 2000n)).toBe(6000n);
  expect(engine.jitCounts).toBeUndefined();
  engine.dispose();
});

test('there are never more traces than fit, and the rest is interpreted', async () => {
  const pair = await Pair.create();
  const size = 0x10000n;
  pair.map(CODE, size, 'rx');
  pair.map(STACK, 0x1000n, 'rw');
  const slot = 32;
  const loops = Number(size) / slot;
  for (let i = 0; i < loops; i++) pair.write(CODE + BigInt(slot * i), LOOP);
  for (let i = 0; i < loops; i++) {
    pair.write(SP, new Uint8Array(BigUint64Array.of(UNTIL - 0x80n).buffer));
    pair.set({ rsp: SP, rax: 0n, rcx: 6n });
    // the page's last bytes stay clear of the code
    pair.run({ from: CODE + BigInt(slot * i), until: UNTIL - 0x80n, budget: 1000 }, `loop ${i}`);
  }
  expect(pair.live).toBeLessThanOrEqual(512);
  expect(pair.live).toBeGreaterThan(400);
  pair.dispose();
});

test('a trace that mostly leaves at once is given up, and its code goes on as before', async () => {
  const engine = await createWasm(undefined, 'sync');
  prepare(engine);
  // add rax, 3; jmp [r8 + rcx*8]: all go to the first place until the trace is made, then to the others in turn
  engine.write(CODE, bytesOfHex('4883c003 41ff24c8'));
  const places = Array.from({ length: 8 }, (_, i) => CODE + 0x200n + BigInt(0x40 * i));
  for (const place of places) {
    // nops; dec ecx; jz to the ret; jmp CODE; ret
    const body = bytesOfHex(`${'90'.repeat(30)} ffc9 7405 e900000000 c3`);
    new DataView(body.buffer).setInt32(35, Number(CODE - (place + 39n)), true);
    engine.write(place, body);
  }
  const turns = 20_000;
  const table = BigUint64Array.from({ length: turns + 1 }, (_, i) => places[i > turns - 2000 ? 0 : i % 8] ?? 0n);
  engine.map(STACK + 0x10000n, 0x40000n, 'rw');
  engine.write(STACK + 0x10000n, new Uint8Array(table.buffer));
  engine.writeRegister('r8', STACK + 0x10000n);
  const live = [];
  for (let i = 0; i < 4; i++) {
    expect(run(engine, BigInt(turns))).toBe(BigInt(turns * 3));
    live.push(engine.jitCounts?.live ?? 0);
  }
  expect(engine.jitCounts?.compiled).toBeGreaterThan(0);
  expect(live.at(-1)).toBeLessThan(engine.jitCounts?.compiled ?? 0);
  engine.dispose();
});

afterEach(() => vi.unstubAllEnvs());

test.each([
  ['off', false],
  ['sync', 'sync'],
  ['async', 'async'],
  ['eager', 'eager'],
  ['', 'sync'],
] as const)('TRAMP64_JIT=%s is %s', (value, mode) => {
  vi.stubEnv('TRAMP64_JIT', value);
  expect(defaultJitMode()).toBe(mode);
});

test('TRAMP64_JIT of another value makes no CPU, and says what it may be', async () => {
  vi.stubEnv('TRAMP64_JIT', 'on');
  await expect(createWasm()).rejects.toMatchObject({
    code: 'EINVAL',
    message: expect.stringContaining("TRAMP64_JIT expected off, sync, async or eager, got 'on'"),
  });
  // who says how it compiles does not ask
  (await createWasm(undefined, 'sync')).dispose();
});

test('the test files that runs under TRAMP64_JIT leave out exist', () => {
  const gone = JIT_FREE.filter((file) => !existsSync(new URL(`../../${file}`, import.meta.url)));
  expect(gone).toEqual([]);
});
