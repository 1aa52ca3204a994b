// cpuid: the fixed CPU that the guest sees. Leaves that are not named here answer 0 in all four registers.

import { GENERAL, RAX, RBX, RCX, RDX } from './state';

/** The last leaf of each range. */
const BASIC_LAST: u32 = 7;
const EXTENDED: u32 = 0x80000000;
const EXTENDED_LAST: u32 = 0x80000008;
/** Family 6, model 6, stepping 3: one from before the features that are missing here. */
const SIGNATURE: u32 = 0x663;
/** clflush lines of 64 bytes (bits 8-15, in units of 8), one logical processor (16-23). */
const LINES_AND_PROCESSORS: u32 = (8 << 8) | (1 << 16);

// Leaf 1, ecx: sse3 0, ssse3 9, cmpxchg16b 13, sse4.1 19, sse4.2 20, movbe 22, popcnt 23.
const LEAF1_ECX: u32 = 1 | (1 << 9) | (1 << 13) | (1 << 19) | (1 << 20) | (1 << 22) | (1 << 23);
// Leaf 1, edx: tsc 4, cmpxchg8b 8, cmov 15, clflush 19, sse 25, sse2 26. No x87, MMX or fxsave.
const LEAF1_EDX: u32 = (1 << 4) | (1 << 8) | (1 << 15) | (1 << 19) | (1 << 25) | (1 << 26);
// Leaf 7, ebx: fsgsbase 0, bmi1 3, bmi2 8, adx 19, smap 20, clflushopt 23, clwb 24.
const LEAF7_EBX: u32 = 1 | (1 << 3) | (1 << 8) | (1 << 19) | (1 << 20) | (1 << 23) | (1 << 24);
// Leaf 80000001, ecx: lahf 0, lzcnt 5, prefetchw 8.
const EXTENDED1_ECX: u32 = 1 | (1 << 5) | (1 << 8);
// Leaf 80000001, edx: syscall 11, execute-disable 20, rdtscp 27, 64-bit mode 29.
const EXTENDED1_EDX: u32 = (1 << 11) | (1 << 20) | (1 << 27) | (1 << 29);
/** Leaf 80000008: 40 bits of physical address, 48 of linear. */
const ADDRESS_SIZES: u32 = 0x3028;

function answer(eax: u32, ebx: u32, ecx: u32, edx: u32): void {
  store<u64>(GENERAL, <u64>eax, RAX);
  store<u64>(GENERAL, <u64>ebx, RBX);
  store<u64>(GENERAL, <u64>ecx, RCX);
  store<u64>(GENERAL, <u64>edx, RDX);
}

/** Executes cpuid. The text of leaf 0 is "tramp64-wasm", in ebx, edx, ecx. */
export function cpuid(): void {
  const leaf = load<u32>(GENERAL, RAX);
  const subleaf = load<u32>(GENERAL, RCX);
  if (leaf == 0) answer(BASIC_LAST, 0x6d617274, 0x6d736177, 0x2d343670);
  else if (leaf == 1) answer(SIGNATURE, LINES_AND_PROCESSORS, LEAF1_ECX, LEAF1_EDX);
  else if (leaf == 7 && subleaf == 0) answer(0, LEAF7_EBX, 0, 0);
  else if (leaf == EXTENDED) answer(EXTENDED_LAST, 0, 0, 0);
  else if (leaf == EXTENDED + 1) answer(0, 0, EXTENDED1_ECX, EXTENDED1_EDX);
  else if (leaf == EXTENDED + 8) answer(ADDRESS_SIZES, 0, 0, 0);
  else answer(0, 0, 0, 0);
}
