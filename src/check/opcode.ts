// Takes an instruction apart into prefixes and opcode bytes, as the kernel's own rules look at it.

/** The legacy prefixes, and the opcode bytes after them (and after REX). */
export interface Opcode {
  readonly prefixes: readonly number[];
  /** REX, where there is one. */
  readonly rex: number | undefined;
  /** VEX, EVEX or XOP: the kernel's byte tables do not apply. */
  readonly vex: boolean;
  /** One, two or three bytes: `89`, `0f af`, `0f 38 f0`. */
  readonly opcode: readonly number[];
  /** The byte after the opcode: ModRM, where the opcode has one. */
  readonly modrm: number;
  /** Where the opcode starts. */
  readonly offset: number;
}

const LEGACY = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);

/** Splits the bytes of one instruction. */
export function opcodeOf(bytes: Uint8Array, bitness: 16 | 32 | 64): Opcode {
  let offset = 0;
  const prefixes: number[] = [];
  while (LEGACY.has(bytes[offset] ?? 0)) prefixes.push(bytes[offset++] ?? 0);
  let rex: number | undefined;
  if (bitness === 64 && ((bytes[offset] ?? 0) & 0xf0) === 0x40) rex = bytes[offset++];
  const start = offset;
  const first = bytes[offset++] ?? 0;
  const opcode = [first];
  if (first === 0x0f) {
    const second = bytes[offset++] ?? 0;
    opcode.push(second);
    if (second === 0x38 || second === 0x3a) opcode.push(bytes[offset++] ?? 0);
  }
  const vex = bitness === 64 && (first === 0xc4 || first === 0xc5 || first === 0x62);
  return { prefixes, rex, vex, opcode, modrm: bytes[offset] ?? 0, offset: start };
}

/** The reg field of ModRM. */
export function regField(modrm: number): number {
  return (modrm >> 3) & 7;
}
