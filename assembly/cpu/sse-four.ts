// SSE4.1 operations with an immediate or over all lanes: rounding, dot products, insertps, sums of differences, minimum.

import { Mnemonic as M } from './mnemonics';
import { low32, low64, Nan } from './sse-float';
import { ROUNDED } from './state';

/** Whether the last call of `four` knew the mnemonic. */
export let knownFour: bool = false;

/** The new destination from its old value `a`, the source `b` and the immediate. */
export function four(mnemonic: u32, a: v128, b: v128, imm: u32, isMemory: bool): v128 {
  knownFour = true;
  switch (mnemonic) {
    case M.Roundps:
      return roundPs(b, imm);
    case M.Roundpd:
      return roundPd(b, imm);
    case M.Roundss:
      return low32(a, roundPs(b, imm));
    case M.Roundsd:
      return low64(a, roundPd(b, imm));
    case M.Dpps:
      return dotPs(a, b, imm);
    case M.Dppd:
      return dotPd(a, b, imm);
    case M.Insertps:
      return insert(a, b, imm, isMemory);
    case M.Mpsadbw:
      return sums(a, b, imm);
    case M.Phminposuw:
      return minimum(b);
    default:
      knownFour = false;
      return a;
  }
}

/** Bits 0-1 choose the mode; bit 2 takes it from MXCSR, which rounds to nearest here. */
function mode(imm: u32): u32 {
  return imm & 4 ? 0 : imm & 3;
}

function roundPs(b: v128, imm: u32): v128 {
  store<u32>(ROUNDED, 1);
  const by = mode(imm);
  const r = by == 0 ? f32x4.nearest(b) : by == 1 ? f32x4.floor(b) : by == 2 ? f32x4.ceil(b) : f32x4.trunc(b);
  return Nan.ps(b, b, r);
}

function roundPd(b: v128, imm: u32): v128 {
  store<u32>(ROUNDED, 1);
  const by = mode(imm);
  const r = by == 0 ? f64x2.nearest(b) : by == 1 ? f64x2.floor(b) : by == 2 ? f64x2.ceil(b) : f64x2.trunc(b);
  return Nan.pd(b, b, r);
}

/** All ones in the lanes of 32 bits that `bits` names. */
function lanes32(bits: u32): v128 {
  return i32x4.ne(v128.and(i32x4.splat(<i32>bits), i32x4(1, 2, 4, 8)), i32x4.splat(0));
}

function lanes64(bits: u32): v128 {
  return i64x2.ne(v128.and(i64x2.splat(<i64>bits), i64x2(1, 2)), i64x2.splat(0));
}

/** Bits 4-7 choose the products, bits 0-3 where the sum goes; the other lanes are 0. */
function dotPs(a: v128, b: v128, imm: u32): v128 {
  store<u32>(ROUNDED, 1);
  const products = v128.and(Nan.ps(a, b, f32x4.mul(a, b)), lanes32(imm >> 4));
  // lanes 0 + 1 and 2 + 3 first, as the manual orders the additions
  const neighbours = v128.shuffle<u32>(products, products, 1, 0, 3, 2);
  const pairs = Nan.ps(products, neighbours, f32x4.add(products, neighbours));
  const low = v128.shuffle<u32>(pairs, pairs, 0, 0, 0, 0);
  const high = v128.shuffle<u32>(pairs, pairs, 2, 2, 2, 2);
  return v128.and(Nan.ps(low, high, f32x4.add(low, high)), lanes32(imm));
}

function dotPd(a: v128, b: v128, imm: u32): v128 {
  store<u32>(ROUNDED, 1);
  const products = v128.and(Nan.pd(a, b, f64x2.mul(a, b)), lanes64(imm >> 4));
  const low = v128.shuffle<u64>(products, products, 0, 0);
  const high = v128.shuffle<u64>(products, products, 1, 1);
  return v128.and(Nan.pd(low, high, f64x2.add(low, high)), lanes64(imm));
}

/** Bits 6-7 choose the source's lane (memory has one), 4-5 the destination's, 0-3 the lanes that become 0. */
function insert(a: v128, b: v128, imm: u32, isMemory: bool): v128 {
  const from = isMemory ? 0 : imm >> 6;
  let value = i32x4.extract_lane(b, 0);
  if (from == 1) value = i32x4.extract_lane(b, 1);
  else if (from == 2) value = i32x4.extract_lane(b, 2);
  else if (from == 3) value = i32x4.extract_lane(b, 3);
  const r = v128.bitselect(i32x4.splat(value), a, lanes32((<u32>1) << ((imm >> 4) & 3)));
  return v128.andnot(r, lanes32(imm));
}

/** Two vectors, for byte-wise reads at any offset. */
const BYTES: usize = memory.data(32, 16);

/** mpsadbw: |a[i … i+3] - b[k … k+3]| summed, for eight i from where bit 2 says, k from bits 0-1. */
function sums(a: v128, b: v128, imm: u32): v128 {
  v128.store(BYTES, a);
  v128.store(BYTES, b, 16);
  const from = BYTES + (imm & 4);
  const with4 = BYTES + 16 + ((imm & 3) << 2);
  let r = i16x8.splat(0);
  for (let k: usize = 0; k < 4; k++) {
    // bytes from … from + 7 as words; they end before byte 15
    const these = i16x8.extend_low_i8x16_u(v128.load64_zero(from + k));
    const those = i16x8.splat(<i16>load<u8>(with4 + k));
    r = i16x8.add(r, i16x8.sub(i16x8.max_u(these, those), i16x8.min_u(these, those)));
  }
  return r;
}

/** phminposuw: the smallest word and the first place where it stands. */
function minimum(b: v128): v128 {
  v128.store(BYTES, b);
  let least: u32 = load<u16>(BYTES);
  let at: u32 = 0;
  for (let i: u32 = 1; i < 8; i++) {
    const word = <u32>load<u16>(BYTES + ((<usize>i) << 1));
    if (word < least) {
      least = word;
      at = i;
    }
  }
  return i32x4(<i32>(least | (at << 16)), 0, 0, 0);
}
