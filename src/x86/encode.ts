// Encodes the few x86_64 instructions that trampolines and stubs are made of, one readable call per instruction.
import { rel32 } from '../address.ts';
import { TrampolineBytesError } from '../errors.ts';

/** General registers in encoding order (Intel SDM vol. 2, table 2-2). */
const CODES = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;

/** A 64-bit general register. */
export type Reg = keyof typeof CODES;

/** All general registers, in encoding order. */
export const REGS = Object.keys(CODES) as readonly Reg[];

/** `[base + disp]`. */
export interface Mem {
  base: Reg;
  disp: number;
}

/** A branch target or data address: absolute, or the name of a label in the same sequence. */
export type Target = bigint | string;

/** What an instruction does to the stack, as far as an unwinder must know: disp counts from rsp. */
export type StackEffect =
  | { readonly kind: 'move'; readonly by: number }
  | { readonly kind: 'store' | 'load'; readonly reg: Reg; readonly disp: number }
  | { readonly kind: 'copy'; readonly to: Reg; readonly from: Reg };

/** One instruction or label; its length does not depend on where it is placed. */
export interface Instruction {
  readonly length: number;
  /** Present on instructions that move rsp, reach memory through it, or copy a register. */
  readonly effect?: StackEffect;
  /** Present on labels. */
  readonly label?: string;
  /** The bytes at `ip`; `locate` gives the address of a target. */
  encode(ip: bigint, locate: (target: Target) => bigint): readonly number[];
}

/** What `assemble` returns: the bytes, and each label's offset in them. */
export interface Assembled {
  bytes: Uint8Array;
  labels: ReadonlyMap<string, number>;
}

/**
 * Places instructions one after another at `address`.
 *
 * @throws {TrampolineBytesError} ERANGE a branch or rip-relative operand does not reach (C8) · EINVAL unknown label
 */
export function assemble(address: bigint, instructions: readonly Instruction[]): Assembled {
  const labels = new Map<string, number>();
  let length = 0;
  for (const instruction of instructions) {
    if (instruction.label !== undefined) labels.set(instruction.label, length);
    length += instruction.length;
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  const locate = (target: Target): bigint => {
    if (typeof target === 'bigint') return target;
    const at = labels.get(target);
    if (at === undefined) throw bytesError('EINVAL', `label '${target}' is not in the sequence`, offset);
    return address + BigInt(at);
  };
  for (const instruction of instructions) {
    bytes.set(instruction.encode(address + BigInt(offset), locate), offset);
    offset += instruction.length;
  }
  return { bytes, labels };
}

/** `[base + disp]` as an operand. */
export const mem = (base: Reg, disp = 0): Mem => ({ base, disp });

/** Marks a place for branches and for the caller of `assemble`. */
export const label = (name: string): Instruction => ({ length: 0, label: name, encode: () => [] });

/** Bytes as they are, for data and for what has no function here. */
export const raw = (...bytes: number[]): Instruction => fixed(bytes);

/** Eight bytes of data, low byte first. */
export const quad = (value: bigint): Instruction => fixed([...bytesOf(value, 8)]);

export const endbr64 = (): Instruction => fixed([0xf3, 0x0f, 0x1e, 0xfa]);
export const pushfq = (): Instruction => fixed([0x9c], moves(-8));
export const popfq = (): Instruction => fixed([0x9d], moves(8));
export const ret = (): Instruction => fixed([0xc3]);
export const int3 = (): Instruction => fixed([0xcc]);
export const ud2 = (): Instruction => fixed([0x0f, 0x0b]);
export const lfence = (): Instruction => fixed([0x0f, 0xae, 0xe8]);
export const pause = (): Instruction => fixed([0xf3, 0x90]);
export const push = (reg: Reg): Instruction => fixed([...rexB(reg), 0x50 + (CODES[reg] & 7)], moves(-8));
export const pop = (reg: Reg): Instruction => fixed([...rexB(reg), 0x58 + (CODES[reg] & 7)], moves(8));

/** The one-instruction NOPs the kernel uses, 1 to 9 bytes (Intel SDM vol. 2, NOP; C39). */
const NOPS: readonly (readonly number[])[] = [
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/**
 * One NOP of `length` bytes, 1 to 9.
 * @throws {RangeError} any other length
 */
export function nop(length: number): Instruction {
  const bytes = NOPS[length - 1];
  if (bytes === undefined) throw new RangeError(`a NOP has 1 to 9 bytes, not ${length}`);
  return fixed(bytes);
}

/** `mov to, from` between two registers, or a register and memory. */
export function mov(to: Reg | Mem, from: Reg | Mem): Instruction {
  if (typeof from === 'object') {
    if (typeof to === 'object') throw new RangeError('mov has at most one memory operand');
    return fixed([rexW(to, from.base), 0x8b, ...modrm(to, from)], reaches('load', to, from));
  }
  if (typeof to !== 'object') {
    return fixed([rexW(from, to), 0x89, ...modrm(from, to)], { kind: 'copy', to, from });
  }
  return fixed([rexW(from, to.base), 0x89, ...modrm(from, to)], reaches('store', from, to));
}

/** `mov to, imm32` sign-extended to 64 bits. */
export function movImm32(to: Reg | Mem, value: number): Instruction {
  const base = typeof to === 'object' ? to.base : to;
  return fixed([rexW(undefined, base), 0xc7, ...modrm('rax', to), ...bytesOf(BigInt(value), 4)]);
}

/** `movabs to, imm64`. */
export function movImm64(to: Reg, value: bigint): Instruction {
  return fixed([rexW(undefined, to), 0xb8 + (CODES[to] & 7), ...bytesOf(value, 8)]);
}

/** `mov to, [rip + …]` from the quad at `source`. */
export function movRip(to: Reg, source: Target): Instruction {
  return relative([rexW(to, undefined), 0x8b, 0x05 | ((CODES[to] & 7) << 3)], source, 'mov');
}

/** `lea to, [base + disp]`. */
export function lea(to: Reg, from: Mem): Instruction {
  return fixed([rexW(to, from.base), 0x8d, ...modrm(to, from)]);
}

export const add = (to: Reg, value: number): Instruction => groupOne(0, to, value);
export const sub = (to: Reg, value: number): Instruction => groupOne(5, to, value);

/** `test a, b`. */
export const test = (a: Reg, b: Reg): Instruction => fixed([rexW(b, a), 0x85, ...modrm(b, a)]);

export const call = (target: Target): Instruction => relative([0xe8], target, 'call');
export const jmp = (target: Target): Instruction => relative([0xe9], target, 'jmp');

/** `jmp reg` (FF /4). */
export const jmpReg = (reg: Reg): Instruction => fixed([...rexB(reg), 0xff, 0xe0 + (CODES[reg] & 7)]);

/** `call reg` (FF /2). */
export const callReg = (reg: Reg): Instruction => fixed([...rexB(reg), 0xff, 0xd0 + (CODES[reg] & 7)]);

/** Branches by rel8; the target is within 127 bytes. */
export const jnzShort = (target: Target): Instruction => short(0x75, target, 'jnz');
export const jzShort = (target: Target): Instruction => short(0x74, target, 'jz');
export const jmpShort = (target: Target): Instruction => short(0xeb, target, 'jmp');

/** `jmp [rip + …]` through the quad at `slot` (FF 25). */
export const jmpRip = (slot: Target): Instruction => relative([0xff, 0x25], slot, 'jmp');

/** The `count` low bytes of a value, lowest first. */
export function bytesOf(value: bigint, count: number): number[] {
  const bits = BigInt.asUintN(8 * count, value);
  return Array.from({ length: count }, (_, i) => Number((bits >> BigInt(8 * i)) & 0xffn));
}

function fixed(bytes: readonly number[], effect?: StackEffect): Instruction {
  return { length: bytes.length, ...(effect === undefined ? {} : { effect }), encode: () => bytes };
}

function moves(by: number): StackEffect {
  return { kind: 'move', by };
}

function reaches(kind: 'store' | 'load', reg: Reg, { base, disp }: Mem): StackEffect | undefined {
  return base === 'rsp' ? { kind, reg, disp } : undefined;
}

function relative(opcode: readonly number[], target: Target, name: string): Instruction {
  const length = opcode.length + 4;
  return {
    length,
    encode(ip, locate) {
      const to = locate(target);
      const displacement = rel32(ip + BigInt(length), to);
      if (displacement === undefined) {
        throw bytesError('ERANGE', `${name} at 0x${ip.toString(16)} does not reach 0x${to.toString(16)} by rel32`, 0);
      }
      return [...opcode, ...bytesOf(BigInt(displacement), 4)];
    },
  };
}

function short(opcode: number, target: Target, name: string): Instruction {
  return {
    length: 2,
    encode(ip, locate) {
      const distance = BigInt.asIntN(64, locate(target) - (ip + 2n));
      if (distance !== BigInt.asIntN(8, distance)) {
        throw bytesError('ERANGE', `${name} rel8 does not reach its target`, 0);
      }
      return [opcode, Number(BigInt.asUintN(8, distance))];
    },
  };
}

function groupOne(operation: number, to: Reg, value: number): Instruction {
  const short = value >= -128 && value <= 127;
  const field = modrm(REGS[operation] ?? 'rax', to);
  const effect = to === 'rsp' ? moves(operation === 0 ? value : -value) : undefined;
  return fixed([rexW(undefined, to), short ? 0x83 : 0x81, ...field, ...bytesOf(BigInt(value), short ? 1 : 4)], effect);
}

function rexW(reg: Reg | undefined, rm: Reg | undefined): number {
  const r = reg !== undefined && CODES[reg] > 7 ? 4 : 0;
  const b = rm !== undefined && CODES[rm] > 7 ? 1 : 0;
  return 0x48 | r | b;
}

function rexB(reg: Reg): number[] {
  return CODES[reg] > 7 ? [0x41] : [];
}

/** ModRM, SIB and displacement; rsp and r12 as base need a SIB, rbp and r13 a displacement. */
function modrm(reg: Reg, rm: Reg | Mem): number[] {
  const field = (CODES[reg] & 7) << 3;
  if (typeof rm !== 'object') return [0xc0 | field | (CODES[rm] & 7)];
  const base = CODES[rm.base] & 7;
  const sib = base === 4 ? [0x24] : [];
  if (rm.disp === 0 && base !== 5) return [field | base, ...sib];
  if (rm.disp >= -128 && rm.disp <= 127) return [0x40 | field | base, ...sib, rm.disp & 0xff];
  return [0x80 | field | base, ...sib, ...bytesOf(BigInt(rm.disp), 4)];
}

function bytesError(code: 'ERANGE' | 'EINVAL', fact: string, offset: number): TrampolineBytesError {
  return new TrampolineBytesError(code, fact, { operation: 'encode', offset, bytes: new Uint8Array(), rule: 'C8' });
}
