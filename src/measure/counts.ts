// Exact counts of one call, the same on every machine and in every run: read off a run on an engine, not estimated.

import type { Engine } from '../engine/engine.ts';
import { Models } from '../engine/models.ts';
import { EngineError } from '../errors.ts';
import { decode, decodeOne, type Instruction } from '../x86/decode.ts';
import { BENCH_STACK, callOnce, RETURN, STACK_TOP, type Subject } from './subject.ts';

/** What one call costs, from its entry to its return; the gate counts nothing. */
export interface Counts {
  /** Instructions retired; a REP instruction is one. */
  readonly instructions: number;
  /** Data accesses, those of push, call and ret included. */
  readonly loads: number;
  readonly stores: number;
  /** Bytes of stack below the return address. */
  readonly stackBytes: number;
  /** Jumps, calls, returns and conditional branches that were taken. */
  readonly takenBranches: number;
  /** Returns that a return-address stack of 16 entries predicts wrongly (C33). */
  readonly returnMispredicts: number;
  /** Returns that a shadow stack would refuse (C32). */
  readonly shadowStackViolations: number;
  /** Lines of 64 bytes that the executed instructions touch. */
  readonly codeLines: number;
}

/** Names of the counts, in the order of a table. */
export const COUNT_NAMES = [
  'instructions',
  'loads',
  'stores',
  'stackBytes',
  'takenBranches',
  'returnMispredicts',
  'shadowStackViolations',
  'codeLines',
] as const satisfies readonly (keyof Counts)[];

const LINE_SHIFT = 6n;

/** Counts as instructions are told, one after another. */
export class Counter {
  #instructions = 0;
  #lowest = STACK_TOP;
  readonly #lines = new Set<bigint>();
  readonly #models: Models;

  constructor(engine: Engine) {
    this.#models = new Models(engine, RETURN);
  }

  /** The next instruction that ran. */
  execute(instruction: Instruction): void {
    const { ip, length } = instruction;
    this.#models.straight(ip, [instruction]);
    this.#instructions++;
    for (let line = ip >> LINE_SHIFT; line <= (ip + BigInt(length) - 1n) >> LINE_SHIFT; line++) this.#lines.add(line);
  }

  /** A load. */
  load(): void {
    this.#models.access('read');
  }

  /** A store to an address. */
  store(address: bigint): void {
    this.#models.access('write');
    if (address >= BENCH_STACK.base && address < this.#lowest) this.#lowest = address;
  }

  /** The call has returned. */
  finish(): Counts {
    const { loads, stores, takenBranches, returnMispredicts, shadowStack } = this.#models.finish();
    return {
      instructions: this.#instructions,
      loads,
      stores,
      stackBytes: Number(STACK_TOP - this.#lowest),
      takenBranches,
      returnMispredicts,
      shadowStackViolations: shadowStack.length,
      codeLines: this.#lines.size,
    };
  }
}

/**
 * Counts one call by the blocks and accesses that the engine reports.
 * @throws {EngineError} EIO the blocks do not add up to the instructions that the engine retired · and as `callOnce`
 */
export function countCall(subject: Subject): Counts {
  const { engine, traps } = subject;
  const counter = new Counter(engine);
  const path = new Path(counter);
  const retired = callOnce(subject, {
    onBlock(address, size) {
      const block = decode(engine.read(address, size), address);
      // told of when it has trapped; what follows it does not run
      const trap = block.findIndex(({ ip }) => traps?.has(ip) === true);
      path.enter(address, trap < 0 ? block : block.slice(0, trap));
      return undefined;
    },
    onMemory(kind, at) {
      if (kind === 'read') counter.load();
      else counter.store(at);
    },
    onTrap(ip) {
      path.leave();
      counter.execute(decodeOne(engine.read(ip, 1), ip));
    },
  });
  path.leave();
  const counts = counter.finish();
  // a trap is the host's: engines differ in whether it retires
  if (traps === undefined && counts.instructions !== retired) {
    throw new EngineError('EIO', `blocks of ${counts.instructions} instructions where ${retired} retired`, {
      operation: 'measure',
    });
  }
  return counts;
}

/** Instructions in the order in which they ran, from blocks: a REP instruction is entered anew for each iteration. */
class Path {
  readonly #counter: Counter;
  /** Of the last block, what has not been counted: from its first REP instruction on. */
  #held: readonly Instruction[] = [];

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  enter(address: bigint, block: readonly Instruction[]): void {
    const iteration = this.#held.findIndex(({ ip, isRep }) => isRep && ip === address);
    if (iteration >= 0) {
      // it goes on where it was: what stands before it has run, what follows it has not
      this.#execute(this.#held.slice(0, iteration));
      this.#held = block;
      return;
    }
    this.leave();
    const rep = block.findIndex(({ isRep }) => isRep);
    this.#execute(rep < 0 ? block : block.slice(0, rep));
    this.#held = rep < 0 ? [] : block.slice(rep);
  }

  leave(): void {
    this.#execute(this.#held);
    this.#held = [];
  }

  #execute(instructions: readonly Instruction[]): void {
    for (const instruction of instructions) this.#counter.execute(instruction);
  }
}
