// SSE instructions whose result is a function of two vectors: integer arithmetic, shuffles without immediate, logic.

import { Mnemonic as M } from './mnemonics';
import { XMM } from './state';

/** Whether `combine` knows the mnemonic; set by its last call. */
export let combined: bool = false;

/** The new destination from its old value `a` and the source `b`. */
export function combine(mnemonic: u32, a: v128, b: v128): v128 {
  combined = true;
  switch (mnemonic) {
    case M.Pand:
      return v128.and(a, b);
    case M.Pandn:
      return v128.andnot(b, a);
    case M.Por:
      return v128.or(a, b);
    case M.Pxor:
      return v128.xor(a, b);
    case M.Paddb:
      return i8x16.add(a, b);
    case M.Paddw:
      return i16x8.add(a, b);
    case M.Paddd:
      return i32x4.add(a, b);
    case M.Paddq:
      return i64x2.add(a, b);
    case M.Psubb:
      return i8x16.sub(a, b);
    case M.Psubw:
      return i16x8.sub(a, b);
    case M.Psubd:
      return i32x4.sub(a, b);
    case M.Psubq:
      return i64x2.sub(a, b);
    case M.Paddsb:
      return i8x16.add_sat_s(a, b);
    case M.Paddsw:
      return i16x8.add_sat_s(a, b);
    case M.Paddusb:
      return i8x16.add_sat_u(a, b);
    case M.Paddusw:
      return i16x8.add_sat_u(a, b);
    case M.Psubsb:
      return i8x16.sub_sat_s(a, b);
    case M.Psubsw:
      return i16x8.sub_sat_s(a, b);
    case M.Psubusb:
      return i8x16.sub_sat_u(a, b);
    case M.Psubusw:
      return i16x8.sub_sat_u(a, b);
    case M.Pminub:
      return i8x16.min_u(a, b);
    case M.Pmaxub:
      return i8x16.max_u(a, b);
    case M.Pminsw:
      return i16x8.min_s(a, b);
    case M.Pmaxsw:
      return i16x8.max_s(a, b);
    case M.Pminsb:
      return i8x16.min_s(a, b);
    case M.Pmaxsb:
      return i8x16.max_s(a, b);
    case M.Pminuw:
      return i16x8.min_u(a, b);
    case M.Pmaxuw:
      return i16x8.max_u(a, b);
    case M.Pminsd:
      return i32x4.min_s(a, b);
    case M.Pmaxsd:
      return i32x4.max_s(a, b);
    case M.Pminud:
      return i32x4.min_u(a, b);
    case M.Pmaxud:
      return i32x4.max_u(a, b);
    case M.Pavgb:
      return i8x16.avgr_u(a, b);
    case M.Pavgw:
      return i16x8.avgr_u(a, b);
    case M.Pcmpeqb:
      return i8x16.eq(a, b);
    case M.Pcmpeqw:
      return i16x8.eq(a, b);
    case M.Pcmpeqd:
      return i32x4.eq(a, b);
    case M.Pcmpeqq:
      return i64x2.eq(a, b);
    case M.Pcmpgtb:
      return i8x16.gt_s(a, b);
    case M.Pcmpgtw:
      return i16x8.gt_s(a, b);
    case M.Pcmpgtd:
      return i32x4.gt_s(a, b);
    case M.Pcmpgtq:
      return i64x2.gt_s(a, b);
    case M.Pmullw:
      return i16x8.mul(a, b);
    case M.Pmulld:
      return i32x4.mul(a, b);
    case M.Pmaddwd:
      return i32x4.dot_i16x8_s(a, b);
    case M.Packsswb:
      return i8x16.narrow_i16x8_s(a, b);
    case M.Packuswb:
      return i8x16.narrow_i16x8_u(a, b);
    case M.Packssdw:
      return i16x8.narrow_i32x4_s(a, b);
    case M.Packusdw:
      return i16x8.narrow_i32x4_u(a, b);
    case M.Pabsb:
      return i8x16.abs(b);
    case M.Pabsw:
      return i16x8.abs(b);
    case M.Pabsd:
      return i32x4.abs(b);
    case M.Pmovsxbw:
      return i16x8.extend_low_i8x16_s(b);
    case M.Pmovzxbw:
      return i16x8.extend_low_i8x16_u(b);
    case M.Pmovsxwd:
      return i32x4.extend_low_i16x8_s(b);
    case M.Pmovzxwd:
      return i32x4.extend_low_i16x8_u(b);
    case M.Pmovsxdq:
      return i64x2.extend_low_i32x4_s(b);
    case M.Pmovzxdq:
      return i64x2.extend_low_i32x4_u(b);
    case M.Pmovsxbd:
      return i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(b));
    case M.Pmovzxbd:
      return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(b));
    case M.Pmovsxwq:
      return i64x2.extend_low_i32x4_s(i32x4.extend_low_i16x8_s(b));
    case M.Pmovzxwq:
      return i64x2.extend_low_i32x4_u(i32x4.extend_low_i16x8_u(b));
    case M.Pmovsxbq:
      return i64x2.extend_low_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(b)));
    case M.Pmovzxbq:
      return i64x2.extend_low_i32x4_u(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(b)));
    case M.Punpcklbw:
      return v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    case M.Punpckhbw:
      return v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    case M.Punpcklwd:
      return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    case M.Punpckhwd:
      return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    case M.Punpckldq:
      return v128.shuffle<u32>(a, b, 0, 4, 1, 5);
    case M.Punpckhdq:
      return v128.shuffle<u32>(a, b, 2, 6, 3, 7);
    case M.Unpcklps:
      return v128.shuffle<u32>(a, b, 0, 4, 1, 5);
    case M.Unpckhps:
      return v128.shuffle<u32>(a, b, 2, 6, 3, 7);
    case M.Unpcklpd:
      return v128.shuffle<u64>(a, b, 0, 2);
    case M.Unpckhpd:
      return v128.shuffle<u64>(a, b, 1, 3);
    case M.Movsldup:
      return v128.shuffle<u32>(b, b, 0, 0, 2, 2);
    case M.Movshdup:
      return v128.shuffle<u32>(b, b, 1, 1, 3, 3);
    case M.Movddup:
      return v128.shuffle<u64>(b, b, 0, 0);
    case M.Pmuludq:
      return i64x2.extmul_low_i32x4_u(v128.shuffle<u32>(a, a, 0, 2, 0, 2), v128.shuffle<u32>(b, b, 0, 2, 0, 2));
    case M.Pmuldq:
      return i64x2.extmul_low_i32x4_s(v128.shuffle<u32>(a, a, 0, 2, 0, 2), v128.shuffle<u32>(b, b, 0, 2, 0, 2));
    case M.Pmulhw:
      return v128.shuffle<u16>(
        i32x4.extmul_low_i16x8_s(a, b),
        i32x4.extmul_high_i16x8_s(a, b),
        1,
        3,
        5,
        7,
        9,
        11,
        13,
        15,
      );
    case M.Pmulhuw:
      return v128.shuffle<u16>(
        i32x4.extmul_low_i16x8_u(a, b),
        i32x4.extmul_high_i16x8_u(a, b),
        1,
        3,
        5,
        7,
        9,
        11,
        13,
        15,
      );
    case M.Phaddw:
      return i16x8.add(
        v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14),
        v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15),
      );
    case M.Phaddsw:
      return i16x8.add_sat_s(
        v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14),
        v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15),
      );
    case M.Phsubw:
      return i16x8.sub(
        v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14),
        v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15),
      );
    case M.Phsubsw:
      return i16x8.sub_sat_s(
        v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14),
        v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15),
      );
    case M.Phaddd:
      return i32x4.add(v128.shuffle<u32>(a, b, 0, 2, 4, 6), v128.shuffle<u32>(a, b, 1, 3, 5, 7));
    case M.Phsubd:
      return i32x4.sub(v128.shuffle<u32>(a, b, 0, 2, 4, 6), v128.shuffle<u32>(a, b, 1, 3, 5, 7));
    case M.Pshufb:
      return i8x16.swizzle(a, v128.and(b, i8x16.splat(<i8>0x8f)));
    case M.Psignb:
      return v128.andnot(i8x16.sub(v128.xor(a, i8x16.shr_s(b, 7)), i8x16.shr_s(b, 7)), i8x16.eq(b, i8x16.splat(0)));
    case M.Psignw:
      return v128.andnot(i16x8.sub(v128.xor(a, i16x8.shr_s(b, 15)), i16x8.shr_s(b, 15)), i16x8.eq(b, i16x8.splat(0)));
    case M.Psignd:
      return v128.andnot(i32x4.sub(v128.xor(a, i32x4.shr_s(b, 31)), i32x4.shr_s(b, 31)), i32x4.eq(b, i32x4.splat(0)));
    case M.Pblendvb:
      return v128.bitselect(b, a, i8x16.shr_s(v128.load(XMM), 7));
    case M.Blendvps:
      return v128.bitselect(b, a, i32x4.shr_s(v128.load(XMM), 31));
    case M.Blendvpd:
      return v128.bitselect(b, a, i64x2.shr_s(v128.load(XMM), 63));
    case M.Psadbw: {
      const distance = i8x16.sub(i8x16.max_u(a, b), i8x16.min_u(a, b));
      const fours = i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(distance));
      const low = i32x4.extract_lane(fours, 0) + i32x4.extract_lane(fours, 1);
      const high = i32x4.extract_lane(fours, 2) + i32x4.extract_lane(fours, 3);
      return i64x2(<i64>low, <i64>high);
    }
    case M.Pmaddubsw: {
      // unsigned bytes of the destination times signed bytes of the source, pairs added with saturation
      const even = i16x8.mul(v128.and(a, i16x8.splat(0xff)), i16x8.shr_s(i16x8.shl(b, 8), 8));
      const odd = i16x8.mul(i16x8.shr_u(a, 8), i16x8.shr_s(b, 8));
      return i16x8.add_sat_s(even, odd);
    }
    case M.Pmulhrsw: {
      const half = i32x4.splat(0x4000);
      const low = i32x4.shr_s(i32x4.add(i32x4.extmul_low_i16x8_s(a, b), half), 15);
      const high = i32x4.shr_s(i32x4.add(i32x4.extmul_high_i16x8_s(a, b), half), 15);
      return v128.shuffle<u16>(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
    }
    default:
      combined = false;
      return a;
  }
}
