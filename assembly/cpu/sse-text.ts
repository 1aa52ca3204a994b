// pcmpestri, pcmpestrm, pcmpistri, pcmpistrm: strings in two xmm registers (Intel SDM vol. 2, section 4.1).

import { CF, Flags, OF, SF, ZF } from './flags';
import { Mnemonic as M } from './mnemonics';
import { GENERAL, RAX, RCX, RDX, Status, XMM } from './state';

// The control byte.
const WORDS: u32 = 1;
const SIGNED: u32 = 2;
/** Bits 2-3: how elements are compared and the answers joined. */
const EQUAL_ANY: u32 = 0 << 2;
const RANGES: u32 = 1 << 2;
const EQUAL_EACH: u32 = 2 << 2;
const AGGREGATION: u32 = 3 << 2;
/** Bits 4-5: negative polarity turns the answers round, masked negative only those of valid elements. */
const NEGATIVE: u32 = 1 << 4;
const MASKED: u32 = 2 << 4;
/** The last index instead of the first; a mask of elements instead of bits. */
const LAST: u32 = 1 << 6;

const A: usize = memory.data(32, 16);
const B: usize = A + 16;

/** Element `i` of the operand at `base`. */
function element(base: usize, i: u32, control: u32): i32 {
  if (control & WORDS) {
    const at = base + ((<usize>i) << 1);
    return control & SIGNED ? <i32>load<i16>(at) : <i32>load<u16>(at);
  }
  return control & SIGNED ? <i32>load<i8>(base + i) : <i32>load<u8>(base + i);
}

/** Elements before the first that is 0. */
function implicitLength(base: usize, count: u32, control: u32): u32 {
  let length: u32 = 0;
  while (length < count && element(base, length, control) != 0) length++;
  return length;
}

/** The magnitude of a register, at most `count`. */
function explicitLength(register: u32, count: u32, wide: bool): u32 {
  const value = wide ? load<i64>(GENERAL + register) : <i64>load<i32>(GENERAL + register);
  // the most negative number is its own magnitude, as an unsigned one
  const magnitude = <u64>(value < 0 ? 0 - value : value);
  return magnitude < count ? <u32>magnitude : count;
}

/** One bit per element of the second operand: the comparison before polarity. */
function compare(control: u32, count: u32, lengthA: u32, lengthB: u32): u32 {
  let bits: u32 = 0;
  for (let j: u32 = 0; j < count; j++) if (holds(control, count, lengthA, lengthB, j)) bits |= (<u32>1) << j;
  return bits;
}

function holds(control: u32, count: u32, lengthA: u32, lengthB: u32, j: u32): bool {
  const kind = control & AGGREGATION;
  if (kind == EQUAL_EACH) {
    if (j < lengthA && j < lengthB) return element(A, j, control) == element(B, j, control);
    return j >= lengthA && j >= lengthB;
  }
  if (kind == EQUAL_ANY || kind == RANGES) {
    if (j >= lengthB) return false;
    const value = element(B, j, control);
    if (kind == EQUAL_ANY) {
      for (let i: u32 = 0; i < lengthA; i++) if (element(A, i, control) == value) return true;
      return false;
    }
    for (let i: u32 = 0; i + 1 < lengthA; i += 2) {
      if (element(A, i, control) <= value && value <= element(A, i + 1, control)) return true;
    }
    return false;
  }
  // equal ordered: the first operand stands in the second from element j on, as far as that reaches
  for (let i: u32 = 0; i < lengthA && j + i < count; i++) {
    if (j + i >= lengthB || element(A, i, control) != element(B, j + i, control)) return false;
  }
  return true;
}

/** Runs one of the four on the first operand `a` and the second `b`. `wide`: lengths have 64 bits. */
export function text(mnemonic: u32, a: v128, b: v128, control: u32, wide: bool): Status {
  v128.store(A, a);
  v128.store(B, b);
  const count: u32 = control & WORDS ? 8 : 16;
  const explicit = mnemonic == M.Pcmpestri || mnemonic == M.Pcmpestrm;
  const lengthA = explicit ? explicitLength(RAX, count, wide) : implicitLength(A, count, control);
  const lengthB = explicit ? explicitLength(RDX, count, wide) : implicitLength(B, count, control);
  let bits = compare(control, count, lengthA, lengthB);
  if (control & NEGATIVE) bits ^= ((<u32>1) << (control & MASKED ? lengthB : count)) - 1;
  if (mnemonic == M.Pcmpestri || mnemonic == M.Pcmpistri) {
    let index = count;
    if (bits) index = control & LAST ? 31 - clz<u32>(bits) : ctz<u32>(bits);
    store<u64>(GENERAL, <u64>index, RCX);
  } else if (control & LAST) {
    for (let i: u32 = 0; i < count; i++) {
      const on = (bits >> i) & 1;
      if (control & WORDS) store<u16>(XMM + ((<usize>i) << 1), on ? 0xffff : 0);
      else store<u8>(XMM + i, on ? 0xff : 0);
    }
  } else {
    v128.store(XMM, i32x4(<i32>bits, 0, 0, 0));
  }
  Flags.put((bits ? CF : 0) | (lengthB < count ? ZF : 0) | (lengthA < count ? SF : 0) | (bits & 1 ? OF : 0));
  return Status.Next;
}
