// What is measured: one call on one engine that can be made again and again, with what it must reach and return.
import { address as checkedAddress, hex, PAGE_SIZE, pageFloor } from '../address.ts';
import { type Engine, type Exit, GENERAL_REGISTERS, type RunOptions } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';

/** Bytes at an address. */
export interface Placed {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** A call made ready on an engine. */
export interface Subject {
  readonly engine: Engine;
  /** The function that is called. */
  readonly entry: bigint;
  /** The functions that the timed loop calls in turn, a power of two of them; `entry` alone by default. */
  readonly entries?: readonly bigint[];
  /** Its integer arguments, six at the most. */
  readonly args: readonly bigint[];
  /** The instruction that the call must come to: a redirection that is not taken is not measured. */
  readonly reaches: bigint;
  /** What it must return. */
  readonly returns: bigint;
  /** Where an int3 at an address leads; the host stands for the kernel's handler. */
  readonly traps?: ReadonlyMap<bigint, bigint>;
  /** The gate, where the call passes one. */
  readonly gate?: bigint;
  /** False where the host, not guest code, decides where the call goes: the bare CPU cannot run that. */
  readonly portable: boolean;
  /** Frees the engine; twice is harmless. */
  dispose(): void;
}

/** Memory of the measurement itself, away from everything that is measured. */
export const BENCH_STACK = { base: 0x7000_0000n, size: 0x10000n } as const;
export const BENCH_CODE = { base: 0x7100_0000n, size: 0x1000n } as const;
/** Pointers to the functions that the timed loop calls. */
export const BENCH_TABLE = { base: 0x7200_0000n, size: 0x80000n } as const;
/** Buffers that calls are given. */
export const BENCH_DATA = { base: 0x7300_0000n, size: 0x10000n } as const;
/** All of it. */
export const BENCH_MEMORY = [BENCH_STACK, BENCH_CODE, BENCH_TABLE, BENCH_DATA] as const;
/** Where a single call returns to. */
export const RETURN = BENCH_CODE.base + 0xf00n;
/** rsp at the entry of a measured call: rsp + 8 is a multiple of 16 (System V ABI 3.2.2). */
export const STACK_TOP = BENCH_STACK.base + BENCH_STACK.size - 0x108n;
/** Instructions that one call may take. */
const BUDGET = 1_000_000;
/** Where a call has its integer arguments (System V ABI 3.2.3). */
export const ARGUMENTS = ['rdi', 'rsi', 'rdx', 'rcx', 'r8', 'r9'] as const;

/** Maps the pages under some bytes as code, and writes them. */
export function place(engine: Engine, segments: readonly Placed[]): void {
  const pages = new Set<bigint>();
  for (const { address, bytes } of segments) {
    checkedAddress(address, 'address');
    for (let page = pageFloor(address); page < address + BigInt(bytes.length); page += PAGE_SIZE) pages.add(page);
  }
  for (const page of pages) engine.map(page, PAGE_SIZE, 'rx');
  for (const { address, bytes } of segments) engine.write(address, bytes);
}

/** Maps what the measurement needs for itself. */
export function prepare(engine: Engine): void {
  engine.map(BENCH_CODE.base, BENCH_CODE.size, 'rx');
  for (const { base, size } of [BENCH_STACK, BENCH_TABLE, BENCH_DATA]) engine.map(base, size, 'rw');
}

/** Where texts lie for the timed calls, and the arguments as registers hold them. */
export function placeTexts(args: readonly (bigint | string)[]): {
  values: bigint[];
  texts: { at: bigint; bytes: Uint8Array }[];
} {
  let next: bigint = BENCH_DATA.base;
  const texts: { at: bigint; bytes: Uint8Array }[] = [];
  const values = args.map((value) => {
    if (typeof value === 'bigint') return value;
    const bytes = new TextEncoder().encode(`${value}\0`);
    const at = next;
    next = (next + BigInt(bytes.length) + 15n) & ~15n;
    if (next > BENCH_DATA.base + BENCH_DATA.size) {
      throw new EngineError('ENOMEM', `the texts do not fit into ${BENCH_DATA.size} bytes`, { operation: 'measure' });
    }
    texts.push({ at, bytes });
    return at;
  });
  return { values, texts };
}

/** Sets the registers of one call and its return address. */
export function enter({ engine, args }: Subject): void {
  for (const [i, name] of GENERAL_REGISTERS.entries()) engine.writeRegister(name, 0x1000n + BigInt(i));
  for (const [i, value] of args.entries()) {
    const name = ARGUMENTS[i];
    if (name === undefined) throw new RangeError(`"args" expected six at the most, got ${args.length}`);
    engine.writeRegister(name, BigInt.asUintN(64, value));
  }
  engine.writeRegister('rax', 0n);
  engine.writeRegister('rsp', STACK_TOP);
  engine.writeRegister('rflags', 2n);
  const slot = new DataView(new ArrayBuffer(8));
  slot.setBigUint64(0, RETURN, true);
  engine.write(STACK_TOP, new Uint8Array(slot.buffer));
}

/**
 * Runs on from `from` to `until`; at each int3 that the subject knows, the host does what the handler does: the trapped
 * instruction is emulated as a jump.
 *
 * @returns instructions retired, over all parts of the run
 * @throws {EngineError} the run ended elsewhere; its code says how
 */
export function runThrough(subject: Subject, options: RunOptions, onTrap?: (ip: bigint) => void): number {
  const { engine, traps } = subject;
  let from = options.from;
  let instructions = 0;
  for (;;) {
    const exit = engine.run({ ...options, from, budget: options.budget - instructions });
    instructions += exit.instructions;
    if (exit.reason === 'until') return instructions;
    const trapped = BigInt.asUintN(64, exit.rip - 1n);
    const target = exit.fault?.kind === 'breakpoint' ? traps?.get(trapped) : undefined;
    if (target === undefined) throw endedWrong(exit);
    onTrap?.(trapped);
    from = target;
  }
}

/** Told of what a call does. */
export interface CallHooks extends Pick<RunOptions, 'onBlock' | 'onMemory'> {
  /** An int3 of the subject's traps was executed. */
  onTrap?: (ip: bigint) => void;
}

/**
 * Makes the call once and looks at its result.
 *
 * @throws {EngineError} EIO it returned something else, or did not come to `reaches` · and as `runThrough`
 */
export function callOnce(subject: Subject, hooks: CallHooks = {}): number {
  const { engine, entry, reaches, returns } = subject;
  enter(subject);
  let reached = false;
  const { onTrap, onBlock, ...others } = hooks;
  const options: RunOptions = {
    from: entry,
    until: RETURN,
    budget: BUDGET,
    ...others,
    onBlock(address, size) {
      reached ||= reaches >= address && reaches < address + BigInt(size);
      return onBlock?.(address, size);
    },
  };
  const instructions = runThrough(subject, options, onTrap);
  if (!reached) throw wrong(`the call did not come to ${hex(reaches)}`);
  const got = engine.readRegister('rax');
  if (got !== returns) throw wrong(`the call returned ${hex(got)} instead of ${hex(returns)}`);
  return instructions;
}

function endedWrong({ reason, rip, fault, why }: Exit): EngineError {
  const what = why ?? fault?.kind ?? reason;
  const code = reason === 'budget' ? 'ETIMEDOUT' : reason === 'not-judged' ? 'EOPNOTSUPP' : 'EIO';
  return new EngineError(code, `the call ended at ${hex(rip)}: ${what}`, { operation: 'measure', rip });
}

function wrong(fact: string): EngineError {
  return new EngineError('EIO', fact, { operation: 'measure' });
}
