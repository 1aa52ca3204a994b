// Values in a trace: registers, addresses and sums of them, and how they come onto a function's stack.
import { Code, I32, I64 } from './code.ts';
import type { FlagWords, Size } from './flags.ts';
import type { Layout } from './layout.ts';
import { ADDRESS_32, NO_REGISTER, type Op, SEGMENT_FS, SEGMENT_GS, SPECIAL } from './ops.ts';
import { constant, frame, RSP, State, type Value } from './values.ts';

/** What a translator knows of values; the body is written into `code`. */
export class TraceValues {
  readonly code = new Code(1);
  state: State;
  protected readonly layout: Layout;
  /** The locals that hold the registers, and the words of the flags, as they are at the head. */
  protected readonly homes: readonly number[];
  protected readonly flagHomes: FlagWords;
  /** Registers that are read as they are at the head. */
  protected readonly used = new Set<number>();
  /** Locals whose upper halves are clear. */
  protected readonly narrow = new Set<number>();

  constructor(layout: Layout) {
    this.layout = layout;
    const { code } = this;
    this.homes = Array.from({ length: 16 }, () => code.local(I64));
    this.flagHomes = { result: code.local(I64), carries: code.local(I64), shape: code.local(I32) };
    this.state = this.headState();
  }

  /** The CPU at the head. */
  protected headState(): State {
    const registers = this.homes.map((index, i): Value => (i === RSP ? frame(0) : { kind: 'local', index }));
    return new State(registers, new Map(), { kind: 'words' });
  }

  protected home(register: number): number {
    return this.homes[register] ?? 0;
  }

  /** Whether a register has the value that it has at the head. */
  protected isHome(state: State, register: number): boolean {
    const value = state.registers[register];
    if (register === RSP) return value?.kind === 'frame' && value.offset === 0;
    return value?.kind === 'local' && value.index === this.homes[register];
  }

  /** Pushes a value onto the function's stack. */
  push(value: Value): void {
    const { code } = this;
    if (value.kind === 'const') {
      code.i64(value.value);
      return;
    }
    if (value.kind === 'frame') {
      this.used.add(RSP);
      code.get(this.home(RSP));
      if (value.offset !== 0) code.i64(BigInt(value.offset)).op('i64.add');
      return;
    }
    const home = this.homes.indexOf(value.index);
    if (home >= 0) this.used.add(home);
    code.get(value.index);
  }

  /** The i64 on the function's stack as a value. */
  take(narrow = false): Value {
    const index = this.code.local(I64);
    this.code.set(index);
    if (narrow) this.narrow.add(index);
    return { kind: 'local', index };
  }

  add(a: Value, b: Value): Value {
    if (a.kind === 'const' && b.kind !== 'const') return this.add(b, a);
    if (b.kind === 'const') {
      const distance = BigInt.asIntN(64, b.value);
      if (distance === 0n) return a;
      if (a.kind === 'const') return constant(a.value + b.value);
      if (a.kind === 'frame' && distance > -0x10_0000n && distance < 0x10_0000n) {
        return frame(a.offset + Number(distance));
      }
    }
    return this.binary('i64.add', a, b);
  }

  binary(op: 'i64.add' | 'i64.sub' | 'i64.and' | 'i64.or' | 'i64.xor' | 'i64.mul', a: Value, b: Value): Value {
    this.push(a);
    this.push(b);
    this.code.op(op);
    return this.take();
  }

  /** The low `size` bytes of a register, by its byte offset; the upper bits are clear. */
  register(offset: number, size: Size): Value {
    const value = this.state.registers[offset >> 3] ?? constant(0n);
    if (size === 8) return value;
    if (value.kind === 'local' && size === 4 && this.narrow.has(value.index)) return value;
    const shift = BigInt(8 * (offset & 7));
    const mask = (1n << BigInt(8 * size)) - 1n;
    if (value.kind === 'const') return constant((value.value >> shift) & mask);
    this.push(value);
    if (shift > 0n) this.code.i64(shift).op('i64.shr_u');
    this.code.i64(mask).op('i64.and');
    return this.take(true);
  }

  /** Sets the low `size` bytes of a register to a value whose upper bits are clear; 4 bytes clear the upper half. */
  setRegister(offset: number, size: Size, value: Value): void {
    const register = offset >> 3;
    if (size >= 4) {
      this.state.registers[register] = value;
      return;
    }
    const shift = BigInt(8 * (offset & 7));
    const mask = ((1n << BigInt(8 * size)) - 1n) << shift;
    this.push(this.state.registers[register] ?? constant(0n));
    this.code.i64(~mask).op('i64.and');
    this.push(value);
    if (shift > 0n) this.code.i64(shift).op('i64.shl');
    this.code.op('i64.or');
    this.state.registers[register] = this.take();
  }

  /** The address of a memory operand. */
  address(op: Op): Value {
    let value = constant(op.displacement);
    if (op.base !== NO_REGISTER) value = this.add(this.register(op.base, 8), value);
    if (op.index !== NO_REGISTER) {
      this.push(this.register(op.index, 8));
      this.code.i64(BigInt(op.scale & 3)).op('i64.shl');
      value = this.add(this.take(), value);
    }
    if (!(op.scale & SPECIAL)) return value;
    if (op.scale & ADDRESS_32) {
      this.push(value);
      this.code.i64(0xffffffffn).op('i64.and');
      value = this.take();
    }
    const { fsBase, gsBase } = this.layout;
    if (!(op.scale & (SEGMENT_FS | SEGMENT_GS))) return value;
    this.code.i32(0).load(8, op.scale & SEGMENT_FS ? fsBase : gsBase);
    return this.add(this.take(), value);
  }
}
