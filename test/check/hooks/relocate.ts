// A relocator of reference, in the manners of published hook libraries: rightly, or with one of their known mistakes.
import { bytesOfHex } from '../../../src/address.ts';
import { type Facts, factsAt } from '../../../src/x86/operands.ts';

/** How a library writes its trampoline. */
export interface Manner {
  readonly name: string;
  readonly at: bigint;
  /** near: `jmp rel32` and `jcc rel32`; absolute: `jmp [rip+0]` with its pointer. */
  readonly jumps: 'near' | 'absolute';
  /** What follows the jump back. */
  readonly tail: number;
}

export const MANNERS: readonly Manner[] = [
  { name: 'near', at: 0x1000_4000n, jumps: 'near', tail: 0xcc },
  { name: 'near below', at: 0x0fff_f000n, jumps: 'near', tail: 0x90 },
  { name: 'absolute', at: 0x1000_4000n, jumps: 'absolute', tail: 0xcc },
  { name: 'far away', at: 0x4150_0000n, jumps: 'near', tail: 0x00 },
];

/** The mistakes; each one applies to some prologues only. */
export const MISTAKES = [
  'displacement kept',
  'displacement in the last four bytes',
  'address prefix dropped',
  'branch kept',
  'short opcode plus sixteen',
  'condition inverted',
  'loop as dec and jnz',
  'jrcxz as test and jz',
  'count register widened',
  'inner branch kept',
  'return too early',
  'return too late',
  'one byte short',
  'last instruction lost',
  'first instruction twice',
  'data through rax',
  'return through rax',
  'return by push',
  'return pops the flags',
] as const;
export type Mistake = (typeof MISTAKES)[number];

/** A piece of the trampoline: how long it is, and its bytes once all places are known. */
interface Piece {
  readonly length: number;
  readonly bytes: (at: bigint, placeOf: (original: bigint) => bigint) => number[];
}

/** The trampoline, and how many bytes of the function it stands for; undefined where the mistake does not apply. */
export function relocate(
  bytes: Uint8Array,
  address: bigint,
  manner: Manner,
  mistake?: Mistake,
  patchLength = 5,
): { readonly bytes: Uint8Array; readonly displaced: number } | undefined {
  const all: Facts[] = [];
  let displaced = 0;
  let ended = false;
  while (displaced < patchLength && displaced < bytes.length && !ended) {
    const facts = factsAt(bytes.subarray(displaced, displaced + 15), address + BigInt(displaced), { bitness: 64 });
    if (facts.kind === 'invalid') return undefined;
    all.push(facts);
    displaced += facts.length;
    ended = endsFlow(facts) && !all.some((one) => inner(one, address + BigInt(displaced), address));
  }
  const end = address + BigInt(displaced);
  const scope: Scope = { address, end, manner, mistake, used: false };
  const pieces = new Map<bigint, Piece[]>();
  const order: Piece[] = [];
  const add = (facts: Facts, made: Piece[]): void => {
    pieces.set(facts.ip, made);
    order.push(...made);
  };
  const kept = mistake === 'last instruction lost' ? all.slice(0, -1) : all;
  if (kept.length === 0) return undefined;
  if (mistake === 'last instruction lost') {
    const lost = all.at(-1);
    scope.used = lost !== undefined && !lost.isNop;
  }
  if (mistake === 'first instruction twice' && all[0] !== undefined && !all[0].isNop) {
    scope.used = true;
    order.push(...pieceOf(all[0], scope));
  }
  for (const facts of kept) add(facts, pieceOf(facts, scope));
  const back = (target: bigint): Piece[] => jumpBack(target, all, scope);
  if (!ended || mistake?.startsWith('return') === true) order.push(...back(end));
  if (mistake !== undefined && !scope.used) return undefined;
  const places = new Map<Piece, bigint>();
  let at = manner.at;
  for (const piece of order) {
    places.set(piece, at);
    at += BigInt(piece.length);
  }
  const placeOf = (original: bigint): bigint => {
    const [piece] = pieces.get(original) ?? [];
    return (piece === undefined ? undefined : places.get(piece)) ?? original;
  };
  const out = order.flatMap((piece) => piece.bytes(places.get(piece) ?? 0n, placeOf));
  if (mistake === 'one byte short') out.shift();
  return { bytes: Uint8Array.from([...out, ...new Array<number>(16).fill(manner.tail)]), displaced };
}

interface Scope {
  readonly address: bigint;
  readonly end: bigint;
  readonly manner: Manner;
  readonly mistake: Mistake | undefined;
  /** Whether the mistake has been made. */
  used: boolean;
}

export function endsFlow({ kind, mnemonic }: Facts): boolean {
  return kind === 'jump' || kind === 'indirect-jump' || kind === 'return' || mnemonic === 'ud2';
}

function inner({ target, kind }: Facts, from: bigint, address: bigint): boolean {
  return target !== undefined && kind !== 'call' && target >= from && target < address + 5n;
}

function plain(bytes: readonly number[]): Piece {
  return { length: bytes.length, bytes: () => [...bytes] };
}

function le(value: bigint, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

/** `opcode rel32` to where the original target is now. */
function near(opcode: readonly number[], target: bigint): Piece {
  const length = opcode.length + 4;
  return { length, bytes: (at, placeOf) => [...opcode, ...le(placeOf(target) - at - BigInt(length), 4)] };
}

/** `jmp [rip+0]` and the pointer. */
function absolute(target: bigint, head: readonly number[] = []): Piece {
  return {
    length: head.length + 14,
    bytes: (_, placeOf) => [...head, 0xff, 0x25, 0, 0, 0, 0, ...le(placeOf(target), 8)],
  };
}

function pieceOf(facts: Facts, scope: Scope): Piece[] {
  const { mistake } = scope;
  if (facts.target !== undefined) return branch(facts, facts.target, scope);
  const data = facts.memory?.address;
  if (data === undefined || facts.memory?.base !== '' || !isRelative(facts)) return [plain([...facts.bytes])];
  if (mistake === 'displacement kept') return made(scope, [plain([...facts.bytes])]);
  const where = displacementAt(facts);
  const last = facts.length - 4;
  const wrongPlace = mistake === 'displacement in the last four bytes' && where !== last;
  if (wrongPlace) scope.used = true;
  if (mistake === 'address prefix dropped' && facts.bytes[0] === 0x67) {
    scope.used = true;
    return [rebased(facts.bytes.slice(1), where - 1, where - 1, data)];
  }
  if (mistake === 'data through rax') {
    const through = throughRax(facts, where, data);
    if (through !== undefined) return made(scope, [through]);
  }
  return [rebased(facts.bytes, where, wrongPlace ? last : where, data)];
}

function made(scope: Scope, pieces: Piece[]): Piece[] {
  scope.used = true;
  return pieces;
}

/** The instruction with the displacement that belongs at `where` written at `to`. */
function rebased(bytes: Uint8Array, where: number, to: number, data: bigint): Piece {
  return {
    length: bytes.length,
    bytes: (at) => {
      const out = [...bytes];
      if (to === where) out.splice(to, 4, ...le(data - at - BigInt(bytes.length), 4));
      else {
        // the tool adds the distance that the code moved by to what it takes for the displacement
        const old = out.slice(to, to + 4).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
        const rightful = data - at - BigInt(bytes.length);
        const was = out.slice(where, where + 4).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
        out.splice(to, 4, ...le(old + rightful - BigInt.asIntN(32, was), 4));
      }
      return out;
    },
  };
}

/** mov rax, imm64, and the operand through [rax]. */
function throughRax({ bytes }: Facts, where: number, data: bigint): Piece | undefined {
  const modrm = bytes[where - 1];
  if (modrm === undefined || (modrm & 0xc7) !== 5) return undefined;
  const changed = [...bytes.subarray(0, where - 1), modrm & 0x38, ...bytes.subarray(where + 4)];
  return plain([0x48, 0xb8, ...le(data, 8), ...changed]);
}

/** Only an operand relative to rip changes its address when the instruction is decoded elsewhere. */
function isRelative({ bytes, ip, memory }: Facts): boolean {
  return factsAt(bytes, ip + 0x100n, { bitness: 64 }).memory?.address !== memory?.address;
}

/** Where the decoder, and no rule of thumb, finds the displacement. */
function displacementAt({ bytes, ip, memory, code }: Facts): number {
  for (let at = 1; at + 4 <= bytes.length; at++) {
    const changed = bytes.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    const other = factsAt(changed, ip, { bitness: 64 });
    const distance = (other.memory?.address ?? 0n) - (memory?.address ?? 0n);
    if (other.code !== code) continue;
    if (distance === 1n || distance === -1n) return at;
  }
  throw new Error('no displacement');
}

function branch(facts: Facts, target: bigint, scope: Scope): Piece[] {
  const { manner, mistake, address, end } = scope;
  const inside = target >= address && target < end;
  const keep = (): Piece[] => made(scope, [plain([...facts.bytes])]);
  if (mistake === 'branch kept' && !inside) return keep();
  if (mistake === 'inner branch kept' && inside && target > facts.ip) return keep();
  const { bytes, kind, mnemonic } = facts;
  if (mnemonic === 'xbegin') return [near([...bytes.subarray(0, bytes.length - 4)], target)];
  if (kind === 'call') return [call(target, manner)];
  if (kind === 'jump') return [manner.jumps === 'near' || inside ? near([0xe9], target) : absolute(target)];
  const short = bytes[bytes.length - 2] ?? 0;
  if (/^(loop|j[er]?cxz)/.test(mnemonic)) return counted(facts, target, short, scope);
  const low = bytes.length > 5 ? (bytes[bytes.length - 5] ?? 0) & 15 : short & 15;
  const condition = mistake === 'condition inverted' ? low ^ 1 : low;
  if (mistake === 'condition inverted') scope.used = true;
  if (manner.jumps === 'near' || inside) return [near([0x0f, 0x80 | condition], target)];
  return [absolute(target, [0x70 | (condition ^ 1), 14])];
}

function call(target: bigint, { jumps }: Manner): Piece {
  if (jumps === 'near') return near([0xe8], target);
  // call [rip+2]; jmp +8; the pointer
  return { length: 16, bytes: () => [0xff, 0x15, 2, 0, 0, 0, 0xeb, 8, ...le(target, 8)] };
}

/** loop and jrcxz have no rel32 form: they jump over a jump. */
function counted(facts: Facts, target: bigint, opcode: number, scope: Scope): Piece[] {
  const prefix = [...facts.bytes.subarray(0, facts.length - 2)];
  const { mistake, manner } = scope;
  if (mistake === 'short opcode plus sixteen') return made(scope, [near([0x0f, opcode + 0x10], target)]);
  if (mistake === 'loop as dec and jnz' && opcode === 0xe2) {
    return made(scope, [plain([0x48, 0xff, 0xc9]), near([0x0f, 0x85], target)]);
  }
  if (mistake === 'jrcxz as test and jz' && opcode === 0xe3) {
    return made(scope, [plain([0x48, 0x85, 0xc9]), near([0x0f, 0x84], target)]);
  }
  const narrow = prefix.indexOf(0x67);
  if (mistake === 'count register widened' && narrow >= 0) {
    scope.used = true;
    prefix.splice(narrow, 1);
  }
  const jump = manner.jumps === 'near' ? near([0xe9], target) : absolute(target);
  return [plain([...prefix, opcode, 2, 0xeb, jump.length]), jump];
}

function jumpBack(end: bigint, all: readonly Facts[], scope: Scope): Piece[] {
  const { mistake, manner } = scope;
  const last = all.at(-1);
  if (mistake === 'return too early' && last !== undefined && last.length > 1) {
    return made(scope, [near([0xe9], end - 1n)]);
  }
  if (mistake === 'return too late') return made(scope, [near([0xe9], end + 1n)]);
  if (mistake === 'one byte short') scope.used = true;
  if (mistake === 'return through rax') return made(scope, [plain([0x48, 0xb8, ...le(end, 8), 0xff, 0xe0])]);
  if (mistake === 'return by push') {
    // push imm32; mov dword [rsp+4], imm32; ret
    const [low, high] = [le(end, 4), le(end >> 32n, 4)];
    return made(scope, [plain([0x68, ...low, 0xc7, 0x44, 0x24, 0x04, ...high, 0xc3])]);
  }
  if (mistake === 'return pops the flags') return made(scope, [plain([0x9d]), near([0xe9], end)]);
  return [manner.jumps === 'near' ? near([0xe9], end) : absolute(end)];
}

/** Where functions stand. */
export const FUNCTION = 0x1000_0800n;

/** The hook of a prologue, or undefined where the mistake does not apply. */
export function hookOf(hex: string, manner: Manner, mistake?: Mistake, patchLength = 5) {
  const bytes = bytesOfHex(hex);
  const moved = relocate(bytes, FUNCTION, manner, mistake, patchLength);
  if (moved === undefined) return undefined;
  return {
    function: { address: FUNCTION, bytes, padding: 0xcc },
    patchLength,
    trampoline: { address: manner.at, bytes: moved.bytes },
    displaced: moved.displaced,
  };
}
