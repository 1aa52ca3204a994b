// What is timed: the same guest program on each CPU, in this process or in one of its own.
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Core } from '../../src/core/core.ts';
import { Mappings } from '../../src/engine/mappings.ts';
import { loadLibrary, UnicornCpu } from '../../src/engine/unicorn-cpu.ts';
import { WasmEngine } from '../../src/engine/wasm.ts';
import { GATE, type GuestImage, type GuestRun, imageFile } from './guest.ts';

/** How long a run took, and what it left in rbx. */
export interface Timed {
  readonly nanoseconds: number;
  readonly sum: bigint;
}

/** A CPU with the program in its memory. */
export interface Subject {
  time(run: GuestRun): Promise<Timed>;
  /** Traces that can run now, where there is a JIT. */
  traces?(): number;
  close(): void;
}

/** Site look-up, guard, task and counter, as every subject has them. */
async function coreWith(image: GuestImage): Promise<{ core: Core; task: number }> {
  const core = await Core.create();
  const task = core.addTask();
  for (const [site, newFunction] of image.sites) core.pushFunc(site, newFunction, 1);
  return { core, task };
}

/** Nanoseconds of one look-up of site 0 in a batch, inside WASM: the shortest of many. */
export async function timeDispatch(image: GuestImage): Promise<number> {
  const { core, task } = await coreWith(image);
  const batch = core.batch(65_536);
  batch.sites.fill(image.sites[0]?.[0] ?? 0n);
  let shortest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 400; i++) {
    const start = process.hrtime.bigint();
    batch.run(task);
    shortest = Math.min(shortest, Number(process.hrtime.bigint() - start));
  }
  return shortest / 65_536;
}

/** The WASM CPU, the core answering at the gate inside WASM. */
export async function wasmSubject(image: GuestImage, jit: 'sync' | false): Promise<Subject> {
  const { core, task } = await coreWith(image);
  const engine = WasmEngine.over(core.instance, jit);
  for (const { address, bytes, access } of image.segments) {
    engine.map(address, BigInt(bytes.length), access);
    engine.write(address, bytes);
  }
  engine.redirection.useCore(GATE);
  engine.redirection.setTask(task);
  return {
    time: async (run) => {
      const { stackTop, until } = image;
      const sp = stackTop - 8n;
      engine.write(sp, quad(until));
      engine.writeRegister('rsp', sp);
      engine.writeRegister('rbx', 0n);
      for (const name of ['r12', 'r13', 'r14'] as const) engine.writeRegister(name, run[name]);
      const start = process.hrtime.bigint();
      const exit = engine.run({ from: run.entry, until, budget: 1e12 });
      const nanoseconds = Number(process.hrtime.bigint() - start);
      if (exit.reason !== 'until') throw new Error(`the run ended with ${exit.reason} at 0x${exit.rip.toString(16)}`);
      return { nanoseconds, sum: engine.readRegister('rbx') };
    },
    traces: () => engine.jitCounts?.live ?? 0,
    close: () => engine.dispose(),
  };
}

/** unicorn.js at its best: no hook but the gate's. */
export async function unicornJsSubject(image: GuestImage): Promise<Subject> {
  const { core, task } = await coreWith(image);
  const cpu = new UnicornCpu(await loadLibrary());
  const mappings = new Mappings();
  for (const { address, bytes, access } of image.segments) {
    cpu.map(address, BigInt(bytes.length), access);
    mappings.add(address, BigInt(bytes.length), access);
    cpu.write(address, bytes);
  }
  let thrown: unknown;
  cpu.placeGate(
    mappings,
    GATE,
    (low, high, answer) => {
      core.dispatchPair(low, high, task);
      answer.set(core.answer);
    },
    (error) => {
      thrown = error;
    },
  );
  return {
    time: async (run) => {
      const { stackTop, until } = image;
      const sp = stackTop - 8n;
      cpu.write(sp, quad(until));
      cpu.writeRegister('rsp', sp);
      cpu.writeRegister('rbx', 0n);
      for (const name of ['r12', 'r13', 'r14'] as const) cpu.writeRegister(name, run[name]);
      const start = process.hrtime.bigint();
      const failure = cpu.start(run.entry, until);
      const nanoseconds = Number(process.hrtime.bigint() - start);
      if (failure !== undefined || thrown !== undefined) throw new Error(`unicorn.js failed: ${failure ?? thrown}`);
      return { nanoseconds, sum: cpu.readRegister('rbx') };
    },
    close: () => cpu.close(),
  };
}

const SOURCE = fileURLToPath(new URL('../native/harness.c', import.meta.url));

/** The harness, built by gcc, with the program beside it. */
export class Harness {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tramp64-bench-'));
  readonly #image: string;

  /** @throws {Error} there is no gcc */
  constructor(image: GuestImage) {
    const program = this.program;
    execFileSync('gcc', ['-O2', '-std=gnu11', '-mno-red-zone', '-o', program, SOURCE, '-ldl'], { stdio: 'pipe' });
    this.#image = join(this.#folder, 'image');
    writeFileSync(this.#image, imageFile(image));
  }

  get program(): string {
    return join(this.#folder, 'harness');
  }

  /**
   * Starts it: `native` on the bare CPU, `unicorn` on libunicorn 2; `through` names a program that runs it.
   * @throws {Error} it does not start
   */
  async start(mode: 'native' | 'unicorn', through: readonly string[] = []): Promise<Subject> {
    const [command = '', ...rest] = [...through, this.program, mode, this.#image];
    const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return new HarnessSubject(child);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }
}

class HarnessSubject implements Subject {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;

  constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.#lines = createInterface(child.stdout);
  }

  async time({ entry, r12, r13, r14 }: GuestRun): Promise<Timed> {
    const answer = new Promise<string>((resolve, reject) => {
      this.#lines.once('line', resolve);
      this.#lines.once('close', () => reject(new Error('the harness ended')));
    });
    this.#child.stdin.write(`${[entry, r12, r13, r14].map((word) => word.toString(16)).join(' ')}\n`);
    const [nanoseconds = '', sum = ''] = (await answer).split(' ');
    this.#lines.removeAllListeners('close');
    return { nanoseconds: Number(nanoseconds), sum: BigInt(sum) };
  }

  close(): void {
    this.#child.stdin.end();
  }
}

function quad(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}
