// Where a trampoline's caller is found, at each of its instructions: followed along its own listing, as objtool does.
import {
  COLUMNS,
  DWARF_REGISTERS,
  type FrameRow,
  RETURN_ADDRESS,
  type RegisterRule,
  RSP,
} from '../image/unwind/frame-row.ts';
import type { Instruction, Reg } from '../x86/encode.ts';
import { commonCode, DIRECT_JUMP, type KernelVersion, opsCode, type TrampolineKind } from './trampoline.ts';

/** Bytes of a return slot. */
const SLOT = 8;
/** Registers that the caller of a patched function expects back. */
const PRESERVED: readonly Reg[] = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];

/**
 * The row of each instruction, by its offset. The caller is what stands in the slot that the site's call pushed: the
 * instruction after the site, or where the handler sends the call (F22).
 */
export function frameRows(code: readonly Instruction[]): ReadonlyMap<number, FrameRow> {
  const rows = new Map<number, FrameRow>();
  /** Where a register's value lies that the caller gets back, counted from the frame address. */
  const saved = new Map<Reg, number>();
  let depth = 0;
  let offset = 0;
  let copied: { to: Reg; from: Reg } | undefined;
  for (const { length, effect } of code) {
    if (length > 0) rows.set(offset, rowOf(depth, saved));
    offset += length;
    const copy = copied;
    copied = undefined;
    if (effect?.kind === 'move') depth -= effect.by;
    else if (effect?.kind === 'copy') copied = effect;
    else if (effect?.kind === 'load') saved.delete(effect.reg);
    else if (effect?.kind === 'store') {
      const reg = copy?.to === effect.reg ? copy.from : effect.reg;
      if (PRESERVED.includes(reg)) saved.set(reg, effect.disp - depth - SLOT);
    }
  }
  return rows;
}

function rowOf(depth: number, saved: ReadonlyMap<Reg, number>): FrameRow {
  const rules: (RegisterRule | undefined)[] = new Array(COLUMNS);
  rules[RETURN_ADDRESS] = { kind: 'offset', offset: BigInt(-SLOT) };
  for (const [reg, offset] of saved) rules[DWARF_REGISTERS.indexOf(reg)] = { kind: 'offset', offset: BigInt(offset) };
  return { cfa: { kind: 'register', register: RSP, offset: BigInt(depth + SLOT) }, rules, signal: false };
}

/** The row of code that leaves the stack as its caller's call left it, but for `depth` bytes. */
export function plainRow(depth = 0): FrameRow {
  return rowOf(depth, new Map());
}

/** The rows of a common caller; those of its direct part go on from the jump to it. */
export function commonRows(kind: TrampolineKind, kernel: KernelVersion): ReadonlyMap<number, FrameRow> {
  const { code, direct } = commonCode({ kind, kernel, handler: 0n, functionTraceOp: 0n, returnThunk: 0n });
  const rows = new Map(frameRows(code));
  const jump = code.findIndex(({ label }) => label === DIRECT_JUMP) + 1;
  const toJump = code.slice(0, jump + 1);
  const [start, end] = [lengthOf(toJump), lengthOf(code)];
  if (direct.length === 0) return rows;
  for (const [offset, row] of frameRows([...toJump, ...direct])) {
    if (offset >= start) rows.set(offset - start + end, row);
  }
  return rows;
}

function lengthOf(code: readonly Instruction[]): number {
  return code.reduce((sum, { length }) => sum + length, 0);
}

/** Trampolines start at multiples of this. */
const ALIGNMENT = 16n;

/** Which trampoline an address is in, and its row there. */
export class TrampolineText {
  readonly #kernel: KernelVersion;
  /** By start; one that is gone stays until its place is used again, as no task can be in it. */
  readonly #placed: Map<bigint, ReadonlyMap<number, FrameRow>>;
  readonly #rows: Map<TrampolineKind, ReadonlyMap<number, FrameRow>>;
  #longest: bigint;

  /** @param from that of the machine that this one is a fork of */
  constructor(kernel: KernelVersion, from?: TrampolineText) {
    this.#kernel = kernel;
    this.#placed = new Map(from === undefined ? [] : from.#placed);
    this.#rows = new Map(from === undefined ? [] : from.#rows);
    this.#longest = from === undefined ? 0n : from.#longest;
  }

  /** Takes note of a trampoline. */
  place(start: bigint, kind: TrampolineKind): void {
    let rows = this.#rows.get(kind);
    if (rows === undefined) {
      rows = frameRows(opsCode({ kind, kernel: this.#kernel, handler: 0n, returnThunk: 0n }));
      this.#rows.set(kind, rows);
    }
    this.placeRows(start, rows);
  }

  /** Takes note of other code: the row of each instruction by its offset. */
  placeRows(start: bigint, rows: ReadonlyMap<number, FrameRow>): void {
    const last = BigInt(Math.max(...rows.keys()));
    if (last > this.#longest) this.#longest = last;
    this.#placed.set(start, rows);
  }

  /** The row of the instruction at `ip`; undefined in the middle of one, and outside of all trampolines. */
  rowAt(ip: bigint): FrameRow | undefined {
    for (let start = ip & ~(ALIGNMENT - 1n); ip - start <= this.#longest; start -= ALIGNMENT) {
      const rows = this.#placed.get(start);
      if (rows !== undefined) return rows.get(Number(ip - start));
    }
    return undefined;
  }
}
