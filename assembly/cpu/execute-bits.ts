// Shifts, rotates, bit tests and scans, and the general-register instructions of BMI, ADX and SSE4.2.

import { highUnsigned64 } from './execute';
import { place, replace, source } from './execute-cold';
import { CF, Flags, OF, ZF } from './flags';
import { Mnemonic as M } from './mnemonics';
import { ADDRESS_32, FROM_IMM, MEMORY, Operand, offset, SOURCE, segment } from './op';
import { GENERAL, RCX, RDX, Status } from './state';
import { Tlb } from './tlb';

export function shift(op: usize, mnemonic: u32): Status {
  const size = load<u8>(op, 7) & 3;
  if (mnemonic == M.Shld || mnemonic == M.Shrd) {
    if (size == 3) return double<u64>(op, mnemonic);
    return size == 2 ? double<u32>(op, mnemonic) : double<u16>(op, mnemonic);
  }
  if (size == 3) return shiftBy<i64, u64>(op, mnemonic);
  if (size == 2) return shiftBy<i32, u32>(op, mnemonic);
  return size == 1 ? shiftBy<i16, u16>(op, mnemonic) : shiftBy<i8, u8>(op, mnemonic);
}

/** Where the manual leaves OF undefined (counts above 1) it is computed as for the last of the single shifts. */
function shiftBy<S, U>(op: usize, mnemonic: u32): Status {
  const bits: u32 = sizeof<U>() * 8;
  const immediate = (load<u8>(op, 7) & SOURCE) == FROM_IMM;
  const count = (immediate ? load<u32>(op, 16) : load<u32>(GENERAL, RCX)) & (bits == 64 ? 63 : 31);
  const at = place<U>(op);
  if (!at) return Status.Fault;
  const a = <u64>load<U>(at);
  let r: u64 = a;
  if (count == 0) {
    replace<U>(op, at, <U>a);
    return Status.Next;
  }
  const top = bits - 1;
  let cf = false;
  switch (mnemonic) {
    case M.Shl: {
      r = a << count;
      cf = count <= bits ? <bool>((a >> (bits - count)) & 1) : false;
      Flags.result<U>(<U>r, cf, cf != <bool>((r >> top) & 1));
      break;
    }
    case M.Shr: {
      r = count < bits ? a >> count : 0;
      const last = count <= bits ? a >> (count - 1) : 0;
      Flags.result<U>(<U>r, <bool>(last & 1), <bool>((((r << 1) ^ r) >> top) & 1));
      break;
    }
    case M.Sar: {
      const wide = <i64>load<S>(at);
      r = <u64>(wide >> min<u32>(count, 63));
      Flags.result<U>(<U>r, <bool>((wide >> min<u32>(count - 1, 63)) & 1), false);
      break;
    }
    case M.Rol:
    case M.Ror: {
      const n = count & top;
      const left = mnemonic == M.Rol ? n : (bits - n) & top;
      r = <u64>(<U>((a << left) | (left ? a >> (bits - left) : 0)));
      const high = (r >> top) & 1;
      const over = mnemonic == M.Rol ? high ^ (r & 1) : high ^ ((r >> (top - 1)) & 1);
      cf = mnemonic == M.Rol ? <bool>(r & 1) : <bool>high;
      Flags.change(CF | OF, (cf ? CF : 0) | (over ? OF : 0));
      break;
    }
    default: {
      // through the carry: one bit at a time, over bits + 1 places
      let carry = <u64>Flags.cf();
      const n = count % (bits + 1);
      for (let i: u32 = 0; i < n; i++) {
        if (mnemonic == M.Rcl) {
          const out = (r >> top) & 1;
          r = <u64>(<U>((r << 1) | carry));
          carry = out;
        } else {
          const out = r & 1;
          r = (r >> 1) | (carry << top);
          carry = out;
        }
      }
      const high = (r >> top) & 1;
      const over = mnemonic == M.Rcl ? high ^ carry : high ^ ((r >> (top - 1)) & 1);
      if (n) Flags.change(CF | OF, (carry ? CF : 0) | (over ? OF : 0));
      break;
    }
  }
  replace<U>(op, at, <U>r);
  return Status.Next;
}

/** shld and shrd; a 16-bit shift by more than 16 has no defined result and is outside. */
function double<U>(op: usize, mnemonic: u32): Status {
  const bits: u64 = sizeof<U>() * 8;
  // the decoder sets the bit of LOCK for the form with cl
  const count = <u64>((load<u8>(op, 7) >> 5) & 1 ? load<u8>(GENERAL, RCX) : load<u8>(op, 16)) & (bits == 64 ? 63 : 31);
  if (count > bits) return Status.Unsupported;
  const at = place<U>(op);
  if (!at) return Status.Fault;
  const a = <u64>load<U>(at);
  const b = <u64>Operand.get<U>(op, 2);
  if (!count) {
    replace<U>(op, at, <U>a);
    return Status.Next;
  }
  let r: u64 = 0;
  let cf: u64 = 0;
  if (mnemonic == M.Shld) {
    r = count == bits ? b : (a << count) | (b >> (bits - count));
    cf = a >> (bits - count);
  } else {
    r = count == bits ? b : (a >> count) | (b << (bits - count));
    cf = a >> (count - 1);
  }
  const value = <U>r;
  Flags.result<U>(value, <bool>(cf & 1), <bool>(((a ^ <u64>value) >> (bits - 1)) & 1));
  replace<U>(op, at, value);
  return Status.Next;
}

export function bitOperation(op: usize, mnemonic: u32): Status {
  const size = load<u8>(op, 7) & 3;
  if (mnemonic == M.Bt || mnemonic == M.Bts || mnemonic == M.Btr || mnemonic == M.Btc) {
    if (size == 3) return bitTest<u64>(op, mnemonic);
    return size == 2 ? bitTest<u32>(op, mnemonic) : bitTest<u16>(op, mnemonic);
  }
  if (size == 3) return scan<u64>(op, mnemonic);
  return size == 2 ? scan<u32>(op, mnemonic) : scan<u16>(op, mnemonic);
}

function bitTest<U>(op: usize, mnemonic: u32): Status {
  const bits: u32 = sizeof<U>() * 8;
  const flags = load<u8>(op, 7);
  const immediate = (flags & SOURCE) == FROM_IMM;
  let at: usize = GENERAL + load<u8>(op, 3);
  const index: i64 = immediate ? load<i64>(op, 16) : signExtend<U>(Operand.get<U>(op, 2));
  if (flags & MEMORY) {
    // a register indexes a bit string that reaches beyond the operand
    const beyond = immediate ? 0 : <u64>((index >> (bits == 64 ? 6 : bits == 32 ? 5 : 4)) * sizeof<U>());
    let within = offset(op) + beyond;
    if (load<u8>(op, 6) & ADDRESS_32) within &= 0xffffffff;
    const address = segment(op) + within;
    at = mnemonic == M.Bt ? Tlb.reader(address, sizeof<U>()) : Tlb.updater(address, sizeof<U>());
    if (!at) return Status.Fault;
  }
  const mask = (<u64>1) << (index & (bits - 1));
  const a = <u64>load<U>(at);
  const before = (a & mask) != 0;
  if (mnemonic == M.Bts) replace<U>(op, at, <U>(a | mask));
  else if (mnemonic == M.Btr) replace<U>(op, at, <U>(a & ~mask));
  else if (mnemonic == M.Btc) replace<U>(op, at, <U>(a ^ mask));
  Flags.change(CF, before ? CF : 0);
  return Status.Next;
}

function signExtend<U>(value: U): i64 {
  return Flags.extend<U>(value);
}

function scan<U>(op: usize, mnemonic: u32): Status {
  const bits: u64 = sizeof<U>() * 8;
  const at = source<U>(op);
  if (!at) return Status.Fault;
  const a = <u64>load<U>(at);
  let r: u64 = 0;
  switch (mnemonic) {
    case M.Bsf:
    case M.Bsr:
      // a zero source leaves the destination as it was, as both vendors' CPUs do
      if (a) Operand.put<U>(op, 2, <U>(mnemonic == M.Bsf ? ctz<u64>(a) : 63 - clz<u64>(a)));
      Flags.change(ZF, a ? 0 : ZF);
      return Status.Next;
    case M.Popcnt:
      r = popcnt<u64>(a);
      Operand.put<U>(op, 2, <U>r);
      Flags.put(a ? 0 : ZF);
      return Status.Next;
    case M.Tzcnt:
      r = a ? ctz<u64>(a) : bits;
      break;
    default:
      r = clz<u64>(a) - (64 - bits);
      break;
  }
  Operand.put<U>(op, 2, <U>r);
  Flags.change(CF | ZF, (a ? 0 : CF) | (r ? 0 : ZF));
  return Status.Next;
}

export function vexOperation(op: usize, mnemonic: u32): Status {
  if (mnemonic == M.Crc32) return crc32(op);
  return (load<u8>(op, 7) & 3) == 3 ? vex<i64, u64>(op, mnemonic) : vex<i32, u32>(op, mnemonic);
}

/** imm is the byte offset of the vvvv register; for rorx it is the count. */
function vex<S, U>(op: usize, mnemonic: u32): Status {
  const bits: u64 = sizeof<U>() * 8;
  const at = source<U>(op);
  if (!at) return Status.Fault;
  const a = load<U>(at);
  const other = <usize>load<u8>(op, 16) & 0x78;
  const b = load<U>(other, GENERAL);
  let r: U = 0;
  switch (mnemonic) {
    case M.Andn:
      r = <U>(~b & a);
      Flags.logic<U>(r);
      break;
    case M.Blsi:
    case M.Blsr:
    case M.Blsmsk: {
      r = mnemonic == M.Blsi ? <U>(a & (0 - a)) : mnemonic == M.Blsr ? <U>(a & (a - 1)) : <U>(a ^ (a - 1));
      Flags.result<U>(r, mnemonic == M.Blsi ? a != 0 : a == 0, false);
      store<u64>(other, <u64>r, GENERAL);
      return Status.Next;
    }
    case M.Bextr: {
      const start = <u64>b & 0xff;
      const count = (<u64>b >> 8) & 0xff;
      let value = start < bits ? <u64>a >> start : 0;
      if (count < 64) value &= ((<u64>1) << count) - 1;
      r = <U>value;
      Flags.logic<U>(r);
      break;
    }
    case M.Bzhi: {
      const n = <u64>b & 0xff;
      r = n < bits ? <U>(<u64>a & (((<u64>1) << n) - 1)) : a;
      Flags.result<U>(r, n >= bits, false);
      break;
    }
    case M.Mulx: {
      const d = load<U>(GENERAL, RDX);
      const low = <u64>a * <u64>d;
      const high = sizeof<U>() == 8 ? highUnsigned64(<u64>a, <u64>d) : low >> 32;
      // the low half goes to vvvv first: with equal registers the high half stays
      store<u64>(other, <u64>(<U>low), GENERAL);
      r = <U>high;
      break;
    }
    case M.Pdep:
    case M.Pext:
      r = <U>(mnemonic == M.Pdep ? deposit(<u64>b, <u64>a) : extract(<u64>b, <u64>a));
      break;
    case M.Rorx: {
      const n = <u64>load<u8>(op, 16) & (bits - 1);
      r = n ? <U>((<u64>a >> n) | ((<u64>a) << (bits - n))) : a;
      break;
    }
    case M.Sarx: {
      const n = <S>(b & <U>(bits - 1));
      r = <U>(<S>a >> n);
      break;
    }
    case M.Shlx:
      r = <U>(a << (b & <U>(bits - 1)));
      break;
    case M.Shrx:
      r = <U>(a >> (b & <U>(bits - 1)));
      break;
    default: {
      // adcx and adox: the sum with one flag as carry, in and out
      const d = Operand.get<U>(op, 2);
      const overflow = mnemonic == M.Adox;
      const carry = <U>(overflow ? Flags.of() : Flags.cf());
      r = <U>(a + d + carry);
      const out = r < a || (carry != 0 && r == a);
      const flag = overflow ? OF : CF;
      Flags.change(flag, out ? flag : 0);
      break;
    }
  }
  Operand.put<U>(op, 2, r);
  return Status.Next;
}

function deposit(value: u64, mask: u64): u64 {
  let r: u64 = 0;
  for (; mask; mask &= mask - 1) {
    if (value & 1) r |= mask & (0 - mask);
    value >>= 1;
  }
  return r;
}

function extract(value: u64, mask: u64): u64 {
  let r: u64 = 0;
  for (let bit: u64 = 1; mask; mask &= mask - 1) {
    if (value & mask & (0 - mask)) r |= bit;
    bit <<= 1;
  }
  return r;
}

/** crc32 of 1 to 8 bytes with the Castagnoli polynomial, bit-reversed. */
function crc32(op: usize): Status {
  const width = load<u32>(op, 16);
  const at = load<u8>(op, 7) & MEMORY ? Tlb.reader(Operand.address(op), width) : GENERAL + load<u8>(op, 3);
  if (!at) return Status.Fault;
  let crc = Operand.get<u32>(op, 2);
  for (let i: u32 = 0; i < width; i++) {
    crc ^= load<u8>(at + i);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
  }
  Operand.put<u64>(op, 2, <u64>crc);
  return Status.Next;
}
