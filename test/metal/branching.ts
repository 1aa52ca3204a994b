// Programs with control flow: blocks of random instructions, conditions, jumps forward, counted loops, calls and returns.

import type { CodeRow } from './codes.ts';
import { type Shape, shapeOf } from './encode.ts';
import { SEED, startState } from './generate.ts';
import { type Case, MEMORY, RSP } from './layout.ts';
import { straightLine } from './programs.ts';
import { Random } from './random.ts';

/** Section name of these programs in the vectors. */
export const BRANCHING = 'branching';

const DF = 0x400;
/** A loop counter lies where no random operand does; see placeFixed in programs.ts. */
const COUNTER = MEMORY + 0x7e0n;
const MOST_TURNS = 4;

/** `count` programs from rows that fit into a straight line. */
export function* branchingPrograms(rows: readonly CodeRow[], count: number, seed = SEED): Generator<Case> {
  // what moves rsp would take a call's return address with it
  const shapes = rows.filter((row) => !/^(Push|Pop)/.test(row.name)).map(shapeOf);
  const random = new Random(seed, BRANCHING);
  for (let i = 0; i < count; i++) yield new Program(shapes, random).finish(i);
}

/** A program while it is written. Every block begins with a cmp, so that no flag is undefined there. */
class Program {
  readonly #code: number[] = [];
  readonly #shapes: readonly Shape[];
  readonly #random: Random;
  /** Places of rel32 fields to be filled, by the block that they lead to. */
  readonly #pending = new Map<number, number[]>();
  /** Places of calls of the leaf. */
  readonly #calls: number[] = [];
  #instructions = 0;

  constructor(shapes: readonly Shape[], random: Random) {
    this.#shapes = shapes;
    this.#random = random;
  }

  finish(number: number): Case {
    const random = this.#random;
    const blocks = 3 + random.below(5);
    for (let block = 0; block < blocks; block++) {
      this.#land(block);
      this.#block(block, blocks);
    }
    const over = this.#branch([0xe9]); // jmp over the leaf
    for (const call of this.#calls) this.#fill(call);
    this.#straight(1 + random.below(5));
    this.#emit(0xc3); // ret
    this.#fill(over);
    this.#land(blocks);
    this.#compare();
    const state = startState(random);
    state.gprs[RSP] = MEMORY + 0x400n + BigInt(8 * random.below(32));
    return {
      id: `${BRANCHING}/${this.#instructions}/${number}`,
      code: BRANCHING,
      form: String(this.#instructions),
      bytes: Uint8Array.from(this.#code),
      ...state,
      flags: state.flags & ~DF,
      undefinedFlags: 0,
      undefinedIfZero: 0,
      instructions: this.#instructions,
      branches: false,
    };
  }

  /** One block: plain, in a counted loop, or with a call; and the condition or jump at its end. */
  #block(block: number, blocks: number): void {
    const random = this.#random;
    const kind = random.below(4);
    if (kind === 0) this.#emit(0x48, 0xc7, 0x04, 0x25, ...counter(), 1 + random.below(MOST_TURNS), 0, 0, 0); // mov qword [COUNTER], n
    const head = this.#code.length;
    this.#straight(2 + random.below(6));
    if (kind === 1) this.#calls.push(this.#branch([0xe8]));
    if (kind === 0) {
      this.#emit(0x48, 0xff, 0x0c, 0x25, ...counter()); // dec qword [COUNTER]
      const back = this.#branch([0x0f, 0x85]); // jne head
      this.#fill(back, head);
    }
    const target = block + 1 + random.below(blocks - block);
    const end = random.below(3);
    if (end === 2) return;
    this.#compare();
    const field = end === 0 ? this.#branch([0x0f, 0x80 | random.below(16)]) : this.#branch([0xe9]); // jcc, jmp
    this.#pending.set(target, [...(this.#pending.get(target) ?? []), field]);
  }

  #straight(wanted: number): void {
    this.#compare();
    this.#instructions += straightLine(this.#code, this.#shapes, wanted, this.#random).instructions;
  }

  /** cmp of two registers. */
  #compare(): void {
    this.#emit(0x48, 0x39, 0xc0 | this.#random.below(64));
  }

  #emit(...bytes: number[]): void {
    this.#code.push(...bytes);
    this.#instructions++;
  }

  /** A branch with a rel32 that is not known yet; its place. */
  #branch(opcode: readonly number[]): number {
    this.#emit(...opcode, 0, 0, 0, 0);
    return this.#code.length - 4;
  }

  /** Lets the branch lead to `target`, by default to here. */
  #fill(field: number, target = this.#code.length): void {
    const distance = target - (field + 4);
    for (let i = 0; i < 4; i++) this.#code[field + i] = (distance >> (8 * i)) & 0xff;
  }

  #land(block: number): void {
    for (const field of this.#pending.get(block) ?? []) this.#fill(field);
  }
}

/** COUNTER as a disp32. */
function counter(): number[] {
  return Array.from({ length: 4 }, (_, i) => Number((COUNTER >> BigInt(8 * i)) & 0xffn));
}
