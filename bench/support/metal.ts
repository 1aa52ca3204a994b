// The bare CPU as an engine of the mechanisms' bench: one process for each captured call, asked in interleaved rounds.
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { TrampolineError } from '../../src/errors.ts';
import { capture, captureFile } from '../../src/measure/capture.ts';
import type { Mechanism } from '../../src/measure/mechanism.ts';
import { BASELINE, type EngineTimes, rowsOf } from '../../src/measure/timing.ts';

const SOURCE = fileURLToPath(new URL('../native/call.c', import.meta.url));
const SAMPLE_NS = 5e6;

/** What was timed on the bare CPU, and the cycles of the time-stamp counter beside. */
export interface MetalTimes extends EngineTimes {
  readonly engine: 'bare CPU';
  readonly cycles: Readonly<Record<string, readonly number[]>>;
}

interface Lane {
  readonly id: string;
  readonly baseline: string;
  readonly returns: bigint;
  readonly process: Caller;
  calls: number;
  readonly ns: number[];
  readonly cycles: number[];
}

/** Why the bare CPU cannot be asked here, or undefined. */
export function metalMissing(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'it needs Linux on x86-64';
  try {
    execFileSync('gcc', ['--version'], { stdio: 'pipe' });
    return undefined;
  } catch {
    return 'it needs gcc (Debian: apt-get install gcc libc6-dev)';
  }
}

/**
 * Times the mechanisms that are guest code alone.
 * @throws {Error} gcc does not build the harness, or a result is wrong
 */
export async function timeOnMetal(mechanisms: readonly Mechanism[], rounds: number): Promise<MetalTimes> {
  const folder = mkdtempSync(join(tmpdir(), 'tramp64-metal-'));
  const program = join(folder, 'call');
  const left: { id: string; reason: string }[] = [];
  const lanes: Lane[] = [];
  try {
    execFileSync('gcc', ['-O2', '-std=gnu11', '-fcf-protection=none', '-o', program, SOURCE], { stdio: 'pipe' });
    for (const { id, baseline = BASELINE, make } of mechanisms) {
      try {
        const subject = await make('wasm');
        try {
          const file = join(folder, `${lanes.length}.bin`);
          writeFileSync(file, captureFile(capture(subject)));
          const lane: Lane = {
            id,
            baseline,
            returns: subject.returns,
            process: new Caller(program, file),
            calls: 1000,
            ns: [],
            cycles: [],
          };
          await warmUp(lane);
          lanes.push(lane);
        } finally {
          subject.dispose();
        }
      } catch (error) {
        if (!(error instanceof TrampolineError)) throw error;
        left.push({ id, reason: error.message });
      }
    }
    for (let sample = 0; sample < rounds * lanes.length; sample++) {
      const lane = lanes[(sample + Math.floor(sample / lanes.length)) % lanes.length];
      if (lane === undefined) break;
      const { ns, cycles } = await ask(lane);
      lane.ns.push(ns / lane.calls);
      lane.cycles.push(cycles / lane.calls);
    }
  } finally {
    for (const lane of lanes) lane.process.end();
    rmSync(folder, { recursive: true, force: true });
  }
  const cycles = Object.fromEntries(lanes.map((lane) => [lane.id, lane.cycles]));
  return { engine: 'bare CPU', rows: rowsOf(lanes), left, cycles };
}

async function warmUp(lane: Lane): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const { ns } = await ask(lane);
    lane.calls = Math.max(100, Math.min(1 << 24, Math.round((lane.calls * SAMPLE_NS) / Math.max(ns, 1))));
  }
}

async function ask({ id, process: caller, calls, returns }: Lane): Promise<{ ns: number; cycles: number }> {
  const [ns = '', cycles = '', sum = ''] = (await caller.ask(String(calls))).split(' ');
  if (BigInt(`0x${sum || '0'}`) !== BigInt.asUintN(64, returns * BigInt(calls))) {
    throw new Error(`bench: on the bare CPU ${id} gives a wrong result`);
  }
  return { ns: Number(ns), cycles: Number(cycles) };
}

/** A process that answers each line with a line. */
class Caller {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(program: string, file: string) {
    this.#child = spawn(program, [file]);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('bench: the native harness ended; its program faulted');
    return value;
  }

  end(): void {
    this.#child.stdin.end();
  }
}
