// The trace JIT of one WASM CPU: compiles what the interpreter has recorded, and owns the table's slots.
import { EngineError } from '../../errors.ts';
import type { Instance } from '../../wasm/instance.ts';
import { type CompiledTrace, compile } from './compile.ts';
import { type Layout, layoutOf } from './layout.ts';
import { readBlock } from './ops.ts';

/**
 * When hot code is compiled: while the guest waits (`sync`), which Node and workers allow at any size, or beside it
 * (`async`), as browsers want it on their main thread. `eager`: as `sync`, but all code is hot that runs a second time,
 * for tests. `false`: never. Results are the same.
 */
export type JitMode = 'sync' | 'async' | 'eager' | false;

/** Entries after which a block is hot. Compiling costs as much as a few thousand passes through a trampoline save. */
const HOT = 500;
/** … and where every trace is wanted, for tests: the first one is interpreted. */
const EAGER = 2;
/** Instructions from which on a trace that does not loop is worth entering and leaving. */
const WORTH = 16;

/** What became of what was recorded. */
export interface JitCounts {
  /** Traces that were compiled. */
  readonly compiled: number;
  /** Those of them that can run now. */
  readonly live: number;
  /** Recordings that were not compiled: an instruction that no trace has, or a module that failed. */
  readonly refused: number;
}

/**
 * How code is compiled unless the caller says: as TRAMP64_JIT says in Node (`off`, `sync`, `async` or `eager`), beside the
 * guest in a browser's window, and else while it waits.
 *
 * @throws {EngineError} EINVAL TRAMP64_JIT is something else
 */
export function defaultJitMode(): JitMode {
  const host = globalThis as { process?: { env: Record<string, string | undefined> } };
  const wanted = host.process?.env.TRAMP64_JIT;
  if (wanted === 'off') return false;
  if (wanted === 'sync' || wanted === 'async' || wanted === 'eager') return wanted;
  if (wanted !== undefined && wanted !== '') {
    throw new EngineError('EINVAL', `TRAMP64_JIT expected off, sync, async or eager, got '${wanted}'`, {
      operation: 'create engine',
    });
  }
  return 'document' in globalThis ? 'async' : 'sync';
}

/** The compiler of one instance. */
export class Jit {
  readonly #instance: Instance;
  readonly #mode: Exclude<JitMode, false>;
  readonly #layout: Layout;
  readonly #imports: WebAssembly.Imports;
  readonly #used = new Set<number>();
  #gate: bigint | undefined;
  #compiled = 0;
  #refused = 0;
  #disposed = false;

  constructor(instance: Instance, mode: Exclude<JitMode, false>) {
    this.#instance = instance;
    this.#mode = mode;
    this.#layout = layoutOf(instance.exports);
    this.#imports = { core: instance.exports as unknown as WebAssembly.ModuleImports };
    if (mode === 'eager') instance.exports.setTraces(EAGER, 0);
    else instance.exports.setTraces(HOT, WORTH);
  }

  /** Where the gate is. */
  setGate(address: bigint): void {
    this.#gate = address;
  }

  get counts(): JitCounts {
    return { compiled: this.#compiled, live: this.#used.size, refused: this.#refused };
  }

  /** Blocks ran one after the other: `count` of them, listed at `list`, and then what is at `next`. */
  recorded(id: number, list: number, count: number, next: bigint): void {
    const trace = this.#compile(list >>> 0, count, next);
    if (trace === undefined) {
      this.#refuse(id);
      return;
    }
    if (this.#mode === 'async') {
      void this.#installLater(id, trace);
      return;
    }
    try {
      const module = new WebAssembly.Module(trace.bytes);
      this.#install(id, trace, new WebAssembly.Instance(module, this.#imports));
    } catch (error) {
      if (!isWasmError(error)) throw error;
      this.#refuse(id);
    }
  }

  /** A slot is no longer needed. */
  dropped(slot: number): void {
    this.#used.delete(slot);
    this.#instance.giveSlot(slot);
  }

  /** Frees every trace. */
  dispose(): void {
    this.#instance.exports.setTraces(0, 0);
    this.#disposed = true;
    for (const slot of this.#used) this.#instance.giveSlot(slot);
    this.#used.clear();
  }

  #compile(list: number, count: number, next: bigint): CompiledTrace | undefined {
    const { u32, memory } = this.#instance;
    const blocks = Array.from(u32.subarray(list / 4, list / 4 + count), (at) => readBlock(memory.buffer, at));
    return compile({ blocks, next, gate: this.#gate }, this.#layout);
  }

  async #installLater(id: number, trace: CompiledTrace): Promise<void> {
    try {
      const { instance } = await WebAssembly.instantiate(trace.bytes, this.#imports);
      if (this.#disposed) this.#refuse(id);
      else this.#install(id, trace, instance);
    } catch (error) {
      // nobody waits for this: a machine that cannot even be entered goes on without the trace
      if (isNoMemory(error)) this.#refused++;
      else if (isWasmError(error)) this.#refuse(id);
      else throw error;
    }
  }

  #install(id: number, { longest, loops }: CompiledTrace, { exports }: WebAssembly.Instance): void {
    const core = this.#instance.exports;
    const slot = this.#instance.takeSlot();
    this.#instance.table.set(slot, exports.trace as () => number);
    if (core.installTrace(id, slot, longest, loops)) {
      this.#used.add(slot);
      this.#compiled++;
      return;
    }
    this.#instance.giveSlot(slot);
    this.#refused++;
  }

  #refuse(id: number): void {
    this.#refused++;
    if (!this.#disposed) this.#instance.exports.refuseTrace(id);
  }
}

/** A module that the host refuses to make: too many, too large, or no memory for it. The interpreter goes on. */
function isWasmError(error: unknown): boolean {
  return (
    error instanceof WebAssembly.CompileError || error instanceof WebAssembly.LinkError || error instanceof RangeError
  );
}

/** Another fork is current, and what the core keeps of it has no room (see Instance). */
function isNoMemory(error: unknown): boolean {
  return error instanceof EngineError && error.code === 'ENOMEM';
}
