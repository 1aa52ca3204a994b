// Which of iced-x86's codes belong to the WASM CPU's instruction set, by what they are and not by what was measured.

import { Code, CpuidFeature, EncodingKind, Instruction, Mnemonic, OpCodeOperandKind } from 'iced-x86';
import type { DecodedBytes } from '../../src/wasm/isa.ts';

/** The parts of x86 that instructions are counted by. */
export type Part =
  | 'integer'
  | 'SSE to SSE4.2'
  | 'system'
  | 'x87 and MMX'
  | 'VEX, EVEX, XOP and mask registers'
  | 'other extensions'
  | 'approximations';

/** Features (iced's names) of the integer instructions of the set, BMI and ADX included. */
const INTEGER = new Set(
  `INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL386 INTEL486 X64 PAUSE MULTIBYTENOP PREFETCHW CET_IBT CMOV CX8
   CMPXCHG16B CLFSH CLFLUSHOPT CLWB POPCNT LZCNT BMI1 BMI2 ADX MOVBE CPUID TSC RDTSCP SYSCALL`.split(/\s+/),
);
const SSE = new Set('SSE SSE2 SSE3 SSSE3 SSE4_1 SSE4_2'.split(' '));

/** Instructions about the machine (Intel SDM vol. 1, 5.20) and what loads or reads segments and far pointers. */
const SYSTEM =
  /^(Clts|Hlt|In|Ins[bwd]|Out|Outs[bwd]|Invd|Invlpg|Iretq?d?|Lar|Lgdt|Lidt|Lldt|Lmsw|Lsl|Ltr|Rdmsr|Rdpmc|Rsm|S[gils]dt|Smsw|Str|Swapgs|Sysenter|Sysexitq?|Sysretq?|Verr|Verw|Wbinvd|Wbnoinvd|Wrmsr|Clac|Stac|Cli|Sti|Int1|L[fgs]s|Retf|(Rd|Wr)[fg]sbase)$/;

/** The part that a code belongs to. */
export function partOf(code: Code): Part {
  let part = PARTS.get(code);
  if (part === undefined) {
    part = classify(code);
    PARTS.set(code, part);
  }
  return part;
}
const PARTS = new Map<Code, Part>();

function classify(code: Code): Part {
  const instruction = new Instruction();
  instruction.code = code;
  const info = instruction.opCode;
  const features = [...instruction.cpuidFeatures()].map((feature) => CpuidFeature[feature] ?? '?');
  const kinds = Array.from({ length: info.opCount }, (_, i) => OpCodeOperandKind[info.opKind(i)] ?? '');
  const mnemonic = Mnemonic[info.mnemonic] ?? '?';
  const { encoding } = info;
  info.free();
  instruction.free();
  if (encoding !== EncodingKind.Legacy && !features.some((feature) => /^BMI/.test(feature))) {
    return 'VEX, EVEX, XOP and mask registers';
  }
  if (features.some((feature) => /^(FPU|MMX|D3NOW|CYRIX)/.test(feature)) || mnemonic === 'Wait') return 'x87 and MMX';
  if (kinds.some((kind) => /^mm_/.test(kind))) return 'x87 and MMX';
  if (/^(Rcp|Rsqrt)[ps]s$/.test(mnemonic)) return 'approximations';
  if (SYSTEM.test(mnemonic) || kinds.some((kind) => /^seg_reg$|^[cdefgs]s$|^[cdt]r_/.test(kind))) return 'system';
  if (/_m16(16|32|64)$/.test(Code[code] ?? '')) return 'system';
  if (features.every((feature) => SSE.has(feature))) return 'SSE to SSE4.2';
  return features.every((feature) => INTEGER.has(feature)) ? 'integer' : 'other extensions';
}

/** Whether the WASM CPU must know a code: the integer instructions and SSE to SSE4.2. */
export function isOfTheSet(code: Code): boolean {
  const part = partOf(code);
  return part === 'integer' || part === 'SSE to SSE4.2';
}

/** The rule by which the two decoders may differ on these bytes, or undefined where they must agree. */
export function explain(bytes: Uint8Array, kind: DecodedBytes['kind'], instruction: Instruction): string | undefined {
  const { code } = instruction;
  const name = Code[code] ?? '';
  const cut = bytes.length < 15 && code === Code.INVALID && (kind === 'short' || kind === 'invalid');
  if (cut)
    return 'bytes that end early: one decoder asks for the next byte where the other knows already that none can help';
  if (kind !== 'outside') return undefined;
  const prefixes = bytes.subarray(0, instruction.length);
  if (prefixes.includes(0x66) && /^(J|Call_r|Jmp_r|Loop|Retnq)/.test(name)) {
    return 'a near branch with 66: Intel ignores the prefix, AMD branches to 16 bits; outside, because nobody means it';
  }
  if (/^Loopn?e_/.test(name) && (prefixes.includes(0xf2) || prefixes.includes(0xf3))) {
    return 'loope and loopne with f2 or f3, which change the condition on some CPUs and in no manual; outside';
  }
  if (/^Reservednop_.*_0F0D$/.test(name)) return '0f 0d with a register: a NOP to Intel, invalid to AMD; outside';
  return undefined;
}
