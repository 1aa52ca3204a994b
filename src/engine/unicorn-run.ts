// One bounded run on a Unicorn CPU, block by block: stops, counts, the budget, and faults with the exact instruction.
import { hex } from '../address.ts';
import { EngineError } from '../errors.ts';
import { decode } from '../x86/decode.ts';
import { type Block, type BlockCache, countBefore, isBoundary, join, type Terminator } from './blocks.ts';
import type { Exit, Fault, RunOptions } from './engine.ts';
import type { Mappings } from './mappings.ts';
import type { UnicornBackend, UnicornGateway } from './unicorn-backend.ts';

/** What a run works on. */
export interface RunParts {
  /** The engine and its version, for messages. */
  readonly engine: string;
  readonly cpu: UnicornBackend;
  readonly blocks: BlockCache;
  readonly mappings: Mappings;
  readonly gate: UnicornGateway | undefined;
}

/** What it means that the CPU came to the end of a segment. */
type Arrival = 'until' | 'stopped' | 'piece' | Terminator;

/** One emu_start: from an instruction to another one in its straight line, or to the run's stop address. */
interface Segment {
  readonly from: bigint;
  readonly limit: bigint;
  readonly arrival: Arrival;
}

/** What a block hook decided; the CPU then stands before that block. */
type Verdict = { exit: Exit['reason']; terminator?: Terminator } | { segment: Segment };

/** Unicorn's error numbers that the guest causes. */
const INSN_INVALID = 10;
const ACCESS_FAILURES: ReadonlyMap<number, 'unmapped' | 'protected'> = new Map([
  [6, 'unmapped'],
  [7, 'unmapped'],
  [8, 'unmapped'],
  [12, 'protected'],
  [13, 'protected'],
  [14, 'protected'],
]);

/**
 * Instructions that a block of unknown size is cut into. The translator's buffer holds some 40; a block that fills it
 * is reported with size 0 and its rest is not reported at all, so such a block must not run whole.
 */
const PIECE = 16;

/** State of one run. */
export class UnicornRun {
  readonly #parts: RunParts;
  readonly #options: RunOptions;
  readonly #stepping: boolean;
  #retired = 0;
  #spent = 0;
  /** Blocks reported in this segment, and the first of them. */
  #arrivals = 0;
  #firstLow = 0;
  #firstHigh = 0;
  #current: Block | undefined;
  #inGate = false;
  #piece = PIECE;
  #pieceFrom: bigint | undefined;
  /** Where the segment ends. */
  #limit = 0n;
  #hookTold = false;
  #verdict: Verdict | undefined;
  #exception: number | undefined;
  #badAccess: { access: 'read' | 'write' | 'fetch'; address: bigint } | undefined;
  #heldWrite: { address: bigint; size: number } | undefined;
  #thrown: { error: unknown } | undefined;

  constructor(parts: RunParts, options: RunOptions, stepping: boolean) {
    this.#parts = parts;
    this.#options = options;
    this.#stepping = stepping;
  }

  /** Runs to the end. Guest faults are returned; what a hook threw is rethrown. */
  run(): Exit {
    const { cpu } = this.#parts;
    let segment: Segment = { from: this.#options.from, limit: this.#options.until, arrival: 'until' };
    for (;;) {
      if (segment.from === this.#options.until && !this.#stepping) return this.#exit('until', segment.from);
      this.#begin(segment);
      const failure = cpu.start(segment.from, segment.limit);
      this.#releaseWrite();
      const rip = cpu.readRegister('rip');
      if (this.#thrown !== undefined) {
        this.#leaveGate(rip);
        throw this.#thrown.error;
      }
      const verdict: Verdict | undefined = this.#verdict;
      if (verdict !== undefined) {
        if ('exit' in verdict) return this.#exit(verdict.exit, rip, verdict.terminator);
        segment = verdict.segment;
        continue;
      }
      if (failure !== undefined || this.#exception !== undefined) {
        const rest = this.#beforePageEnd(rip);
        if (rest === undefined) return this.#faulted(failure, rip);
        segment = rest;
        continue;
      }
      if (rip !== segment.limit) throw this.#lost(segment, rip);
      if (segment.arrival === 'until') return this.#exit(this.#stepping ? 'stopped' : 'until', rip);
      if (segment.arrival === 'stopped') return this.#exit('stopped', rip);
      if (segment.arrival !== 'piece') return this.#exit('fault', rip, segment.arrival);
      segment = { from: rip, limit: this.#options.until, arrival: 'until' };
    }
  }

  /** The block hook. */
  entered(low: number, high: number, size: number): void {
    this.#arrivals++;
    // The very first start of a CPU, which reports its first block once, is spent at its creation.
    if (this.#arrivals === 1) {
      this.#firstLow = low;
      this.#firstHigh = high;
    } else if (this.#arrivals === 2 && this.#isRepetition(low, high)) return;
    try {
      const verdict = this.#judge(low, high, size);
      if (verdict === undefined) return;
      this.#verdict = verdict;
      this.#parts.cpu.stop();
    } catch (error) {
      this.threw(error);
    }
  }

  #isRepetition(low: number, high: number): boolean {
    return this.#parts.cpu.repeatsFirstBlock && low === this.#firstLow && high === this.#firstHigh;
  }

  /** The data access hook, where one is installed. */
  accessed(kind: 'read' | 'write', low: number, high: number, size: number): void {
    if (this.#inGate) return;
    try {
      this.#releaseWrite();
      const address = join(low, high);
      const { mappings } = this.#parts;
      // told of a store before it is refused, of a load not at all then
      if (kind === 'write' && !mappings.writable(address, size)) return;
      if (kind === 'write' && mappings.at(address)?.access === 'rwx') {
        // Held back: if it changes its own block, the emulator starts over at this instruction and reports it again.
        this.#heldWrite = { address, size };
        this.#parts.blocks.forget(address, BigInt(size));
        return;
      }
      this.#options.onMemory?.(kind, address, size);
    } catch (error) {
      this.threw(error);
    }
  }

  refused(access: 'read' | 'write' | 'fetch', low: number, high: number): void {
    this.#badAccess ??= { access, address: join(low, high) };
  }

  interrupted(vector: number): void {
    this.#exception ??= vector;
    this.#parts.cpu.stop();
  }

  /** Keeps what a hook threw until the emulator has come back, and ends the run. */
  threw(error: unknown): void {
    this.#thrown ??= { error };
    this.#parts.cpu.stop();
  }

  #begin(segment: Segment): void {
    this.#limit = segment.limit;
    this.#arrivals = 0;
    this.#verdict = undefined;
    this.#exception = undefined;
    this.#badAccess = undefined;
  }

  /** Decides, before a block runs, whether it may. */
  #judge(low: number, high: number, size: number): Verdict | undefined {
    const { gate } = this.#parts;
    const restarted = this.#hasRestarted(low, high, size);
    if (this.#stepping && this.#arrivals > 1 && !this.#inGate && !restarted) return { exit: 'stopped' };
    if (gate?.isBlock(low, high)) {
      if (gate.isEntry(low, high) && this.#options.until === gate.address && !this.#stepping) return { exit: 'until' };
      this.#releaseWrite();
      this.#inGate = true;
      return undefined;
    }
    if (this.#stepping && this.#inGate) return { exit: 'stopped' };
    this.#inGate = false;
    if (size === 0) return this.#cutToPiece(low, high);
    if (restarted) this.#undoHeldWrite(join(low, high));
    this.#releaseWrite();
    return this.#admit(low, high, size);
  }

  /**
   * Whether a block changed itself, so that the emulator starts over at the writing instruction: unicorn.js reports
   * that without a size, native Unicorn as a block of that instruction alone.
   */
  #hasRestarted(low: number, high: number, size: number): boolean {
    const write = this.#heldWrite;
    const block = this.#current;
    if (write === undefined || size === 0) return write !== undefined;
    if (block === undefined || block.starts.length < 2) return false;
    const address = join(low, high);
    const inBlock = (at: bigint): boolean => at >= block.address && at < block.end;
    return inBlock(address) && write.address < block.end && write.address + BigInt(write.size) > block.address;
  }

  /** Takes back the write at `address` and what was counted from there on: both come again. */
  #undoHeldWrite(address: bigint): void {
    if (this.#current !== undefined) this.#uncount(this.#current, address);
    this.#heldWrite = undefined;
  }

  /** Ends the run before or inside a block of known size, or counts it and lets it run. */
  #admit(low: number, high: number, size: number): Verdict | undefined {
    const { until, budget, onBlock } = this.#options;
    const block = this.#parts.blocks.find(low, high, size, this.#current);
    const { terminator } = block;
    if (block.address === until && !this.#stepping) return { exit: 'until' };
    if (terminator?.address === block.address) return { exit: 'fault', terminator };
    const untilFirst = terminator === undefined || until <= terminator.address;
    if (untilFirst && until > block.address && until < block.end && isBoundary(block, until)) {
      return cut(block, until, 'until');
    }
    if (terminator !== undefined) return cut(block, terminator.address, terminator);

    const count = block.starts.length;
    if (this.#spent + count > budget) return { exit: 'budget' };
    if (onBlock !== undefined && !this.#hookTold) {
      const stop = onBlock(block.address, size);
      if (stop === block.address) return { exit: 'stopped' };
      if (stop !== undefined && stop > block.address && stop < block.end && isBoundary(block, stop)) {
        this.#hookTold = true;
        return cut(block, stop, 'stopped');
      }
    }
    this.#hookTold = false;
    const iteration = block.beginsWithRep && this.#current?.lastRep === block.address;
    this.#spent += count;
    this.#retired += iteration ? count - 1 : count;
    this.#current = block;
    return undefined;
  }

  /** A block of unknown size: too long for the translator, or one that has just changed itself. */
  #cutToPiece(low: number, high: number): Verdict | undefined {
    const address = join(low, high);
    const changedItself = this.#heldWrite !== undefined;
    if (changedItself) this.#undoHeldWrite(address);
    if (changedItself || this.#stepping) this.#piece = 1;
    else this.#piece = address === this.#pieceFrom ? Math.max(1, this.#piece >> 1) : PIECE;
    this.#pieceFrom = address;
    const last = decode(this.#readable(address, 15 * this.#piece), address, this.#piece).at(-1);
    if (last === undefined) return undefined;
    const limit = last.ip + BigInt(last.length);
    // One instruction that is still reported without a size: the segment ends after it, so its size is known.
    if (last.ip === address && limit === this.#limit) return this.#admit(low, high, last.length);
    return { segment: { from: address, limit, arrival: 'piece' } };
  }

  /** Up to `size` bytes at `address`, less where the mapping ends. */
  #readable(address: bigint, size: number): Uint8Array {
    const { cpu, mappings } = this.#parts;
    return cpu.read(address, mappings.mappedBytes(address, size));
  }

  /**
   * The emulator translates a block before it runs any of it, so a block that runs off the mapped code fails at its
   * first instruction. The segment then runs what is before the instruction that cannot be fetched.
   */
  #beforePageEnd(rip: bigint): Segment | undefined {
    const bad = this.#badAccess;
    if (bad?.access !== 'fetch' || bad.address <= rip || bad.address - rip > 0x1000n) return undefined;
    const whole = decode(this.#parts.cpu.read(rip, Number(bad.address - rip)), rip);
    const first = whole.find((instruction) => instruction.flow === 'invalid');
    const limit = first === undefined ? bad.address : first.ip;
    return limit > rip ? { from: rip, limit, arrival: 'piece' } : undefined;
  }

  #faulted(failure: number | undefined, rip: bigint): Exit {
    this.#leaveGate(rip);
    const at = this.#parts.cpu.readRegister('rip');
    if (this.#current !== undefined && !this.#inGate && this.#badAccess?.access !== 'fetch') {
      this.#uncount(this.#current, at);
    }
    if (failure === INSN_INVALID) {
      const [instruction] = decode(this.#readable(at, 15), at, 1);
      return this.#end('not-judged', at, {
        why: `${hex(at)}: ${this.#parts.engine} does not know "${instruction?.text ?? ''}"`,
      });
    }
    const fault = this.#faultOf(failure, at);
    if (fault === undefined) {
      throw new EngineError('EIO', `Unicorn failed at ${hex(at)}`, {
        operation: 'run',
        rip: at,
        ...(failure === undefined ? {} : { engineCode: failure }),
      });
    }
    return this.#end('fault', at, { fault });
  }

  #faultOf(failure: number | undefined, rip: bigint): Fault | undefined {
    const kind = failure === undefined ? undefined : ACCESS_FAILURES.get(failure);
    if (kind !== undefined && this.#badAccess !== undefined) {
      const { access, address } = this.#badAccess;
      if (!canonical(address)) return { kind: 'general-protection', rip };
      return { kind, rip, access, address };
    }
    if (this.#exception === 0) return { kind: 'divide-error', rip };
    if (this.#exception === 13) return { kind: 'general-protection', rip };
    if (this.#exception !== undefined) return { kind: 'interrupt', vector: this.#exception, rip };
    return undefined;
  }

  /** Where the CPU stands inside the gate, the guest sees the gate's entry. */
  #leaveGate(rip: bigint): void {
    const { cpu, gate } = this.#parts;
    if (gate?.holds(rip)) cpu.writeRegister('rip', gate.address);
  }

  /** Takes back what was counted for instructions of `block` that did not run. */
  #uncount(block: Block, rip: bigint): void {
    if (rip < block.address || rip >= block.end) return;
    const unrun = block.starts.length - countBefore(block, rip);
    this.#retired -= unrun;
    this.#spent -= unrun;
  }

  #releaseWrite(): void {
    const write = this.#heldWrite;
    if (write === undefined) return;
    this.#heldWrite = undefined;
    this.#options.onMemory?.('write', write.address, write.size);
  }

  #exit(reason: Exit['reason'], rip: bigint, terminator?: Terminator): Exit {
    if (terminator === undefined) return this.#end(reason, rip, {});
    if (terminator.fault === undefined) return this.#end('not-judged', rip, { why: terminator.why ?? '' });
    const fault = terminator.fault;
    if (fault.rip !== rip) {
      // A trap: the instruction counts, and the CPU stands after it.
      this.#retired++;
      this.#parts.cpu.writeRegister('rip', fault.rip);
    }
    return this.#end('fault', fault.rip, { fault });
  }

  #end(reason: Exit['reason'], rip: bigint, more: { fault?: Fault; why?: string }): Exit {
    return { reason, rip, instructions: this.#retired, ...more };
  }

  #lost(segment: Segment, rip: bigint): EngineError {
    return new EngineError('EIO', `the CPU stopped at ${hex(rip)} on the way to ${hex(segment.limit)}`, {
      operation: 'run',
      rip,
    });
  }
}

/** Runs the block again, but only up to `limit`. */
function cut(block: Block, limit: bigint, arrival: Arrival): Verdict {
  return { segment: { from: block.address, limit, arrival } };
}

/** Whether bits 47 to 63 are equal, as the CPU demands of addresses. */
function canonical(address: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
}
