// Exact counts of one call, the same on every machine and in every run: read off a run on an engine, not estimated.

import { ReturnModels } from '../engine/return-models.ts';
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
  loads = 0;
  stores = 0;
  #instructions = 0;
  #taken = 0;
  #lowest = STACK_TOP;
  readonly #lines = new Set<bigint>();
  readonly #returns = new ReturnModels(RETURN);
  #last: Instruction | undefined;

  /** The next instruction that ran. */
  execute(instruction: Instruction): void {
    const { ip, length } = instruction;
    if (this.#last !== undefined) this.#leave(this.#last, ip);
    this.#last = instruction;
    this.#instructions++;
    for (let line = ip >> LINE_SHIFT; line <= (ip + BigInt(length) - 1n) >> LINE_SHIFT; line++) this.#lines.add(line);
  }

  /** A store to an address. */
  store(address: bigint): void {
    this.stores++;
    if (address >= BENCH_STACK.base && address < this.#lowest) this.#lowest = address;
  }

  /** The call has returned. */
  finish(): Counts {
    if (this.#last !== undefined) this.#leave(this.#last, RETURN);
    return {
      instructions: this.#instructions,
      loads: this.loads,
      stores: this.stores,
      stackBytes: Number(STACK_TOP - this.#lowest),
      takenBranches: this.#taken,
      returnMispredicts: this.#returns.mispredicts,
      shadowStackViolations: this.#returns.violations,
      codeLines: this.#lines.size,
    };
  }

  #leave(from: Instruction, to: bigint): void {
    const after = from.ip + BigInt(from.length);
    const { flow } = from;
    if (flow === 'next' || flow === 'interrupt') return;
    // a call that comes straight back has passed the gate, which is no code of the guest
    const gate = (flow === 'call' || flow === 'indirect-call') && to === after && from.target !== after;
    if (to !== after || gate) this.#taken++;
    if (flow === 'return') this.#returns.ret(to);
    else if (!gate && (flow === 'call' || flow === 'indirect-call')) this.#returns.call(after, to);
  }
}

/**
 * Counts one call by the blocks and accesses that the engine reports.
 * @throws {EngineError} EIO the blocks do not add up to the instructions that the engine retired · and as `callOnce`
 */
export function countCall(subject: Subject): Counts {
  const { engine, traps } = subject;
  const counter = new Counter();
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
      if (kind === 'read') counter.loads++;
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
