// One instance of the WASM module: its exports, memory and table, and views that stay valid when memory grows. Forks
// share an instance: each has an address space of its own, which becomes the current one when it is used.
import { EngineError } from '../errors.ts';
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

/** What an instance has in common with its forks. */
interface Shared {
  readonly exports: CoreExports;
  /** Whose address space is current; undefined after that one was given back. */
  current: Instance | undefined;
  /** Guest code runs, in the current one. */
  running: boolean;
  /** How many address spaces there are. */
  members: number;
  /** Slots of the table that are free again. */
  readonly slots: number[];
}

/**
 * An instance with memory of its own, of which two know nothing of each other; or a fork of one, which shares the memory
 * and sees its own guest pages, stacks and tasks in it.
 */
export class Instance {
  /** Set by the engine that runs guest code in this instance. */
  host: HostCalls | undefined;
  /** Told before the first fork of it is made: from then on exports must be asked for each time. */
  onShared: (() => void) | undefined;
  readonly memory: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  readonly #shared: Shared;
  /** The name of its address space; 0 while it has no fork. */
  #space: number;
  #dropped = false;
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
    const module = bytes === undefined ? await embeddedModule() : await WebAssembly.compile(bytes);
    const host = (): HostCalls | undefined => shared.current?.host;
    const imports = {
      env: { abort: (...position: number[]) => failed(exports.memory, position) },
      host: {
        blockEntered: (low: number, high: number, size: number) => host()?.blockEntered(low, high, size) ?? 0,
        memoryAccessed: (kind: number, address: bigint, size: number) => host()?.memoryAccessed(kind, address, size),
        arrived: (low: number, high: number, dispatched: number) => host()?.arrived(low, high, dispatched) ?? 0,
        gateEntered: (low: number, high: number) => host()?.gateEntered(low, high),
        traceRecorded: (id: number, blocks: number, count: number, low: number, high: number) =>
          host()?.traceRecorded(id, blocks, count, low, high),
        traceDropped: (slot: number) => host()?.traceDropped(slot),
      },
    };
    // The interface is generated from the declarations that asc wrote for this very module.
    const exports = new WebAssembly.Instance(module, imports).exports as unknown as CoreExports;
    const shared: Shared = { exports, current: undefined, running: false, members: 1, slots: [] };
    shared.current = new Instance(shared, 0);
    return shared.current;
  }

  private constructor(shared: Shared, space: number) {
    this.#shared = shared;
    this.#space = space;
    this.memory = shared.exports.memory;
    this.table = shared.exports.table;
  }

  /**
   * The module's exports, with its own address space current. Ask again after anything that may use a fork.
   * @throws {EngineError} EBUSY a fork of it is running · EINVAL it was given back
   */
  get exports(): CoreExports {
    if (this.#shared.current !== this) this.#enter();
    return this.#shared.exports;
  }

  /** Guest code runs in it: until it does not, no fork of it can be used. */
  set running(on: boolean) {
    this.#shared.running = on;
  }

  /**
   * A further address space of an instance with a CPU, as this one is now. Guest pages are shared until one of the two
   * writes them.
   * @throws {EngineError} ENOMEM no memory for its tables · EBUSY it runs, or another fork of it · EINVAL
   */
  fork(): Instance {
    const { exports } = this;
    if (this.#shared.running) throw busy();
    const space = exports.forkSpace() >>> 0;
    if (space === 0) throw new EngineError('ENOMEM', 'no memory for the tables of a fork', { operation: 'fork' });
    this.onShared?.();
    this.onShared = undefined;
    this.#space = exports.currentSpace() >>> 0;
    this.#shared.members++;
    return new Instance(this.#shared, space);
  }

  /**
   * Gives back what it does not share, while a fork of it is left; twice is harmless.
   * @throws {EngineError} EBUSY a fork of it is running · ENOMEM no memory to keep that one's state apart
   */
  dispose(): void {
    if (this.#dropped || this.#shared.members === 1) return;
    this.exports.dropSpace();
    this.#dropped = true;
    this.#shared.members--;
    this.#shared.current = undefined;
  }

  /** A free slot of the table. */
  takeSlot(): number {
    return this.#shared.slots.pop() ?? this.table.grow(1);
  }

  /** Empties a slot that was taken. */
  giveSlot(slot: number): void {
    this.table.set(slot, null);
    this.#shared.slots.push(slot);
  }

  /** Memory as bytes. Like the other views: ask again after anything that may grow memory. */
  get u8(): Uint8Array {
    if (this.#shared.current !== this) this.#enter();
    // Views over a buffer that was detached by growth have length 0.
    if (this.#u8.length === 0) this.#u8 = new Uint8Array(this.memory.buffer);
    return this.#u8;
  }

  /** Memory as unsigned 32-bit words; index = offset / 4. */
  get u32(): Uint32Array {
    if (this.#shared.current !== this) this.#enter();
    if (this.#u32.length === 0) this.#u32 = new Uint32Array(this.memory.buffer);
    return this.#u32;
  }

  /** Memory as unsigned 64-bit words; index = offset / 8. */
  get u64(): BigUint64Array {
    if (this.#shared.current !== this) this.#enter();
    if (this.#u64.length === 0) this.#u64 = new BigUint64Array(this.memory.buffer);
    return this.#u64;
  }

  /** Makes its address space the current one. */
  #enter(): void {
    const shared = this.#shared;
    if (this.#dropped) throw new EngineError('EINVAL', 'the machine is disposed', { operation: 'use' });
    if (shared.running) throw busy();
    const before = shared.current;
    // traces that went with the blocks of before are told to their own host
    shared.current = this;
    if (shared.exports.enterSpace(this.#space)) return;
    shared.current = before;
    throw new EngineError('ENOMEM', 'no memory to keep the state of a fork', { operation: 'use' });
  }
}

/** A failed assert of the debug build: throws an Error with the AssemblyScript file and line. */
function failed({ buffer }: WebAssembly.Memory, [message = 0, file = 0, line = 0, column = 0]: number[]): never {
  throw new Error(`${stringAt(buffer, message)} at ${stringAt(buffer, file)}:${line}:${column}`);
}

/** An AssemblyScript string: UTF-16, its length in bytes in the word before it. */
function stringAt(memory: ArrayBuffer, offset: number): string {
  if (offset === 0) return '';
  const length = new DataView(memory).getUint32(offset - 4, true);
  return new TextDecoder('utf-16le').decode(new Uint8Array(memory, offset, length));
}

function busy(): EngineError {
  return new EngineError('EBUSY', 'a fork that shares the instance is running', { operation: 'use' });
}
