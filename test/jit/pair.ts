// The WASM CPU twice, with and without traces: everything is done to both, and every run must end alike.
import { expect } from 'vitest';
import { hex } from '../../src/address.ts';
import { Core } from '../../src/core/core.ts';
import type { Access, Exit, RegisterName, RunOptions } from '../../src/engine/engine.ts';
import { REGISTERS } from '../../src/engine/engine.ts';
import type { JitMode } from '../../src/engine/jit/jit.ts';
import { createWasm, type WasmEngine } from '../../src/engine/wasm.ts';

/** A CPU with a core. */
interface Side {
  readonly core: Core;
  readonly engine: WasmEngine;
  readonly task: number;
}

/** The CPU between two runs, for messages that say what differs. */
export interface Snapshot {
  readonly exit: Exit;
  readonly registers: Readonly<Record<string, string>>;
  readonly memory: readonly string[];
}

async function side(jit: JitMode): Promise<Side> {
  const core = await Core.create({ sites: 4096, funcs: 4096, tasks: 64 });
  return { core, engine: await createWasm(core.instance, jit), task: core.addTask() };
}

/** Both CPUs. */
export class Pair {
  readonly #sides: readonly Side[];
  readonly #mapped: { readonly address: bigint; readonly size: bigint; writable: boolean }[] = [];

  static async create(jit: JitMode = 'eager'): Promise<Pair> {
    return new Pair([await side(false), await side(jit)]);
  }

  private constructor(sides: readonly Side[]) {
    this.#sides = sides;
  }

  /** Traces that were compiled so far. */
  get compiled(): number {
    return this.#sides[1]?.engine.jitCounts?.compiled ?? 0;
  }

  get live(): number {
    return this.#sides[1]?.engine.jitCounts?.live ?? 0;
  }

  each(action: (side: Side) => void): void {
    for (const one of this.#sides) action(one);
  }

  map(address: bigint, size: bigint, access: Access): void {
    this.each(({ engine }) => engine.map(address, size, access));
    this.#mapped.push({ address, size, writable: access.includes('w') });
  }

  write(address: bigint, bytes: Uint8Array): void {
    this.each(({ engine }) => engine.write(address, bytes));
  }

  set(registers: Partial<Record<RegisterName, bigint>>): void {
    for (const [name, value] of Object.entries(registers)) {
      this.each(({ engine }) => engine.writeRegister(name as RegisterName, value));
    }
  }

  /** Lets the core answer at the gate. */
  useCore(address: bigint): void {
    this.each(({ engine, task }) => {
      engine.redirection.useCore(address);
      engine.redirection.setTask(task);
    });
  }

  /**
   * Runs both and compares how they ended, all registers and all writable memory.
   * @param what names the run in a message
   */
  run(options: RunOptions, what = ''): Snapshot {
    const [expected, got] = this.#sides.map((one) => this.#run(one, options));
    if (expected === undefined || got === undefined) throw new RangeError('a pair has two sides');
    expect(got, what).toEqual(expected);
    return got;
  }

  register(name: RegisterName): bigint {
    return this.#sides[1]?.engine.readRegister(name) ?? 0n;
  }

  dispose(): void {
    this.each(({ engine }) => engine.dispose());
  }

  #run({ engine, core }: Side, options: RunOptions): Snapshot {
    const exit = engine.run(options);
    const registers = Object.fromEntries(REGISTERS.map((name) => [name, hex(engine.readRegister(name))]));
    const memory = this.#mapped
      .filter(({ writable }) => writable)
      .map(({ address, size }) => Buffer.from(engine.read(address, Number(size))).toString('latin1'));
    return { exit, registers: { ...registers, counters: JSON.stringify(core.counters()) }, memory };
  }
}
