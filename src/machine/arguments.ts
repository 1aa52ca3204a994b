// Passing arguments the way the System V ABI does: six integers and eight doubles in registers, the rest on the stack.
import { address, wrap } from '../address.ts';
import { type Engine, GENERAL_REGISTERS, type RegisterName } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import type { CallRoom } from './call-areas.ts';
import { encodedFrame } from './interrupt-frame.ts';

/** A double, passed in a vector register (System V ABI 3.2.3, class SSE). */
export interface DoubleArgument {
  readonly f64: number;
}

/**
 * An argument: an integer of 64 bits, a text (passed by address, NUL-terminated), bytes (passed by address) or a double.
 */
export type Argument = bigint | string | Uint8Array | DoubleArgument;

/** Registers of the first six integer arguments, in order. */
export const ARGUMENT_REGISTERS = ['rdi', 'rsi', 'rdx', 'rcx', 'r8', 'r9'] as const satisfies readonly RegisterName[];

/** Doubles that travel in xmm0 and up. */
const DOUBLES_IN_REGISTERS = 8;

/** Registers a callee must give back unchanged. */
export const CALLEE_SAVED = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'] as const satisfies readonly RegisterName[];

/**
 * Registers that arrive at a function as the caller left them although the call was redirected (I3): all but r10 and
 * r11, which a C caller does not expect to survive (F23).
 */
export const ARRIVING_REGISTERS: readonly RegisterName[] = GENERAL_REGISTERS.filter(
  (name) => name !== 'r10' && name !== 'r11',
);

/** A call made ready: registers are set, buffers and stack are written. */
export interface PreparedCall {
  /** All general registers at the function's entry. */
  registers: ReadonlyMap<RegisterName, bigint>;
  /** Where each argument that is a buffer was placed; undefined for integers and doubles. */
  buffers: readonly (bigint | undefined)[];
  /** One past the last buffer. */
  dataEnd: bigint;
}

/**
 * Makes a call ready: places buffers, pushes what finds no register and the return address, and gives every other register
 * a value of its own, so that a lost register shows.
 *
 * @param interrupted pt_regs of the suspended call that this one stands on; rbp then names it
 * @throws {RangeError} an integer does not fit in 64 bits
 * @throws {EngineError} ENOMEM the arguments do not fit into the guest's data region or stack
 */
export function prepareCall(
  engine: Engine,
  args: readonly Argument[],
  returnTo: bigint,
  { stack, data }: CallRoom,
  interrupted?: bigint,
): PreparedCall {
  const { values, buffers, end } = placeBuffers(engine, args, data);
  const { integers, doubles, onStack } = assign(args, values);
  // rsp + 8 is a multiple of 16 at the entry (System V ABI 3.2.2)
  const rsp = ((stack.top - BigInt(8 * onStack.length)) / 16n) * 16n - 8n;
  if (rsp < stack.bottom) throw tooLarge('stack');
  const slots = new DataView(new ArrayBuffer(8 * (1 + onStack.length)));
  slots.setBigUint64(0, returnTo, true);
  for (const [i, value] of onStack.entries()) slots.setBigUint64(8 * (i + 1), value, true);
  engine.write(rsp, new Uint8Array(slots.buffer));
  const registers = new Map<RegisterName, bigint>();
  for (const [i, name] of GENERAL_REGISTERS.entries()) registers.set(name, sentinel(i));
  registers.set('rsp', rsp);
  registers.set('rax', BigInt(doubles.length)); // al: vector registers that hold variable arguments (System V ABI 3.5.7)
  ARGUMENT_REGISTERS.forEach((name, i) => {
    const value = integers[i];
    if (value !== undefined) registers.set(name, value);
  });
  if (interrupted !== undefined) registers.set('rbp', encodedFrame(interrupted));
  for (const [name, value] of registers) engine.writeRegister(name, value);
  for (const [i, value] of doubles.entries()) engine.writeXmm(i, xmmOf(value));
  engine.writeRegister('rflags', 2n);
  return { registers, buffers, dataEnd: end };
}

/** Whether an argument travels as a double. */
export function isDouble(argument: Argument): argument is DoubleArgument {
  return typeof argument === 'object' && 'f64' in argument;
}

/** What goes where: each class fills its own registers, and the rest is pushed in the order of the arguments. */
function assign(
  args: readonly Argument[],
  values: readonly bigint[],
): Record<'integers' | 'doubles' | 'onStack', bigint[]> {
  const integers: bigint[] = [];
  const doubles: bigint[] = [];
  const onStack: bigint[] = [];
  for (const [i, argument] of args.entries()) {
    const [registers, most] = isDouble(argument)
      ? [doubles, DOUBLES_IN_REGISTERS]
      : [integers, ARGUMENT_REGISTERS.length];
    (registers.length < most ? registers : onStack).push(values[i] ?? 0n);
  }
  return { integers, doubles, onStack };
}

function bitsOf(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

/** The low half of a vector register, the upper half zero. */
function xmmOf(bits: bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigUint64(0, bits, true);
  return bytes;
}

/** A value that differs from register to register and in every byte from zero. */
function sentinel(index: number): bigint {
  return wrap(0x5a00_c3c3_1100_0011n + BigInt(index + 1) * 0x0001_0101_0101_0100n);
}

function placeBuffers(
  engine: Engine,
  args: readonly Argument[],
  { from, limit }: CallRoom['data'],
): { values: bigint[]; buffers: (bigint | undefined)[]; end: bigint } {
  let next = from;
  const buffers: (bigint | undefined)[] = [];
  const values = args.map((argument, i) => {
    if (typeof argument === 'bigint') {
      buffers.push(undefined);
      return argument < 0n && argument >= -(1n << 63n) ? wrap(argument) : address(argument, `args[${i}]`);
    }
    if (isDouble(argument)) {
      buffers.push(undefined);
      return bitsOf(argument.f64);
    }
    const bytes = typeof argument === 'string' ? new TextEncoder().encode(`${argument}\0`) : argument;
    const place = next;
    next = (place + BigInt(bytes.length) + 15n) & ~15n;
    if (next > limit) throw tooLarge('data region');
    if (bytes.length > 0) engine.write(place, bytes);
    buffers.push(place);
    return place;
  });
  return { values, buffers, end: next };
}

function tooLarge(region: string): EngineError {
  return new EngineError('ENOMEM', `the arguments do not fit into the guest's ${region}`, { operation: 'call' });
}
