// Matchers for vitest: import 'tramp64/vitest' once, and expect trampolines to do what they must.
import { expect } from 'vitest';
import { bytesOfHex, hex } from './address.ts';
import { type DispatchQuestion, judgeDispatch, judgePreserves, type PreservesQuestion } from './check/arrive.ts';
import { keepEngines } from './check/engines.ts';
import type { EngineMaker } from './check/execute.ts';
import type { Judgement } from './check/finding.ts';
import { type HookQuestion, judgeHook } from './check/hook.ts';
import { stepThrough } from './check/step-through.ts';
import type { EngineName } from './engine/engine.ts';
import { findingTraceText } from './report/finding-trace.ts';

/** What can be expected of: bytes, or their hex digits. */
export type Bytes = Uint8Array | string;

/** The function that a trampoline stands for, and where the trampoline lies. */
export interface EquivalentTo extends Pick<HookQuestion, 'function' | 'bitness'> {
  /** Address of the trampoline. */
  readonly address: bigint;
  /** Bytes that the patch over the function's start takes; 5 unless told. */
  readonly patchLength?: number;
  readonly engine?: EngineName;
}

/** Where bytes lie, and whom they lead to. */
export interface DispatchOptions extends Omit<DispatchQuestion, 'bytes' | 'target'> {
  readonly engine?: EngineName;
}

/** Where bytes lie, and what they must leave alone. */
export interface PreserveOptions extends Omit<PreservesQuestion, 'bytes'> {
  readonly engine?: EngineName;
}

/** What a machine's call has to say about its arrival; `machine.call()` returns one. */
export interface Arrived {
  readonly runs: { readonly name: string; readonly changed: readonly unknown[] };
}

/** The matchers; each is asynchronous: `await expect(bytes).toBeEquivalentTrampoline({...})`. */
export interface TrampolineMatchers<R> {
  /** The bytes, a relocated prologue with its jump back, do with the rest of the function what the function did. */
  toBeEquivalentTrampoline(options: EquivalentTo): R;
  /** Control leaves the bytes for this address and no other; or a machine's call arrived at this `image:function`. */
  toDispatchTo(target: bigint | string, options?: DispatchOptions): R;
  /** Where control leaves the bytes, the registers are as they were; or a machine's call arrived with all of them. */
  toPreserveRegisters(options?: PreserveOptions): R;
}

declare module 'vitest' {
  interface Matchers<T> extends TrampolineMatchers<Promise<void>> {}
}

interface Context {
  readonly isNot: boolean;
}

interface Result {
  readonly pass: boolean;
  message(): string;
}

/** The matchers as `expect.extend` takes them; importing this module has extended vitest's own `expect` already. */
export const trampolineMatchers = {
  async toBeEquivalentTrampoline(this: Context, received: unknown, options: EquivalentTo): Promise<Result> {
    const { address, patchLength = 5, engine, ...question } = options;
    const trampoline = { address, bytes: bytesOf(received) };
    return judged(this, address, 'to be an equivalent trampoline', engine, (engines) =>
      judgeHook({ ...question, patchLength, trampoline }, engines),
    );
  },

  async toDispatchTo(
    this: Context,
    received: unknown,
    target: bigint | string,
    options?: DispatchOptions,
  ): Promise<Result> {
    if (typeof target === 'string') {
      const { runs } = arrived(received);
      const message = (): string => `expected the call ${negated(this)}to run ${target}, it ran ${runs.name}`;
      return { pass: runs.name === target, message };
    }
    if (options === undefined) throw new TypeError('toDispatchTo: "options" expected { address } with bytes');
    const { engine, ...question } = options;
    const bytes = bytesOf(received);
    return judged(this, options.address, `to lead to ${hex(target)}`, engine, (engines) =>
      judgeDispatch({ ...question, bytes, target }, engines),
    );
  },

  async toPreserveRegisters(this: Context, received: unknown, options?: PreserveOptions): Promise<Result> {
    if (options === undefined) {
      const { runs } = arrived(received);
      const changed = runs.changed.map(String).join(', ');
      const message = (): string =>
        `expected the call of ${runs.name} ${negated(this)}to arrive with all registers; changed: ${changed || 'none'}`;
      return { pass: runs.changed.length === 0, message };
    }
    const { engine, ...question } = options;
    const bytes = bytesOf(received);
    return judged(this, options.address, 'to preserve registers', engine, (engines) =>
      judgePreserves({ ...question, bytes }, engines),
    );
  },
};

expect.extend(trampolineMatchers);

/** What was not judged fails the expectation and its opposite: nothing was proved. */
async function judged(
  context: Context,
  address: bigint,
  what: string,
  name: EngineName | undefined,
  judge: (engines: EngineMaker) => Promise<Judgement>,
): Promise<Result> {
  const keeper = keepEngines(name);
  try {
    const judgement = await judge(keeper.engines);
    const { verdict, reason } = judgement;
    const head = `expected the bytes at ${hex(address)} ${negated(context)}${what}: ${verdict}: ${reason}`;
    const shown = verdict === 'broken' ? await trace(judgement, keeper.engines) : [];
    const pass = verdict === 'not-judged' ? context.isNot : verdict === 'equivalent';
    return { pass, message: () => [head, ...shown].join('\n\n') };
  } finally {
    keeper.dispose();
  }
}

/** Both sides instruction by instruction, and the first difference. */
async function trace({ findings }: Judgement, engines: EngineMaker): Promise<string[]> {
  const found = findings.find(({ level }) => level === 'error');
  const { replay } = found ?? {};
  if (found === undefined || replay === undefined) return [];
  const { rule, name, message, address = replay.entry } = found;
  const [engine] = await engines();
  return [findingTraceText({ id: address, rule, name, message, address, replay }, stepThrough(replay, engine))];
}

function negated({ isNot }: Context): string {
  return isNot ? 'not ' : '';
}

function bytesOf(received: unknown): Uint8Array {
  if (received instanceof Uint8Array) return received;
  if (typeof received === 'string') return bytesOfHex(received);
  throw new TypeError(`expected a Uint8Array or hex digits, got ${received === null ? 'null' : typeof received}`);
}

function arrived(received: unknown): Arrived {
  const runs = typeof received === 'object' && received !== null && 'runs' in received ? received.runs : undefined;
  if (typeof runs === 'object' && runs !== null && 'name' in runs && 'changed' in runs) {
    const { name, changed } = runs;
    if (typeof name === 'string' && Array.isArray(changed)) return { runs: { name, changed } };
  }
  throw new TypeError('expected the result of machine.call(), or bytes with { address }');
}
