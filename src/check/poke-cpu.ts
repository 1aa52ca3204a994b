// Another CPU at a poked site: its register file is ours, and an engine executes one instruction of it at a time.
import { hexBytes, PAGE_SIZE, pageFloor, wrap } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { decodeOne } from '../x86/decode.ts';
import { Random } from './random.ts';
import type { Segment } from './space.ts';
import { pointer, STACK, STATE_REGISTERS, type State, segmentsOf } from './world.ts';

/** Everything that tells one CPU from another; never changed, only copied. */
export interface Cpu {
  readonly rip: bigint;
  readonly state: State;
  /** Bytes of memory that differ from the beginning. */
  readonly written: ReadonlyMap<bigint, number>;
}

/** What one instruction did: a CPU further on, or an end. */
export type Stepped =
  | { readonly cpu: Cpu; readonly pushed?: bigint }
  | { readonly end: string }
  | { readonly unjudged: string };

const AROUND = 64;
const MAX_PAGES = 64;

/** A text as its own proof of equality: two CPUs with one key are the same. */
export function keyOf(cpu: Cpu): string {
  const { registers, rflags, xmm } = cpu.state;
  const memory = [...cpu.written].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([at, value]) => `${at}:${value}`);
  const values = STATE_REGISTERS.map((name) => (registers[name] ?? 0n).toString(16));
  return [cpu.rip.toString(16), ...values, rflags.toString(16), ...xmm.map(hexBytes), ...memory].join(' ');
}

/** Executes single instructions of memory images on one engine. */
export class PokeCpu {
  readonly #engine: Engine;
  readonly #address: bigint;
  readonly #after: Uint8Array;
  readonly #pages = new Map<bigint, Uint8Array>();
  /** Bytes that the last step left changed, to be put back. */
  #dirty = new Set<bigint>();
  /** Addresses that the steps touch, while they are recorded. */
  #recorded: Set<bigint> | undefined;
  /** Instructions executed. */
  steps = 0;

  /**
   * @param address of the site
   * @param size bytes of the site
   * @throws {EngineError} the site lies where no memory can be
   */
  constructor(engine: Engine, address: bigint, size: number) {
    this.#engine = engine;
    this.#address = address;
    // what surrounds the site is not known: NOPs, which let every branch arrive
    this.#after = new Uint8Array(AROUND).fill(0x90);
    const end = address + BigInt(size + AROUND);
    for (let page = pageFloor(address); page < end; page += PAGE_SIZE) this.#touch(page, true);
    for (let page = STACK - 0x2000n; page < STACK + 0x1000n; page += PAGE_SIZE) this.#touch(pageFloor(page), false);
  }

  /** Takes all pages away, so that the engine can serve the next question. */
  close(): void {
    for (const page of this.#pages.keys()) this.#engine.unmap(page, PAGE_SIZE);
    this.#pages.clear();
  }

  /** Executes the instruction at `cpu.rip` as `image` holds it. */
  step(cpu: Cpu, image: Uint8Array): Stepped {
    this.steps++;
    this.#engine.write(this.#address, Uint8Array.from([...image, ...this.#after]));
    const bytes = this.#engine.read(cpu.rip, 15);
    const instruction = decodeOne(bytes, cpu.rip);
    const next = wrap(cpu.rip + BigInt(instruction.length));
    for (;;) {
      const touched = this.#load(cpu);
      let blocks = 0;
      const exit = this.#engine.run({
        from: cpu.rip,
        until: next,
        budget: 1000,
        onBlock: (address) => (++blocks > 1 ? address : undefined),
        onMemory: (kind, address, size) => {
          const set = kind === 'write' ? touched : this.#recorded;
          for (let i = 0; i < Math.min(size, 512); i++) set?.add(wrap(address + BigInt(i)));
        },
      });
      for (const address of touched) this.#recorded?.add(address);
      this.#dirty = new Set([...this.#dirty, ...touched]);
      const { fault } = exit;
      if (exit.reason === 'not-judged') return { unjudged: exit.why ?? 'the engine does not judge it' };
      if (fault?.access === 'fetch' && exit.rip !== cpu.rip)
        return this.#save(exit.rip, cpu, touched, instruction.flow);
      if (fault !== undefined) {
        if (fault.kind === 'unmapped' && fault.address !== undefined && this.#touch(pageFloor(fault.address), false)) {
          continue;
        }
        return { end: `${fault.kind} at +${cpu.rip - this.#address}` };
      }
      return this.#save(exit.rip, cpu, touched, instruction.flow);
    }
  }

  /** A CPU as the int3 handler leaves it when it emulates a call: one more word on the stack (F17). */
  static pushed(cpu: Cpu, value: bigint, rip: bigint): Cpu {
    const rsp = wrap((cpu.state.registers.rsp ?? 0n) - 8n);
    const written = new Map(cpu.written);
    for (const [i, byte] of pointer(value).entries()) written.set(wrap(rsp + BigInt(i)), byte);
    return { rip, state: { ...cpu.state, registers: { ...cpu.state.registers, rsp } }, written };
  }

  /** The word at rsp taken off the stack into rip, as `ret` does. */
  popped(cpu: Cpu): Cpu {
    const rsp = cpu.state.registers.rsp ?? 0n;
    let rip = 0n;
    for (let i = 7n; i >= 0n; i--) {
      const at = wrap(rsp + i);
      const byte = cpu.written.get(at) ?? this.#pages.get(pageFloor(at))?.[Number(at & (PAGE_SIZE - 1n))] ?? 0;
      rip = (rip << 8n) | BigInt(byte);
    }
    const registers = { ...cpu.state.registers, rsp: wrap(rsp + 8n) };
    return { rip, state: { ...cpu.state, registers }, written: cpu.written };
  }

  /** The memory that one more instruction touches, as `cpu` sees it before. */
  record(cpu: Cpu, image: Uint8Array): Segment[] {
    const recorded = new Set(cpu.written.keys());
    this.#recorded = recorded;
    this.step(cpu, image);
    this.#recorded = undefined;
    return segmentsOf(
      recorded,
      (at) => cpu.written.get(at) ?? this.#pages.get(pageFloor(at))?.[Number(at & (PAGE_SIZE - 1n))],
    );
  }

  #load(cpu: Cpu): Set<bigint> {
    const engine = this.#engine;
    for (const at of this.#dirty) {
      const first = this.#pages.get(pageFloor(at))?.[Number(at & (PAGE_SIZE - 1n))];
      if (first !== undefined) engine.write(at, Uint8Array.of(first));
    }
    this.#dirty = new Set(cpu.written.keys());
    for (const [at, value] of cpu.written) engine.write(at, Uint8Array.of(value));
    for (const name of STATE_REGISTERS) engine.writeRegister(name, cpu.state.registers[name] ?? 0n);
    engine.writeRegister('rflags', cpu.state.rflags);
    cpu.state.xmm.forEach((bytes, i) => {
      engine.writeXmm(i, bytes);
    });
    return new Set();
  }

  #save(rip: bigint, before: Cpu, touched: ReadonlySet<bigint>, flow: string): Stepped {
    const engine = this.#engine;
    const written = new Map(before.written);
    for (const at of touched) {
      if (this.#pages.has(pageFloor(at))) written.set(at, engine.read(at, 1)[0] ?? 0);
    }
    const registers = Object.fromEntries(STATE_REGISTERS.map((name) => [name, engine.readRegister(name)]));
    const xmm = before.state.xmm.map((_, i) => engine.readXmm(i));
    const cpu: Cpu = { rip, state: { registers, rflags: engine.readRegister('rflags'), xmm }, written };
    return flow === 'call' || flow === 'indirect-call' ? { cpu, pushed: this.popped(cpu).rip } : { cpu };
  }

  #touch(page: bigint, isCode: boolean): boolean {
    if (this.#pages.has(page)) return true;
    if (this.#pages.size >= MAX_PAGES) return false;
    const random = new Random(Number(BigInt.asUintN(32, (page >> 12n) ^ (page >> 44n))));
    const bytes = isCode ? new Uint8Array(Number(PAGE_SIZE)).fill(0x90) : random.bytes(Number(PAGE_SIZE));
    try {
      this.#engine.map(page, PAGE_SIZE, isCode ? 'rx' : 'rw');
    } catch (error) {
      if (isCode) throw error;
      return false;
    }
    this.#engine.write(page, bytes);
    this.#pages.set(page, bytes);
    return true;
  }
}
