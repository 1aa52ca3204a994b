// Instructions that user mode cannot try, or whose result depends on the machine: cases judged by the manual instead.

import { hex } from '../../src/address.ts';
import { type Engine, type Exit, GENERAL_REGISTERS } from '../../src/engine/engine.ts';
import { CODE, CODE_PAGE, FLAGS, PAGE, RAX, RBX, RCX, RDX } from './layout.ts';
import { Random } from './random.ts';

/** The state that these instructions read and change. */
interface State {
  gprs: bigint[];
  rflags: bigint;
  fsBase: bigint;
  gsBase: bigint;
}

/** One instruction, and what it does to a state; what it answers is how the step ends. */
interface ManualRow {
  name: string;
  bytes: readonly number[];
  execute(state: State): 'next' | 'general-protection' | 'syscall' | 'halt' | 'interrupt' | 'invalid-instruction';
}

const IF = 0x200n;
const AC = 0x40000n;
const LOW = 0xffff_ffffn;

/** cpuid's answers by leaf; docs/isa.md says what each bit is. */
export const LEAVES: ReadonlyMap<bigint, readonly [eax: bigint, ebx: bigint, ecx: bigint, edx: bigint]> = new Map([
  [0n, [7n, ascii('tram'), ascii('wasm'), ascii('p64-')]],
  [1n, [0x663n, 0x1_0800n, 0x00d8_2201n, 0x0608_8110n]],
  [7n, [0n, 0x0198_0109n, 0n, 0n]],
  [0x8000_0000n, [0x8000_0008n, 0n, 0n, 0n]],
  [0x8000_0001n, [0n, 0n, 0x121n, 0x2810_0800n]],
  [0x8000_0008n, [0x3028n, 0n, 0n, 0n]],
] as const);

function ascii(text: string): bigint {
  return [...text].reduceRight((sum, letter) => (sum << 8n) | BigInt(letter.charCodeAt(0)), 0n);
}

/** f3 [REX] 0f ae /digit with the register in r/m. */
function baseRow(name: string, digit: number, register: number, wide: boolean): ManualRow {
  const rex = (wide ? 0x48 : 0x40) | (register >> 3);
  const bytes = [0xf3, rex, 0x0f, 0xae, 0xc0 | (digit << 3) | (register & 7)];
  const which = digit % 2 === 0 ? 'fsBase' : 'gsBase';
  return {
    name,
    bytes,
    execute(state) {
      if (digit < 2) {
        state.gprs[register] = wide ? state[which] : state[which] & LOW;
        return 'next';
      }
      const value = wide ? (state.gprs[register] ?? 0n) : (state.gprs[register] ?? 0n) & LOW;
      if (BigInt.asUintN(64, BigInt.asIntN(48, value)) !== value) return 'general-protection';
      state[which] = value;
      return 'next';
    },
  };
}

function flagRow(name: string, bytes: readonly number[], change: (rflags: bigint) => bigint): ManualRow {
  return {
    name,
    bytes,
    execute(state) {
      state.rflags = change(state.rflags);
      return 'next';
    },
  };
}

function endRow(name: string, bytes: readonly number[], how: ReturnType<ManualRow['execute']>): ManualRow {
  return { name, bytes, execute: () => how };
}

const BASES = ['RDFSBASE', 'RDGSBASE', 'WRFSBASE', 'WRGSBASE'];

/** The instructions, once for each number: registers and widths differ. */
function rowsFor(random: Random): ManualRow[] {
  const register = random.below(16);
  return [
    flagRow('CLI', [0xfa], (rflags) => rflags & ~IF),
    flagRow('STI', [0xfb], (rflags) => rflags | IF),
    flagRow('CLAC', [0x0f, 0x01, 0xca], (rflags) => rflags & ~AC),
    flagRow('STAC', [0x0f, 0x01, 0xcb], (rflags) => rflags | AC),
    ...BASES.map((name, digit) => baseRow(`${name} r`, digit, register, random.oneIn(2))),
    {
      name: 'CPUID',
      bytes: [0x0f, 0xa2],
      execute({ gprs }) {
        const leaf = (gprs[RAX] ?? 0n) & LOW;
        const subleaf = leaf === 7n ? (gprs[RCX] ?? 0n) & LOW : 0n;
        const answer = (subleaf === 0n ? LEAVES.get(leaf) : undefined) ?? [0n, 0n, 0n, 0n];
        [gprs[RAX], gprs[RBX], gprs[RCX], gprs[RDX]] = answer;
        return 'next';
      },
    },
    endRow('SYSCALL', [0x0f, 0x05], 'syscall'),
    endRow('HLT', [0xf4], 'halt'),
    // Intel's CPUs read a ModRM byte after it, AMD's do not
    endRow('UD0', [0x0f, 0xff, 0xc0], 'invalid-instruction'),
    endRow('INT imm8', [0xcd, random.below(256)], 'interrupt'),
  ];
}

/** A case's outcome. */
export interface ManualCase {
  name: string;
  bytes: Uint8Array;
  /** How the engine differs; undefined where it does what the manual says. */
  difference: string | undefined;
}

/** Runs `count` seeded cases of each instruction on an engine without mappings in the way of layout.ts. */
export function* manualCases(engine: Engine, count: number, seed: number): Generator<ManualCase> {
  engine.map(CODE_PAGE, BigInt(PAGE), 'rx');
  const random = new Random(seed, 'manual');
  const base = () => BigInt.asUintN(64, BigInt.asIntN(48, random.bits64()));
  for (let i = 0; i < count; i++) {
    for (const row of rowsFor(random)) {
      const state: State = {
        gprs: Array.from({ length: 16 }, () => random.u64()),
        rflags: BigInt(random.next() & FLAGS) | 2n | (random.oneIn(2) ? IF : 0n) | (random.oneIn(2) ? AC : 0n),
        fsBase: base(),
        gsBase: base(),
      };
      if (row.name === 'CPUID' && !random.oneIn(4)) {
        state.gprs[RAX] = random.pick([...LEAVES.keys(), 2n, 8n, 0x8000_0002n]) | (random.bits64() & ~LOW);
        state.gprs[RCX] = BigInt(random.below(3));
      }
      yield { name: row.name, bytes: Uint8Array.from(row.bytes), difference: tryRow(engine, row, state) };
    }
    for (const one of clocks(engine, i)) yield one;
  }
}

function tryRow(engine: Engine, row: ManualRow, state: State): string | undefined {
  load(engine, row.bytes, state);
  const exit = engine.step();
  const how = row.execute(state);
  const length = BigInt(row.bytes.length);
  const done = how === 'next' || how === 'interrupt';
  const kind = exit.fault?.kind ?? 'next';
  if (kind !== how) return `expected ${how}, got ${kind}`;
  if (how === 'interrupt' && exit.fault?.vector !== row.bytes[1]) return `vector ${exit.fault?.vector}`;
  return compare(engine, exit, state, CODE + (done ? length : 0n));
}

function load(engine: Engine, bytes: readonly number[], state: State): void {
  engine.write(CODE, Uint8Array.from(bytes));
  for (const [i, name] of GENERAL_REGISTERS.entries()) engine.writeRegister(name, state.gprs[i] ?? 0n);
  for (const name of ['rflags', 'fsBase', 'gsBase'] as const) engine.writeRegister(name, state[name]);
  engine.writeRegister('rip', CODE);
}

function compare(engine: Engine, exit: Exit, state: State, rip: bigint): string | undefined {
  if (exit.rip !== rip) return `rip expected ${hex(rip)}, got ${hex(exit.rip)}`;
  for (const [i, name] of GENERAL_REGISTERS.entries()) {
    const [wanted, got] = [state.gprs[i] ?? 0n, engine.readRegister(name)];
    if (wanted !== got) return `${name} expected ${hex(wanted)}, got ${hex(got)}`;
  }
  for (const name of ['rflags', 'fsBase', 'gsBase'] as const) {
    const got = engine.readRegister(name);
    if (state[name] !== got) return `${name} expected ${hex(state[name])}, got ${hex(got)}`;
  }
  return undefined;
}

/** rdtsc and rdtscp only ever go up; swapgs, done twice, gives the base back. */
function* clocks(engine: Engine, number: number): Generator<ManualCase> {
  let before = -1n;
  for (const [name, bytes] of [
    ['RDTSC', [0x0f, 0x31]],
    ['RDTSCP', [0x0f, 0x01, 0xf9]],
    ['RDTSC', [0x0f, 0x31]],
  ] as const) {
    const gprs = Array.from({ length: 16 }, () => 0xffff_ffff_ffff_ffffn);
    const state: State = { gprs, rflags: 2n, fsBase: 0n, gsBase: 0n };
    load(engine, bytes, state);
    const exit = engine.step();
    const now = (engine.readRegister('rdx') << 32n) | engine.readRegister('rax');
    gprs[RAX] = now & LOW;
    gprs[RDX] = now >> 32n;
    if (name === 'RDTSCP') gprs[RCX] = 0n;
    const difference = now <= before ? `${now} after ${before}` : undefined;
    yield {
      name,
      bytes: Uint8Array.from(bytes),
      difference: difference ?? compare(engine, exit, state, CODE + BigInt(bytes.length)),
    };
    before = now;
  }
  const bases = [BigInt(number) << 12n, 0xffff_8880_0000_0000n + BigInt(number)] as const;
  const gprs = Array.from({ length: 16 }, (_, i) => BigInt(i));
  const swap = [0x0f, 0x01, 0xf8];
  load(engine, swap, { gprs, rflags: 2n, fsBase: 5n, gsBase: bases[0] });
  engine.step();
  load(engine, swap, { gprs, rflags: 2n, fsBase: 5n, gsBase: bases[1] });
  const exit = engine.step();
  const difference = compare(engine, exit, { gprs, rflags: 2n, fsBase: 5n, gsBase: bases[0] }, CODE + 3n);
  yield { name: 'SWAPGS', bytes: Uint8Array.from(swap), difference };
}
