// One decoded instruction, and how handlers find its operands.

import { GENERAL, NO_REGISTER } from './state';

//  0 code   u16  Hot …, or COLD + Mnemonic
//  2 reg    u8   register operand as its byte offset in the state (general) or in the xmm file
//  3 rm     u8   the other register; for a memory operand of SSE instructions its size in bytes
//  4 base   u8   ┐ NO_REGISTER where absent
//  5 index  u8   ┘
//  6 scale  u8   bit 0-1 shift of the index; bit 6: bits 2-4 say more (SEGMENT_FS, SEGMENT_GS, ADDRESS_32)
//  7 flags  u8   bit 0-1 log2 of the operand size, then MEMORY, source form, LOCK, REP
//  8 disp   i64  absolute for rip-relative operands; in jumps two links: ► taken block, ► block after
// 16 imm    i64  immediate, jump target, or condition
// 24 next   u64  address of the instruction after this one
@unmanaged
export class Op {
  code: u16;
  reg: u8;
  rm: u8;
  base: u8;
  index: u8;
  scale: u8;
  flags: u8;
  disp: i64;
  imm: i64;
  next: u64;

  @inline
  get size(): u32 {
    return this.flags & 3;
  }
  @inline
  get isMemory(): bool {
    return <bool>(this.flags & MEMORY);
  }
  @inline
  get source(): u32 {
    return this.flags & SOURCE;
  }
  @inline
  get rep(): u32 {
    return this.flags & REP;
  }
}

export const OP_SIZE: u32 = 32;
/** Offsets of the links of a jump. */
export const TAKEN: usize = 8;
export const AFTER: usize = 12;

export const MEMORY: u32 = 4;
/** Which operand is the source: register, r/m (the register is the destination), immediate. */
export const SOURCE: u32 = 3 << 3;
export const FROM_REG: u32 = 0 << 3;
export const FROM_RM: u32 = 1 << 3;
export const FROM_IMM: u32 = 2 << 3;
export const LOCK: u32 = 1 << 5;
/** Of SSE instructions: the memory operand must be aligned to its size. */
export const ALIGNED: u32 = 1 << 5;
export const REP: u32 = 3 << 6;
export const REPE: u32 = 1 << 6;
export const REPNE: u32 = 2 << 6;

/** Byte 20 of SSE ops, above an 8-bit immediate: what form it is, where the mnemonic does not say. */
export const TO_RM: u8 = 1;
export const BY_IMMEDIATE: u8 = 2;

export const SEGMENT_FS: u32 = 1 << 2;
export const SEGMENT_GS: u32 = 1 << 3;
export const ADDRESS_32: u32 = 1 << 4;
export const SPECIAL: u32 = 1 << 6;

/** Codes from here on are COLD + Mnemonic and run in execute-*.ts. */
export const COLD: u32 = 256;

@unmanaged
export class Operand {
  /** A general register, by the byte offset that stands at `field` in the op. */
  @inline
  static get<T>(op: usize, field: usize): T {
    return load<T>(<usize>load<u8>(op + field), GENERAL);
  }

  /** Writes a general register; a 32-bit write clears the upper half. */
  @inline
  static put<T>(op: usize, field: usize, value: T): void {
    if (sizeof<T>() == 4) store<u64>(<usize>load<u8>(op + field), <u64>(<u32>value), GENERAL);
    else store<T>(<usize>load<u8>(op + field), value, GENERAL);
  }

  /** The address of the memory operand. */
  @inline
  static address(op: usize): u64 {
    const scale = <u64>load<u8>(op, 6);
    const plain =
      load<u64>(<usize>load<u8>(op, 4), GENERAL) +
      (load<u64>(<usize>load<u8>(op, 5), GENERAL) << scale) +
      load<u64>(op, 8);
    return scale < SPECIAL ? plain : specialAddress(op);
  }

  /** The address of a memory operand without index and segment. */
  @inline
  static based(op: usize): u64 {
    return load<u64>(<usize>load<u8>(op, 4), GENERAL) + load<u64>(op, 8);
  }
}

/** An address with a segment base or of 32 bits. */
export function specialAddress(op: usize): u64 {
  return segment(op) + offset(op);
}

/** The offset part of an address: what lea computes. */
export function offset(op: usize): u64 {
  const scale = <u32>load<u8>(op, 6);
  const plain =
    load<u64>(<usize>load<u8>(op, 4), GENERAL) +
    (load<u64>(<usize>load<u8>(op, 5), GENERAL) << (scale & 3)) +
    load<u64>(op, 8);
  return scale & ADDRESS_32 ? plain & 0xffffffff : plain;
}

/** The base of the segment that overrides, or 0. */
export function segment(op: usize): u64 {
  const scale = <u32>load<u8>(op, 6);
  if (scale & SEGMENT_FS) return load<u64>(GENERAL, 136);
  if (scale & SEGMENT_GS) return load<u64>(GENERAL, 144);
  return load<u64>(GENERAL, <usize>NO_REGISTER);
}
