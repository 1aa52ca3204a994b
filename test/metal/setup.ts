// What single instructions need of their input to be worth running: counts, divisors, targets, comparands.

import type { Shape } from './encode.ts';
import { CODE, CODE_PAGE, GUARD, MEMORY, type Patch, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from './layout.ts';
import type { Form, Placed } from './operands.ts';
import type { Random } from './random.ts';

/** The input while it is being made. */
export interface Draft {
  shape: Shape;
  form: Form;
  gprs: BigUint64Array;
  flags: number;
  /** ModRM.reg and ModRM.rm register numbers; `rm` is -1 for memory. */
  reg: number;
  rm: number;
  placed: Placed | undefined;
  immediates: bigint[];
  patches: Patch[];
  /** Legacy prefixes chosen so far. */
  prefixes: number[];
}

const DF = 0x400;
const STRING = /^(Movs|Cmps|Stos|Lods|Scas)[bwdq]$/;

export function isString(shape: Shape): boolean {
  return STRING.test(shape.row.mnemonic) && shape.implicitMemory;
}

/** Adapts a draft to its mnemonic. */
export function setUp(draft: Draft, random: Random): void {
  const { shape, gprs } = draft;
  const { mnemonic } = shape.row;
  if (isString(shape)) setUpString(draft, random);
  if (mnemonic === 'Xlatb') gprs[RBX] = MEMORY + 0x800n + BigInt(random.below(0x600)) - ((gprs[RAX] ?? 0n) & 0xffn);
  if (mnemonic === 'Maskmovdqu') gprs[RDI] = MEMORY + 0x800n + BigInt(random.below(0x780));
  if (/^(Loop|Jr?e?cxz)/i.test(mnemonic) && random.oneIn(2)) gprs[RCX] = (gprs[RCX] ?? 0n) & ~0xffff_ffffn;
  if (/^(Loop|Jr?e?cxz)/i.test(mnemonic) && random.oneIn(2)) gprs[RCX] = BigInt(random.below(3));
  if (mnemonic === 'Div' || mnemonic === 'Idiv') setUpDivision(draft, random);
  if (mnemonic.startsWith('Cmpxchg')) setUpCompareExchange(draft, random);
  if (/^Bt[scr]?_rm.*_r/.test(shape.row.name) && draft.placed !== undefined) limitBitOffset(draft, random);
  if (/^Sh[lr]d_rm16/.test(shape.row.name)) {
    // a count above the operand size leaves the result undefined
    gprs[RCX] = ((gprs[RCX] ?? 0n) & ~31n) | BigInt(random.below(17));
    draft.immediates = draft.immediates.map((value) => (value & 0xe0n) | BigInt(random.below(17)));
  }
  // the upper bits of an SSE compare's predicate are reserved
  if (/^Cmp[ps][sd]_xmm/.test(shape.row.name)) draft.immediates = draft.immediates.map((value) => value & 7n);
  if (mnemonic === 'Enter')
    draft.immediates = [BigInt(random.below(0x100)), BigInt(random.oneIn(2) ? 0 : random.below(64))];
  if ((mnemonic === 'Enter' || mnemonic === 'Leave') && !random.oneIn(8))
    gprs[RBP] = MEMORY + 0x300n + BigInt(random.below(0x300));
  if (mnemonic === 'Ldmxcsr' || mnemonic === 'Stmxcsr') {
    const reserved = mnemonic === 'Ldmxcsr' && random.oneIn(8) ? 0x1_0000 : 0;
    if (draft.placed !== undefined) store(draft, draft.placed.address, BigInt(0x1f80 | random.below(64) | reserved), 4);
  }
  if (mnemonic === 'Ret') store(draft, gprs[RSP] ?? 0n, branchTarget(4, random), 8);
  if (mnemonic.startsWith('Popf')) store(draft, gprs[RSP] ?? 0n, BigInt((random.next() & 0xcd5) | 0x202), 8);
  if (shape.isControl && shape.branch === 0 && mnemonic !== 'Ret') {
    const target = branchTarget(4, random);
    if (draft.placed !== undefined) store(draft, draft.placed.address, target, 8);
    else if (draft.rm !== RSP) gprs[draft.rm] = target;
  }
}

/** Somewhere in the code page but not at the case itself; now and then where nothing may be executed. */
export function branchTarget(size: number, random: Random): bigint {
  if (size === 1) return CODE + BigInt(random.oneIn(2) ? 20 + random.below(100) : -1 - random.below(110));
  if (random.oneIn(16)) return random.pick([MEMORY + 0x100n, GUARD + 0x10n, 0x8000_0000_0000n]);
  const offset = random.below(0xfe0);
  return CODE_PAGE + BigInt(offset >= 0x800 && offset < 0x820 ? offset - 0x40 : offset);
}

/** Writes a value into the initial memory; addresses outside the data page are left alone. */
export function store(draft: Draft, address: bigint, value: bigint, size: number): void {
  const offset = Number(address - MEMORY);
  if (offset < 0 || offset + size > 0x1000) return;
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  draft.patches.push({ offset, bytes });
}

function setUpString(draft: Draft, random: Random): void {
  const { shape, gprs, form } = draft;
  const size = shape.memorySize;
  if (random.oneIn(3)) draft.flags |= DF;
  const backwards = (draft.flags & DF) !== 0;
  const repeats = form === 'rep' || form === 'repne' || form === 'rep-fault';
  const addr32 = form === 'addr32' || random.oneIn(6);
  const count = repeats ? random.below(random.oneIn(8) ? 24 : 9) : 0;
  const at = () => MEMORY + 0x8c0n + BigInt(random.below(0x640));
  const source = at();
  const target = random.oneIn(4) ? source + BigInt(random.below(5) * size) : at();
  gprs[RSI] = source;
  gprs[RDI] = target;
  if (form === 'rep-fault') {
    const edge = backwards ? MEMORY + BigInt(random.below(4) * size) : GUARD - BigInt(random.below(4) * size);
    gprs[random.oneIn(2) ? RSI : RDI] = edge;
  }
  // where ecx is 0 under a 67 prefix, vendors differ in what happens to the upper halves
  if (repeats) gprs[RCX] = BigInt(addr32 && count === 0 ? 1 : count);
  if (addr32) {
    draft.prefixes.push(0x67);
    for (const register of [RSI, RDI, ...(repeats ? [RCX] : [])]) {
      gprs[register] = (gprs[register] ?? 0n) | (random.bits64() & ~0xffff_ffffn);
    }
  }
  if (repeats) draft.prefixes.push(form === 'repne' || (form === 'rep-fault' && !shape.rep) ? 0xf2 : 0xf3);
  if (/^(Cmps|Scas)/.test(shape.row.mnemonic)) alikeMemory(draft, random, source, target, size);
}

/** Compared strings that agree for a while, so that repe and repne both stop in the middle. */
function alikeMemory(draft: Draft, random: Random, source: bigint, target: bigint, size: number): void {
  const common = draft.shape.row.mnemonic.startsWith('Scas') ? (draft.gprs[RAX] ?? 0n) : random.u64();
  for (let i = -9; i < 9; i++) {
    const differs = random.oneIn(5);
    store(draft, source + BigInt(i * size), common, size);
    store(draft, target + BigInt(i * size), differs ? random.u64() : common, size);
  }
}

/** Mostly quotients that fit: the high half is below the divisor, or the sign of the low half. */
function setUpDivision(draft: Draft, random: Random): void {
  const { gprs, shape, placed, rm } = draft;
  if (random.oneIn(6)) return;
  const size = shape.rmSize;
  const bits = BigInt(8 * size);
  const mask = (1n << bits) - 1n;
  let divisor = (random.oneIn(3) ? BigInt(1 + random.below(1000)) : random.bits64()) & mask;
  if (divisor === 0n) divisor = 3n;
  const signed = shape.row.mnemonic === 'Idiv';
  const low = gprs[RAX] ?? 0n;
  const high = signed ? (BigInt.asIntN(Number(bits), low) < 0n ? mask : 0n) : random.bits64() % divisor;
  if (size === 1) gprs[RAX] = (low & ~0xff00n) | ((high & 0xffn) << 8n);
  else gprs[RDX] = ((gprs[RDX] ?? 0n) & ~mask) | high;
  if (placed !== undefined) store(draft, placed.address, divisor, size);
  else if (rm !== RAX && rm !== RDX && rm !== RSP && size > 1) gprs[rm] = ((gprs[rm] ?? 0n) & ~mask) | divisor;
}

function setUpCompareExchange(draft: Draft, random: Random): void {
  const { gprs, placed, rm, shape } = draft;
  if (random.oneIn(2)) return;
  const rax = gprs[RAX] ?? 0n;
  const rdx = gprs[RDX] ?? 0n;
  if (placed === undefined) {
    if (rm !== RSP) gprs[rm] = rax;
  } else if (shape.row.name.startsWith('Cmpxchg8b')) {
    store(draft, placed.address, (rax & 0xffff_ffffn) | ((rdx & 0xffff_ffffn) << 32n), 8);
  } else if (shape.row.name.startsWith('Cmpxchg16b')) {
    store(draft, placed.address, rax | (rdx << 64n), 16);
  } else {
    store(draft, placed.address, rax, Math.max(shape.regSize, 1));
  }
}

/** bt m, r reaches memory far from its operand; keep it inside the data page. */
function limitBitOffset(draft: Draft, random: Random): void {
  const { placed, reg, gprs, shape } = draft;
  if (placed === undefined || reg === RSP) return;
  const { memory } = placed;
  if (memory.kind === 'register' && (memory.base === reg || memory.index === reg)) return;
  if (memory.kind === 'absolute' && memory.index === reg) return;
  const offset = BigInt(random.below(0x1000) - 0x800);
  const mask = (1n << BigInt(8 * shape.regSize)) - 1n;
  gprs[reg] = ((gprs[reg] ?? 0n) & ~mask) | (BigInt.asUintN(64, offset) & mask);
}
