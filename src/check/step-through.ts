// Runs a replay instruction by instruction on an engine, and names the first difference of its two sides.
import { bytesOfHex, hex, hexBytes, PAGE_SIZE, pageFloor, wrap } from '../address.ts';
import type { Engine, Exit } from '../engine/engine.ts';
import { decodeOne, disassemble } from '../x86/decode.ts';
import { factsOf } from '../x86/operands.ts';
import { firstDifference } from './execute.ts';
import type { Placed, Replay, ReplaySide } from './replay.ts';
import { CodeSpace, type Segment } from './space.ts';
import { type Outcome, RETURN_ADDRESS, STATE_REGISTERS } from './world.ts';

/** One instruction that ran, and what it changed: registers, `rflags`, `xmm0` …, and `[0x7ff0…]` for written memory. */
export interface ReplayStep {
  readonly ip: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly changed: Readonly<Record<string, string>>;
}

/** A side's way from its entry to its end. */
export interface ReplayRun {
  readonly steps: readonly ReplayStep[];
  /** How it ended, as a sentence. */
  readonly ends: string;
}

/** A replay that was run, or listed where no run shows its finding. */
export interface SteppedReplay {
  readonly ran: boolean;
  readonly original?: ReplayRun;
  readonly judged: ReplayRun;
  /** How the judged side's end differs from the original's. */
  readonly difference?: string;
  /** Index of the judged side's step that made the difference, where one did. */
  readonly differsAt?: number;
}

/** A run that comes back to its start over and over ends here. */
const MAX_STEPS = 4000;

/**
 * Steps through a replay. One that holds no registers, or 16 or 32-bit code, is listed in the order of its bytes.
 *
 * @param engine one with nothing mapped; it is left so
 * @throws {EngineError} the map lies where no memory can be
 */
export function stepThrough(replay: Replay, engine: Engine): SteppedReplay {
  if (replay.bitness !== 64 || Object.keys(replay.registers).length === 0) {
    return {
      ran: false,
      ...(replay.original === undefined ? {} : { original: listed(replay.original, replay) }),
      judged: listed(replay, replay),
    };
  }
  const judged = runSide(replay, replay, engine);
  if (replay.original === undefined) return { ran: true, judged: judged.run };
  const original = runSide(replay.original, replay, engine);
  const difference = firstDifference(questionOf(replay, replay.original), original.outcome, judged.outcome);
  return {
    ran: true,
    original: original.run,
    judged: judged.run,
    ...(difference === undefined ? {} : { difference, ...marked(difference, judged.run) }),
  };
}

function questionOf(replay: Replay, original: ReplaySide): Parameters<typeof firstDifference>[0] {
  const { patched } = replay;
  return {
    original: partsOf(original),
    moved: partsOf(replay),
    ...(patched === undefined ? {} : { forbidden: { address: BigInt(patched.address), length: patched.length } }),
    ignore: new Set(replay.ignored),
    space: new CodeSpace(segments(original.bytes), { bitness: 64 }),
    seed: 0,
  };
}

/** A side's end is told only where it is not the common return address. */
function partsOf({ entry, end, bytes }: ReplaySide): { code: Segment[]; entry: bigint; end?: bigint } {
  const own = end === undefined || BigInt(end) === RETURN_ADDRESS ? {} : { end: BigInt(end) };
  return { code: segments(bytes), entry: BigInt(entry), ...own };
}

/** The last step that changed what the difference names. */
function marked(difference: string, { steps }: ReplayRun): { differsAt?: number } {
  const subject = /^(\[0x[0-9a-f]+\]|\w+)/.exec(difference)?.[1] ?? '';
  const name = subject === 'flags' ? 'rflags' : subject;
  const index = steps.map(({ changed }) => Object.hasOwn(changed, name)).lastIndexOf(true);
  return index < 0 ? {} : { differsAt: index };
}

/** The instructions as they stand, without a run. */
function listed({ bytes }: ReplaySide, { bitness, amd = false }: Replay): ReplayRun {
  const mode = { bitness, amd };
  const steps = segments(bytes).flatMap(({ address, bytes: code }) =>
    factsOf(code, address, mode).map((facts) => ({
      ip: facts.ip,
      bytes: facts.bytes,
      text: disassemble(facts.bytes, facts.ip, mode),
      changed: {},
    })),
  );
  return { steps: steps.slice(0, MAX_STEPS), ends: 'listed, not run' };
}

function runSide(side: ReplaySide, replay: Replay, engine: Engine): { run: ReplayRun; outcome: Outcome } {
  const pages = new Set<bigint>();
  try {
    for (const { address, size } of replay.map) {
      for (let page = BigInt(address); page < BigInt(address) + BigInt(size); page += PAGE_SIZE) {
        if (pages.has(page)) continue;
        engine.map(page, PAGE_SIZE, 'rwx');
        pages.add(page);
      }
    }
    // where places overlap the first one counts
    for (const { address, bytes } of [...segments(side.bytes), ...segments(replay.memory)].reverse()) {
      engine.write(address, bytes);
    }
    return new Stepper(side, replay, engine).run();
  } finally {
    for (const page of pages) engine.unmap(page, PAGE_SIZE);
  }
}

/** Values of all registers by name, as text. */
type Registers = Record<string, string>;

class Stepper {
  readonly #side: ReplaySide;
  readonly #replay: Replay;
  readonly #engine: Engine;
  readonly #code: readonly Segment[];
  readonly #written = new Map<bigint, number>();
  #handled = false;

  constructor(side: ReplaySide, replay: Replay, engine: Engine) {
    this.#side = side;
    this.#replay = replay;
    this.#engine = engine;
    this.#code = segments(side.bytes);
    for (const [name, value] of Object.entries(replay.registers)) {
      const xmm = /^xmm(\d+)$/.exec(name)?.[1];
      if (xmm !== undefined) engine.writeXmm(Number(xmm), bytesOfHex(value));
      else if (name === 'rflags') engine.writeRegister('rflags', BigInt(value));
      else for (const known of STATE_REGISTERS) if (known === name) engine.writeRegister(known, BigInt(value));
    }
  }

  run(): { run: ReplayRun; outcome: Outcome } {
    const end = this.#side.end === undefined ? undefined : BigInt(this.#side.end);
    const steps: ReplayStep[] = [];
    let ip = BigInt(this.#side.entry);
    let before = this.#registers();
    for (;;) {
      if (steps.length > 0 && ip === end) return this.#ended(steps, { reason: 'until', rip: ip }, `ends at ${hex(ip)}`);
      if (this.#leaves(ip)) return this.#ended(steps, { reason: 'stopped', rip: ip }, `leaves its code to ${hex(ip)}`);
      if (steps.length >= MAX_STEPS)
        return this.#ended(steps, { reason: 'budget', rip: ip }, `does not end in ${MAX_STEPS} steps`);
      this.#handle(ip);
      const bytes = this.#fetch(ip);
      const instruction = decodeOne(bytes, ip);
      const memory = new Set<bigint>();
      const next = wrap(ip + BigInt(instruction.length));
      // a breakpoint may stand where the run ends: it must not be executed
      const exit = this.#step(ip, instruction.flow === 'next' ? next : (end ?? next), memory);
      const fault = exit.fault;
      const after = this.#registers();
      const arrived = fault === undefined || (fault.access === 'fetch' && exit.rip !== ip);
      steps.push({
        ip,
        bytes: instruction.bytes,
        text: instruction.text,
        changed: { ...differing(before, after), ...this.#changedMemory(memory) },
      });
      if (exit.reason === 'not-judged') return this.#ended(steps, exit, exit.why ?? 'the engine does not judge it');
      if (!arrived) return this.#ended(steps, exit, `${fault?.kind ?? 'fault'} fault at ${hex(exit.rip)}`);
      before = after;
      ip = exit.rip;
    }
  }

  #step(from: bigint, until: bigint, memory: Set<bigint>): Exit {
    let blocks = 0;
    return this.#engine.run({
      from,
      until,
      budget: 100_000,
      onBlock: (address) => (++blocks > 1 ? address : undefined),
      onMemory: (kind, address, size) => {
        if (kind !== 'write') return;
        for (let i = 0; i < Math.min(size, 512); i++) memory.add(wrap(address + BigInt(i)));
      },
    });
  }

  #leaves(ip: bigint): boolean {
    const { patched } = this.#replay;
    const isJudged = this.#side === this.#replay;
    if (isJudged && patched !== undefined && within(ip, BigInt(patched.address), patched.length)) return true;
    return !this.#code.some(({ address, bytes }) => within(ip, address, bytes.length));
  }

  /** What the handler writes when the CPU comes to it. */
  #handle(ip: bigint): void {
    const { handler } = this.#replay;
    if (this.#handled || handler === undefined || BigInt(handler.address) !== ip) return;
    this.#handled = true;
    for (const { address, bytes } of segments(handler.writes)) this.#engine.write(address, bytes);
  }

  #fetch(ip: bigint): Uint8Array {
    for (const size of [15, Number(PAGE_SIZE - (ip - pageFloor(ip)))]) {
      try {
        return this.#engine.read(ip, Math.min(size, 15));
      } catch {
        // the page after it is not mapped
      }
    }
    return Uint8Array.of(0);
  }

  #registers(): Registers {
    const engine = this.#engine;
    const values: Registers = {};
    for (const name of STATE_REGISTERS) values[name] = hex(engine.readRegister(name));
    values.rflags = hex(engine.readRegister('rflags'));
    for (let i = 0; i < 16; i++) values[`xmm${i}`] = hexBytes(engine.readXmm(i));
    return values;
  }

  #changedMemory(touched: ReadonlySet<bigint>): Registers {
    const changed: Registers = {};
    for (const address of touched) {
      let byte: number | undefined;
      try {
        byte = this.#engine.read(address, 1)[0];
      } catch {
        continue; // a store that faulted
      }
      this.#written.set(address, byte ?? 0);
      changed[`[${hex(address)}]`] = hex(byte ?? 0);
    }
    return changed;
  }

  #ended(
    steps: readonly ReplayStep[],
    exit: Pick<Exit, 'reason' | 'rip'> & Partial<Exit>,
    ends: string,
  ): { run: ReplayRun; outcome: Outcome } {
    const engine = this.#engine;
    const outcome: Outcome = {
      exit: { instructions: steps.length, ...exit },
      registers: Object.fromEntries(STATE_REGISTERS.map((name) => [name, engine.readRegister(name)])),
      rflags: engine.readRegister('rflags'),
      xmm: Array.from({ length: 16 }, (_, i) => engine.readXmm(i)),
      written: this.#written,
      reads: new Set(),
      blocks: [],
    };
    return { run: { steps, ends }, outcome };
  }
}

function within(ip: bigint, address: bigint, length: number): boolean {
  return ip >= address && ip < address + BigInt(length);
}

function differing(before: Registers, after: Registers): Registers {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => before[name] !== value));
}

function segments(places: readonly Placed[]): Segment[] {
  return places.map(({ address, bytes }) => ({ address: BigInt(address), bytes: bytesOfHex(bytes) }));
}
