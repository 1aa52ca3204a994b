// Random programs on the interpreter and through traces: the same registers, flags, memory, counts and faults.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GENERAL_REGISTERS } from '../../src/engine/engine.ts';
import { Random } from '../metal/random.ts';
import { Pair } from './pair.ts';
import { randomProgram } from './program.ts';

const CODE = 0xffffffff81000000n;
const START = CODE - 0x40n;
const UNTIL = CODE - 0x20n;
const DATA = 0xffff888000000000n;
const STACK = 0xffffc90000000000n;
const SEED = Number(process.env.TRAMP64_SEED ?? 1);
const PROGRAMS = Number(process.env.TRAMP64_PROGRAMS ?? 300);

describe(`traces of random programs, seed ${SEED}`, () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.create();
    pair.map(CODE - 0x1000n, 0x3000n, 'rx');
    pair.map(DATA, 0x1000n, 'rw');
    pair.map(STACK, 0x3000n, 'rw');
  });
  afterAll(() => pair.dispose());

  /** Registers, data and stack as `random` has them; the stack lies within a page, or across an edge. */
  function prepare(random: Random, turns: number): void {
    for (const name of GENERAL_REGISTERS) pair.set({ [name]: random.u64() });
    const offset = random.oneIn(3) ? 0x1000 + 8 * random.below(16) - 64 : 0x800 + 8 * random.below(32);
    pair.set({
      rsp: STACK + BigInt(offset),
      r14: DATA,
      r15: BigInt(turns),
      rflags: BigInt(random.next() & 0xcd5),
    });
    pair.write(STACK, bytes(random, 0x3000));
    pair.write(DATA, bytes(random, 0x700));
    pair.write(STACK + BigInt(offset), new Uint8Array(BigUint64Array.of(UNTIL).buffer));
  }

  test.each(Array.from({ length: 10 }, (_, i) => i))('part %i of them', (part) => {
    for (let i = 0; i < PROGRAMS / 10; i++) {
      const random = new Random(SEED, `jit ${part} ${i}`);
      const program = randomProgram(random);
      pair.write(CODE, program);
      pair.write(START, Uint8Array.of(0xe9, 0x3b, 0, 0, 0)); // jmp CODE
      const what = `program ${part} ${i}: ${Buffer.from(program).toString('hex')}`;
      for (const turns of [3, 5, 1]) {
        prepare(random, turns);
        pair.run({ from: START, until: UNTIL, budget: 2000 }, `${what}, ${turns} turns`);
      }
      const budget = random.below(200);
      prepare(random, 6);
      pair.run({ from: START, until: UNTIL, budget }, `${what}, budget ${budget}`);
    }
    expect(pair.compiled).toBeGreaterThan(0);
  });
});

function bytes(random: Random, size: number): Uint8Array {
  const words = new Uint32Array(size / 4);
  for (let i = 0; i < words.length; i++) words[i] = random.next();
  return new Uint8Array(words.buffer);
}
