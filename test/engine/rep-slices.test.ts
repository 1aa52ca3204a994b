// A REP instruction counts the same however its iterations are cut: one where it ends, none where it faults.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { createEngine } from '../../src/engine/create.ts';
import { type Engine, type Exit, GENERAL_REGISTERS } from '../../src/engine/engine.ts';
import { createWasm, type WasmEngine } from '../../src/engine/wasm.ts';
import { ENGINES } from '../support/engines.ts';

const SEED = Number(process.env.TRAMP64_SEED ?? 64_006);
const CODE = 0xffffffff81000000n;
/** Two pages with nothing behind them; what is copied comes from the first. */
const DATA = 0xffff888000010000n;
const DATA_END = DATA + 0x2000n;
const SLICE = 65_536;

/** nop; the REP; nop: what stands around it is counted as ever. */
const REPS: readonly (readonly [name: string, hex: string, width: number])[] = [
  ['rep movsb', 'f3a4', 1],
  ['rep movsq', 'f348a5', 8],
  ['rep stosb', 'f3aa', 1],
  ['rep stosd', 'f3ab', 4],
  ['rep lodsw', 'f366ad', 2],
  ['repe cmpsb', 'f3a6', 1],
  ['repe scasb', 'f3ae', 1],
];

interface Question {
  readonly hex: string;
  readonly count: number;
  /** Where rdi points. */
  readonly to: bigint;
}

function prepare(engine: Engine, { hex, count, to }: Question): bigint {
  engine.map(CODE, 0x1000n, 'rx');
  engine.map(DATA, DATA_END - DATA, 'rw');
  return again(engine, { hex, count, to });
}

/** Puts code, data and registers back. @returns where the code ends */
function again(engine: Engine, { hex, count, to }: Question): bigint {
  const code = bytesOfHex(`90 ${hex} 90`);
  engine.write(CODE, code);
  engine.write(DATA, new Uint8Array(Number(DATA_END - DATA)));
  for (const name of GENERAL_REGISTERS) engine.writeRegister(name, 0n);
  engine.writeRegister('rcx', BigInt(count));
  engine.writeRegister('rsi', DATA);
  engine.writeRegister('rdi', to);
  engine.writeRegister('rflags', 2n);
  engine.writeRegister('rip', CODE);
  return CODE + BigInt(code.length);
}

const stateOf = (engine: Engine) => GENERAL_REGISTERS.map((name) => engine.readRegister(name));

/** Advances by the slices in turn, to the end or a fault. */
function inSlices(cpu: WasmEngine, until: bigint, slices: readonly number[]): Exit {
  let instructions = 0;
  for (let i = 0; ; i++) {
    const exit = cpu.cpus.advance(0, slices[i % slices.length] ?? 1, until);
    expect(exit.instructions).toBeGreaterThanOrEqual(0);
    instructions += exit.instructions;
    if (exit.reason !== 'budget') return { ...exit, instructions };
  }
}

test(`whatever the slices, registers, count and fault are those of one run (seed ${SEED})`, async () => {
  const cpu = await createWasm();
  prepare(cpu, { hex: '90', count: 0, to: DATA });
  const kinds = { ends: 0, faults: 0 };
  const property = fc.property(
    fc.constantFrom(...REPS),
    fc.integer({ min: 0, max: 60 }),
    fc.integer({ min: 0, max: 60 }),
    fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
    ([, hex, width], count, room, slices) => {
      const question = { hex, count, to: DATA_END - BigInt(room * width) };
      const until = again(cpu, question);
      const whole = cpu.run({ from: CODE, until, budget: 1000 });
      const state = stateOf(cpu);
      kinds[whole.reason === 'fault' ? 'faults' : 'ends']++;
      expect(whole.instructions).toBe(whole.reason === 'fault' ? 1 : 3);

      again(cpu, question);
      expect(inSlices(cpu, until, slices)).toEqual(whole);
      expect(stateOf(cpu)).toEqual(state);

      again(cpu, question);
      expect(cpu.run({ from: CODE, until, budget: 1000, onBlock: () => undefined })).toEqual(whole);
      expect(stateOf(cpu)).toEqual(state);
    },
  );
  fc.assert(property, { seed: SEED, numRuns: 400 });
  expect(Math.min(kinds.ends, kinds.faults)).toBeGreaterThan(50);
  cpu.dispose();
});

test.each(ENGINES)(
  'on %s a fault after the edge of an internal slice counts what came before the REP',
  async (name) => {
    const engine = await createEngine(name);
    const question = { hex: 'f3aa', count: 1 << 20, to: DATA };
    const until = prepare(engine, question);
    engine.map(DATA_END, BigInt(SLICE), 'rw');
    const exit = engine.run({ from: CODE, until, budget: 1 << 22 });
    expect(exit).toMatchObject({ reason: 'fault', rip: CODE + 1n, instructions: 1 });
    expect(engine.readRegister('rdi')).toBe(DATA_END + BigInt(SLICE));
    engine.dispose();
  },
);

test('the step after which a REP faults counts nothing, the first one counts it', async () => {
  for (const name of ENGINES) {
    const engine = await createEngine(name);
    prepare(engine, { hex: 'f3aa', count: 5, to: DATA_END - 2n });
    const exits = Array.from({ length: 4 }, () => engine.step());
    expect(
      exits.map(({ instructions }) => instructions),
      name,
    ).toEqual([1, 1, 0, 0]);
    expect(exits.at(-1), name).toMatchObject({ reason: 'fault', fault: { kind: 'unmapped', address: DATA_END } });
    engine.dispose();
  }
});

test('a REP that faulted is counted once when it is gone on with', async () => {
  const cpu = await createWasm();
  const until = prepare(cpu, { hex: 'f3aa', count: 9, to: DATA_END - 4n });
  const first = inSlices(cpu, until, [3]);
  expect(first).toMatchObject({ reason: 'fault', instructions: 1 });
  cpu.map(DATA_END, 0x1000n, 'rw');
  expect(inSlices(cpu, until, [2])).toMatchObject({ reason: 'until', instructions: 2 });
  cpu.dispose();
});
