// Straight-line programs of random instructions: flags and registers carried from one instruction to the next.

import { Decoder, DecoderOptions, Instruction } from 'iced-x86';
import { type CodeRow, classify } from './codes.ts';
import { encode, type Memory, type Shape, shapeOf } from './encode.ts';
import { rflagsOf } from './flags.ts';
import { SEED, startState } from './generate.ts';
import { type Case, CODE, FLAGS, GS_BASE, MEMORY, RSP } from './layout.ts';
import { Random } from './random.ts';

/** Section name of the programs in the vectors. */
export const PROGRAM = 'program';

const CF = 0x001;
const OF = 0x800;
const DF = 0x400;

// What cannot stand in the middle of a straight line, or leaves a register undefined.
const UNFIT =
  /^(J|Loop|Call|Ret|Ud|In_|Out_|Ins|Outs|Rdmsr|Wrmsr|Mov_(r64_[cd]r|[cd]r_)|Clts|Invd|Wbinvd|L[gi]dt|Lmsw|Lldt|Ltr|Invlpg|Int3|Popf|Std|Enter|Leave|Xlatb|Div|Idiv|Bs[fr]_|Bt[crs]?_rm\d+_r|Maskmovdqu|Ldmxcsr|Stmxcsr|Clflush|Clwb|Cmpxchg16b|Sh[lr]d_rm16|Rdgsbase|(Movs|Cmps|Stos|Lods|Scas)[bwdq]_)/;

// What compilers emit only where asked to.
const RARE = new Set(['AES', 'PCLMULQDQ', 'SHA', 'FSGSBASE', 'CLWB']);

/** Codes that programs are made of. */
export function programRows(rows: readonly CodeRow[] = classify().rows): CodeRow[] {
  return rows.filter((row) => !UNFIT.test(row.name) && !row.features.some((feature) => RARE.has(feature)));
}

/** `count` programs of 5 to 30 instructions from `rows`; operands in memory are addressed absolutely, by rip, gs or rsp. */
export function* programs(rows: readonly CodeRow[], count: number, seed = SEED): Generator<Case> {
  const shapes = rows.map(shapeOf);
  const random = new Random(seed, PROGRAM);
  for (let i = 0; i < count; i++) yield program(shapes, i, random);
}

function program(shapes: readonly Shape[], number: number, random: Random): Case {
  const state = startState(random);
  state.gprs[RSP] = MEMORY + 0x400n + BigInt(8 * random.below(32));
  const code: number[] = [];
  const { instructions, undefinedNow } = straightLine(code, shapes, 5 + random.below(26), random);
  return {
    id: `${PROGRAM}/${instructions}/${number}`,
    code: PROGRAM,
    form: String(instructions),
    bytes: Uint8Array.from(code),
    ...state,
    flags: state.flags & ~DF,
    undefinedFlags: undefinedNow,
    undefinedIfZero: 0,
    instructions,
    branches: false,
  };
}

/** Appends up to `wanted` random instructions to code at CODE; the flags that they leave undefined. */
export function straightLine(
  code: number[],
  shapes: readonly Shape[],
  wanted: number,
  random: Random,
): { instructions: number; undefinedNow: number } {
  let undefinedNow = 0;
  let instructions = 0;
  for (let attempt = 0; attempt < 400 && instructions < wanted; attempt++) {
    const shape = random.pick(shapes);
    const ip = CODE + BigInt(code.length);
    const bytes = encode(shape, choiceFor(shape, random), ip);
    if (bytes === undefined) continue;
    const after = undefinedAfter(shape, bytes, ip, undefinedNow);
    if (after === undefined) continue;
    undefinedNow = after;
    code.push(...bytes);
    instructions++;
  }
  return { instructions, undefinedNow };
}

function choiceFor(shape: Shape, random: Random): Parameters<typeof encode>[1] {
  const takesMemory = shape.rm === 'memory' || (shape.rm === 'both' && random.oneIn(3));
  const placed = takesMemory ? placeFixed(shape, random) : undefined;
  return {
    reg: general(random),
    rm: placed?.memory ?? general(random),
    vvvv: general(random),
    opcodeRegister: general(random),
    // the upper bits of an SSE compare's predicate are reserved
    immediates: shape.immediates.map(
      (size) => random.immediate(size) & (/^Cmp[ps][sd]_/.test(shape.row.name) ? 7n : -1n),
    ),
    moffs: MEMORY + 0x800n + BigInt(random.below(0x700)),
    target: 0n,
    prefixes: placed?.prefixes ?? [],
    forceRex: false,
  };
}

/** An operand whose address no earlier instruction can have changed; rsp only moves by pushes and pops. */
function placeFixed(shape: Shape, random: Random): { memory: Memory; prefixes: number[] } {
  const free = MEMORY + 0x800n + BigInt(random.below(0x780));
  const target = shape.memorySize >= 16 ? free & ~15n : free;
  const kind = random.below(4);
  if (kind === 0) return { memory: { kind: 'rip', target }, prefixes: [] };
  if (kind === 1 && shape.memorySize < 16) {
    // not [rsp], where a return address may lie
    const displacement = 8 + random.below(0x1f8);
    return { memory: { kind: 'register', base: RSP, displacement, size: 4 }, prefixes: [] };
  }
  if (kind === 2) return { memory: { kind: 'absolute', displacement: Number(target - GS_BASE) }, prefixes: [0x65] };
  return { memory: { kind: 'absolute', displacement: Number(target) }, prefixes: [] };
}

/** A register that is not rsp. */
function general(random: Random): number {
  const register = random.below(15);
  return register < RSP ? register : register + 1;
}

/**
 * The flags undefined after an instruction, given those before it; undefined where it reads one of them or where the
 * bytes are not the instruction that was meant.
 */
function undefinedAfter(shape: Shape, bytes: Uint8Array, ip: bigint, before: number): number | undefined {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  decoder.ip = ip;
  const instruction = new Instruction();
  decoder.decodeOut(instruction);
  const fits = instruction.code === shape.row.code && instruction.length === bytes.length;
  const read = rflagsOf(instruction.rflagsRead);
  const written = rflagsOf(instruction.rflagsWritten | instruction.rflagsCleared | instruction.rflagsSet);
  let left = rflagsOf(instruction.rflagsUndefined);
  instruction.free();
  decoder.free();
  if (!fits || (read & before) !== 0) return undefined;
  const { name } = shape.row;
  if (/^(Shl|Sal|Shr)_rm(8|16)_/.test(name)) left |= CF; // for counts from the operand size on
  if (/^Rc[lr]_rm(8|16)_/.test(name)) left |= OF; // for counts other than 1
  // a count in cl may be 0, which leaves the flags as they were; pushf stores all flags
  if (name.endsWith('_CL')) return (before | left) & FLAGS;
  if (/^Pushf/.test(name) && before !== 0) return undefined;
  return ((before & ~written) | left) & FLAGS;
}
