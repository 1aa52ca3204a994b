// The opcode tables: rows as the manual prints them, and the dense tables that the decoder reads.

import { Mnemonic } from './mnemonics';

/** Opcode maps. Those of 0f, 0f38 and 0f3a come in four by mandatory prefix: none, 66, f3, f2; VEX has its own. */
export enum Table {
  One = 0,
  Two = 1,
  Two66 = 2,
  TwoF3 = 3,
  TwoF2 = 4,
  T38 = 5,
  T38_66 = 6,
  T38_F3 = 7,
  T38_F2 = 8,
  T3A = 9,
  T3A_66 = 10,
  T3A_F3 = 11,
  T3A_F2 = 12,
  Vex38 = 13,
  Vex38_66 = 14,
  Vex38_F3 = 15,
  Vex38_F2 = 16,
  Vex3A_F2 = 17,
  /** 0f 01 with a register: the whole ModRM byte is the opcode. */
  System = 18,
  Count = 19,
}

/** Operands in the manual's letters: E r/m, G register, I immediate, Z register in the opcode, A rax, B vvvv, J rel,
 * V xmm register, W xmm r/m, U xmm in r/m, M memory only, O moffs,
 * X no operands, R registers in ModRM whatever its mod says. */
export enum Form {
  X = 0,
  EG,
  GE,
  AI,
  EI,
  EI8,
  E,
  E1,
  ECL,
  Z,
  ZI,
  AZ,
  I,
  I8,
  J,
  J8,
  I16,
  I16I8,
  GM,
  GE8,
  GE16,
  GE32,
  GEI,
  GEI8,
  EGI8,
  EGCL,
  AO,
  OA,
  M,
  MG,
  GBE,
  GEB,
  BE,
  GEIV,
  VW,
  WV,
  VWI,
  VE,
  EV,
  GW,
  GU,
  UI,
  VEI,
  EVI,
  GUI,
  VM,
  MV,
  VU,
  R,
}

/** Operand size 8 bits. */
export const BYTE: u32 = 1 << 16;
/** Operand size 64 bits by default. */
export const D64: u32 = 1 << 17;
/** LOCK is allowed with a memory destination. */
export const LOCKABLE: u32 = 1 << 18;
/** Operand size 32 or 64 bits, by REX.W alone. */
export const Y: u32 = 1 << 19;
/** The opcode's low four bits are a condition. */
export const CC: u32 = 1 << 20;
/** Memory operands of SSE instructions: bytes, log2, and whether alignment is not asked for. */
export const W16: u32 = 4 << 21;
export const W8: u32 = 3 << 21;
export const W4: u32 = 2 << 21;
export const W2: u32 = 1 << 21;
export const W1: u32 = 0;
export const UNALIGNED: u32 = 1 << 24;
/** A register in r/m is invalid; memory in r/m is invalid. */
export const MEMORY_ONLY: u32 = 1 << 25;
export const REGISTER_ONLY: u32 = 1 << 26;
/** 66 means no mandatory prefix here, but operand size: 66 f2 and 66 f3 choose f2 and f3, which keep it. */
export const STRING: u32 = 1 << 27;
/** The row stands for eight, by the reg field of ModRM: bits 0-15 number the group. */
export const GROUP: u32 = 1 << 31;

const OPCODES: usize = memory.data(19 * 256 * 4, 16);
const GROUPS: usize = memory.data(64 * 8 * 4, 16);
/** Rows in the order of the tables, for the list of the instruction set: table, opcode, digit (8: none), span, row. */
const LIST: usize = memory.data(1200 * 8, 8);
let groups: u32 = 0;
let listed: u32 = 0;

function list(table: u32, opcode: u32, digit: u32, row: u32, span: u32): void {
  if ((row & 0x3ff) == Mnemonic.Outside) return;
  store<u8>(LIST + ((<usize>listed) << 3), <u8>table);
  store<u8>(LIST + ((<usize>listed) << 3), <u8>opcode, 1);
  store<u8>(LIST + ((<usize>listed) << 3), <u8>digit, 2);
  store<u8>(LIST + ((<usize>listed) << 3), <u8>span, 3);
  store<u32>(LIST + ((<usize>listed) << 3), row, 4);
  listed++;
}

/** One opcode. */
export function row(table: Table, opcode: u32, mnemonic: Mnemonic, form: Form, flags: u32 = 0): void {
  const value = <u32>mnemonic | ((<u32>form) << 10) | flags;
  store<u32>(OPCODES + (((<usize>table) << 10) | ((<usize>opcode) << 2)), value);
  list(table, opcode, 8, value, 1);
}

/** Opcodes that name a register in their low three bits, from `first` to the last of its eight: the manual's `+r`. */
export function registers(table: Table, first: u32, mnemonic: Mnemonic, form: Form, flags: u32 = 0): void {
  const value = <u32>mnemonic | ((<u32>form) << 10) | flags;
  const span: u32 = 8 - (first & 7);
  for (let z: u32 = 0; z < span; z++)
    store<u32>(OPCODES + (((<usize>table) << 10) | ((<usize>(first + z)) << 2)), value);
  list(table, first, 8, value, span);
}

/** One opcode of a group: `digit` is the manual's /0 … /7. */
export function digit(table: Table, opcode: u32, digit: u32, mnemonic: Mnemonic, form: Form, flags: u32 = 0): void {
  const at = OPCODES + (((<usize>table) << 10) | ((<usize>opcode) << 2));
  let group = load<u32>(at);
  if (!(group & GROUP)) {
    group = GROUP | groups++;
    store<u32>(at, group);
  }
  const value = <u32>mnemonic | ((<u32>form) << 10) | flags;
  store<u32>(GROUPS + ((<usize>((group & 0xffff) * 8 + digit)) << 2), value);
  list(table, opcode, digit, value, 1);
}

/** Valid opcodes outside the instruction set: never executed, never called invalid. */
export function outside(table: Table, first: u32, last: u32): void {
  for (let opcode = first; opcode <= last; opcode++) {
    store<u32>(OPCODES + (((<usize>table) << 10) | ((<usize>opcode) << 2)), Mnemonic.Outside);
  }
}

/** Opcodes that are invalid with this prefix, where the row without it would be read otherwise. */
export function invalid(table: Table, first: u32, last: u32): void {
  for (let opcode = first; opcode <= last; opcode++) {
    store<u32>(OPCODES + (((<usize>table) << 10) | ((<usize>opcode) << 2)), Mnemonic.Invalid | ((<u32>Form.E) << 10));
  }
}

@unmanaged
export class Rows {
  @inline
  static at(table: u32, opcode: u32): u32 {
    return load<u32>(OPCODES + (((<usize>table) << 10) | ((<usize>opcode) << 2)));
  }
  @inline
  static ofGroup(group: u32, digit: u32): u32 {
    return load<u32>(GROUPS + ((<usize>((group & 0xffff) * 8 + digit)) << 2));
  }
}

/** How many rows the instruction set has. */
export function isaRows(): u32 {
  return listed;
}

/** Where row 0 is: 8 bytes each, see LIST. */
export function isaList(): usize {
  return LIST;
}
