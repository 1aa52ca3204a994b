// Decoded blocks of guest code, kept until their bytes change: instruction counts and where a run must end.
import { hex } from '../address.ts';
import { decode, type Instruction } from '../x86/decode.ts';
import type { Fault } from './engine.ts';
import { type ExecutionTable, notJudged } from './judge.ts';

/** An instruction at which every run ends: before it, or (traps) after it. */
export interface Terminator {
  readonly address: bigint;
  /** Set for what the CPU refuses or traps on; absent for what this engine cannot judge. */
  readonly fault?: Fault;
  /** Set for what this engine cannot judge. */
  readonly why?: string;
}

/** A block as the emulator entered it. The halves are signed 32-bit, as its hook delivers them. */
export interface Block {
  readonly low: number;
  readonly high: number;
  readonly size: number;
  readonly address: bigint;
  readonly end: bigint;
  /** Start of each instruction, as bytes from `address`. */
  readonly starts: readonly number[];
  /** The block begins, or ends, with a repeating string instruction. */
  readonly beginsWithRep: boolean;
  readonly lastRep: bigint | undefined;
  readonly terminator: Terminator | undefined;
  /** False once its bytes may have changed. */
  valid: boolean;
  /** The block that followed last time: spares the look-up in loops. */
  next: Block | undefined;
}

/** Decoded blocks by page. */
export class BlockCache {
  readonly #pages = new Map<number, Map<number, Block>>();
  readonly #table: ExecutionTable;
  readonly #read: (address: bigint, size: number) => Uint8Array;

  /** @param read copies guest code out, less where the mapping ends before `size` */
  constructor(table: ExecutionTable, read: (address: bigint, size: number) => Uint8Array) {
    this.#table = table;
    this.#read = read;
  }

  /** The block at `high:low` of `size` bytes; `after` is the one that ran before. */
  find(low: number, high: number, size: number, after: Block | undefined): Block {
    const guess = after?.next;
    if (guess !== undefined && guess.low === low && guess.high === high && guess.size === size && guess.valid)
      return guess;
    const page = pageKey(low, high);
    const key = (low & 0xfff) * 0x10000 + size;
    let block = this.#pages.get(page)?.get(key);
    // A block over two pages goes with either of them, so the other page may still list it.
    if (block === undefined || !block.valid) {
      block = this.#decode(low, high, size);
      this.#keep(page, key, block);
      const lastPage = pageKey(
        Number(BigInt.asIntN(32, block.end - 1n)),
        Number(BigInt.asIntN(32, (block.end - 1n) >> 32n)),
      );
      if (lastPage !== page) this.#keep(lastPage, -1 - key, block);
    }
    if (after !== undefined) after.next = block;
    return block;
  }

  /** Forgets the blocks on the page of `high:low`. */
  forgetPage(low: number, high: number): void {
    const key = pageKey(low, high);
    const page = this.#pages.get(key);
    if (page === undefined) return;
    this.#pages.delete(key);
    for (const block of page.values()) block.valid = false;
  }

  /** Forgets the blocks on every page that the range touches. */
  forget(start: bigint, size: bigint): void {
    if (size >> 12n > BigInt(this.#pages.size)) {
      for (const page of this.#pages.values()) for (const block of page.values()) block.valid = false;
      this.#pages.clear();
      return;
    }
    for (let at = start & ~0xfffn; at < start + size; at += 0x1000n) {
      this.forgetPage(Number(at & 0xffffffffn), Number(at >> 32n));
    }
  }

  #keep(pageKey: number, key: number, block: Block): void {
    const page = this.#pages.get(pageKey) ?? new Map<number, Block>();
    this.#pages.set(pageKey, page);
    page.set(key, block);
  }

  #decode(low: number, high: number, size: number): Block {
    const address = join(low, high);
    // A refused instruction counts into the block only as far as the emulator has read it, so read on a little.
    const ahead = decode(this.#read(address, size + 14), address);
    const instructions = ahead.filter((instruction) => instruction.ip - address < BigInt(size));
    const first = instructions[0];
    const last = instructions.at(-1);
    return {
      low,
      high,
      size,
      address,
      end: address + BigInt(size),
      starts: instructions.map((instruction) => Number(instruction.ip - address)),
      beginsWithRep: first?.isRep === true,
      lastRep: last?.isRep === true ? last.ip : undefined,
      terminator: firstTerminator(this.#table, instructions),
      valid: true,
      next: undefined,
    };
  }
}

/** How many of the block's instructions begin before `rip`. */
export function countBefore(block: Block, rip: bigint): number {
  let count = 0;
  for (const start of block.starts) if (block.address + BigInt(start) < rip) count++;
  return count;
}

/** Whether an instruction of the block begins at an address inside it; the CPU never stands in the middle of one. */
export function isBoundary(block: Block, address: bigint): boolean {
  return block.starts.includes(Number(address - block.address));
}

/** Joins the two signed or unsigned halves of an address. */
export function join(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** A page's number: below 2^52, so exact. */
function pageKey(low: number, high: number): number {
  return (high >>> 0) * 0x100000 + (low >>> 12);
}

function firstTerminator(table: ExecutionTable, instructions: readonly Instruction[]): Terminator | undefined {
  for (const instruction of instructions) {
    const fault = faultOf(instruction);
    if (fault !== undefined) return { address: instruction.ip, fault };
    const why = notJudged(table, instruction);
    if (why !== undefined) return { address: instruction.ip, why: `${hex(instruction.ip)}: ${why}` };
  }
  return undefined;
}

/** The fault or trap that an instruction always ends in; what it reports does not depend on the emulator. */
function faultOf(instruction: Instruction): Fault | undefined {
  const { ip, length, flow, mnemonic, bytes } = instruction;
  if (flow === 'invalid' || flow === 'exception') return { kind: 'invalid-instruction', rip: ip };
  if (mnemonic === 'hlt') return { kind: 'halt', rip: ip };
  if (mnemonic === 'syscall') return { kind: 'syscall', rip: ip };
  if (mnemonic === 'int3') return { kind: 'breakpoint', rip: ip + BigInt(length) };
  if (mnemonic === 'int1') return { kind: 'interrupt', vector: 1, rip: ip + BigInt(length) };
  if (mnemonic === 'int') return { kind: 'interrupt', vector: bytes.at(-1) ?? 0, rip: ip + BigInt(length) };
  return undefined;
}
