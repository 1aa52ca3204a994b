// The guest program of the engine benches: patched functions behind a full pt_regs trampoline, and loops that call them.

import { PT_REGS, PT_REGS_SIZE } from '../../src/ftrace/pt-regs.ts';
import { callBytes } from '../../src/ftrace/site.ts';
import { opsTrampoline } from '../../src/ftrace/trampoline.ts';
import {
  add,
  assemble,
  bytesOf,
  call,
  endbr64,
  type Instruction,
  jmp,
  jnzShort,
  label,
  lea,
  mem,
  mov,
  movImm32,
  movRip,
  nop,
  popfq,
  pushfq,
  quad,
  type Reg,
  raw,
  ret,
  sub,
  test,
} from '../../src/x86/encode.ts';

/** Functions there are; every one of them is patched. */
export const FUNCTIONS = 50_000;
/** Entries of each table that the last loop walks. */
export const TABLE_ENTRIES = 65_536;

// Low addresses, because the same bytes run in a process of their own on the bare CPU.
const CODE = 0x1000_0000n;
const CODE_SIZE = 0x80_0000;
export const GATE = CODE;
const RETURN_THUNK = CODE + 0x40n;
const UNTIL = CODE + 0x80n;
const TRAMPOLINE = CODE + 0x1000n;
const VARIANT_TRAMPOLINE = CODE + 0x1800n;
const LOOPS = CODE + 0x2000n;
/** 32 bytes per function, 16 per new function. */
const ORIGINALS = CODE + 0x10_0000n;
const NEW_FUNCTIONS = CODE + 0x40_0000n;
/** A function that calls the other trampoline; its new function is that of function 0. */
const VARIANT_FUNCTION = CODE + 0x3000n;
const DATA = 0x2000_0000n;
const DATA_SIZE = 0x20_0000;
const TABLES = DATA + 0x1000n;
const STACK = 0x3000_0000n;
const STACK_SIZE = 0x1_0000;
const STACK_TOP = STACK + BigInt(STACK_SIZE) - 0x100n;

/** Bytes at an address; `access` is what a guest may do with them. */
export interface Segment {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly access: 'rx' | 'rw';
}

/** The program in memory. */
export interface GuestImage {
  readonly segments: readonly Segment[];
  /** Site and new function of each patched function. */
  readonly sites: readonly (readonly [bigint, bigint])[];
  readonly until: bigint;
  readonly stackTop: bigint;
}

/** One run: where it starts, with which registers, and what must come out of it. */
export interface GuestRun {
  readonly name: string;
  readonly entry: bigint;
  readonly r12: bigint;
  readonly r13: bigint;
  readonly r14: bigint;
  /** What rbx must hold at the end: the sum of all results. */
  readonly sum: bigint;
  /** Calls, or turns of the loop: what the time is divided by. */
  readonly calls: number;
}

const functionAt = (index: number): bigint => ORIGINALS + 32n * BigInt(index);
const newFunctionAt = (index: number): bigint => NEW_FUNCTIONS + 16n * BigInt(index);
/** What new function `index` returns; originals return 1. */
const resultOf = (index: number): number => index + 2;

const tableAt = (index: number): bigint => TABLES + BigInt(index * TABLE_ENTRIES * 8);
const site = (at: bigint): bigint => at + 4n;

/** In which order a table names functions, by index; repeated to fill it. */
export type Order = readonly number[];

/** Builds the program with up to three tables. */
export function guestImage(orders: readonly Order[]): GuestImage {
  const code = new Uint8Array(CODE_SIZE).fill(0xcc);
  const place = (at: bigint, instructions: readonly Instruction[]): ReadonlyMap<string, number> => {
    const { bytes, labels } = assemble(at, instructions);
    code.set(bytes, Number(at - CODE));
    return labels;
  };
  place(RETURN_THUNK, [ret()]);
  const trampoline = { kernel: '6.12', handler: GATE, ops: DATA, returnThunk: RETURN_THUNK } as const;
  code.set(opsTrampoline({ ...trampoline, kind: 'regs', address: TRAMPOLINE }).bytes, Number(TRAMPOLINE - CODE));
  place(VARIANT_TRAMPOLINE, variant());
  const sites: [bigint, bigint][] = [];
  const addFunction = (at: bigint, target: bigint, newFunction: bigint): void => {
    place(at, [endbr64(), ...patchedSite(site(at), target), movImm32('rax', 1), ret()]);
    sites.push([site(at), newFunction]);
  };
  for (let i = 0; i < FUNCTIONS; i++) {
    addFunction(functionAt(i), TRAMPOLINE, newFunctionAt(i));
    place(newFunctionAt(i), [movImm32('rax', resultOf(i)), ret()]);
  }
  addFunction(VARIANT_FUNCTION, VARIANT_TRAMPOLINE, newFunctionAt(0));
  place(LOOPS, loops());
  const data = new Uint8Array(DATA_SIZE);
  const words = new BigUint64Array(data.buffer);
  for (const [table, order] of orders.entries()) {
    const first = Number(tableAt(table) - DATA) / 8;
    for (let i = 0; i < TABLE_ENTRIES; i++) words[first + i] = functionAt(order[i % order.length] ?? 0);
  }
  return {
    segments: [
      { address: CODE, bytes: code, access: 'rx' },
      { address: DATA, bytes: data, access: 'rw' },
      { address: STACK, bytes: new Uint8Array(STACK_SIZE), access: 'rw' },
    ],
    sites,
    until: UNTIL,
    stackTop: STACK_TOP,
  };
}

const LOOP_SIZE = 0x40n;

/** Function 0 called `calls` times by a direct call. */
export function oneFunction(calls: number): GuestRun {
  return counted('1 function', LOOPS, calls, BigInt(calls * resultOf(0)));
}

/** The same through the trampoline with other bytes. */
export function variantFunction(calls: number): GuestRun {
  return counted('other bytes', LOOPS + LOOP_SIZE, calls, BigInt(calls * resultOf(0)));
}

/** New function 0 called `calls` times without redirection. */
export function plainCall(calls: number): GuestRun {
  return counted('no redirection', LOOPS + 4n * LOOP_SIZE, calls, BigInt(calls * resultOf(0)));
}

/** A loop of arithmetic without memory. */
export function hotLoop(turns: number): GuestRun {
  let sum = 0n;
  for (let left = BigInt(turns); left > 0n; left--) sum = BigInt.asUintN(64, (sum + left) ^ (left << 1n));
  return counted('hot loop', LOOPS + 2n * LOOP_SIZE, turns, sum);
}

/** The first `calls` functions of a table, by indirect calls. */
export function tableOfFunctions(table: number, order: Order, calls: number): GuestRun {
  let sum = 0;
  for (let i = 0; i < calls; i++) sum += resultOf(order[i % order.length] ?? 0);
  const r12 = tableAt(table);
  const r13 = r12 + 8n * BigInt(calls);
  return { name: `table ${table}`, entry: LOOPS + 3n * LOOP_SIZE, r12, r13, r14: 0n, sum: BigInt(sum), calls };
}

function counted(name: string, entry: bigint, calls: number, sum: bigint): GuestRun {
  return { name, entry, r12: 0n, r13: 0n, r14: BigInt(calls), sum, calls };
}

function loops(): Instruction[] {
  const calling = (target: bigint): Instruction[] => [
    label(`.${target}`),
    call(target),
    raw(0x48, 0x01, 0xc3), // add rbx, rax
    sub('r14', 1),
    jnzShort(`.${target}`),
    ret(),
  ];
  const hot = [
    label('.hot'),
    raw(0x4c, 0x01, 0xf3), // add rbx, r14
    mov('rcx', 'r14'),
    raw(0x48, 0x01, 0xc9), // add rcx, rcx
    raw(0x48, 0x31, 0xcb), // xor rbx, rcx
    sub('r14', 1),
    jnzShort('.hot'),
    ret(),
  ];
  const walking = [
    label('.walk'),
    raw(0x41, 0xff, 0x14, 0x24), // call [r12]
    raw(0x48, 0x01, 0xc3), // add rbx, rax
    add('r12', 8),
    raw(0x4d, 0x39, 0xec), // cmp r12, r13
    jnzShort('.walk'),
    ret(),
  ];
  const plain = calling(newFunctionAt(0));
  return [calling(functionAt(0)), calling(VARIANT_FUNCTION), hot, walking, plain].flatMap(padded);
}

function padded(body: readonly Instruction[]): Instruction[] {
  const length = body.reduce((sum, { length }) => sum + length, 0);
  return [...body, raw(...Array<number>(Number(LOOP_SIZE) - length).fill(0xcc))];
}

function patchedSite(at: bigint, target: bigint): Instruction[] {
  return [raw(...callBytes(at, target))];
}

const SAVED = [
  'rbx',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'r9',
  'r8',
  'rdi',
  'rsi',
  'rdx',
  'rcx',
  'rax',
  'rbp',
] as const satisfies readonly Reg[];

/** A pt_regs trampoline that does the kernel's work in another order, with one instruction more. */
function variant(): Instruction[] {
  const slot = (name: keyof typeof PT_REGS) => mem('rsp', PT_REGS[name]);
  return [
    endbr64(),
    pushfq(),
    sub('rsp', PT_REGS_SIZE),
    ...SAVED.map((reg) => mov(slot(reg), reg)),
    lea('rax', mem('rsp', PT_REGS_SIZE + 16)),
    mov(slot('sp'), 'rax'),
    movImm32(slot('ss'), 0x18),
    movImm32(slot('cs'), 0x10),
    movImm32(slot('origRax'), 0),
    mov('rdi', mem('rsp', PT_REGS_SIZE + 8)),
    mov(slot('ip'), 'rdi'),
    sub('rdi', 5),
    mov('rdx', mem('rsp', PT_REGS_SIZE)),
    mov(slot('flags'), 'rdx'),
    mov('rsi', mem('rsp', PT_REGS_SIZE + 16)),
    movRip('rdx', '.ops'),
    nop(9),
    mov('r8', 'rdi'), // the one more
    lea('rcx', mem('rsp')),
    call(GATE),
    mov('rdx', slot('ip')),
    mov(mem('rsp', PT_REGS_SIZE + 8), 'rdx'),
    mov('rcx', slot('flags')),
    mov(mem('rsp', PT_REGS_SIZE), 'rcx'),
    mov('rax', slot('origRax')),
    test('rax', 'rax'),
    ...[...SAVED].reverse().map((reg) => mov(reg, slot(reg))),
    add('rsp', PT_REGS_SIZE),
    popfq(),
    jmp(RETURN_THUNK),
    label('.ops'),
    quad(DATA),
  ];
}

/** The program as the native harness reads it. */
export function imageFile(image: GuestImage): Uint8Array {
  const header = [GATE, image.until, image.stackTop, BigInt(image.segments.length), BigInt(image.sites.length)];
  const parts = [
    header.flatMap((word) => bytesOf(word, 8)),
    ...image.segments.flatMap(({ address, bytes }) => [bytesOf(address, 8), bytesOf(BigInt(bytes.length), 8), bytes]),
    ...image.sites.map(([site, newFunction]) => [...bytesOf(site, 8), ...bytesOf(newFunction, 8)]),
  ];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}
