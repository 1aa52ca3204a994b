// The arithmetic flags in a trace: what set them is kept, and computed where something reads them (assembly/cpu/flags.ts).
import type { Code } from './code.ts';
import type { Value } from './values.ts';

/** Bytes of an operand. */
export type Size = 1 | 2 | 4 | 8;

/** Of an addition or subtraction. */
interface Operands {
  readonly size: Size;
  readonly a: Value;
  readonly b: Value;
  readonly r: Value;
}

/**
 * What the flags come from. Operands and results have their upper bits clear. `words`: the three words themselves, in
 * locals; by default those of the trace's head. `adc` and `sbb` took a carry in. `shift` has CF and OF as values of 0 or 1.
 */
export type Flags =
  | { readonly kind: 'words'; readonly at?: FlagWords }
  | ({ readonly kind: 'add' | 'adc' | 'sbb' } & Operands)
  | ({ readonly kind: 'sub' } & Operands)
  | { readonly kind: 'logic'; readonly size: Size; readonly r: Value }
  | { readonly kind: 'inc' | 'dec'; readonly size: Size; readonly a: Value; readonly r: Value; readonly before: Flags }
  | { readonly kind: 'shift'; readonly size: Size; readonly r: Value; readonly cf: Value; readonly of: Value }
  | { readonly kind: 'imul'; readonly size: Size; readonly a: Value; readonly b: Value; readonly r: Value };

/** Locals that hold the three words. */
export interface FlagWords {
  readonly result: number;
  readonly carries: number;
  readonly shape: number;
}

const TWO_CARRIES: bigint = 3n << 62n;

/** Pushes words and conditions of flags onto the stack of a function. */
export class FlagReader {
  readonly #code: Code;
  readonly #homes: () => FlagWords;
  readonly #push: (value: Value) => void;
  readonly #highHalf: number;

  /**
   * @param homes asked for whenever the words at the head are read
   * @param push pushes a value
   * @param highHalf the function that gives the upper half of a signed product
   */
  constructor(code: Code, homes: () => FlagWords, push: (value: Value) => void, highHalf: number) {
    this.#code = code;
    this.#homes = homes;
    this.#push = push;
    this.#highHalf = highHalf;
  }

  #words(flags: Flags & { kind: 'words' }): FlagWords {
    return flags.at ?? this.#homes();
  }

  /** The last result, sign-extended: i64. */
  result(flags: Flags): void {
    if (flags.kind === 'words') this.#code.get(this.#words(flags).result);
    else this.#signExtended(flags.r, flags.size);
  }

  /** The carries out of every bit, the top one in bit 63: i64. */
  carries(flags: Flags): void {
    const code = this.#code;
    switch (flags.kind) {
      case 'words':
        code.get(this.#words(flags).carries);
        return;
      case 'logic':
        code.i64(0n);
        return;
      case 'add':
      case 'adc': // (a & b) | ((a | b) & ~r)
        this.#both(flags.a, flags.b, 'i64.and');
        this.#both(flags.a, flags.b, 'i64.or');
        this.#push(flags.r);
        code.i64(-1n).op('i64.xor').op('i64.and').op('i64.or');
        break;
      case 'sub':
      case 'sbb': // (~a & b) | ((~a | b) & r)
        this.#inverted(flags.a);
        this.#push(flags.b);
        code.op('i64.and');
        this.#inverted(flags.a);
        this.#push(flags.b);
        code.op('i64.or');
        this.#push(flags.r);
        code.op('i64.and').op('i64.or');
        break;
      case 'inc':
      case 'dec':
        this.#keptCarry(flags);
        return;
      case 'shift':
      case 'imul':
        this.#givenCarries(flags);
        return;
    }
    this.#toTop(flags.size);
  }

  /** Where AF is in the carries, and what turns PF and SF around: i32. */
  shape(flags: Flags): void {
    if (flags.kind === 'words') this.#code.get(this.#words(flags).shape);
    else this.#code.i32(adjustBit(flags) << 16);
  }

  /** The six flags at their places in rflags: i64. */
  arithmetic(flags: Flags): void {
    const code = this.#code;
    this.#cf(flags);
    const more: [() => void, number][] = [
      [() => this.#pf(flags), 2],
      [() => this.#zf(flags), 6],
      [() => this.#sf(flags), 7],
    ];
    code.op('i64.extend_i32_u');
    for (const [push, bit] of more) {
      push();
      code.op('i64.extend_i32_u').i64(BigInt(bit)).op('i64.shl').op('i64.or');
    }
    this.#of(flags);
    code.op('i64.extend_i32_u').i64(11n).op('i64.shl').op('i64.or');
    this.carries(flags);
    this.shape(flags);
    code.i32(16).op('i32.shr_u').op('i64.extend_i32_u').op('i64.shr_u');
    code.i64(1n).op('i64.and').i64(4n).op('i64.shl').op('i64.or');
  }

  /** The condition of the low four bits of a Jcc opcode: i32, 0 or 1. */
  condition(flags: Flags, condition: number): void {
    const code = this.#code;
    switch (condition >> 1) {
      case 0:
        this.#of(flags);
        break;
      case 1:
        this.#cf(flags);
        break;
      case 2:
        this.#zf(flags);
        break;
      case 3:
        if (flags.kind === 'sub') this.#both(flags.a, flags.b, 'i64.le_u');
        else this.#either(() => this.#cf(flags), flags);
        break;
      case 4:
        this.#sf(flags);
        break;
      case 5:
        this.#pf(flags);
        break;
      case 6:
        this.#less(flags);
        break;
      default:
        if (flags.kind === 'sub') this.#signedBoth(flags, 'i64.le_s');
        else this.#either(() => this.#less(flags), flags);
    }
    if (condition & 1) code.op('i32.eqz');
  }

  #either(first: () => void, flags: Flags): void {
    first();
    this.#zf(flags);
    this.#code.op('i32.or');
  }

  #cf(flags: Flags): void {
    const code = this.#code;
    switch (flags.kind) {
      case 'words':
        code.get(this.#words(flags).carries).i64(0n).op('i64.lt_s');
        return;
      case 'add':
        this.#both(flags.r, flags.a, 'i64.lt_u');
        return;
      case 'sub':
        this.#both(flags.a, flags.b, 'i64.lt_u');
        return;
      case 'adc':
      case 'sbb':
        this.carries(flags);
        code.i64(0n).op('i64.lt_s');
        return;
      case 'logic':
        code.i32(0);
        return;
      case 'inc':
      case 'dec':
        this.#cf(flags.before);
        return;
      case 'shift':
        this.#push(flags.cf);
        code.op('i32.wrap_i64');
        return;
      case 'imul':
        this.#lost(flags);
    }
  }

  #zf(flags: Flags): void {
    if (flags.kind === 'words') this.#code.get(this.#words(flags).result);
    else this.#push(flags.r);
    this.#code.op('i64.eqz');
  }

  #sf(flags: Flags): void {
    const code = this.#code;
    this.result(flags);
    code.i64(63n).op('i64.shr_u').op('i32.wrap_i64');
    if (flags.kind !== 'words') return;
    code.get(this.#words(flags).shape).i32(8).op('i32.shr_u').op('i32.xor').i32(1).op('i32.and');
  }

  #of(flags: Flags): void {
    const code = this.#code;
    if (flags.kind === 'logic') {
      code.i32(0);
      return;
    }
    if (flags.kind === 'shift') {
      this.#push(flags.of);
      code.op('i32.wrap_i64');
      return;
    }
    this.carries(flags);
    this.carries(flags);
    code.i64(1n).op('i64.shl').op('i64.xor').i64(0n).op('i64.lt_s');
  }

  #pf(flags: Flags): void {
    const code = this.#code;
    this.result(flags);
    code.op('i32.wrap_i64');
    if (flags.kind === 'words') code.get(this.#words(flags).shape).op('i32.xor');
    code.i32(0xff).op('i32.and').op('i32.popcnt').i32(1).op('i32.and').op('i32.eqz');
  }

  #less(flags: Flags): void {
    if (flags.kind === 'sub') {
      this.#signedBoth(flags, 'i64.lt_s');
      return;
    }
    this.#sf(flags);
    if (flags.kind === 'logic') return;
    this.#of(flags);
    this.#code.op('i32.ne');
  }

  /** CF of what was before, OF as the carry below it says. */
  #keptCarry(flags: Flags & { kind: 'inc' | 'dec' }): void {
    const code = this.#code;
    this.#stepCarries(flags);
    // CF and the carry below it flip together
    this.#stepCarries(flags);
    this.#cf(flags.before);
    code.op('i64.extend_i32_u').i64(63n).op('i64.shl').op('i64.xor');
    code.i64(63n).op('i64.shr_s').i64(TWO_CARRIES).op('i64.and').op('i64.xor');
  }

  /** The carries of adding or subtracting 1. */
  #stepCarries({ kind, size, a, r }: Flags & { kind: 'inc' | 'dec' }): void {
    const code = this.#code;
    const operand = () => (kind === 'inc' ? this.#push(a) : this.#inverted(a));
    operand();
    code.i64(1n).op('i64.and');
    operand();
    code.i64(1n).op('i64.or');
    if (kind === 'inc') this.#inverted(r);
    else this.#push(r);
    code.op('i64.and').op('i64.or');
    this.#toTop(size);
  }

  /** Bit 63 is CF, bit 62 is CF ^ OF. */
  #givenCarries(flags: Flags & { kind: 'shift' | 'imul' }): void {
    const code = this.#code;
    if (flags.kind === 'imul') {
      this.#lost(flags);
      code.op('i64.extend_i32_u').i64(63n).op('i64.shl');
      return;
    }
    this.#push(flags.cf);
    code.i64(63n).op('i64.shl');
    this.#both(flags.cf, flags.of, 'i64.xor');
    code.i64(62n).op('i64.shl').op('i64.or');
  }

  /** Whether a signed product does not fit: CF and OF of imul. */
  #lost({ size, a, b, r }: Flags & { kind: 'imul' }): void {
    const code = this.#code;
    if (size === 8) {
      this.#push(a);
      this.#push(b);
      code.call(this.#highHalf);
      this.#push(r);
      code.i64(63n).op('i64.shr_s').op('i64.ne');
      return;
    }
    this.#signExtended(a, size);
    this.#signExtended(b, size);
    code.op('i64.mul');
    this.#signExtended(r, size);
    code.op('i64.ne');
  }

  #both(a: Value, b: Value, op: Parameters<Code['op']>[0]): void {
    this.#push(a);
    this.#push(b);
    this.#code.op(op);
  }

  #signedBoth({ a, b, size }: Operands, op: Parameters<Code['op']>[0]): void {
    this.#signExtended(a, size);
    this.#signExtended(b, size);
    this.#code.op(op);
  }

  #inverted(value: Value): void {
    this.#push(value);
    this.#code.i64(-1n).op('i64.xor');
  }

  #signExtended(value: Value, size: Size): void {
    this.#push(value);
    if (size !== 8) this.#code.op(EXTEND[size]);
  }

  #toTop(size: Size): void {
    if (size !== 8) this.#code.i64(BigInt(64 - size * 8)).op('i64.shl');
  }
}

const EXTEND = { 1: 'i64.extend8_s', 2: 'i64.extend16_s', 4: 'i64.extend32_s' } as const;

/** The bit of the carries that is AF: the carry out of bit 3, or a bit that is clear. */
function adjustBit(flags: Exclude<Flags, { kind: 'words' }>): number {
  return flags.kind === 'shift' || flags.kind === 'imul' ? 3 : (67 - flags.size * 8) & 63;
}
