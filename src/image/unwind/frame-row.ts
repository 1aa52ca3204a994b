// One row of the call frame table: how the caller's registers follow from a frame's, at one instruction (DWARF 5, 6.4.1).
import type { Cursor } from './cursor.ts';

/** DWARF numbers of the general registers, and of the return address (System V ABI, figure 3.36). */
export const DWARF_REGISTERS = [
  ...['rax', 'rdx', 'rcx', 'rbx', 'rsi', 'rdi', 'rbp', 'rsp'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'],
] as const;
/** Column of the stack pointer. */
export const RSP = 7;
/** Column of the return address. */
export const RETURN_ADDRESS = 16;
/** Columns of a row. */
export const COLUMNS = 17;

/** Where the canonical frame address is: a register with an offset, or what an expression gives. */
export type CfaRule =
  | { readonly kind: 'register'; readonly register: number; readonly offset: bigint }
  | { readonly kind: 'expression'; readonly expression: Cursor };

/** Where the caller's value of a register is. */
export type RegisterRule =
  | { readonly kind: 'undefined' | 'same' }
  | { readonly kind: 'offset' | 'value-offset'; readonly offset: bigint }
  | { readonly kind: 'register'; readonly register: number }
  | { readonly kind: 'expression' | 'value-expression'; readonly expression: Cursor };

/** A row; a column without a rule is what the ABI says of that register. */
export interface FrameRow {
  readonly cfa: CfaRule;
  readonly rules: readonly (RegisterRule | undefined)[];
  /** The frame of an interrupted function: its caller goes on at the return address itself, all registers as they were. */
  readonly signal: boolean;
}
