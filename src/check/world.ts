// The guest world of one comparison: code, a stack, and data pages that come into being when they are touched.
import { hex, hexBytes, PAGE_SIZE, pageFloor } from '../address.ts';
import type { Engine, Exit, RegisterName, RunOptions } from '../engine/engine.ts';
import { GENERAL_REGISTERS } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import { Random } from './random.ts';
import { CodeSpace, type Segment } from './space.ts';

/** Where the judged code returns to. */
export const RETURN_ADDRESS = 0x7777_0000n;
/** rsp at the entry of the judged code, less up to 1 KiB; above 4 GiB, so that a 32-bit copy of it shows. */
export const STACK = 0x7ff0_3000_8000n;

/** The registers of a state: the general ones, and the bases of fs and gs. */
export const STATE_REGISTERS: readonly RegisterName[] = [...GENERAL_REGISTERS, 'fsBase', 'gsBase'];

/** Registers, flags and chosen memory at the start. */
export interface State {
  readonly registers: Readonly<Record<string, bigint>>;
  readonly rflags: bigint;
  readonly xmm: readonly Uint8Array[];
  /** What stands in memory that the code names by its address. */
  readonly memory?: readonly Segment[];
}

/** What a run left behind. */
export interface Outcome {
  readonly exit: Exit;
  readonly registers: Readonly<Record<string, bigint>>;
  readonly rflags: bigint;
  readonly xmm: readonly Uint8Array[];
  /** Bytes written, by address; the last value counts. */
  readonly written: ReadonlyMap<bigint, number>;
  /** Addresses that data was read from; the first byte of each access. */
  readonly reads: ReadonlySet<bigint>;
  /** Addresses of the blocks run, in order. */
  readonly blocks: readonly bigint[];
}

const MAX_PAGES = 64;
const MAX_BLOCKS = 4000;
const BUDGET = 3000;

/** Pages by seed: both sides of a comparison touch the same ones, and the stack is everybody's. */
const contents = new Map<number, Uint8Array>();
const MOST_CONTENTS = 512;

/** A page of random bytes, the caller's own copy. */
function pageContent(seed: number): Uint8Array {
  let bytes = contents.get(seed);
  if (bytes === undefined) {
    bytes = new Random(seed).bytes(Number(PAGE_SIZE));
    if (contents.size >= MOST_CONTENTS) contents.clear();
    contents.set(seed, bytes);
  }
  return bytes.slice();
}

/** One engine with memory that is put back to its first content before each run. */
export class World {
  readonly #engine: Engine;
  readonly #pages = new Map<bigint, Uint8Array>();
  readonly #dirty = new Set<bigint>();
  readonly #code: readonly Segment[];
  readonly #seed: number;
  /** The code, decoded. */
  readonly code: CodeSpace;
  /** Addresses that runs touch, while they are recorded. */
  #recorded: Set<bigint> | undefined;

  constructor(engine: Engine, code: readonly Segment[], seed: number) {
    this.#engine = engine;
    this.#code = code;
    this.#seed = seed;
    this.code = new CodeSpace(code, { bitness: 64 });
    for (const segment of code) this.#cover(segment.address, segment.bytes.length);
    this.#cover(STACK - 0x4000n, 0x5000);
    this.#cover(RETURN_ADDRESS, 1);
  }

  #cover(address: bigint, size: number): void {
    const end = address + BigInt(size);
    for (let page = pageFloor(address); page < end; page += PAGE_SIZE) this.#touch(page);
  }

  /** Maps a page with content that depends on its address and the seed only; false where that cannot be. */
  #touch(page: bigint): boolean {
    if (this.#pages.has(page)) return true;
    if (this.#pages.size >= MAX_PAGES) return false;
    const bytes = pageContent(this.#seed ^ Number(BigInt.asUintN(32, (page >> 12n) ^ (page >> 44n))));
    for (const segment of [...this.#code].reverse()) {
      for (let i = 0; i < segment.bytes.length; i++) {
        const offset = segment.address + BigInt(i) - page;
        if (offset >= 0n && offset < PAGE_SIZE) bytes[Number(offset)] = segment.bytes[i] ?? 0;
      }
    }
    try {
      this.#engine.map(page, PAGE_SIZE, 'rwx');
    } catch {
      return false;
    }
    this.#engine.write(page, bytes);
    this.#pages.set(page, bytes);
    return true;
  }

  /** Takes all pages away, so that the engine can serve the next comparison. */
  close(): void {
    for (const page of this.#pages.keys()) this.#engine.unmap(page, PAGE_SIZE);
    this.#pages.clear();
    this.#dirty.clear();
  }

  #reset(): void {
    for (const page of this.#dirty) {
      const bytes = this.#pages.get(page);
      if (bytes !== undefined) this.#engine.write(page, bytes);
    }
    this.#dirty.clear();
  }

  /** Runs from `entry` until `until`, a fault, or a block that `stopAt` names; data pages are mapped when touched. */
  run(entry: bigint, until: bigint, state: State, stopAt: (address: bigint) => boolean): Outcome {
    for (;;) {
      const outcome = this.#once(entry, until, state, stopAt);
      const fault = outcome.exit.fault;
      if (fault?.kind !== 'unmapped' || fault.address === undefined || fault.access === 'fetch') return outcome;
      const page = pageFloor(fault.address);
      if (this.#pages.has(page) || !this.#touch(page)) return outcome;
      // an access may lie across two pages; the second one faults on the next try
    }
  }

  #once(entry: bigint, until: bigint, state: State, stopAt: (address: bigint) => boolean): Outcome {
    this.#reset();
    const engine = this.#engine;
    for (const name of STATE_REGISTERS) engine.writeRegister(name, state.registers[name] ?? 0n);
    engine.writeRegister('rflags', state.rflags);
    state.xmm.forEach((bytes, i) => {
      engine.writeXmm(i, bytes);
    });
    const stack = state.registers.rsp ?? STACK;
    for (const { address, bytes } of [...(state.memory ?? []), { address: stack, bytes: pointer(RETURN_ADDRESS) }]) {
      this.#place(address, bytes);
    }
    const touched = new Set<bigint>();
    const reads = new Set<bigint>();
    const blocks: bigint[] = [];
    const ended = runContained(engine, {
      from: entry,
      until,
      budget: BUDGET,
      onBlock: (address) => {
        if (address === until || blocks.length >= MAX_BLOCKS || stopAt(address)) return address;
        blocks.push(address);
        return undefined;
      },
      onMemory: (kind, address, size) => {
        if (kind === 'read') reads.add(address);
        const set = kind === 'write' ? touched : this.#recorded;
        for (let i = 0; i < Math.min(size, 64); i++) set?.add(BigInt.asUintN(64, address + BigInt(i)));
      },
    });
    const exit: Exit = ended.reason === 'stopped' && ended.rip === until ? { ...ended, reason: 'until' } : ended;
    for (const address of touched) this.#recorded?.add(address);
    const written = new Map<bigint, number>();
    for (const address of touched) {
      const page = pageFloor(address);
      if (!this.#pages.has(page)) continue;
      this.#dirty.add(page);
      written.set(address, engine.read(address, 1)[0] ?? 0);
    }
    return {
      exit,
      registers: Object.fromEntries(STATE_REGISTERS.map((name) => [name, engine.readRegister(name)])),
      rflags: engine.readRegister('rflags'),
      xmm: state.xmm.map((_, i) => engine.readXmm(i)),
      written,
      reads,
      blocks,
    };
  }

  /** Writes what the state says, where there can be memory. */
  #place(address: bigint, bytes: Uint8Array): void {
    const last = address + BigInt(bytes.length - 1);
    for (const page of new Set([pageFloor(address), pageFloor(last)])) {
      if (!this.#touch(page)) return;
      this.#dirty.add(page);
    }
    this.#engine.write(address, bytes);
  }

  /** The memory that `run` reads or writes through this world, as it stood before. */
  record(run: () => void): Segment[] {
    const recorded = new Set<bigint>();
    this.#recorded = recorded;
    try {
      run();
    } finally {
      this.#recorded = undefined;
    }
    return segmentsOf(recorded, (address) => this.before(address));
  }

  /** What stood at `address` before the run. */
  before(address: bigint): number | undefined {
    return this.#pages.get(pageFloor(address))?.[Number(address & (PAGE_SIZE - 1n))];
  }

  /** The state in a form that can be stored and replayed. */
  static show(state: State): Record<string, string> {
    return {
      ...Object.fromEntries(Object.entries(state.registers).map(([name, value]) => [name, hex(value)])),
      rflags: hex(state.rflags),
      ...Object.fromEntries(state.xmm.map((bytes, i) => [`xmm${i}`, hexBytes(bytes)])),
    };
  }
}

/** A run in which an engine that loses its way is one that does not judge. */
function runContained(engine: Engine, options: RunOptions): Exit {
  try {
    return engine.run(options);
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== 'EIO') throw error;
    return { reason: 'not-judged', rip: error.rip ?? options.from, instructions: 0, why: error.message };
  }
}

/** Single bytes joined into as few segments as there can be; addresses without a byte are left out. */
export function segmentsOf(addresses: Iterable<bigint>, byteAt: (address: bigint) => number | undefined): Segment[] {
  const runs: { address: bigint; bytes: number[] }[] = [];
  for (const address of [...addresses].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))) {
    const byte = byteAt(address);
    if (byte === undefined) continue;
    const last = runs.at(-1);
    if (last !== undefined && last.address + BigInt(last.bytes.length) === address) last.bytes.push(byte);
    else runs.push({ address, bytes: [byte] });
  }
  return runs.map(({ address, bytes }) => ({ address, bytes: Uint8Array.from(bytes) }));
}

/** Eight little-endian bytes. */
export function pointer(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}
