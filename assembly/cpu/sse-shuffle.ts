// SSE shuffles, blends and shifts whose immediate or count selects what goes where.

import { Mnemonic as M } from './mnemonics';
import { BY_IMMEDIATE, MEMORY } from './op';
import { Status, XMM } from './state';

/** Two vectors side by side, for selections by an immediate. */
const PAIR: usize = memory.data(48, 16);

/** Runs one of them on the destination `a` at `d` and the source `b`; Unsupported for any other mnemonic. */
export function shuffle(mnemonic: u32, op: usize, d: usize, a: v128, b: v128, imm: u32): Status {
  v128.store(PAIR, a);
  v128.store(PAIR, b, 16);
  switch (mnemonic) {
    case M.Pshufd:
      for (let i: usize = 0; i < 4; i++)
        store<u32>(d + (i << 2), load<u32>(PAIR + 16 + (((imm >> ((<u32>i) << 1)) & 3) << 2)));
      return Status.Next;
    case M.Pshuflw:
    case M.Pshufhw: {
      const half: usize = mnemonic == M.Pshufhw ? 8 : 0;
      v128.store(d, b);
      for (let i: usize = 0; i < 4; i++)
        store<u16>(d + half + (i << 1), load<u16>(PAIR + 16 + half + (((imm >> ((<u32>i) << 1)) & 3) << 1)));
      return Status.Next;
    }
    case M.Shufps:
      for (let i: usize = 0; i < 4; i++)
        store<u32>(d + (i << 2), load<u32>(PAIR + (i & 2 ? 16 : 0) + (((imm >> ((<u32>i) << 1)) & 3) << 2)));
      return Status.Next;
    case M.Shufpd:
      store<u64>(d, load<u64>(PAIR + ((imm & 1) << 3)));
      store<u64>(d, load<u64>(PAIR + 16 + ((imm & 2) << 2)), 8);
      return Status.Next;
    case M.Palignr:
      // the source is the low half of the pair
      v128.store(PAIR, b);
      v128.store(PAIR, a, 16);
      v128.store(PAIR, i32x4.splat(0), 32);
      v128.store(d, imm < 32 ? v128.load(PAIR + imm) : i32x4.splat(0));
      return Status.Next;
    case M.Blendps:
      for (let i: usize = 0; i < 4; i++)
        if ((imm >> <u32>i) & 1) store<u32>(d + (i << 2), load<u32>(PAIR + 16 + (i << 2)));
      return Status.Next;
    case M.Blendpd:
      for (let i: usize = 0; i < 2; i++)
        if ((imm >> <u32>i) & 1) store<u64>(d + (i << 3), load<u64>(PAIR + 16 + (i << 3)));
      return Status.Next;
    case M.Pblendw:
      for (let i: usize = 0; i < 8; i++)
        if ((imm >> <u32>i) & 1) store<u16>(d + (i << 1), load<u16>(PAIR + 16 + (i << 1)));
      return Status.Next;
    default:
      return shift(mnemonic, op, a, b, imm);
  }
}

/** psll, psrl, psra by an immediate (on the register in r/m) or by the low 64 bits of the source. */
function shift(mnemonic: u32, op: usize, a: v128, b: v128, imm: u32): Status {
  const byImmediate = (load<u8>(op, 7) & MEMORY) == 0 && load<u8>(op, 20) == BY_IMMEDIATE;
  const d = XMM + (byImmediate ? load<u8>(op, 3) : load<u8>(op, 2));
  const value = byImmediate ? b : a;
  const wanted = byImmediate ? <u64>imm : <u64>i64x2.extract_lane(b, 0);
  const count = <i32>min<u64>(wanted, 255);
  const zero = i32x4.splat(0);
  let r = zero;
  switch (mnemonic) {
    case M.Psllw:
      r = count > 15 ? zero : i16x8.shl(value, count);
      break;
    case M.Pslld:
      r = count > 31 ? zero : i32x4.shl(value, count);
      break;
    case M.Psllq:
      r = count > 63 ? zero : i64x2.shl(value, count);
      break;
    case M.Psrlw:
      r = count > 15 ? zero : i16x8.shr_u(value, count);
      break;
    case M.Psrld:
      r = count > 31 ? zero : i32x4.shr_u(value, count);
      break;
    case M.Psrlq:
      r = count > 63 ? zero : i64x2.shr_u(value, count);
      break;
    case M.Psraw:
      r = i16x8.shr_s(value, min(count, 15));
      break;
    case M.Psrad:
      r = i32x4.shr_s(value, min(count, 31));
      break;
    case M.Pslldq:
    case M.Psrldq: {
      const left = mnemonic == M.Pslldq;
      v128.store(PAIR, zero);
      v128.store(PAIR, zero, 32);
      v128.store(PAIR, value, 16);
      if (count < 16) r = v128.load(PAIR + 16 + (left ? -count : count));
      break;
    }
    default:
      return Status.Unsupported;
  }
  v128.store(d, r);
  return Status.Next;
}
