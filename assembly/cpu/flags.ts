// Lazy arithmetic flags: three words from which every condition follows without a branch.
//
// result   the last result, sign-extended to 64 bits: ZF = (result == 0), SF = its sign, PF = its low byte
// carries  the carries out of every bit, shifted up so that the top bit's is bit 63: CF = bit 63, OF = bit 63 ^ bit 62
// shape    bit 0-7 xor-ed into the low byte for PF, bit 8 into SF, bit 16-21 where AF lies in carries
//
// Flags given as such (popf, sahf, shifts) fit the same three words: see `put`.

import { CARRIES, REST, RESULT, SHAPE } from './state';

export const CF: u32 = 1;
export const PF: u32 = 1 << 2;
export const AF: u32 = 1 << 4;
export const ZF: u32 = 1 << 6;
export const SF: u32 = 1 << 7;
export const TF: u32 = 1 << 8;
export const IF: u32 = 1 << 9;
export const DF: u32 = 1 << 10;
export const OF: u32 = 1 << 11;
/** The flags that arithmetic sets. */
export const ARITHMETIC: u32 = CF | PF | AF | ZF | SF | OF;
/** Bits of rflags that popf and the host may set besides those: IF, DF, IOPL, NT, AC, ID. */
export const SETTABLE: u32 = IF | DF | 0x3000 | 0x4000 | 0x40000 | 0x200000;
/** Bit 1 is always set. */
export const FIXED: u32 = 2;

@unmanaged
export class Flags {
  /** The shape of a result of type T: AF is the carry out of bit 3. */
  @inline
  static shape<T>(): u32 {
    return ((67 - ((<u32>sizeof<T>()) << 3)) & 63) << 16;
  }

  @inline
  static extend<T>(value: T): i64 {
    if (sizeof<T>() == 1) return <i64>(<i8>value);
    if (sizeof<T>() == 2) return <i64>(<i16>value);
    if (sizeof<T>() == 4) return <i64>(<i32>value);
    return <i64>value;
  }

  @inline
  static set<T>(result: T, carries: T): void {
    store<i64>(RESULT, Flags.extend<T>(result));
    store<u64>(CARRIES, (<u64>carries) << (64 - ((<u64>sizeof<T>()) << 3)));
    store<u32>(SHAPE, Flags.shape<T>());
  }

  /** and, or, xor, test: CF = OF = 0, and AF, which the manual leaves undefined, is 0 as the bare CPU has it. */
  @inline
  static logic<T>(result: T): void {
    store<i64>(RESULT, Flags.extend<T>(result));
    store<u64>(CARRIES, 0);
    store<u32>(SHAPE, Flags.shape<T>());
  }

  @inline
  static add<T>(a: T, b: T, result: T): void {
    Flags.set<T>(result, <T>((a & b) | ((a | b) & ~result)));
  }

  @inline
  static sub<T>(a: T, b: T, result: T): void {
    Flags.set<T>(result, <T>((~a & b) | ((~a | b) & result)));
  }

  /** inc and dec: as add or sub of 1, but CF stays. */
  @inline
  static keepCarry<T>(result: T, carries: T): void {
    const before = load<u64>(CARRIES);
    const after = (<u64>carries) << (64 - ((<u64>sizeof<T>()) << 3));
    // CF and the carry below it flip together, so that OF, their difference, is the new one
    const flip = <u64>(<i64>(before ^ after) >> 63) & 0xc000000000000000;
    store<i64>(RESULT, Flags.extend<T>(result));
    store<u64>(CARRIES, after ^ flip);
    store<u32>(SHAPE, Flags.shape<T>());
  }

  @inline
  static cf(): bool {
    return load<i64>(CARRIES) < 0;
  }
  @inline
  static zf(): bool {
    return load<i64>(RESULT) == 0;
  }
  @inline
  static sf(): bool {
    return <bool>((<u32>(load<u64>(RESULT) >> 63) ^ (load<u32>(SHAPE) >> 8)) & 1);
  }
  @inline
  static of(): bool {
    const carries = load<u64>(CARRIES);
    return <i64>(carries ^ (carries << 1)) < 0;
  }
  @inline
  static pf(): bool {
    return !(popcnt<u32>((<u32>load<u8>(RESULT) ^ load<u32>(SHAPE)) & 0xff) & 1);
  }
  @inline
  static af(): bool {
    return <bool>((load<u64>(CARRIES) >> (load<u32>(SHAPE) >> 16)) & 1);
  }
  /** SF != OF: the condition l. */
  @inline
  static less(): bool {
    return Flags.sf() != Flags.of();
  }

  /** The condition of the low four bits of a Jcc, SETcc or CMOVcc opcode. */
  static condition(code: u32): bool {
    let holds = false;
    switch ((code >> 1) & 7) {
      case 0:
        holds = Flags.of();
        break;
      case 1:
        holds = Flags.cf();
        break;
      case 2:
        holds = Flags.zf();
        break;
      case 3:
        holds = Flags.cf() || Flags.zf();
        break;
      case 4:
        holds = Flags.sf();
        break;
      case 5:
        holds = Flags.pf();
        break;
      case 6:
        holds = Flags.less();
        break;
      default:
        holds = Flags.less() || Flags.zf();
        break;
    }
    return holds != <bool>(code & 1);
  }

  /** The six arithmetic flags at their places in rflags. */
  static arithmetic(): u32 {
    return (
      (<u32>Flags.cf() * CF) |
      (<u32>Flags.pf() * PF) |
      (<u32>Flags.af() * AF) |
      (<u32>Flags.zf() * ZF) |
      (<u32>Flags.sf() * SF) |
      (<u32>Flags.of() * OF)
    );
  }

  /** Sets the six arithmetic flags, in any combination. */
  static put(flags: u32): void {
    const cf = <u64>(flags & CF);
    const over = <u64>((flags >> 11) & 1);
    store<i64>(RESULT, flags & ZF ? 0 : 0x100);
    store<u64>(CARRIES, (cf << 63) | ((cf ^ over) << 62) | ((<u64>((flags >> 4) & 1)) << 3));
    store<u32>(SHAPE, (((flags >> 2) & 1) ^ 1) | (((flags >> 7) & 1) << 8) | (3 << 16));
  }

  /** Replaces the flags of `mask`. */
  static change(mask: u32, flags: u32): void {
    Flags.put((Flags.arithmetic() & ~mask) | (flags & mask));
  }

  /** Changes flags that arithmetic leaves alone. */
  static rest(mask: u32, flags: u32): void {
    store<u32>(REST, (load<u32>(REST) & ~mask) | flags);
  }

  /** rflags as pushf shows it. */
  static get(): u64 {
    return <u64>(Flags.arithmetic() | load<u32>(REST) | FIXED);
  }

  /** Sets rflags; bits that cannot be set stay as they are. */
  static setAll(value: u64): void {
    Flags.put(<u32>value);
    store<u32>(REST, <u32>value & SETTABLE);
  }

  /** ZF, SF, PF of a result, for shifts and bit operations that set CF and OF themselves; AF is 0. */
  static result<T>(result: T, cf: bool, over: bool): void {
    store<i64>(RESULT, Flags.extend<T>(result));
    store<u64>(CARRIES, ((<u64>cf) << 63) | ((<u64>cf ^ <u64>over) << 62));
    store<u32>(SHAPE, 3 << 16);
  }
}
