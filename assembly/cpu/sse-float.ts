// SSE floating point at the default MXCSR: round to nearest, no exception unmasked. NaN results follow the manual's
// rule (the first operand that is a NaN, made quiet, or the default NaN), which WASM leaves open.

import { CF, Flags, PF, ZF } from './flags';
import { Mnemonic as M } from './mnemonics';

/** Whether the last call of `floats` knew the mnemonic. */
export let known: bool = false;

/** Which NaN a result is: of the operands, or the default one. */
@unmanaged
export class Nan {
  static ps(a: v128, b: v128, r: v128): v128 {
    const wrong = f32x4.ne(r, r);
    if (!v128.any_true(wrong)) return r;
    const quiet = i32x4.splat(0x400000);
    const second = v128.bitselect(v128.or(b, quiet), i32x4.splat(0xffc00000), f32x4.ne(b, b));
    return v128.bitselect(v128.bitselect(v128.or(a, quiet), second, f32x4.ne(a, a)), r, wrong);
  }
  static pd(a: v128, b: v128, r: v128): v128 {
    const wrong = f64x2.ne(r, r);
    if (!v128.any_true(wrong)) return r;
    const quiet = i64x2.splat(0x8000000000000);
    const second = v128.bitselect(v128.or(b, quiet), i64x2.splat(0xfff8000000000000), f64x2.ne(b, b));
    return v128.bitselect(v128.bitselect(v128.or(a, quiet), second, f64x2.ne(a, a)), r, wrong);
  }
}

/** Lane 0 of `r` over `a`. */
export function low32(a: v128, r: v128): v128 {
  return v128.shuffle<u32>(a, r, 4, 1, 2, 3);
}
export function low64(a: v128, r: v128): v128 {
  return v128.shuffle<u64>(a, r, 2, 1);
}

/** Arithmetic on packed or scalar floats: the new destination. */
export function floats(mnemonic: u32, a: v128, b: v128): v128 {
  known = true;
  switch (mnemonic) {
    case M.Addps:
      return Nan.ps(a, b, f32x4.add(a, b));
    case M.Addpd:
      return Nan.pd(a, b, f64x2.add(a, b));
    case M.Addss:
      return low32(a, Nan.ps(a, b, f32x4.add(a, b)));
    case M.Addsd:
      return low64(a, Nan.pd(a, b, f64x2.add(a, b)));
    case M.Subps:
      return Nan.ps(a, b, f32x4.sub(a, b));
    case M.Subpd:
      return Nan.pd(a, b, f64x2.sub(a, b));
    case M.Subss:
      return low32(a, Nan.ps(a, b, f32x4.sub(a, b)));
    case M.Subsd:
      return low64(a, Nan.pd(a, b, f64x2.sub(a, b)));
    case M.Mulps:
      return Nan.ps(a, b, f32x4.mul(a, b));
    case M.Mulpd:
      return Nan.pd(a, b, f64x2.mul(a, b));
    case M.Mulss:
      return low32(a, Nan.ps(a, b, f32x4.mul(a, b)));
    case M.Mulsd:
      return low64(a, Nan.pd(a, b, f64x2.mul(a, b)));
    case M.Divps:
      return Nan.ps(a, b, f32x4.div(a, b));
    case M.Divpd:
      return Nan.pd(a, b, f64x2.div(a, b));
    case M.Divss:
      return low32(a, Nan.ps(a, b, f32x4.div(a, b)));
    case M.Divsd:
      return low64(a, Nan.pd(a, b, f64x2.div(a, b)));
    case M.Minps:
      return v128.bitselect(a, b, f32x4.lt(a, b));
    case M.Minpd:
      return v128.bitselect(a, b, f64x2.lt(a, b));
    case M.Minss:
      return low32(a, v128.bitselect(a, b, f32x4.lt(a, b)));
    case M.Minsd:
      return low64(a, v128.bitselect(a, b, f64x2.lt(a, b)));
    case M.Maxps:
      return v128.bitselect(a, b, f32x4.gt(a, b));
    case M.Maxpd:
      return v128.bitselect(a, b, f64x2.gt(a, b));
    case M.Maxss:
      return low32(a, v128.bitselect(a, b, f32x4.gt(a, b)));
    case M.Maxsd:
      return low64(a, v128.bitselect(a, b, f64x2.gt(a, b)));
    case M.Sqrtps:
      return Nan.ps(b, b, f32x4.sqrt(b));
    case M.Sqrtpd:
      return Nan.pd(b, b, f64x2.sqrt(b));
    case M.Sqrtss:
      return low32(a, Nan.ps(b, b, f32x4.sqrt(b)));
    case M.Sqrtsd:
      return low64(a, Nan.pd(b, b, f64x2.sqrt(b)));
    case M.Cvtdq2ps:
      return f32x4.convert_i32x4_s(b);
    case M.Cvtdq2pd:
      return f64x2.convert_low_i32x4_s(b);
    case M.Cvttps2dq:
      return toIntegers(b);
    case M.Cvtps2dq:
      return toIntegers(f32x4.nearest(b));
    case M.Cvttpd2dq:
      return toIntegers64(b);
    case M.Cvtpd2dq:
      return toIntegers64(f64x2.nearest(b));
    case M.Cvtps2pd:
      return f64x2(widen(<u32>i32x4.extract_lane(b, 0)), widen(<u32>i32x4.extract_lane(b, 1)));
    case M.Cvtss2sd:
      return f64x2.replace_lane(a, 0, widen(<u32>i32x4.extract_lane(b, 0)));
    case M.Cvtpd2ps:
      return i32x4(narrow(i64x2.extract_lane(b, 0)), narrow(i64x2.extract_lane(b, 1)), 0, 0);
    case M.Cvtsd2ss:
      return i32x4.replace_lane(a, 0, narrow(i64x2.extract_lane(b, 0)));
    case M.Haddps:
      return pairsPs(a, b, false);
    case M.Hsubps:
      return pairsPs(a, b, true);
    case M.Haddpd:
      return pairsPd(a, b, false);
    case M.Hsubpd:
      return pairsPd(a, b, true);
    case M.Addsubps:
      return v128.shuffle<u32>(Nan.ps(a, b, f32x4.sub(a, b)), Nan.ps(a, b, f32x4.add(a, b)), 0, 5, 2, 7);
    case M.Addsubpd:
      return v128.shuffle<u64>(Nan.pd(a, b, f64x2.sub(a, b)), Nan.pd(a, b, f64x2.add(a, b)), 0, 3);
    default:
      known = false;
      return a;
  }
}

/** Sums or differences of neighbours: of the destination below, of the source above. */
function pairsPs(a: v128, b: v128, subtract: bool): v128 {
  const even = v128.shuffle<u32>(a, b, 0, 2, 4, 6);
  const odd = v128.shuffle<u32>(a, b, 1, 3, 5, 7);
  return Nan.ps(even, odd, subtract ? f32x4.sub(even, odd) : f32x4.add(even, odd));
}
function pairsPd(a: v128, b: v128, subtract: bool): v128 {
  const even = v128.shuffle<u64>(a, b, 0, 2);
  const odd = v128.shuffle<u64>(a, b, 1, 3);
  return Nan.pd(even, odd, subtract ? f64x2.sub(even, odd) : f64x2.add(even, odd));
}

/** Out of range and NaN become 80000000. */
function toIntegers(b: v128): v128 {
  const inside = f32x4.lt(b, f32x4.splat(2147483648));
  return v128.bitselect(i32x4.trunc_sat_f32x4_s(b), i32x4.splat(0x80000000), inside);
}

function toIntegers64(b: v128): v128 {
  return i32x4(<i32>toInteger(f64x2.extract_lane(b, 0), false), <i32>toInteger(f64x2.extract_lane(b, 1), false), 0, 0);
}

/** A truncated integer, or the indefinite one: only the top bit set. */
export function toInteger(value: f64, wide: bool): i64 {
  if (wide) return value >= -9223372036854775808.0 && value < 9223372036854775808.0 ? <i64>value : i64.MIN_VALUE;
  return value > -2147483649.0 && value < 2147483648.0 ? <i64>(<i32>value) : <i64>i32.MIN_VALUE;
}

/** float to double; a NaN keeps its payload and becomes quiet. */
export function widen(bits: u32): f64 {
  if ((bits & 0x7fffffff) <= 0x7f800000) return <f64>reinterpret<f32>(bits);
  const sign = (<u64>(bits >> 31)) << 63;
  return reinterpret<f64>(sign | 0x7ff8000000000000 | ((<u64>(bits & 0x7fffff)) << 29));
}

/** double to float, as bits. */
function narrow(bits: u64): u32 {
  if ((bits & 0x7fffffffffffffff) <= 0x7ff0000000000000) return reinterpret<u32>(<f32>reinterpret<f64>(bits));
  return ((<u32>(bits >> 63)) << 31) | 0x7fc00000 | (<u32>(bits >> 29) & 0x7fffff);
}

/** cmpps and its kin: masks by the predicate 0-7. */
export function comparePs(a: v128, b: v128, predicate: u32): v128 {
  let r: v128;
  const kind = predicate & 3;
  if (kind == 0) r = f32x4.eq(a, b);
  else if (kind == 1) r = f32x4.lt(a, b);
  else if (kind == 2) r = f32x4.le(a, b);
  else r = v128.or(f32x4.ne(a, a), f32x4.ne(b, b));
  return predicate & 4 ? v128.not(r) : r;
}

export function comparePd(a: v128, b: v128, predicate: u32): v128 {
  let r: v128;
  const kind = predicate & 3;
  if (kind == 0) r = f64x2.eq(a, b);
  else if (kind == 1) r = f64x2.lt(a, b);
  else if (kind == 2) r = f64x2.le(a, b);
  else r = v128.or(f64x2.ne(a, a), f64x2.ne(b, b));
  return predicate & 4 ? v128.not(r) : r;
}

/** ucomiss, ucomisd: the result in ZF, PF, CF. */
export function compareFlags(a: f64, b: f64): void {
  if (a < b) Flags.put(CF);
  else if (a > b) Flags.put(0);
  else Flags.put(a == b ? ZF : ZF | PF | CF);
}
