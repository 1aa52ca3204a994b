// Places a memory operand: picks the addressing form and sets base and index so that it lands where it is wanted.

import type { Memory, Shape } from './encode.ts';
import { CODE, GS_BASE, GUARD, MEMORY, RSP } from './layout.ts';
import type { Random } from './random.ts';

/** Operand forms in the order they are cycled through, for a ModRM operand that may be a register or memory. */
export const FORMS = [
  'reg',
  'base',
  'reg',
  'base+index',
  'reg',
  'base+disp',
  'reg',
  'rip',
  'reg',
  'base+index',
  'reg',
  'absolute',
  'reg',
  'addr32',
  'reg',
  'gs',
  'reg',
  'base',
  'reg',
  'index',
  'reg',
  'lock',
  'prefixed',
  'fault-guard',
  'reg',
  'base+disp',
  'reg',
  'addr32-rip',
  'lock',
  'fault-unmapped',
  'unaligned',
  'reg',
  'prefixed',
  'base+index',
  'reg',
  'rip',
  'reg',
  'fault-code',
  'reg',
  'gs',
  'fault-noncanonical',
  'lock',
] as const;
export type Form = (typeof FORMS)[number] | 'plain' | 'rep' | 'repne' | 'rep-fault' | 'fault-stack';

/** Forms whose ModRM operand is memory. */
export const MEMORY_FORMS = FORMS.filter((form) => form !== 'reg');

/** A memory operand, the prefixes its form needs, and the address it touches. */
export interface Placed {
  memory: Memory;
  prefixes: number[];
  address: bigint;
}

/** Where an operand of `form` is to lie. */
export function chooseAddress(shape: Shape, form: Form, random: Random): bigint {
  const size = Math.max(shape.memorySize, 1);
  switch (form) {
    case 'fault-guard':
      return GUARD - BigInt(random.below(size));
    case 'fault-unmapped':
      return random.pick([GUARD + 0x1000n, MEMORY - 0x1000n, 0x7000_0000n]) + BigInt(random.below(0x80) * 16);
    case 'fault-noncanonical':
      return (
        random.pick([0x8000_0000_0000n, 0xffff_7fff_ffff_0000n, 0x8000_0000_0000_0000n]) + BigInt(random.below(64) * 16)
      );
    case 'fault-code':
      return CODE - 0x400n + BigInt(random.below(16) * 16);
    default: {
      const address = MEMORY + 0x820n + BigInt(random.below(0x780));
      // SSE wants 16-byte alignment; the form `unaligned` asks what happens without
      return size >= 16 && form !== 'unaligned' ? address & ~15n : form === 'unaligned' ? address | 1n : address;
    }
  }
}

/** Builds the operand and sets the registers it is made of. `rsp` keeps its value. */
export function place(shape: Shape, form: Form, gprs: BigUint64Array, random: Random): Placed {
  const address = chooseAddress(shape, form, random);
  const prefixes: number[] = [];
  let wanted = address;
  if (form === 'gs') {
    prefixes.push(0x65);
    wanted -= GS_BASE;
  }
  const narrow = form === 'addr32' || form === 'addr32-rip';
  if (narrow && !shape.addressSize32) prefixes.push(0x67);

  const canonical = form !== 'fault-noncanonical';
  if (canonical && (form === 'rip' || form === 'addr32-rip' || (form.startsWith('fault') && random.oneIn(3)))) {
    return { memory: { kind: 'rip', target: wanted }, prefixes, address };
  }
  if (canonical && (form === 'absolute' || (form === 'gs' && random.oneIn(2)))) {
    return { memory: { kind: 'absolute', displacement: Number(wanted) }, prefixes, address };
  }
  const hasIndex = form === 'base+index' || form === 'index' || ((narrow || form === 'lock') && random.oneIn(2));
  const memory = form === 'index' ? indexOnly(wanted, gprs, random) : based(form, hasIndex, wanted, gprs, random);
  if (narrow) scrambleUpperHalves(memory, gprs, random);
  return { memory, prefixes, address };
}

/** disp32 + index * scale: the index takes what the displacement leaves. */
function indexOnly(wanted: bigint, gprs: BigUint64Array, random: Random): Memory {
  const index = otherThan(RSP, random);
  const scale = random.pick([1, 2, 4, 8]);
  const value = BigInt(random.below(0x4000)) - 0x2000n;
  gprs[index] = BigInt.asUintN(64, value);
  return { kind: 'absolute', index, scale, displacement: Number(wanted - value * BigInt(scale)) };
}

/** base (+ index * scale) (+ displacement): the base takes what the others leave. */
function based(form: Form, hasIndex: boolean, wanted: bigint, gprs: BigUint64Array, random: Random): Memory {
  const index = hasIndex ? otherThan(RSP, random) : undefined;
  const scale = hasIndex ? random.pick([1, 2, 4, 8]) : 1;
  let base = random.below(16);
  const fixed = base === RSP || base === index;
  if (form === 'fault-noncanonical' && fixed) base = base === 0 || index === 0 ? 1 : 0;
  if (fixed && form !== 'fault-noncanonical') {
    // base is rsp, or base and index are one register: the displacement takes the rest
    if (index !== undefined) gprs[index] = BigInt(random.below(0x1000));
    const held = (gprs[base] ?? 0n) + (index === undefined ? 0n : (gprs[index] ?? 0n) * BigInt(scale));
    return { kind: 'register', base, ...indexed(index, scale), displacement: Number(wanted - held), size: 4 };
  }
  let size = random.pick([0, 1, 4] as const);
  if (form === 'base+disp' && size === 0) size = 1;
  if (size === 0 && (base & 7) === 5) size = 1; // mod 0 with rbp or r13 means something else
  const displacement = size === 0 ? 0 : size === 1 ? random.below(256) - 128 : random.next() | 0;
  const held = BigInt(displacement) + (index === undefined ? 0n : (gprs[index] ?? 0n) * BigInt(scale));
  gprs[base] = BigInt.asUintN(64, wanted - held);
  return { kind: 'register', base, ...indexed(index, scale), displacement, size };
}

function indexed(index: number | undefined, scale: number): { index: number; scale: number } | Record<string, never> {
  return index === undefined ? {} : { index, scale };
}

/** With a 67 prefix the upper halves of base and index do not count. */
function scrambleUpperHalves(memory: Memory, gprs: BigUint64Array, random: Random): void {
  if (memory.kind === 'rip') return;
  const registers = memory.kind === 'register' ? [memory.base, memory.index] : [memory.index];
  for (const register of registers) {
    if (register === undefined || register === RSP) continue;
    gprs[register] = ((gprs[register] ?? 0n) & 0xffff_ffffn) | (random.bits64() & ~0xffff_ffffn);
  }
}

function otherThan(avoided: number, random: Random): number {
  const register = random.below(15);
  return register < avoided ? register : register + 1;
}
