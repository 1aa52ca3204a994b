// The function that every mechanism redirects or visits, and the parts that several of them share.
import { assemble, bytesOf, type Instruction, raw } from '../../x86/encode.ts';
import type { Program } from '../mechanism.ts';
import type { Placed } from '../subject.ts';

/** Where the function starts; what a scheme needs before it fits there. */
export const HOT = 0x1000_0040n;
/** The function that a redirected call runs. */
export const NEW = 0x1000_1000n;
/** The same beyond the reach of rel32. */
export const FAR_NEW = 0x5_5000_1000n;
export const TRAMPOLINE = 0x1000_2000n;
export const HANDLER = 0x1000_3000n;
export const THUNK = 0x1000_4000n;
export const ARGUMENT = 41n;

/** `long hot(long x) { return x + added; }` as gcc -O0 -mno-red-zone compiles it (hot.c of the fixtures): 22 bytes. */
export const body = (added: number): Instruction[] => [
  raw(0x55), // push rbp
  raw(0x48, 0x89, 0xe5), // mov rbp, rsp
  raw(0x48, 0x83, 0xec, 0x08), // sub rsp, 8
  raw(0x48, 0x89, 0x7d, 0xf8), // mov [rbp-8], rdi
  raw(0x48, 0x8b, 0x45, 0xf8), // mov rax, [rbp-8]
  raw(0x48, 0x83, 0xc0, added), // add rax, added
  raw(0xc9), // leave
  raw(0xc3), // ret
];
/** What the function adds, and what the new one adds. */
export const OLD_ADDS = 1;
export const NEW_ADDS = 2;

/** What a patch over the first bytes leaves of the body. */
export function bodyAfter(patched: number): Instruction[] {
  const { bytes } = assemble(0n, body(OLD_ADDS));
  return [raw(...bytes.subarray(patched))];
}

/** Instructions at an address. */
export function at(address: bigint, instructions: readonly Instruction[]): Placed {
  return { address, bytes: assemble(address, instructions).bytes };
}

/** The address of a label among instructions at an address. */
export function labelAt(address: bigint, instructions: readonly Instruction[], name: string): bigint {
  return address + BigInt(assemble(address, instructions).labels.get(name) ?? 0);
}

/** A call of the function that runs the new one. */
export function redirected(code: readonly Placed[], newAt: bigint = NEW, more: Partial<Program> = {}): Program {
  return {
    code: [...code, at(newAt, body(NEW_ADDS))],
    entry: HOT,
    args: [ARGUMENT],
    reaches: newAt,
    returns: ARGUMENT + BigInt(NEW_ADDS),
    ...more,
  };
}

/** A call of the function that comes to `reaches` on its way and runs the function itself. */
export function kept(code: readonly Placed[], reaches: bigint, more: Partial<Program> = {}): Program {
  return { code, entry: HOT, args: [ARGUMENT], reaches, returns: ARGUMENT + BigInt(OLD_ADDS), ...more };
}

/** `jmp [rip+0]` and the address after it: 14 bytes, anywhere to anywhere. */
export const jmpFar = (target: bigint): Instruction[] => [raw(0xff, 0x25, 0, 0, 0, 0), raw(...bytesOf(target, 8))];
