// Multiplication into and division of two registers.

import { high64, highUnsigned64 } from './execute';
import { source } from './execute-cold';
import { Flags } from './flags';
import { Mnemonic as M } from './mnemonics';
import { Operand } from './op';
import { Fault, FaultKind, GENERAL, RDX, Status } from './state';

/** mul and imul of rax, and the forms of imul that the dispatch loop leaves. */
export function multiply(op: usize, mnemonic: u32): Status {
  const size = load<u8>(op, 7) & 3;
  if (size == 3) return multiplyBy<i64, u64>(op, mnemonic);
  if (size == 2) return multiplyBy<i32, u32>(op, mnemonic);
  return size == 1 ? multiplyBy<i16, u16>(op, mnemonic) : multiplyBy<i8, u8>(op, mnemonic);
}

function multiplyBy<S, U>(op: usize, mnemonic: u32): Status {
  const at = source<U>(op);
  if (!at) return Status.Fault;
  if (mnemonic == M.Imul || mnemonic == M.Imul3) {
    const other = mnemonic == M.Imul3 ? load<S>(op, 16) : Operand.get<S>(op, 2);
    const a = load<S>(at);
    const r = <S>(a * other);
    const lost = sizeof<S>() == 8 ? high64(<i64>a, <i64>other) != <i64>r >> 63 : <i64>a * <i64>other != <i64>r;
    Operand.put<U>(op, 2, <U>r);
    Flags.result<S>(r, lost, lost);
    return Status.Next;
  }
  const isSigned = mnemonic == M.ImulWide;
  let low: u64 = 0;
  let high: u64 = 0;
  let lost = false;
  if (sizeof<U>() == 8) {
    const a = load<u64>(GENERAL);
    const b = load<u64>(at);
    low = a * b;
    high = isSigned ? <u64>high64(<i64>a, <i64>b) : highUnsigned64(a, b);
    lost = isSigned ? <i64>high != <i64>low >> 63 : high != 0;
    store<u64>(GENERAL, low);
    store<u64>(GENERAL, high, RDX);
  } else {
    low = isSigned ? <u64>(<i64>load<S>(GENERAL) * <i64>load<S>(at)) : <u64>load<U>(GENERAL) * <u64>load<U>(at);
    high = low >> (sizeof<U>() * 8);
    lost = isSigned ? <i64>low != <i64>(<S>low) : high != 0;
    if (sizeof<U>() == 4) {
      store<u64>(GENERAL, low & 0xffffffff);
      store<u64>(GENERAL, high & 0xffffffff, RDX);
    } else if (sizeof<U>() == 2) {
      store<u16>(GENERAL, <u16>low);
      store<u16>(GENERAL, <u16>high, RDX);
    } else store<u16>(GENERAL, <u16>low);
  }
  Flags.result<U>(<U>low, lost, lost);
  return Status.Next;
}

/** div and idiv: #DE on a zero divisor and on a quotient that does not fit. */
export function divide(op: usize, mnemonic: u32): Status {
  const size = load<u8>(op, 7) & 3;
  const isSigned = mnemonic == M.Idiv;
  if (size == 3) return divide128(op, isSigned);
  if (size == 2) return divideBy<i32, u32>(op, isSigned);
  return size == 1 ? divideBy<i16, u16>(op, isSigned) : divideBy<i8, u8>(op, isSigned);
}

function divideBy<S, U>(op: usize, isSigned: bool): Status {
  const at = source<U>(op);
  if (!at) return Status.Fault;
  const bits: u64 = sizeof<U>() * 8;
  const dividend: u64 =
    sizeof<U>() == 1 ? load<u16>(GENERAL) : ((<u64>load<U>(GENERAL, RDX)) << bits) | <u64>load<U>(GENERAL);
  let quotient: u64 = 0;
  let remainder: u64 = 0;
  if (isSigned) {
    const divisor = <i64>load<S>(at);
    const value = ((<i64>dividend) << (64 - 2 * bits)) >> (64 - 2 * bits);
    if (divisor == 0 || (value == i64.MIN_VALUE && divisor == -1)) return Fault.raise(FaultKind.DivideError);
    const q = value / divisor;
    if (q != <i64>(<S>q)) return Fault.raise(FaultKind.DivideError);
    quotient = <u64>q;
    remainder = <u64>(value % divisor);
  } else {
    const divisor = <u64>load<U>(at);
    if (divisor == 0) return Fault.raise(FaultKind.DivideError);
    quotient = dividend / divisor;
    if (quotient >> bits) return Fault.raise(FaultKind.DivideError);
    remainder = dividend % divisor;
  }
  if (sizeof<U>() == 1) store<u16>(GENERAL, <u16>((quotient & 0xff) | (remainder << 8)));
  else if (sizeof<U>() == 2) {
    store<u16>(GENERAL, <u16>quotient);
    store<u16>(GENERAL, <u16>remainder, RDX);
  } else {
    store<u64>(GENERAL, quotient & 0xffffffff);
    store<u64>(GENERAL, remainder & 0xffffffff, RDX);
  }
  return Status.Next;
}

/** The remainder of the last unsigned division of 128 bits. */
let rest: u64 = 0;

/** high:low / divisor for high < divisor, bit by bit where the upper half is not zero. */
function long(high: u64, low: u64, divisor: u64): u64 {
  if (!high) {
    rest = low % divisor;
    return low / divisor;
  }
  let quotient: u64 = 0;
  for (let i = 0; i < 64; i++) {
    const carry = high >> 63;
    high = (high << 1) | (low >> 63);
    low <<= 1;
    quotient <<= 1;
    if (carry || high >= divisor) {
      high -= divisor;
      quotient |= 1;
    }
  }
  rest = high;
  return quotient;
}

function divide128(op: usize, isSigned: bool): Status {
  const at = source<u64>(op);
  if (!at) return Status.Fault;
  let divisor = load<u64>(at);
  let low = load<u64>(GENERAL);
  let high = load<u64>(GENERAL, RDX);
  const negative = isSigned && <i64>high < 0;
  const opposite = isSigned && <i64>(high ^ divisor) < 0;
  if (negative) {
    low = 0 - low;
    high = ~high + u64(low == 0);
  }
  if (isSigned && <i64>divisor < 0) divisor = 0 - divisor;
  if (divisor == 0 || high >= divisor) return Fault.raise(FaultKind.DivideError);
  const quotient = long(high, low, divisor);
  if (isSigned && quotient > (opposite ? 0x8000000000000000 : 0x7fffffffffffffff)) {
    return Fault.raise(FaultKind.DivideError);
  }
  store<u64>(GENERAL, opposite ? 0 - quotient : quotient);
  store<u64>(GENERAL, negative ? 0 - rest : rest, RDX);
  return Status.Next;
}
