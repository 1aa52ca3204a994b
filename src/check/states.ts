// From which registers, flags and memory code is run: boundary values, and what the code itself compares and counts.
import { wrap } from '../address.ts';
import { GENERAL_REGISTERS } from '../engine/engine.ts';
import type { Facts, MemoryOperand } from '../x86/operands.ts';
import { Random } from './random.ts';
import type { Segment } from './space.ts';
import { pointer, STACK, type State } from './world.ts';

/** Pointers of the initial registers lead to one of these: below and above 4 GiB. */
const DATA = 0x2000_0000n;
const HIGH_DATA = 0x5400_2000_0000n;
/** The kernel's half, where no user page is: the World maps what is touched. */
const KERNEL_DATA = 0xffff_8880_0000_0000n;

/** Bases of fs and gs, so that what is read through one, through the other and through none are three places. */
export const SEGMENT_BASES = { fsBase: 0x1100_0000_4000n, gsBase: 0x2200_0000_6000n } as const;

const BOUNDARY = [
  0n,
  1n,
  2n,
  0xffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  1n << 32n,
  (1n << 63n) - 1n,
  1n << 63n,
] as const;
/** What loop, jrcxz and rep count: none, one, and values whose lower half is 0 or 1. */
const COUNTS = [0n, 1n, 2n, 1n << 32n, (1n << 32n) + 1n, 5n, (7n << 32n) + 2n] as const;
const STATUS_FLAGS = 0x8d5n;
const DIRECTION = 0x400n;
/** Their data is what the code itself has put there. */
const ON_STACK = /^(push|pop|leave|enter)/;
const MAX_VALUES = 32;
const MAX_PLACES = 8;
const MAX_COMPARED = 4;
const NEIGHBOURS = [0n, 1n, -1n] as const;

/** What in the code decides which states are worth running. */
export interface Uses {
  /** rcx counts: loop, jrcxz, rep. */
  readonly counts: boolean;
  /** Constants that are compared, tested or computed with, and their neighbours. */
  readonly values: readonly bigint[];
  /** Addresses that instructions name. */
  readonly places: readonly bigint[];
  /** Registers that memory operands are based on. */
  readonly bases: readonly string[];
  /** Registers that are added to them. */
  readonly indexes: readonly string[];
  /** Data is read: what stands there may decide. */
  readonly loads: boolean;
  /** Registers that instructions read together with such data: the two may be compared. */
  readonly compared: readonly string[];
  /** Conditional branches and instructions that read flags. */
  readonly conditions: number;
}

/** Looks through the instructions that may run; of `others` only the constants matter. */
export function usesOf(all: Iterable<Facts>, others: Iterable<Facts> = []): Uses {
  const values = new Set<bigint>();
  const places = new Set<bigint>();
  const bases = new Set<string>();
  const indexes = new Set<string>();
  const compared = new Set<string>();
  let loads = false;
  let counts = false;
  let conditions = 0;
  for (const facts of all) {
    const { mnemonic, memory, immediate, kind, readsFlags, bytes } = facts;
    if (/^(loop|j[er]?cxz)/.test(mnemonic) || bytes[0] === 0xf2 || bytes[0] === 0xf3) counts = true;
    if (kind === 'conditional' || readsFlags !== 0) conditions++;
    const isData = kind === 'next' || kind === 'conditional';
    if (isData && memory?.address !== undefined && places.size < MAX_PLACES)
      places.add(addressed(memory, memory.address));
    if (memory !== undefined) bases.add(memory.base.toLowerCase());
    if (memory !== undefined) indexes.add(memory.index.toLowerCase());
    if (isData && facts.readsMemory && !ON_STACK.test(mnemonic)) {
      loads = true;
      for (const name of operandsOf(facts)) if (compared.size < MAX_COMPARED) compared.add(name);
    }
    addNeighbours(values, immediate);
  }
  for (const { immediate } of others) addNeighbours(values, immediate);
  return {
    counts,
    values: [...values],
    places: [...places],
    bases: [...bases],
    indexes: [...indexes],
    loads,
    compared: [...compared],
    conditions,
  };
}

/** The general registers that an instruction reads for themselves, not for an address. */
function operandsOf({ reads, memory }: Facts): string[] {
  const address = [memory?.base, memory?.index];
  const names = [...reads].filter((name) => !address.includes(name)).map((name) => name.toLowerCase());
  return names.filter((name) => GENERAL_REGISTERS.some((known) => known === name));
}

/** Where an operand without registers lies, its segment's base counted. */
function addressed({ segment }: MemoryOperand, address: bigint): bigint {
  return segment === undefined ? address : wrap(SEGMENT_BASES[`${segment}Base`] + address);
}

/** A comparison goes one way below a constant, another at it or above. */
function addNeighbours(values: Set<bigint>, immediate: bigint | undefined): void {
  if (immediate === undefined || values.size > MAX_VALUES) return;
  for (const distance of NEIGHBOURS) values.add(wrap(immediate + distance));
}

/** At least so many states tell one thing from another in such code. */
export function statesFor(uses: Uses): number {
  const { counts, values, places, conditions } = uses;
  const mixed = Math.min(24 + (counts ? 16 : 0) + values.length + 4 * places.length + 4 * conditions, 64);
  return mixed + values.length + heldStates(uses);
}

/** The number of the first state whose registers, and what memory holds, differ from each other. */
export function firstMixed(uses?: Uses): number {
  return firstHeld(uses) + heldStates(uses);
}

/** The number of the first state in which memory behind pointers holds one value that the code compares. */
function firstHeld(uses?: Uses): number {
  return BOUNDARY.length + (uses?.values.length ?? 0);
}

/** Two for each value: in all that is read, and behind one more pointer. */
function heldStates(uses?: Uses): number {
  return uses?.loads === true ? 2 * (uses.values.length + NEIGHBOURS.length * uses.compared.length) : 0;
}

/** Constants that the code compares, and what the registers hold that it may compare with memory, with their neighbours. */
function heldValues({ values, compared }: Uses, registers: State['registers']): bigint[] {
  const own = compared.map((name) => registers[name] ?? 0n);
  return [...values, ...own.flatMap((value) => NEIGHBOURS.map((distance) => wrap(value + distance)))];
}

/**
 * What the state with number `index` puts where the code reads data; undefined for states that leave it random. The
 * function is asked once for each place, with the count of pointers in memory on the way there; it may answer undefined:
 * that place stays.
 *
 * @param registers of that state
 */
export function heldAt(
  index: number,
  seed: number,
  uses: Uses,
  registers: State['registers'],
): ((depth: number) => bigint | undefined) | undefined {
  if (!isHeld(index, uses)) return undefined;
  const random = new Random(seed + index * 6101);
  const somewhere = (): bigint => DATA + BigInt(random.next() % 0x800) * 8n;
  const [one = 0n, ...others] = heldValues(uses, registers);
  const values = [one, ...others] as const;
  const nth = index - firstHeld(uses);
  if (nth < heldStates(uses)) {
    const value = values[nth >> 1] ?? 0n;
    return (depth) => (nth % 2 === 1 && depth === 0 ? somewhere() : value);
  }
  return () => {
    const choice = random.next() % 4;
    if (choice === 0) return undefined;
    return choice === 1 ? somewhere() : random.pick(values);
  };
}

/** Of the states in which registers differ, every other one. */
function isHeld(index: number, uses: Uses): boolean {
  if (!uses.loads || index < firstHeld(uses)) return false;
  return index < firstMixed(uses) || index % 2 === 1;
}

/** The state with number `index`: the first ones hold one boundary value, or one that the code compares, everywhere. */
export function stateAt(index: number, seed: number, uses?: Uses): State {
  const random = new Random(seed + index * 7919);
  const values: readonly [bigint, ...bigint[]] = [...BOUNDARY, ...(uses?.values ?? [])];
  const everywhere = index < values.length ? values[index] : undefined;
  const registers: Record<string, bigint> = {};
  for (const name of GENERAL_REGISTERS) {
    const choice = random.next() % 8;
    if (everywhere !== undefined) registers[name] = everywhere;
    else if (choice < 3) registers[name] = (choice === 0 ? HIGH_DATA : DATA) + BigInt(random.next() % 0x4000);
    else if (choice === 3) registers[name] = random.pick(values);
    else if (choice === 4) registers[name] = BigInt(random.next() % 12);
    else if (choice === 5) registers[name] = KERNEL_DATA + BigInt(random.next() % 0x4000);
    else if (choice === 6) registers[name] = BigInt.asUintN(64, -BigInt(random.next() % 100));
    else registers[name] = random.word();
  }
  if (everywhere === undefined) {
    if (uses?.counts === true && index % 4 < 3) registers.rcx = random.pick(COUNTS);
    if (index % 5 === 4) aliased(registers, random, index % 10 === 4 ? uses?.bases : undefined);
    if (uses !== undefined && isHeld(index, uses)) leadSomewhere(registers, random, uses);
  }
  Object.assign(registers, SEGMENT_BASES);
  // a caller that keeps to the ABI leaves 8 modulo 16 at the entry; kernel code keeps to 8
  registers.rsp = STACK - BigInt(random.next() % 64) * 16n - (index % 4 === 3 ? 0n : 8n);
  // the first two states hold all status flags clear, and all set
  const status = index < 2 ? -BigInt(index) : BigInt(random.next());
  const flags = (status & STATUS_FLAGS) | (index % 8 === 7 ? DIRECTION : 0n) | 2n;
  const xmm = Array.from({ length: 16 }, () => random.bytes(16));
  const places = uses?.places ?? [];
  const memory =
    everywhere !== undefined && index >= BOUNDARY.length
      ? places.map((address) => ({ address, bytes: pointer(everywhere) }))
      : index < 2
        ? []
        : memoryAt(places, values, random);
  return { registers, rflags: flags, xmm, ...(memory.length === 0 ? {} : { memory }) };
}

/** Pointers to one place, and to its neighbours; where `bases` are known, these to the place itself. */
function aliased(registers: Record<string, bigint>, random: Random, bases: readonly string[] = []): void {
  const place = DATA + BigInt(random.next() % 0x800) * 8n;
  if (bases.length > 1) {
    for (const name of bases) if (name in registers) registers[name] = place;
    return;
  }
  for (const name of ['rdi', 'rsi', 'rdx', 'rax', 'rbx', 'r8', 'r9']) {
    if (random.next() % 2 === 0) registers[name] = place + random.pick([0n, 0n, 8n, -8n, 1n]);
  }
}

/** What is read through registers can be read: bases point to data, and what is added to them is small. */
function leadSomewhere(registers: Record<string, bigint>, random: Random, { bases, indexes }: Uses): void {
  for (const name of indexes) if (name in registers) registers[name] = BigInt(random.next() % 8);
  for (const name of bases) {
    const value = registers[name] ?? 0n;
    if (name in registers && (value < DATA || value >= DATA + 0x4000n))
      registers[name] = DATA + BigInt(random.next() % 0x800) * 8n;
  }
}

/** Every other place holds a value that matters; the rest stays random. */
function memoryAt(places: readonly bigint[], values: readonly [bigint, ...bigint[]], random: Random): Segment[] {
  return places
    .filter(() => random.next() % 2 === 0)
    .map((address) => ({ address, bytes: pointer(random.next() % 4 === 0 ? random.word() : random.pick(values)) }));
}
