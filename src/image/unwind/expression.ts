// Evaluates the DWARF expressions that stand in call frame information (DWARF 5, 2.5): straight-line ones only.
import { wrap } from '../../address.ts';
import type { Cursor } from './cursor.ts';
import { COLUMNS } from './frame-row.ts';

/** What an expression may read. */
export interface ExpressionWorld {
  /** A register of the frame by its DWARF number; undefined where its value is not known. */
  register(number: number): bigint | undefined;
  /** Eight bytes of memory; undefined where they cannot be read. */
  memory(address: bigint): bigint | undefined;
}

/** Values on the stack at once. */
const DEEPEST = 64;

type Operator = (a: bigint, b: bigint) => bigint | undefined;
const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
const truth = (holds: boolean): bigint => (holds ? 1n : 0n);
const shift = (by: bigint, act: (by: bigint) => bigint): bigint => (by > 63n ? 0n : act(by));

/** Operators of two operands; the second was pushed last. */
const BINARY: ReadonlyMap<number, Operator> = new Map([
  [0x1a, (a, b) => a & b], // DW_OP_and
  [0x1b, (a, b) => (b === 0n ? undefined : signed(a) / signed(b))], // DW_OP_div
  [0x1c, (a, b) => a - b], // DW_OP_minus
  [0x1d, (a, b) => (b === 0n ? undefined : a % b)], // DW_OP_mod
  [0x1e, (a, b) => a * b], // DW_OP_mul
  [0x21, (a, b) => a | b], // DW_OP_or
  [0x22, (a, b) => a + b], // DW_OP_plus
  [0x24, (a, b) => shift(b, (by) => a << by)], // DW_OP_shl
  [0x25, (a, b) => shift(b, (by) => a >> by)], // DW_OP_shr
  [0x26, (a, b) => signed(a) >> (b > 63n ? 63n : b)], // DW_OP_shra
  [0x27, (a, b) => a ^ b], // DW_OP_xor
  [0x29, (a, b) => truth(a === b)], // DW_OP_eq
  [0x2a, (a, b) => truth(signed(a) >= signed(b))], // DW_OP_ge
  [0x2b, (a, b) => truth(signed(a) > signed(b))], // DW_OP_gt
  [0x2c, (a, b) => truth(signed(a) <= signed(b))], // DW_OP_le
  [0x2d, (a, b) => truth(signed(a) < signed(b))], // DW_OP_lt
  [0x2e, (a, b) => truth(a !== b)], // DW_OP_ne
]);

/** Operators of one operand. */
const UNARY: ReadonlyMap<number, (a: bigint) => bigint> = new Map([
  [0x19, (a) => (signed(a) < 0n ? -signed(a) : a)], // DW_OP_abs
  [0x1f, (a) => -a], // DW_OP_neg
  [0x20, (a) => ~a], // DW_OP_not
]);

/** Literal numbers behind an opcode: bytes, signed. */
const CONSTANTS: ReadonlyMap<number, readonly [number, boolean]> = new Map([
  [0x08, [1, false]], // DW_OP_const1u
  [0x09, [1, true]],
  [0x0a, [2, false]],
  [0x0b, [2, true]],
  [0x0c, [4, false]],
  [0x0d, [4, true]],
  [0x0e, [8, false]],
  [0x0f, [8, true]],
]);

/**
 * The value of an expression; undefined where it needs what is not known. It has no branches, so it ends with its bytes.
 *
 * @param initial what lies on the stack before: the frame address, for a register's rule
 * @throws {ImageError} ENOEXEC malformed, or an operation that is not known
 */
export function evaluate(expression: Cursor, world: ExpressionWorld, initial: readonly bigint[]): bigint | undefined {
  const code = expression.again();
  const stack = [...initial];
  const pop = (): bigint => {
    const value = stack.pop();
    if (value === undefined) throw code.error('an expression takes from an empty stack');
    return value;
  };
  while (code.left > 0) {
    const value = operation(code, stack, pop, world);
    if (value === undefined) return undefined;
    stack.push(wrap(value));
    if (stack.length > DEEPEST) throw code.error('an expression needs too deep a stack');
  }
  return pop();
}

/** Does one operation; what it pushes, or undefined where that is not known. */
function operation(
  code: Cursor,
  stack: readonly bigint[],
  pop: () => bigint,
  world: ExpressionWorld,
): bigint | undefined {
  const opcode = code.u8();
  const binary = BINARY.get(opcode);
  if (binary !== undefined) {
    const b = pop();
    return binary(pop(), b);
  }
  const unary = UNARY.get(opcode);
  if (unary !== undefined) return unary(pop());
  const constant = CONSTANTS.get(opcode);
  if (constant !== undefined) return code.fixed(...constant);
  if (opcode >= 0x30 && opcode <= 0x4f) return BigInt(opcode - 0x30); // DW_OP_lit0 and up
  if (opcode >= 0x70 && opcode < 0x70 + COLUMNS) return plus(world.register(opcode - 0x70), code.sleb()); // DW_OP_breg0 and up
  switch (opcode) {
    case 0x03: // DW_OP_addr
      return code.u64();
    case 0x06: // DW_OP_deref
      return world.memory(pop());
    case 0x10: // DW_OP_constu
      return code.uleb();
    case 0x11: // DW_OP_consts
      return code.sleb();
    case 0x12: // DW_OP_dup
      return pick(code, stack, 0);
    case 0x14: // DW_OP_over
      return pick(code, stack, 1);
    case 0x15: // DW_OP_pick
      return pick(code, stack, code.u8());
    case 0x23: // DW_OP_plus_uconst
      return pop() + code.uleb();
    default:
      throw code.error(`the operation 0x${opcode.toString(16)} of an expression is not known`);
  }
}

function pick(code: Cursor, stack: readonly bigint[], depth: number): bigint {
  const value = stack[stack.length - 1 - depth];
  if (value === undefined) throw code.error('an expression copies what is not on its stack');
  return value;
}

function plus(value: bigint | undefined, offset: bigint): bigint | undefined {
  return value === undefined ? undefined : value + offset;
}
