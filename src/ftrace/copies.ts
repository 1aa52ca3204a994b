// The trampolines of ops: each one's own copy of a caller (F28), and which addresses a trampoline begins at.
import type { Engine } from '../engine/engine.ts';
import { TrampolineError } from '../errors.ts';
import type { Faults } from '../faults.ts';
import type { Twins } from '../twins.ts';
import type { FtraceCallers } from './callers.ts';
import type { CodeArena } from './code-arena.ts';
import { writeU64 } from './guest/memory.ts';
import type { Ops } from './ops.ts';
import { type Registration, twinOf } from './record.ts';
import type { KernelVersion } from './trampoline.ts';
import { TrampolineCopies } from './trampoline-copies.ts';
import type { TrampolineText } from './trampoline-frames.ts';

/** What copies are made with. */
export interface CopiesParts {
  readonly engine: Engine;
  readonly arena: CodeArena;
  readonly faults: Faults;
  readonly kernel: KernelVersion;
  readonly returnThunk: bigint;
  readonly callers: FtraceCallers;
  /** Told of each copy. */
  readonly text: TrampolineText;
  /** ops->func where an ops has none: the gate. */
  readonly gate: bigint;
  /** ftrace_ops_assist_func. */
  assistFunc?: (() => bigint) | undefined;
}

/** Bytes that stand for an ops which has no struct of its own; the first quad is the handler, as in struct ftrace_ops. */
const BARE_OPS_SIZE = 16;

/** All trampolines of one guest. */
export class Copies {
  readonly #parts: CopiesParts;
  readonly #templates: TrampolineCopies;
  readonly #entries = new Set<bigint>();
  /** What sites are sent to, and by how many ops each. */
  readonly #direct = new Map<bigint, number>();
  readonly #lengths = new Map<Registration, number>();

  /** @param fork those of the machine that this one is a fork of */
  constructor(parts: CopiesParts, fork?: { readonly from: Copies; readonly twins: Twins }) {
    this.#parts = parts;
    // a cache of what the kernel's version alone decides
    this.#templates = fork === undefined ? new TrampolineCopies(parts.kernel, parts.returnThunk) : fork.from.#templates;
    for (const entry of Object.values(parts.callers.caller)) this.#entries.add(entry);
    if (fork === undefined) return;
    for (const entry of fork.from.#entries) this.#entries.add(entry);
    for (const [target, count] of fork.from.#direct) this.#direct.set(target, count);
    for (const [one, size] of fork.from.#lengths) this.#lengths.set(twinOf(one, fork.twins), size);
  }

  /** The trampoline that begins at an address: a common caller or a copy of one, or what sites are sent to directly. */
  at(address: bigint): 'ftrace' | 'direct' | undefined {
    // asked for each block that the CPU enters, and nearly all lie below
    if (address >= this.#parts.callers.range.start && this.#entries.has(address)) return 'ftrace';
    return this.#direct.size > 0 && this.#direct.has(address) ? 'direct' : undefined;
  }

  /**
   * Makes the trampoline of an ops; a direct one has ftrace_regs_caller as its own. Where there is no memory it has
   * none: its sites call a common caller (F28).
   *
   * @param place where its struct lies; behind the trampoline by default
   * @throws {TrampolineBytesError} ERANGE its function is out of reach (F10)
   */
  make(ops: Ops, order: number, place: bigint | undefined): Registration {
    const { engine, arena, callers, gate, assistFunc } = this.#parts;
    if (ops.directCall !== undefined) {
      this.#direct.set(ops.directCall, (this.#direct.get(ops.directCall) ?? 0) + 1);
      return { ops, order, place: place ?? 0n, trampoline: callers.caller.regs };
    }
    const func = ops.func ?? gate;
    const handler = (ops.has('RECURSION') ? assistFunc?.() : undefined) ?? func;
    const kind = ops.has('SAVE_REGS') ? 'regs' : 'args';
    const length = this.#templates.length(kind, handler, arena.base);
    const size = length + (place === undefined ? BARE_OPS_SIZE : 0);
    const address = this.#allocate(size);
    if (address === undefined) return { ops, order, place: place ?? 0n, trampoline: undefined };
    const struct = place ?? address + BigInt(length);
    try {
      const block = new Uint8Array(size);
      block.set(this.#templates.copy({ kind, handler, address, ops: struct }));
      engine.write(address, block);
      writeU64(engine, struct, func);
    } catch (error) {
      arena.free(address, size);
      throw error;
    }
    const registration = { ops, order, place: struct, trampoline: address };
    this.#lengths.set(registration, size);
    this.#entries.add(address);
    this.#parts.text.place(address, kind);
    return registration;
  }

  /** Gives a trampoline back. */
  free(registration: Registration): void {
    const { ops, trampoline } = registration;
    if (ops.directCall !== undefined) {
      const left = (this.#direct.get(ops.directCall) ?? 0) - 1;
      if (left > 0) this.#direct.set(ops.directCall, left);
      else this.#direct.delete(ops.directCall);
      return;
    }
    const size = this.#lengths.get(registration);
    if (trampoline === undefined || size === undefined) return;
    this.#lengths.delete(registration);
    this.#entries.delete(trampoline);
    this.#parts.arena.free(trampoline, size);
  }

  #allocate(size: number): bigint | undefined {
    const { faults, arena } = this.#parts;
    try {
      return faults.call('trampoline-allocation', () => arena.allocate(size));
    } catch (error) {
      if (error instanceof TrampolineError) return undefined;
      throw error;
    }
  }
}
