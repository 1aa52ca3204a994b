// Machine code from iced's table of encodings: prefixes, REX or VEX, opcode, ModRM, SIB, displacement, immediates.

import {
  EncodingKind,
  Instruction,
  MandatoryPrefix,
  MemorySizeExt,
  type OpCodeInfo,
  OpCodeOperandKind,
} from 'iced-x86';
import type { CodeRow } from './codes.ts';

/** What a code's operands are, read once from OpCodeInfo. */
export interface Shape {
  row: CodeRow;
  vex: boolean;
  /** Mandatory prefix byte, 0 for none. */
  mandatory: number;
  operandSize16: boolean;
  addressSize32: boolean;
  w: boolean;
  table: number;
  opcode: readonly number[];
  /** The ModRM.reg digit of a group, or -1. */
  digit: number;
  /** What ModRM.rm may be: nothing, a register, memory, or both. */
  rm: 'none' | 'register' | 'memory' | 'both';
  /** Bytes of the register in ModRM.rm and ModRM.reg: 1, 2, 4, 8; 16 for xmm; 0 for none. */
  rmSize: number;
  regSize: number;
  /** Bytes of the register encoded in the opcode's low three bits; 0 for none. */
  opcodeSize: number;
  vvvv: boolean;
  /** Byte sizes of the immediates in order. */
  immediates: readonly number[];
  moffs: boolean;
  /** 1 or 4: bytes of a relative branch; 0 for none. */
  branch: number;
  /** Reads or writes memory through rsi, rdi or rbx. */
  implicitMemory: boolean;
  memorySize: number;
  lock: boolean;
  rep: boolean;
  repne: boolean;
  bnd: boolean;
  notrack: boolean;
  isControl: boolean;
}

/** Where a memory operand is, in the terms of the encoding. */
export type Memory =
  | { kind: 'register'; base: number; index?: number; scale?: number; displacement: number; size: 0 | 1 | 4 }
  | { kind: 'rip'; target: bigint }
  | { kind: 'absolute'; displacement: number; index?: number; scale?: number };

/** The choices that together with a Shape make an instruction. */
export interface Choice {
  reg: number;
  rm: number | Memory;
  vvvv: number;
  opcodeRegister: number;
  immediates: readonly bigint[];
  moffs: bigint;
  /** Relative branch: its target. */
  target: bigint;
  /** Legacy prefixes besides those the code itself needs, in order. */
  prefixes: readonly number[];
  /** Emit a REX prefix even where no bit of it is needed. */
  forceRex: boolean;
}

const SIZES: readonly (readonly [RegExp, number])[] = [
  [/^r8_/, 1],
  [/^r16_/, 2],
  [/^r32_/, 4],
  [/^r64_/, 8],
  [/^xmm_/, 16],
];
const IMMEDIATES: Record<string, number> = {
  imm8: 1,
  imm8sex16: 1,
  imm8sex32: 1,
  imm8sex64: 1,
  imm16: 2,
  imm32: 4,
  imm32sex64: 4,
  imm64: 8,
};

/** Reads a code's shape from iced's table. */
export function shapeOf(row: CodeRow): Shape {
  const instruction = new Instruction();
  instruction.code = row.code;
  const info = instruction.opCode;
  const shape = readShape(row, info);
  info.free();
  instruction.free();
  return shape;
}

function readShape(row: CodeRow, info: OpCodeInfo): Shape {
  const kinds = Array.from({ length: info.opCount }, (_, i) => OpCodeOperandKind[info.opKind(i)] ?? '');
  const sizeOf = (kind: string | undefined) =>
    SIZES.find(([pattern]) => kind !== undefined && pattern.test(kind))?.[1] ?? 0;
  const rmKind = kinds.find((kind) => /_or_mem$|^mem$|_rm$/.test(kind));
  const branch = kinds.find((kind) => /^br64_/.test(kind));
  const wide = info.operandSize === 64 && !info.defaultOpSize64 && !info.forceOpSize64;
  const opcode = info.opCodeLength === 2 ? [info.opCode >> 8, info.opCode & 0xff] : [info.opCode];
  return {
    row,
    vex: info.encoding === EncodingKind.VEX,
    mandatory: PREFIX_BYTES[info.mandatoryPrefix] ?? 0,
    operandSize16: info.operandSize === 16,
    addressSize32: info.addressSize === 32,
    w: info.encoding === EncodingKind.VEX ? info.W === 1 : wide,
    table: info.table,
    opcode,
    digit: info.groupIndex,
    rm: rmKind === undefined ? 'none' : rmKind === 'mem' ? 'memory' : rmKind.endsWith('_or_mem') ? 'both' : 'register',
    rmSize: sizeOf(rmKind),
    regSize: sizeOf(kinds.find((kind) => /_reg$/.test(kind))),
    opcodeSize: sizeOf(kinds.find((kind) => /_opcode$/.test(kind))),
    vvvv: kinds.some((kind) => /_vvvv$/.test(kind)),
    immediates: kinds.flatMap((kind) => IMMEDIATES[kind] ?? []),
    moffs: kinds.includes('mem_offs'),
    branch: branch === undefined ? 0 : Number(branch.slice(5)),
    implicitMemory: kinds.some((kind) => /^seg_r|^es_r/.test(kind)),
    memorySize: MemorySizeExt.size(info.memorySize),
    lock: info.canUseLockPrefix,
    rep: info.canUseRepPrefix,
    repne: info.canUseRepnePrefix,
    bnd: info.canUseBndPrefix,
    notrack: info.canUseNotrackPrefix,
    isControl: branch !== undefined || /^(Jmp|Call|Ret)$/.test(row.mnemonic),
  };
}

const PREFIX_BYTES: Partial<Record<MandatoryPrefix, number>> = {
  [MandatoryPrefix.P66]: 0x66,
  [MandatoryPrefix.PF3]: 0xf3,
  [MandatoryPrefix.PF2]: 0xf2,
};
const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

/**
 * The bytes of `shape` with `choice` at `ip`, or undefined where the choice cannot be encoded (ah with REX, or a
 * short branch out of reach).
 */
export function encode(shape: Shape, choice: Choice, ip: bigint): Uint8Array | undefined {
  const memory = typeof choice.rm === 'number' ? undefined : choice.rm;
  const rmRegister = typeof choice.rm === 'number' ? choice.rm : 0;
  const reg = shape.digit >= 0 ? shape.digit : choice.reg;
  const opcodeRegister = shape.opcodeSize > 0 ? choice.opcodeRegister : 0;

  const base = memory?.kind === 'register' ? memory.base : 0;
  const index = memory !== undefined && memory.kind !== 'rip' ? (memory.index ?? 0) : 0;
  const r = (shape.regSize > 0 || shape.digit >= 0) && reg >= 8 ? 4 : 0;
  const x = index >= 8 ? 2 : 0;
  const b = (shape.rm === 'none' ? opcodeRegister : memory === undefined ? rmRegister : base) >= 8 ? 1 : 0;

  const out: number[] = [...choice.prefixes];
  if (shape.addressSize32) out.push(0x67);
  if (shape.vex) {
    out.push(
      0xc4,
      ((~(r | x | b) & 7) << 5) | shape.table,
      (shape.w ? 0x80 : 0) | ((~choice.vvvv & 15) << 3) | pp(shape.mandatory),
    );
  } else {
    if (shape.operandSize16) out.push(0x66);
    if (shape.mandatory !== 0) out.push(shape.mandatory);
    const rex = (shape.w ? 8 : 0) | r | x | b;
    if (rex !== 0 || choice.forceRex) out.push(0x40 | rex);
    out.push(...(ESCAPES[shape.table] ?? []));
  }
  out.push(...shape.opcode.slice(0, -1), (shape.opcode.at(-1) ?? 0) + (opcodeRegister & 7));

  let ripField = -1;
  if (shape.rm !== 'none' || shape.digit >= 0) {
    if (memory === undefined) out.push(0xc0 | ((reg & 7) << 3) | (rmRegister & 7));
    else ripField = pushMemory(out, reg & 7, memory);
  }
  if (shape.moffs) pushNumber(out, choice.moffs, choice.prefixes.includes(0x67) ? 4 : 8);
  shape.immediates.forEach((size, i) => {
    pushNumber(out, choice.immediates[i] ?? 0n, size);
  });
  if (shape.branch > 0) {
    const distance = choice.target - (ip + BigInt(out.length + shape.branch));
    if (BigInt.asIntN(8 * shape.branch, distance) !== distance) return undefined;
    pushNumber(out, distance, shape.branch);
  }
  const bytes = Uint8Array.from(out);
  if (ripField >= 0 && memory?.kind === 'rip') {
    const distance = Number(BigInt.asIntN(32, memory.target - (ip + BigInt(bytes.length))));
    new DataView(bytes.buffer).setInt32(ripField, distance, true);
  }
  return bytes;
}

/** Appends ModRM, SIB and displacement; returns the offset of a RIP-relative displacement, else -1. */
function pushMemory(out: number[], reg: number, memory: Memory): number {
  if (memory.kind === 'rip') {
    out.push((reg << 3) | 5, 0, 0, 0, 0);
    return out.length - 4;
  }
  const scale = Math.log2(memory.scale ?? 1);
  if (memory.kind === 'absolute') {
    out.push((reg << 3) | 4, (scale << 6) | (((memory.index ?? 4) & 7) << 3) | 5);
    pushNumber(out, BigInt(memory.displacement), 4);
    return -1;
  }
  const mod = memory.size === 4 ? 0x80 : memory.size === 1 ? 0x40 : 0;
  const needsSib = memory.index !== undefined || (memory.base & 7) === 4;
  out.push(mod | (reg << 3) | (needsSib ? 4 : memory.base & 7));
  if (needsSib) out.push((scale << 6) | (((memory.index ?? 4) & 7) << 3) | (memory.base & 7));
  pushNumber(out, BigInt(memory.displacement), memory.size);
  return -1;
}

function pushNumber(out: number[], value: bigint, size: number): void {
  for (let i = 0; i < size; i++) out.push(Number((value >> BigInt(8 * i)) & 0xffn));
}

function pp(mandatory: number): number {
  return mandatory === 0x66 ? 1 : mandatory === 0xf3 ? 2 : mandatory === 0xf2 ? 3 : 0;
}
