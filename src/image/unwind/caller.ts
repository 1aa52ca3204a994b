// Applies a row of the call frame table: the caller's registers from a frame's registers and memory.
import { wrap } from '../../address.ts';
import { evaluate } from './expression.ts';
import { COLUMNS, type FrameRow, RETURN_ADDRESS, type RegisterRule, RSP } from './frame-row.ts';

/** Registers by DWARF number, rip last; undefined where the value is lost. */
export type FrameRegisters = readonly (bigint | undefined)[];

/** Reads eight bytes of memory; undefined where they cannot be read. */
export type ReadQuad = (address: bigint) => bigint | undefined;

/** Registers that a callee gives back unless a rule says otherwise: rbx, rbp, r12 to r15 (System V ABI 3.2.1). */
const PRESERVED: ReadonlySet<number> = new Set([3, 6, 12, 13, 14, 15]);

/** The frame above. */
export interface Caller {
  /** The canonical frame address: rsp in the caller, after the call. */
  readonly cfa: bigint;
  readonly registers: FrameRegisters;
}

/**
 * The caller of a frame; undefined where the frame address is not known. Its rip is undefined where the table says that
 * there is no caller, or the slot cannot be read.
 *
 * @throws {ImageError} ENOEXEC an expression is malformed
 */
export function callerOf(row: FrameRow, registers: FrameRegisters, memory: ReadQuad): Caller | undefined {
  const world = { register: (number: number) => registers[number], memory };
  const { cfa: rule } = row;
  const base = rule.kind === 'register' ? registers[rule.register] : evaluate(rule.expression, world, []);
  if (base === undefined) return undefined;
  const cfa = rule.kind === 'register' ? wrap(base + rule.offset) : base;
  const value = (each: RegisterRule, column: number): bigint | undefined => {
    switch (each.kind) {
      case 'undefined':
        return undefined;
      case 'same':
        return registers[column];
      case 'offset':
        return memory(wrap(cfa + each.offset));
      case 'value-offset':
        return wrap(cfa + each.offset);
      case 'register':
        return registers[each.register];
      case 'value-expression':
        return evaluate(each.expression, world, [cfa]);
      case 'expression': {
        const place = evaluate(each.expression, world, [cfa]);
        return place === undefined ? undefined : memory(place);
      }
    }
  };
  const found = Array.from({ length: COLUMNS }, (_, column) => {
    const each = row.rules[column];
    if (each !== undefined) return value(each, column);
    if (column === RSP) return cfa;
    if (column === RETURN_ADDRESS) return undefined;
    return row.signal || PRESERVED.has(column) ? registers[column] : undefined;
  });
  return { cfa, registers: found };
}
