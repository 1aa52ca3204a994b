// One instance of the WASM module: its exports, memory and table, and views that stay valid when memory grows.
import { CORE_BASE64, type CoreExports } from './core.generated.ts';

export type { CoreExports } from './core.generated.ts';

let compiled: Promise<WebAssembly.Module> | undefined;

/** The embedded module, compiled at the first use; a module is immutable, so all instances share it. */
function embeddedModule(): Promise<WebAssembly.Module> {
  compiled ??= WebAssembly.compile(Uint8Array.from(atob(CORE_BASE64), (char) => char.charCodeAt(0)));
  return compiled;
}

/** What the CPU in the module asks of the host, while it runs. */
export interface HostCalls {
  /** A block is about to run; non-zero stops where STOP_AT says. */
  blockEntered(low: number, high: number, size: number): number;
  /** A data access while memory is traced: kind 0 read, 1 write. */
  memoryAccessed(kind: number, address: bigint, size: number): void;
  /** A call arrived there, or the ring of arrivals is full; non-zero stops. */
  arrived(low: number, high: number, dispatched: number): number;
  /** The gate was entered; the answer goes to GATE_ANSWER. */
  gateEntered(low: number, high: number): void;
  /** Blocks ran one after the other and are worth compiling: `count` of them, listed at `blocks`. */
  traceRecorded(id: number, blocks: number, count: number, low: number, high: number): void;
  /** The function at `slot` of the table is no longer needed. */
  traceDropped(slot: number): void;
}

/** An instance with memory of its own; two of them know nothing of each other. */
export class Instance {
  /** Set by the engine that runs guest code in this instance. */
  host: HostCalls | undefined;
  readonly exports: CoreExports;
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  #u8 = new Uint8Array(0);
  #u32 = new Uint32Array(0);
  #u64 = new BigUint64Array(0);

  /**
   * Compiles once and instantiates.
   *
   * @param bytes another build of the same module, such as the debug target; the embedded release build by default
   * @throws {WebAssembly.CompileError} `bytes` are no WASM module
   */
  static async create(bytes?: Uint8Array<ArrayBuffer>): Promise<Instance> {
    return new Instance(bytes === undefined ? await embeddedModule() : await WebAssembly.compile(bytes));
  }

  private constructor(module: WebAssembly.Module) {
    const imports = {
      env: { abort: (...position: number[]) => this.#abort(position) },
      host: {
        blockEntered: (low: number, high: number, size: number) => this.host?.blockEntered(low, high, size) ?? 0,
        memoryAccessed: (kind: number, address: bigint, size: number) => this.host?.memoryAccessed(kind, address, size),
        arrived: (low: number, high: number, dispatched: number) => this.host?.arrived(low, high, dispatched) ?? 0,
        gateEntered: (low: number, high: number) => this.host?.gateEntered(low, high),
        traceRecorded: (id: number, blocks: number, count: number, low: number, high: number) =>
          this.host?.traceRecorded(id, blocks, count, low, high),
        traceDropped: (slot: number) => this.host?.traceDropped(slot),
      },
    };
    // The interface is generated from the declarations that asc wrote for this very module.
    this.exports = new WebAssembly.Instance(module, imports).exports as unknown as CoreExports;
    this.memory = this.exports.memory;
    this.table = this.exports.table;
  }

  /** Memory as bytes. Like the other views: ask again after anything that may grow memory. */
  get u8(): Uint8Array {
    // Views over a buffer that was detached by growth have length 0.
    if (this.#u8.length === 0) this.#u8 = new Uint8Array(this.memory.buffer);
    return this.#u8;
  }

  /** Memory as unsigned 32-bit words; index = offset / 4. */
  get u32(): Uint32Array {
    if (this.#u32.length === 0) this.#u32 = new Uint32Array(this.memory.buffer);
    return this.#u32;
  }

  /** Memory as unsigned 64-bit words; index = offset / 8. */
  get u64(): BigUint64Array {
    if (this.#u64.length === 0) this.#u64 = new BigUint64Array(this.memory.buffer);
    return this.#u64;
  }

  /** A failed assert of the debug build: throws an Error with the AssemblyScript file and line. */
  #abort([message = 0, file = 0, line = 0, column = 0]: number[]): never {
    throw new Error(`${this.#string(message)} at ${this.#string(file)}:${line}:${column}`);
  }

  /** An AssemblyScript string: UTF-16, its length in bytes in the word before it. */
  #string(offset: number): string {
    if (offset === 0) return '';
    const length = this.u32[(offset >>> 2) - 1] ?? 0;
    return new TextDecoder('utf-16le').decode(this.u8.subarray(offset, offset + length));
  }
}
