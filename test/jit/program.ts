// Random programs of the instructions that traces have: arithmetic, memory, stack, branches, calls, and some they have not.
import type { Random } from '../metal/random.ts';

/** Registers that programs use freely: all but rsp, r14 (the data's address) and r15 (turns left). */
const FREE = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13];
const RSP = 4;
const DATA = 14;
const TURNS = 15;

/** Two-operand operations by their opcode for `r/m, r`. */
const ALU = [0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85, 0x89];
/** Of them, those with a form for bytes one below and one from memory two above. */
const BASIC = ALU.slice(0, 8);

/** Bytes of a program that loops `r15` times and returns; it calls a function behind its end. */
export function randomProgram(random: Random): Uint8Array {
  const parts: number[][] = [];
  const size = () => parts.reduce((sum, part) => sum + part.length, 0);
  let pushed = 0;
  const calls: { part: number; at: number }[] = [];
  const length = 4 + random.below(24);
  for (let i = 0; i < length; i++) {
    const kind = random.below(16);
    if (kind === 0) {
      parts.push(random.oneIn(3) ? [0x9c] : push(random.pick(FREE)));
      pushed++;
    } else if (kind === 1 && pushed > 0) {
      parts.push(random.oneIn(4) ? [0x9d] : pop(random.pick(FREE)));
      pushed--;
    } else if (kind === 2) {
      const skipped = simple(random);
      parts.push([0x70 + random.below(16), skipped.length], skipped);
    } else if (kind === 3) {
      calls.push({ part: parts.length, at: size() });
      parts.push([0xe8, 0, 0, 0, 0]);
    } else parts.push(simple(random));
  }
  while (pushed-- > 0) parts.push(pop(random.pick(FREE)));
  parts.push([0x49, 0xff, 0xcf]); // dec r15
  parts.push([0x0f, 0x85, ...le32(-(size() + 6))]); // jnz to the start
  parts.push([0xc3]);
  const target = size();
  parts.push(simple(random), simple(random), [0xc3]);
  for (const { part, at } of calls) parts[part] = [0xe8, ...le32(target - (at + 5))];
  return Uint8Array.from(parts.flat());
}

/** One instruction that neither branches nor moves rsp. */
function simple(random: Random): number[] {
  const [a, b] = [random.pick(FREE), random.pick(FREE)];
  const wide = random.oneIn(3) ? 0 : 1;
  switch (random.below(21)) {
    case 0:
    case 1:
      return [rex(wide, b, a), random.pick(ALU), 0xc0 | ((b & 7) << 3) | (a & 7)];
    case 2:
      return memory(random, wide, random.pick(ALU), a);
    case 3:
      return memory(random, wide, random.pick(ALU) | 2, a); // r, r/m; of 0x85 and 0x89: xchg and mov
    case 4:
      return [rex(wide, 0, a), 0x81, 0xc0 | (random.below(8) << 3) | (a & 7), ...le32(random.next() | 0)];
    case 5:
      return [rex(wide, 0, a), 0xc1, 0xc0 | (random.pick([4, 5, 7, 0, 1]) << 3) | (a & 7), random.below(70)];
    case 6:
      return [rex(wide, 0, a), 0xff, 0xc0 | (random.below(2) << 3) | (a & 7)]; // inc, dec
    case 7:
      return [rex(wide, 0, a), 0xf7, 0xc0 | (random.pick([2, 3]) << 3) | (a & 7)]; // not, neg
    case 8:
      return [rex(wide, b, a), 0x0f, 0xaf, 0xc0 | ((b & 7) << 3) | (a & 7)]; // imul
    case 9:
      return [rex(wide, b, a), 0x69, 0xc0 | ((b & 7) << 3) | (a & 7), ...le32(random.next() | 0)];
    case 10:
      return [rex(wide, b, a), 0x0f, 0x40 + random.below(16), 0xc0 | ((b & 7) << 3) | (a & 7)]; // cmovcc
    case 11:
      return [rex(0, 0, a), 0x0f, 0x90 + random.below(16), 0xc0 | (a & 7)]; // setcc
    case 12:
      return [rex(wide, b, a), 0x0f, random.pick([0xb6, 0xb7]), 0xc0 | ((b & 7) << 3) | (a & 7)]; // movzx
    case 13:
      return memory(random, wide, random.pick([0x8d, 0x8b, 0x63]), a);
    case 14:
      return memory(random, 0, random.pick([0x88, 0x89]), a);
    case 15:
      return memory(random, wide, 0xc7, 0, le32(random.next() | 0)); // mov m, imm32
    case 16:
      return [0xb8 + (random.pick(FREE) & 7), ...le32(random.next() | 0)]; // mov r32, imm32; rsp is never chosen
    case 17:
      return [[0x38, 0x3c], [0x84]][random.below(2)]?.length === 2
        ? [0x3c, random.below(256)] // cmp al, imm8
        : [0x84, 0xc0 | (random.pick([0, 1, 2, 3]) << 3) | random.pick([0, 1, 2, 3, 4, 5, 6, 7])]; // test r8, r8
    case 18: // of 16 bits and of bytes, with ah to bh where there is no REX
      return random.pick([
        [0x66, rex(0, b, a), random.pick(BASIC), 0xc0 | ((b & 7) << 3) | (a & 7)],
        [0x66, ...memory(random, 0, random.pick(BASIC) | random.pick([0, 2]), a)],
        [rex(0, b, a), random.pick(BASIC) & ~1, 0xc0 | ((b & 7) << 3) | (a & 7)],
        [random.pick(BASIC) & ~1, 0xc0 | (random.pick([0, 1, 2, 3, 4, 5, 6, 7]) << 3) | random.below(4)],
        memory(random, 0, (random.pick(BASIC) & ~1) | random.pick([0, 2]), a),
      ]);
    case 19: // with immediates, in registers and memory
      return random.pick([
        [rex(wide, 0, a), 0x83, 0xc0 | (random.below(8) << 3) | (a & 7), random.below(256)],
        memory(random, wide, 0x81, random.below(8), le32(random.next() | 0)),
        memory(random, 0, 0x80, random.below(8), [random.below(256)]),
      ]);
    default:
      // what traces have not: rol through carry, bswap, mul
      return random.pick([
        [rex(wide, 0, a), 0xd1, 0xd0 | (a & 7)],
        [rex(1, 0, a), 0x0f, 0xc8 | (a & 7)],
        [rex(wide, 0, a), 0xf7, 0xe0 | (a & 7)],
      ]);
  }
}

/** An operand in the frame, around it, or in the data. */
function memory(
  random: Random,
  wide: number,
  opcode: number,
  reg: number,
  immediate: readonly number[] = [],
): number[] {
  if (random.oneIn(2)) {
    const displacement = le32(8 * random.below(24) + (random.oneIn(5) ? random.below(8) : 0) - 96);
    return [rex(wide, reg, RSP), opcode, 0x84 | ((reg & 7) << 3), 0x24, ...displacement, ...immediate];
  }
  const displacement = le32(random.below(0x600));
  return [rex(wide, reg, DATA), opcode, 0x80 | ((reg & 7) << 3) | (DATA & 7), ...displacement, ...immediate];
}

function push(register: number): number[] {
  return register > 7 ? [0x41, 0x50 + (register & 7)] : [0x50 + register];
}

function pop(register: number): number[] {
  return register > 7 ? [0x41, 0x58 + (register & 7)] : [0x58 + register];
}

function rex(wide: number, reg: number, rm: number): number {
  return 0x40 | (wide << 3) | (reg > 7 ? 4 : 0) | (rm > 7 ? 1 : 0);
}

function le32(value: number): number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}

export { DATA, TURNS };
