// What single instructions do at their edges, as the manual says and the bare CPU does; edges.ts runs them.

import { hexBytes } from '../../src/address.ts';
import type { Fault, RegisterName } from '../../src/engine/engine.ts';

export const CODE = 0xffffffff81000000n;
export const DATA = 0xffff888000010000n;
/** First byte after the data, unmapped. */
const END = DATA + 0x2000n;
export const STACK = DATA + 0x1000n;
/** Writable code. */
export const SELF = 0x400000n;
const U64 = (1n << 64n) - 1n;
const CF = 1n;
const ZF = 0x40n;
const OF = 0x800n;
const DF = 0x400n;

export type Registers = Partial<Record<RegisterName, bigint>>;

/** One edge: what runs, from which state, and what it leaves; registers that are not named keep their value. */
export interface Edge {
  title: string;
  code: string;
  registers?: Registers;
  /** Bytes in guest memory beforehand, in hex. */
  memory?: readonly (readonly [address: bigint, bytes: string])[];
  /** The fault at its first byte; without one it runs to its end. */
  fault?: Omit<Fault, 'rip'>;
  leaves?: Registers;
  /** Bytes of memory afterwards. */
  holds?: readonly (readonly [address: bigint, bytes: string])[];
  /** Bits of rflags to compare, and their values. */
  flags?: readonly [mask: bigint, value: bigint];
  /** Runs in writable memory. */
  writable?: true;
}

const unmapped = (access: 'read' | 'write' | 'fetch', address: bigint) =>
  ({ kind: 'unmapped', access, address }) as const;
const GP = { kind: 'general-protection' } as const;
const DE = { kind: 'divide-error' } as const;
const UD = { kind: 'invalid-instruction' } as const;

/** A number as eight bytes in memory. */
function hexOf(value: bigint): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return hexBytes(bytes).replace(/ /g, '');
}

// biome-ignore format: one line an edge
export const EDGES: readonly Edge[] = [
  // accesses across pages
  { title: 'a load that crosses into nothing faults at the first byte there', code: '488b03', registers: { rbx: END - 3n }, fault: unmapped('read', END) },
  { title: 'a store that crosses into nothing writes nothing', code: '488903', registers: { rbx: END - 3n, rax: U64 }, fault: unmapped('write', END), holds: [[END - 3n, '000000']] },
  { title: 'a read-modify-write that crosses into nothing changes nothing', code: '48ff03', registers: { rbx: END - 1n }, fault: unmapped('write', END), holds: [[END - 1n, '00']] },
  { title: 'a load across two mapped pages takes both', code: '488b03', registers: { rbx: STACK - 4n }, memory: [[STACK - 4n, '0102030405060708']], leaves: { rax: 0x0807060504030201n } },
  { title: 'a push below the mapped stack keeps rsp', code: '50', registers: { rsp: DATA + 4n }, fault: unmapped('write', DATA - 4n) },
  { title: 'a vector store across two mapped pages', code: '0f1103', registers: { rbx: STACK - 8n }, memory: [[STACK - 8n, 'ff'.repeat(16)]], holds: [[STACK - 8n, '00'.repeat(16)]] },
  // alignment
  { title: 'movaps of a misaligned address is #GP', code: '0f2803', registers: { rbx: DATA + 8n }, fault: GP },
  { title: 'movaps to a misaligned address writes nothing', code: '0f2903', registers: { rbx: DATA + 8n }, memory: [[DATA + 8n, 'ff']], fault: GP, holds: [[DATA + 8n, 'ff']] },
  { title: 'paddb of a misaligned operand is #GP', code: '660ffc03', registers: { rbx: DATA + 1n }, fault: GP },
  { title: 'movups takes any address', code: '0f1003', registers: { rbx: DATA + 1n } },
  { title: 'movss takes any address', code: 'f30f1003', registers: { rbx: DATA + 3n } },
  { title: 'cmpxchg16b of a misaligned address is #GP', code: '480fc70b', registers: { rbx: DATA + 8n }, fault: GP },
  { title: 'cmpxchg16b that is equal stores rcx:rbx', code: '480fc70e', registers: { rsi: DATA + 16n, rax: 1n, rdx: 2n, rbx: 3n, rcx: 4n }, memory: [[DATA + 16n, '01000000000000000200000000000000']], flags: [ZF, ZF], holds: [[DATA + 16n, '03000000000000000400000000000000']] },
  { title: 'cmpxchg16b that differs loads rdx:rax', code: '480fc70e', registers: { rsi: DATA + 16n, rax: 1n, rdx: 2n }, memory: [[DATA + 16n, '0500000000000000ff000000000000ff']], flags: [ZF, 0n], leaves: { rax: 5n, rdx: 0xff000000000000ffn } },
  { title: 'cmpxchg8b takes any address and clears upper halves', code: '0fc70e', registers: { rsi: DATA + 3n, rax: U64, rdx: U64 }, memory: [[DATA + 3n, '0102030405060708']], leaves: { rax: 0x04030201n, rdx: 0x08070605n } },
  // divisions
  { title: 'div by 1 of what does not fit in 8 bits', code: 'f6f3', registers: { rax: 0x100n, rbx: 1n }, fault: DE },
  { title: 'div of the largest that fits in 8 bits', code: 'f6f3', registers: { rax: 0xffn, rbx: 1n }, leaves: { rax: 0xffn } },
  { title: 'idiv of the smallest 8-bit quotient', code: 'f6fb', registers: { rax: 0xff80n, rbx: 1n }, leaves: { rax: 0x80n } },
  { title: 'idiv one below the smallest 8-bit quotient', code: 'f6fb', registers: { rax: 0xff7fn, rbx: 1n }, fault: DE },
  { title: 'idiv of the smallest number by -1, 32 bits', code: 'f7fb', registers: { rax: 0x80000000n, rdx: 0xffffffffn, rbx: 0xffffffffn }, fault: DE },
  { title: 'idiv of the smallest number by -1, 64 bits', code: '48f7fb', registers: { rax: 1n << 63n, rdx: U64, rbx: U64 }, fault: DE },
  { title: 'div of 128 bits whose quotient is the largest', code: '48f7f3', registers: { rax: U64, rdx: U64 - 1n, rbx: U64 }, leaves: { rax: U64, rdx: U64 - 1n } },
  { title: 'div of 128 bits whose quotient has 65', code: '48f7f3', registers: { rax: 0n, rdx: 7n, rbx: 7n }, fault: DE },
  { title: 'the sign of a remainder is the dividend’s', code: '48f7fb', registers: { rax: U64 - 6n, rdx: U64, rbx: 3n }, leaves: { rax: U64 - 1n, rdx: U64 } },
  { title: 'a divisor in memory that is not there faults before it divides', code: 'f733', registers: { rbx: END }, fault: unmapped('read', END) },
  // repeats
  { title: 'rep with a count of 0 touches nothing', code: 'f3a4', registers: { rcx: 0n, rsi: 1n, rdi: 1n } },
  { title: 'rep with 67 and a count of 2^32 touches nothing', code: '67f3aa', registers: { rcx: 1n << 32n, rdi: 1n }, leaves: { rcx: 1n << 32n } },
  { title: 'rep movsb backwards', code: 'f3a4', registers: { rflags: DF, rcx: 3n, rsi: DATA + 2n, rdi: DATA + 0x12n }, memory: [[DATA, '010203']], leaves: { rcx: 0n, rsi: DATA - 1n, rdi: DATA + 0xfn }, holds: [[DATA + 0xfn, '00010203']] },
  { title: 'rep movsq backwards moves by its size', code: 'f348a5', registers: { rflags: DF, rcx: 2n, rsi: DATA + 8n, rdi: DATA + 0x28n }, memory: [[DATA, '01'], [DATA + 8n, '02']], leaves: { rcx: 0n, rsi: DATA - 8n, rdi: DATA + 0x18n }, holds: [[DATA + 0x20n, '01000000000000000200000000000000']] },
  { title: 'rep movsb onto itself repeats the first bytes', code: 'f3a4', registers: { rcx: 6n, rsi: DATA, rdi: DATA + 2n }, memory: [[DATA, 'aabb']], leaves: { rcx: 0n, rsi: DATA + 6n, rdi: DATA + 8n }, holds: [[DATA, 'aabbaabbaabbaabb00']] },
  { title: 'rep movsb that runs off its page keeps what it did', code: 'f3a4', registers: { rcx: 8n, rsi: DATA, rdi: END - 3n }, memory: [[DATA, '0102030405']], fault: unmapped('write', END), leaves: { rcx: 5n, rsi: DATA + 3n, rdi: END }, holds: [[END - 3n, '010203']] },
  { title: 'rep stosb backwards that runs off its page keeps what it did', code: 'f3aa', registers: { rflags: DF, rax: 7n, rcx: 5n, rdi: DATA + 2n }, fault: unmapped('write', DATA - 1n), leaves: { rcx: 2n, rdi: DATA - 1n }, holds: [[DATA, '070707']] },
  { title: 'rep lodsq whose element crosses into nothing keeps rsi', code: 'f348ad', registers: { rcx: 4n, rsi: END - 12n }, memory: [[END - 12n, '09']], fault: unmapped('read', END), leaves: { rax: 9n, rcx: 3n, rsi: END - 4n } },
  { title: 'repe cmpsb stops behind the first difference', code: 'f3a6', registers: { rcx: 9n, rsi: DATA, rdi: DATA + 16n }, memory: [[DATA, '010203'], [DATA + 16n, '010204']], leaves: { rcx: 6n, rsi: DATA + 3n, rdi: DATA + 19n }, flags: [CF | ZF, CF] },
  { title: 'repne scasb finds the end of a string', code: 'f2ae', registers: { rax: 0n, rcx: U64, rdi: DATA }, memory: [[DATA, '616263']], leaves: { rcx: U64 - 4n, rdi: DATA + 4n }, flags: [ZF, ZF] },
  { title: 'movs reads through an overridden segment and writes without', code: '65a4', registers: { gsBase: DATA, rsi: 1n, rdi: DATA + 9n }, memory: [[DATA, '0055']], leaves: { rsi: 2n, rdi: DATA + 10n }, holds: [[DATA + 9n, '55']] },
  { title: 'rep movsb that writes the next instruction: the new one runs', code: 'f3a4 90 90', writable: true, registers: { rcx: 2n, rsi: DATA, rdi: SELF + 2n }, memory: [[DATA, 'ffc0']], leaves: { rax: 1n, rcx: 0n, rsi: DATA + 2n, rdi: SELF + 4n } },
  { title: 'a store that writes the next instruction: the new one runs', code: 'c70502000000 ffc09090 90 90 90 90 90 90', writable: true, leaves: { rax: 1n } },
  // addresses
  { title: 'an offset below a segment base in the high half', code: '65488b0425f8ffffff', registers: { gsBase: DATA + 0x100n }, memory: [[DATA + 0xf8n, '2a']], leaves: { rax: 42n } },
  { title: '67 cuts the offset to 32 bits before the base is added', code: '6467488b03', registers: { fsBase: DATA, rbx: 0xabcd_0000_0000_0010n }, memory: [[DATA + 0x10n, '2a']], leaves: { rax: 42n } },
  { title: 'a prefix of ds after one of gs does not cancel it', code: '653e488b042500000000', registers: { gsBase: DATA }, memory: [[DATA, '2a']], leaves: { rax: 42n } },
  { title: 'base, index and displacement wrap at 2^64', code: '488b44ca08', registers: { rdx: DATA + 0x100n, rcx: U64 - 3n }, memory: [[DATA + 0xe8n, '2a']], leaves: { rax: 42n } },
  { title: 'the first address that is not canonical is #GP', code: '8a03', registers: { rbx: 0x8000_0000_0000n }, fault: GP },
  { title: 'the last address of the lower half is only unmapped', code: '8a03', registers: { rbx: 0x7fff_ffff_ffffn }, fault: unmapped('read', 0x7fff_ffff_ffffn) },
  { title: 'a jump to an address that is not canonical is #GP at the jump', code: 'ffe3', registers: { rbx: 1n << 63n }, fault: GP },
  { title: 'a return to an address that is not canonical is #GP at the return', code: 'c3', memory: [[STACK, '0000000000000080']], fault: GP },
  { title: 'lea computes any address', code: '488d43ff', registers: { rbx: 0x8000_0000_0000n }, leaves: { rax: 0x7fff_ffff_ffffn } },
  { title: 'bt reaches below its operand by a negative index', code: '480fa30b', registers: { rbx: DATA + 0x100n, rcx: U64 }, memory: [[DATA + 0xffn, '80']], flags: [CF, CF] },
  { title: 'bts reaches beyond its operand', code: '0fab0b', registers: { rbx: DATA, rcx: 0x1003n }, flags: [CF, 0n], holds: [[DATA + 0x200n, '08']] },
  // prefixes
  { title: '15 bytes are an instruction', code: `${'2e'.repeat(14)}90` },
  { title: '16 bytes are #GP', code: `${'2e'.repeat(15)}90`, fault: GP },
  { title: 'a REX prefix before another prefix does not count', code: '4866ffc0', registers: { rax: 0xffff_ffffn }, leaves: { rax: 0xffff_0000n } },
  { title: '66 and REX.W together are 64 bits', code: '6648ffc0', registers: { rax: 0xffff_ffffn }, leaves: { rax: 0x1_0000_0000n } },
  { title: 'a write of 16 bits keeps the rest', code: '66b83412', registers: { rax: U64 }, leaves: { rax: U64 - 0xffffn + 0x1234n } },
  { title: 'a write of 32 bits clears the upper half', code: '89c0', registers: { rax: U64 }, leaves: { rax: 0xffff_ffffn } },
  { title: '90 is no exchange of eax with itself', code: '90', registers: { rax: U64 } },
  { title: '90 with REX.B exchanges rax with r8', code: '4990', registers: { rax: 1n, r8: 2n }, leaves: { rax: 2n, r8: 1n } },
  { title: 'a cmov that does not move clears the upper half', code: '0f44c3', registers: { rflags: 0n, rax: U64, rbx: 5n }, leaves: { rax: 0xffff_ffffn } },
  { title: 'without REX 4 is ah', code: 'b412', registers: { rax: 0n }, leaves: { rax: 0x1200n } },
  { title: 'with REX 4 is spl', code: '4080c401', leaves: { rsp: STACK + 1n } },
  { title: 'notrack before an indirect jump is nothing', code: '3effe3', registers: { rbx: CODE + 3n } },
  { title: 'bnd before a jump is nothing', code: 'f2e900000000' },
  { title: 'lock on a register is #UD', code: 'f001c0', fault: UD },
  { title: 'lock on what reads only is #UD', code: 'f03903', registers: { rbx: DATA }, fault: UD },
  { title: 'lock on a move is #UD', code: 'f08903', registers: { rbx: DATA }, fault: UD },
  { title: 'lock on bt is #UD', code: 'f00fa303', registers: { rbx: DATA }, fault: UD },
  { title: 'lock on add to memory adds', code: 'f0830305', registers: { rbx: DATA }, holds: [[DATA, '05']] },
  // counts
  { title: 'a shift by 0 keeps the flags', code: '48d3e0', registers: { rflags: CF | ZF | OF, rcx: 64n, rax: 3n }, flags: [CF | ZF | OF, CF | ZF | OF] },
  { title: 'a 32-bit shift masks its count to 5 bits', code: 'd3e0', registers: { rcx: 33n, rax: 1n }, leaves: { rax: 2n } },
  { title: 'a 64-bit shift masks its count to 6 bits', code: '48d3e0', registers: { rcx: 33n, rax: 1n }, leaves: { rax: 1n << 33n } },
  { title: 'sar of a negative number by 63', code: '48c1f83f', registers: { rax: 1n << 63n }, leaves: { rax: U64 } },
  { title: 'rcl through the carry by 1', code: 'd1d0', registers: { rflags: CF, rax: 0x80000000n }, leaves: { rax: 1n }, flags: [CF, CF] },
  { title: 'rol by its whole width sets CF from the result', code: 'c0c008', registers: { rflags: 0n, rax: 1n }, flags: [CF, CF] },
  { title: 'loop counts rcx without touching the flags', code: 'e200', registers: { rflags: ZF, rcx: 1n }, leaves: { rcx: 0n }, flags: [ZF, ZF] },
  { title: 'loop with 67 counts ecx and clears the upper half', code: '67e200', registers: { rcx: (5n << 32n) | 1n }, leaves: { rcx: 0n } },
  { title: 'jrcxz looks at 64 bits', code: 'e302 ffc0', registers: { rcx: 1n << 32n, rax: 0n }, leaves: { rax: 1n } },
  { title: 'jecxz looks at 32 bits', code: '67e302 ffc0', registers: { rcx: 1n << 32n, rax: 0n } },
  // the stack
  { title: 'push rsp pushes what it was', code: '54', leaves: { rsp: STACK - 8n }, holds: [[STACK - 8n, hexOf(STACK)]] },
  { title: 'pop rsp ends with what was popped', code: '5c', memory: [[STACK, hexOf(DATA + 0x40n)]], leaves: { rsp: DATA + 0x40n } },
  { title: 'pop to [rsp] uses rsp after it moved', code: '8f0424', memory: [[STACK, hexOf(7n)]], leaves: { rsp: STACK + 8n }, holds: [[STACK + 8n, hexOf(7n)]] },
  { title: 'pop to memory that is not there keeps rsp', code: '8f03', registers: { rbx: END }, fault: unmapped('write', END) },
  { title: 'a call through [rsp] reads before it pushes', code: 'ff1424 90', memory: [[STACK, hexOf(CODE + 4n)]], leaves: { rsp: STACK - 8n } },
  { title: 'ret takes its arguments off the stack', code: 'c21000', memory: [[STACK, hexOf(CODE + 3n)]], leaves: { rsp: STACK + 0x18n } },
  { title: 'enter with nested frames copies them', code: 'c8100002', registers: { rbp: STACK + 0x40n }, memory: [[STACK + 0x38n, hexOf(0x1234n)]], leaves: { rbp: STACK - 8n, rsp: STACK - 0x28n }, holds: [[STACK - 0x18n, hexOf(STACK - 8n) + hexOf(0x1234n) + hexOf(STACK + 0x40n)]] },
  { title: 'leave restores both', code: 'c9', registers: { rbp: STACK + 0x10n }, memory: [[STACK + 0x10n, hexOf(5n)]], leaves: { rsp: STACK + 0x18n, rbp: 5n } },
  // two at once
  { title: 'xadd of a register with itself doubles it', code: '480fc1c0', registers: { rax: 21n }, leaves: { rax: 42n } },
  { title: 'cmpxchg that differs loads rax', code: '480fb10b', registers: { rax: 1n, rbx: DATA, rcx: 9n }, memory: [[DATA, '05']], leaves: { rax: 5n }, flags: [ZF, 0n] },
  { title: 'movbe of 16 bits keeps the rest', code: '660f38f003', registers: { rax: U64, rbx: DATA }, memory: [[DATA, '1234']], leaves: { rax: U64 - 0xffffn + 0x1234n } },
  { title: 'ud2 and ud1 are #UD', code: '0fb9c0', fault: UD },
];
