// The interpreter's decoded ops, read from its memory (assembly/cpu/op.ts and blocks.ts draw them).
import { COLD_NAMES, type ColdName, HOT_NAMES, type HotName } from '../../wasm/core.generated.ts';

/** One decoded instruction, or what ends a block. */
export interface Op {
  /** Address of the instruction. */
  readonly rip: bigint;
  /** What the dispatch loop has a case of its own for; else `cold` is the mnemonic. */
  readonly name: HotName | undefined;
  readonly cold: ColdName | undefined;
  /** Registers by their byte offset among the general ones. */
  readonly reg: number;
  readonly rm: number;
  readonly base: number;
  readonly index: number;
  /** Shift of the index and segment; see SPECIAL. */
  readonly scale: number;
  /** Of a cold op: log2 of the operand size, then MEMORY and the source. */
  readonly flags: number;
  readonly displacement: bigint;
  readonly immediate: bigint;
  /** Address of the instruction after this one. */
  readonly next: bigint;
}

/** A straight run of ops. */
export interface Block {
  readonly rip: bigint;
  /** GLUE, TRAMPOLINE. */
  readonly mark: number;
  readonly ops: readonly Op[];
}

/** Marks of blocks, see assembly/cpu/arrival.ts: redirection code, and such that calls arrive somewhere after it. */
export const TRAMPOLINE = 2;

/** The register of an absent base or index. */
export const NO_REGISTER = 128;
/** Bits of `scale`: what the address is made of besides base, index and displacement. */
export const SEGMENT_FS = 4;
export const SEGMENT_GS = 8;
export const ADDRESS_32 = 16;
export const SPECIAL = 64;
/** Bits of `flags`. */
export const OPERAND_SIZE = 3;
export const MEMORY = 4;
export const SOURCE = 24;
export const FROM_RM = 8;
export const FROM_IMM = 16;

const HEADER = 32;
const OP_SIZE = 32;
/** Codes from here on are this and the mnemonic. */
const COLD = 256;

/** Reads the block at an offset of memory. */
export function readBlock(memory: ArrayBuffer, at: number): Block {
  const view = new DataView(memory);
  const count = view.getUint16(at + 28, true);
  const ops: Op[] = [];
  let rip = view.getBigUint64(at, true);
  for (let i = 0; i < count; i++) {
    const op = readOp(view, at + HEADER + i * OP_SIZE, rip);
    ops.push(op);
    rip = op.next;
  }
  return { rip: view.getBigUint64(at, true), mark: view.getUint16(at + 30, true), ops };
}

function readOp(view: DataView, at: number, rip: bigint): Op {
  const code = view.getUint16(at, true);
  return {
    rip,
    name: HOT_NAMES[code],
    cold: COLD_NAMES[code - COLD],
    reg: view.getUint8(at + 2),
    rm: view.getUint8(at + 3),
    base: view.getUint8(at + 4),
    index: view.getUint8(at + 5),
    scale: view.getUint8(at + 6),
    flags: view.getUint8(at + 7),
    displacement: view.getBigInt64(at + 8, true),
    immediate: view.getBigInt64(at + 16, true),
    next: view.getBigUint64(at + 24, true),
  };
}
