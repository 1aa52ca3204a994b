// Prefixes: the legacy ones, REX, and what VEX says in their place.

import { length, peek, short, skip } from './decode-bytes';
import { SEGMENT_FS, SEGMENT_GS } from './op';

/** The longest instruction. */
export const LONGEST: u32 = 15;

export let rex: u32 = 0;
export let operand16: bool = false;
export let address32: bool = false;
export let lock: bool = false;
/** 0, 0xf2 or 0xf3: the last of them. */
export let repeat: u32 = 0;
/** SEGMENT_FS, SEGMENT_GS or 0: the last of them. */
export let segment: u32 = 0;
/** The third register of VEX. */
export let vvvv: u32 = 0;

/** Legacy prefixes in any order, then REX, which counts only directly before the opcode. */
export function readPrefixes(): void {
  rex = 0;
  operand16 = false;
  address32 = false;
  lock = false;
  repeat = 0;
  segment = 0;
  vvvv = 0;
  while (length < LONGEST) {
    const prefix = peek();
    if (short) return;
    if (prefix == 0x66) operand16 = true;
    else if (prefix == 0x67) address32 = true;
    else if (prefix == 0xf0) lock = true;
    else if (prefix == 0xf2 || prefix == 0xf3) repeat = prefix;
    else if (prefix == 0x64) segment = SEGMENT_FS;
    else if (prefix == 0x65) segment = SEGMENT_GS;
    else if (prefix >> 4 == 4) {
      skip();
      rex = prefix;
      continue;
    } else if ((prefix & 0xe7) != 0x26) return; // es, cs, ss, ds do nothing in 64-bit mode
    skip();
    rex = 0;
  }
}

/** Takes REX and the third register from bytes 1 and 2 of VEX. */
export function readVex(p1: u32, p2: u32): void {
  rex = 0x40 | (~(p1 >> 5) & 7) | ((p2 >> 4) & 8);
  vvvv = ~(p2 >> 3) & 15;
}
