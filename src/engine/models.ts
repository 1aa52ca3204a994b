// What a CPU with CET would refuse, what its return predictor would miss and what a run costs, from what engines tell.
import { EngineError } from '../errors.ts';
import { decode, type Instruction } from '../x86/decode.ts';
import type { Engine, Exit, RunOptions } from './engine.ts';
import type { ModelReport, Transfer } from './model-report.ts';
import { ReturnModels } from './return-models.ts';

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];
/** As the last segment prefix of an indirect branch: `notrack`, honoured as with CET's NO_TRACK_EN. */
const NOTRACK = 0x3e;
const SEGMENT_PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, NOTRACK, 0x64, 0x65]);
/** The opcode of every near indirect branch; no prefix is equal to it. */
const INDIRECT = 0xff;

/** Follows one run: by its blocks and accesses as engines tell them, or by single instructions. */
export class Models {
  readonly #engine: Engine;
  readonly #returnTo: bigint;
  readonly #returns: ReturnModels;
  readonly #shadowStack: Transfer[] = [];
  readonly #indirectBranches: Transfer[] = [];
  #loads = 0;
  #stores = 0;
  #taken = 0;
  /** The last block that was told, as far as it has not been left. */
  #block: readonly Instruction[] = [];
  /** Instructions told, iterations of a REP not counted anew. */
  #told = 0;

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
    this.#block = from.#block;
    this.#told = from.#told;
  }

  /** See BlockHook. */
  block(address: bigint, size: number): void {
    this.straight(address, decode(this.#engine.read(address, size), address));
  }

  /** Control is at `address`, and a straight line of instructions is about to run. */
  straight(address: bigint, line: readonly Instruction[]): void {
    const last = this.#block.at(-1);
    if (last !== undefined) this.#leave(last, address);
    const iteration = last?.isRep === true && last.ip === address;
    this.#told += iteration ? line.length - 1 : line.length;
    this.#block = line;
  }

  /** See MemoryHook. */
  access(kind: 'read' | 'write'): void {
    if (kind === 'read') this.#loads++;
    else this.#stores++;
  }

  /** The run has returned. */
  finish(): ModelReport {
    return this.#finish(this.#returnTo);
  }

  /** The run has ended somehow: its last block may not have run to its end. */
  finishAt(exit: Exit): ModelReport {
    const [first] = this.#block;
    const last = this.#block.at(-1);
    const inside =
      first !== undefined && last !== undefined && exit.rip >= first.ip && exit.rip < last.ip + BigInt(last.length);
    // a block that ends in a jump to its own start is where it began once it has run; a REP that is cut is there too
    const again = exit.reason === 'budget' && exit.rip === first?.ip && exit.instructions >= this.#told;
    if (exit.reason !== 'until' && inside && !again) this.#block = [];
    return this.#finish(exit.rip);
  }

  #finish(to: bigint): ModelReport {
    const last = this.#block.at(-1);
    if (last !== undefined) this.#leave(last, to);
    this.#block = [];
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
    if ((flow === 'indirect-call' || flow === 'indirect-jump') && !isUntracked(bytes) && !this.#isEndbr(to)) {
      this.#indirectBranches.push({ from: ip, to });
    }
  }

  #isEndbr(at: bigint): boolean {
    try {
      const bytes = this.#engine.read(at, ENDBR64.length);
      return ENDBR64.every((byte, i) => bytes[i] === byte);
    } catch (error) {
      // what is not mapped is none
      if (error instanceof EngineError && error.code === 'EFAULT') return false;
      throw error;
    }
  }
}

/** Runs with the models on, which follow by the hooks; the caller's own hooks are called as ever. */
export function runWithModels(engine: Engine, { models: _, ...options }: RunOptions): Exit {
  const models = new Models(engine, options.until);
  const exit = engine.run({
    ...options,
    onBlock(address, size) {
      models.block(address, size);
      return options.onBlock?.(address, size);
    },
    onMemory(kind, address, size) {
      models.access(kind);
      options.onMemory?.(kind, address, size);
    },
  });
  return { ...exit, models: models.finishAt(exit) };
}

function isUntracked(bytes: Uint8Array): boolean {
  const prefixes = bytes.subarray(0, bytes.indexOf(INDIRECT));
  return prefixes.filter((byte) => SEGMENT_PREFIXES.has(byte)).at(-1) === NOTRACK;
}
