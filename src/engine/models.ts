// What a CPU with CET would refuse, what its return predictor would miss and what a run costs, from what engines tell.
import { decode, type Instruction } from '../x86/decode.ts';
import type { Engine } from './engine.ts';
import { ReturnModels } from './return-models.ts';

/** A branch: the instruction's address, and where it went. */
export interface Transfer {
  readonly from: bigint;
  readonly to: bigint;
}

/** What the models say of one run; the run itself is not changed by them. */
export interface ModelReport {
  /** Data accesses, those of push, call and ret included. */
  readonly loads: number;
  readonly stores: number;
  /** Jumps, calls, returns and conditional branches that were taken. */
  readonly takenBranches: number;
  /** Returns that a return-address stack of 16 entries predicts wrongly (C33). */
  readonly returnMispredicts: number;
  /** Returns that a shadow stack would refuse (C32). */
  readonly shadowStack: readonly Transfer[];
  /** Indirect calls and jumps without `notrack` that arrive at no endbr64 (C34). */
  readonly indirectBranches: readonly Transfer[];
}

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];
/** `notrack` in front of an indirect branch, honoured as with CET's NO_TRACK_EN. */
const NOTRACK = 0x3e;

/** Follows one run by its blocks and accesses; give both hooks to the engine. */
export class Models {
  readonly #engine: Engine;
  readonly #returnTo: bigint;
  readonly #returns: ReturnModels;
  readonly #shadowStack: Transfer[] = [];
  readonly #indirectBranches: Transfer[] = [];
  #loads = 0;
  #stores = 0;
  #taken = 0;
  /** The last instruction of the last block. */
  #last: Instruction | undefined;

  /**
   * @param returnTo where the outermost call returns to
   * @param from those of the run that this one is a copy of
   */
  constructor(engine: Engine, returnTo: bigint, from?: Models) {
    this.#engine = engine;
    this.#returnTo = returnTo;
    this.#returns = new ReturnModels(returnTo, from === undefined ? undefined : from.#returns);
    if (from === undefined) return;
    this.#shadowStack.push(...from.#shadowStack);
    this.#indirectBranches.push(...from.#indirectBranches);
    this.#loads = from.#loads;
    this.#stores = from.#stores;
    this.#taken = from.#taken;
    this.#last = from.#last;
  }

  /** See BlockHook. */
  block(address: bigint, size: number): void {
    if (this.#last !== undefined) this.#leave(this.#last, address);
    this.#last = decode(this.#engine.read(address, size), address).at(-1);
  }

  /** See MemoryHook. */
  access(kind: 'read' | 'write'): void {
    if (kind === 'read') this.#loads++;
    else this.#stores++;
  }

  /** The run has returned. */
  finish(): ModelReport {
    if (this.#last !== undefined) this.#leave(this.#last, this.#returnTo);
    this.#last = undefined;
    return {
      loads: this.#loads,
      stores: this.#stores,
      takenBranches: this.#taken,
      returnMispredicts: this.#returns.mispredicts,
      shadowStack: [...this.#shadowStack],
      indirectBranches: [...this.#indirectBranches],
    };
  }

  #leave({ ip, length, flow, target, bytes }: Instruction, to: bigint): void {
    if (flow === 'next' || flow === 'interrupt') return;
    const after = ip + BigInt(length);
    const calls = flow === 'call' || flow === 'indirect-call';
    // a call that comes straight back has passed the gate or a service, which are no code of the guest
    const outside = calls && to === after && target !== after;
    if (to !== after || outside) this.#taken++;
    if (outside) return;
    if (flow === 'return') {
      const before = this.#returns.violations;
      this.#returns.ret(to);
      if (this.#returns.violations > before) this.#shadowStack.push({ from: ip, to });
    }
    if (calls) this.#returns.call(after, to);
    if ((flow === 'indirect-call' || flow === 'indirect-jump') && bytes[0] !== NOTRACK && !this.#isEndbr(to)) {
      this.#indirectBranches.push({ from: ip, to });
    }
  }

  #isEndbr(at: bigint): boolean {
    const bytes = this.#engine.read(at, ENDBR64.length);
    return ENDBR64.every((byte, i) => bytes[i] === byte);
  }
}
