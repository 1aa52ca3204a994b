// Builds and asks both-sides.c: do two pieces of code end alike on the bare CPU? Linux on x86-64 with gcc only.
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HookQuestion } from '../../../src/check/hook.ts';
import type { RelocationQuestion } from '../../../src/check/relocation.ts';
import type { Segment } from '../../../src/check/space.ts';
import { Writer } from '../../metal/bytes.ts';

/** One side: where it starts, where its own end lies, and its code; where segments overlap the first one counts. */
export interface BareSide {
  readonly entry: bigint;
  readonly end?: bigint;
  readonly code: readonly Segment[];
}

/** Two sides, and what may differ at their ends. */
export interface BareQuestion {
  readonly original: BareSide;
  readonly judged: BareSide;
  readonly states: number;
  readonly seed: bigint;
  /** Numbers of registers that may differ, in the order of their encoding. */
  readonly ignored?: readonly number[];
  /** Flag bits that may differ. */
  readonly ignoredFlags?: number;
  readonly patched?: { readonly address: bigint; readonly length: number };
}

/** `same N`: no difference in N states that could be compared · `different …` · `unproved …`. */
export type BareAnswer = string;

/** Builds the program, or says in a sentence why that cannot be done here. */
export function buildBareCpu(): { readonly path: string } | string {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `the bare CPU is asked on Linux x86-64 only, this is ${process.platform} ${process.arch}`;
  }
  const path = join(mkdtempSync(join(tmpdir(), 'tramp64-both-')), 'both-sides');
  const source = fileURLToPath(new URL('both-sides.c', import.meta.url));
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-static', '-fno-stack-protector'];
  const built = spawnSync('gcc', [...flags, '-o', path, source], { encoding: 'utf8' });
  if (built.error !== undefined) return 'gcc is missing: install gcc to ask the bare CPU';
  if (built.status !== 0) throw new Error(`gcc both-sides.c failed:\n${built.stderr}`);
  const tried = spawnSync(path, [], { input: Uint8Array.of(0, 0, 0, 0) });
  return tried.status === 0 ? { path } : `the bare CPU cannot be asked: ${tried.stderr.toString().trim()}`;
}

/** Asks all questions in one run. @throws {Error} the program failed, with its message */
export function askBareCpu({ path }: { readonly path: string }, questions: readonly BareQuestion[]): BareAnswer[] {
  const writer = new Writer();
  writer.u32(questions.length);
  for (const question of questions) {
    const { original, judged, states, seed, ignored = [], ignoredFlags = 0, patched } = question;
    writer.u32(states);
    writer.u64(seed);
    writer.u16(ignored.reduce((mask, register) => mask | (1 << register), 0));
    writer.u32(ignoredFlags);
    writer.u64(patched?.address ?? 0n);
    writer.u64(BigInt(patched?.length ?? 0));
    for (const { entry, end = 0n, code } of [original, judged]) {
      writer.u64(entry);
      writer.u64(end);
      writer.u32(code.length);
      for (const { address, bytes } of code) {
        writer.u64(address);
        writer.u32(bytes.length);
        writer.bytes(bytes);
      }
    }
  }
  const run = spawnSync(path, [], { input: writer.finish(), maxBuffer: 1 << 28, timeout: 120_000 });
  const lines = run.stdout.toString().split('\n').slice(0, -1);
  if (run.status !== 0 || lines.length !== questions.length) {
    throw new Error(
      `question ${lines.length}: status ${run.status}, signal ${run.signal ?? 'none'}: ${run.stderr.toString()}`,
    );
  }
  return lines;
}

const PADDING = 32;

/** A hook as a question to the bare CPU: the patched bytes are int3, for coming there is a difference in itself (C4). */
export function bareHook(hook: HookQuestion, states: number, seed: bigint): BareQuestion {
  const { address, bytes, padding = 0xcc } = hook.function;
  const around = new Uint8Array(bytes.length + 2 * PADDING).fill(padding);
  around.set(bytes, PADDING);
  const body: Segment = { address: address - BigInt(PADDING), bytes: around };
  const patch: Segment = { address, bytes: new Uint8Array(hook.patchLength).fill(0xcc) };
  return {
    original: { entry: address, code: [body] },
    judged: { entry: hook.trampoline.address, code: [patch, body, hook.trampoline] },
    states,
    seed,
    patched: { address, length: hook.patchLength },
  };
}

/** A moved block as a question to the bare CPU. */
export function bareRelocation(question: RelocationQuestion, states: number, seed: bigint): BareQuestion {
  const { address, bytes, newAddress, output = new Uint8Array(0), context = new Uint8Array(0) } = question;
  const around: Segment = { address: address + BigInt(bytes.length), bytes: context };
  const original: Segment = { address, bytes };
  return {
    original: { entry: address, end: address + BigInt(bytes.length), code: [original, around] },
    judged: {
      entry: newAddress,
      end: newAddress + BigInt(output.length),
      code: [{ address: newAddress, bytes: output }],
    },
    states,
    seed,
  };
}
