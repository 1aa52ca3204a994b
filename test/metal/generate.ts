// Makes the cases: for each instruction code, operand forms times prefixes times boundary and random state.

import { Decoder, DecoderOptions } from 'iced-x86';
import type { CodeRow } from './codes.ts';
import { encode, type Shape, shapeOf } from './encode.ts';
import { undefinedFlags } from './flags.ts';
import { type Case, CODE, FLAGS, MEMORY, type Patch, RCX, RSP } from './layout.ts';
import { FORMS, type Form, MEMORY_FORMS, place } from './operands.ts';
import { Random } from './random.ts';
import { branchTarget, type Draft, isString, setUp, store } from './setup.ts';

/** The seed of the committed vectors. */
export const SEED = 0x6d65_7461;

const DF = 0x400;
const STRING_FORMS: readonly Form[] = ['plain', 'rep', 'rep', 'repne', 'rep', 'rep-fault', 'addr32', 'repne', 'rep'];
const PLAIN_FORMS: readonly Form[] = ['plain', 'plain', 'plain', 'prefixed', 'plain', 'plain', 'plain', 'fault-stack'];
// ldmxcsr [MEMORY + 0x7f0]: gives stmxcsr a known register on engines that keep MXCSR between cases
const LOAD_MXCSR = Uint8Array.of(0x0f, 0xae, 0x14, 0x25, 0xf0, 0x07, 0x20, 0x00);

/** The data page before patches. The same for every case. */
export function background(seed = SEED): Uint8Array {
  const page = new Uint8Array(0x1000);
  new Random(seed, 'background').lanes(page);
  return page;
}

/**
 * `count` cases of one code, the same ones for the same seed, whatever other codes are generated. Fewer come out
 * where a form cannot be encoded for this code.
 */
export function* casesOf(row: CodeRow, count: number, seed = SEED): Generator<Case> {
  const shape = shapeOf(row);
  const random = new Random(seed, row.name);
  for (let i = 0; i < count; i++) {
    for (let attempt = 0; attempt < 12; attempt++) {
      const made = tryCase(shape, formOf(shape, i), i, random);
      if (made === undefined) continue;
      yield made;
      break;
    }
  }
}

/** How many cases a code deserves: branches and NOPs have little state to vary. */
export function countFor(row: CodeRow): number {
  // one code for the eight digits of a group, which have a row each
  if (/^Reservednop_.*_0F18$/.test(row.name)) return 300;
  // where an engine goes wrong for few of many immediates or lengths
  if (/^(VEX_Bextr|Pcmp[ei]str|Dpp[sd]_)/.test(row.name)) return 600;
  if (/^(Nop|Reservednop|Prefetch|Clflush|Clwb|Pause|.fence|Endbr|Ud\d|Int3)/i.test(row.mnemonic)) return 60;
  if (/^(J|Loop|Call)/.test(row.mnemonic)) return 72;
  return 126;
}

/** Makes numbers of like size of all lanes, where a sum's last bit shows in which order it was added up. */
function ofLikeSize(xmm: Uint8Array): void {
  const view = new DataView(xmm.buffer, xmm.byteOffset, xmm.byteLength);
  for (let at = 0; at < xmm.length; at += 4) {
    view.setUint32(at, (view.getUint32(at, true) & 0x807f_ffff) | 0x3f80_0000, true);
  }
}

/** A random start: registers, flags and vectors, with rsp inside the stack. */
export function startState(random: Random): Pick<Case, 'gprs' | 'flags' | 'xmm' | 'patches'> {
  const gprs = BigUint64Array.from({ length: 16 }, () => random.u64());
  gprs[RSP] = MEMORY + 0x400n + BigInt(8 * random.below(64) + (random.oneIn(8) ? random.below(8) : 0));
  const flags = random.next() & FLAGS & (random.oneIn(8) ? FLAGS : ~DF);
  const xmm = new Uint8Array(256);
  random.lanes(xmm);
  const patches: Patch[] = [{ offset: Number((gprs[RSP] ?? 0n) - MEMORY), bytes: randomBytes(32, random) }];
  return { gprs, flags, xmm, patches };
}

function formOf(shape: Shape, i: number): Form {
  const list: readonly Form[] = isString(shape)
    ? STRING_FORMS
    : shape.rm === 'both'
      ? FORMS
      : shape.rm === 'memory'
        ? MEMORY_FORMS
        : shape.rm === 'register'
          ? ['reg', 'reg', 'reg', 'prefixed']
          : PLAIN_FORMS;
  return list[i % list.length] ?? 'plain';
}

function tryCase(shape: Shape, form: Form, number: number, random: Random): Case | undefined {
  const state = startState(random);
  const { gprs, xmm } = state;
  if (/^Dpp[sd]_/.test(shape.row.name) && random.oneIn(2)) ofLikeSize(xmm);
  const draft: Draft = {
    shape,
    form,
    gprs,
    flags: state.flags,
    reg: random.below(16),
    rm: random.below(16),
    placed: undefined,
    immediates: shape.immediates.map((size) => random.immediate(size)),
    patches: state.patches,
    prefixes: [],
  };
  if (!chooseOperands(draft, random)) return undefined;
  if (form === 'fault-stack') {
    gprs[RSP] = random.oneIn(2) ? MEMORY + BigInt(random.below(8)) : MEMORY + 0x1000n - BigInt(random.below(8));
  }
  setUp(draft, random);
  if (form === 'prefixed') draft.prefixes.push(random.pick(shape.isControl ? [0x2e, 0x3e, 0xf2, 0xf3] : HARMLESS));
  if (shape.isControl && shape.notrack && random.oneIn(6)) draft.prefixes.push(0x3e);
  if (shape.isControl && shape.bnd && random.oneIn(6)) draft.prefixes.push(0xf2);

  const needsMxcsr = shape.row.mnemonic === 'Stmxcsr';
  if (needsMxcsr) store(draft, MEMORY + 0x7f0n, BigInt(0x1f80 | random.below(64)), 4);
  const lead = needsMxcsr ? LOAD_MXCSR : new Uint8Array(0);
  const choice = {
    reg: draft.reg,
    rm: draft.placed?.memory ?? draft.rm,
    vvvv: random.below(16),
    opcodeRegister: draft.rm,
    immediates: draft.immediates,
    moffs: MEMORY + 0x800n + BigInt(random.below(0x7f8)),
    target: shape.branch > 0 ? branchTarget(shape.branch, random) : 0n,
    prefixes: draft.prefixes,
    // for byte registers REX decides between ah and spl; elsewhere it is one more prefix without meaning
    forceRex:
      !shape.vex &&
      random.oneIn(3) &&
      (form === 'prefixed' || shape.rmSize === 1 || shape.regSize === 1 || shape.opcodeSize === 1),
  };
  const instruction = encode(shape, choice, CODE + BigInt(lead.length));
  if (instruction === undefined || instruction.length > 15) return undefined;
  const undefinedAfter = checkedUndefinedFlags(shape, instruction, gprs);
  if (undefinedAfter === undefined) return undefined;
  const bytes = new Uint8Array(lead.length + instruction.length);
  bytes.set(lead);
  bytes.set(instruction, lead.length);
  return {
    id: `${shape.row.name}/${form}/${number}`,
    code: shape.row.name,
    form,
    bytes,
    gprs,
    flags: draft.flags & FLAGS,
    xmm,
    patches: draft.patches,
    undefinedFlags: undefinedAfter,
    undefinedIfZero: /^Bs[fr]_/.test(shape.row.name) ? 1 << draft.reg : 0,
    instructions: needsMxcsr ? 2 : 1,
    branches: shape.isControl,
  };
}

// segment overrides without meaning in 64-bit mode, operand size where it changes nothing, repeats of both
const HARMLESS = [0x26, 0x2e, 0x36, 0x3e, 0x66, 0xf2, 0xf3] as const;

/** Register or memory for ModRM, by the form. */
function chooseOperands(draft: Draft, random: Random): boolean {
  const { shape, form, gprs } = draft;
  const takesMemory =
    shape.rm === 'memory' || (shape.rm === 'both' && form !== 'reg' && !(form === 'prefixed' && random.oneIn(2)));
  if (shape.rm === 'both' || shape.rm === 'memory') {
    if (form === 'lock') {
      if (!shape.lock) return false;
      draft.prefixes.push(0xf0);
    }
    if (takesMemory) {
      draft.placed = place(shape, form, gprs, random);
      draft.prefixes.push(...draft.placed.prefixes);
      draft.rm = -1;
      const at = draft.placed.address & ~15n;
      const offset = Number(at - MEMORY);
      if (offset >= 0 && offset < 0x1000) {
        draft.patches.push({ offset, bytes: randomBytes(Math.min(32, 0x1000 - offset), random) });
      }
    }
  }
  if (draft.rm >= 0) alias(draft, random);
  return true;
}

/** Equal values are where comparisons turn; one register as both operands is where results are overwritten too early. */
function alias(draft: Draft, random: Random): void {
  const { gprs } = draft;
  const kind = random.below(8);
  if (kind === 0) draft.reg = draft.rm;
  if (kind === 1 && draft.rm !== RSP && draft.reg !== RSP && draft.rm !== RCX) gprs[draft.rm] = gprs[draft.reg] ?? 0n;
}

/** The undefined flags, or undefined where iced reads the bytes as something else than meant. */
function checkedUndefinedFlags(shape: Shape, bytes: Uint8Array, gprs: BigUint64Array): number | undefined {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  decoder.ip = CODE;
  const instruction = decoder.decode();
  const same = instruction.code === shape.row.code && instruction.length === bytes.length;
  const flags = same ? undefinedFlags(shape.row.name, instruction, gprs) : undefined;
  instruction.free();
  decoder.free();
  return flags;
}

function randomBytes(length: number, random: Random): Uint8Array {
  const bytes = new Uint8Array((length + 7) & ~7);
  random.lanes(bytes);
  return bytes.subarray(0, length);
}
