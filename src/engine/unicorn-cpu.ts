// A typed skin over unicorn.js: exact 64-bit values, EngineError instead of thrown strings, everything freed.
import type { Hook, Unicorn, uc as UnicornLibrary } from '@specy/x86/dist/x86/deps/unicorn-x86.min.js';
import { hex } from '../address.ts';
import { EngineError } from '../errors.ts';
import { type Access, type GateHandler, REGISTERS, type RegisterName } from './engine.ts';
import type { Mappings } from './mappings.ts';
import type { Failure, RemoveHook, UnicornBackend } from './unicorn-backend.ts';
import { UnicornGate } from './unicorn-gate.ts';

/** The library's module, loaded once. */
export type Library = typeof UnicornLibrary;

/** Bytes that one open CPU takes from the library's heap, measured (14.5 MB), and a little room. */
const CPU_COST = 15_000_000;

/**
 * What the library's heap can give. It may grow to 2 GiB, but a failed allocation inside the emulator ends the whole
 * library with exit(1), so the adapter refuses well before.
 */
const HEAP_LIMIT = 1_600_000_000;

/** A further CPU is opened only below this, so that those that are open keep room for guest memory. */
const OPEN_LIMIT = 1_000_000_000;

/** Bytes copied at once: the wrapper allocates each copy in the heap, unchecked. */
const COPY_SIZE = 1 << 20;

/** Bytes handed out from each library's one heap. Its CPUs share nothing else. */
const heapUse = new WeakMap<Library, number>();

const PERMISSIONS: Readonly<Record<Access, number>> = { r: 1, rw: 3, rx: 5, rwx: 7 };

/** One Unicorn CPU in 64-bit mode. */
export class UnicornCpu implements UnicornBackend {
  readonly repeatsFirstBlock = true;
  readonly #library: Library;
  readonly #unicorn: Unicorn;
  readonly #registers: Readonly<Record<RegisterName, number>>;
  readonly #hooks = new Set<Hook>();
  #heap = 0;
  #dead = false;

  /** @throws {EngineError} ENOMEM the library's heap holds no further CPU */
  constructor(library: Library) {
    this.#library = library;
    this.#registers = registerIds(library);
    this.#take(CPU_COST, 'create', OPEN_LIMIT);
    try {
      this.#unicorn = new library.Unicorn(constant(library, 'ARCH_X86'), constant(library, 'MODE_64'));
    } catch (cause) {
      this.#give(CPU_COST);
      throw this.#wrap('create', cause, 'ENOMEM');
    }
  }

  map(address: bigint, size: bigint, access: Access): void {
    const bytes = Number(size);
    this.#take(bytes, 'map');
    try {
      this.#call('map', () => this.#unicorn.mem_map(hex(address), bytes, PERMISSIONS[access]), 'ENOMEM');
    } catch (error) {
      this.#give(bytes);
      throw error;
    }
  }

  unmap(address: bigint, size: bigint): void {
    this.#call('unmap', () => this.#unicorn.mem_unmap(hex(address), Number(size)));
    this.#give(Number(size));
  }

  protect(address: bigint, size: bigint, access: Access): void {
    this.#call('protect', () => this.#unicorn.mem_protect(hex(address), Number(size), PERMISSIONS[access]));
  }

  read(address: bigint, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += COPY_SIZE) {
      const from = hex(address + BigInt(at));
      bytes.set(
        this.#call('read', () => this.#unicorn.mem_read(from, Math.min(COPY_SIZE, size - at))),
        at,
      );
    }
    return bytes;
  }

  write(address: bigint, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += COPY_SIZE) {
      const to = hex(address + BigInt(at));
      this.#call('write', () => this.#unicorn.mem_write(to, bytes.subarray(at, at + COPY_SIZE)));
    }
  }

  /** A write to a page below 4 GiB, spared the conversion; for the gate. */
  writeLow(address: number, bytes: Uint8Array): void {
    this.#unicorn.mem_write(address, bytes);
  }

  readRegister(name: RegisterName): bigint {
    const bytes = this.#call('register', () => this.#unicorn.reg_read(this.#registers[name], 8));
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  /** The eight bytes of a register, without a bigint; for the gate. */
  readRegisterBytes(name: RegisterName): Uint8Array {
    return this.#unicorn.reg_read(this.#registers[name], 8);
  }

  writeRegister(name: RegisterName, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.#call('register', () => this.#unicorn.reg_write(this.#registers[name], bytes));
  }

  readXmm(index: number): Uint8Array {
    return this.#call('register', () => this.#unicorn.reg_read(constant(this.#library, `X86_REG_XMM${index}`), 16));
  }

  writeXmm(index: number, bytes: Uint8Array): void {
    this.#call('register', () => this.#unicorn.reg_write(constant(this.#library, `X86_REG_XMM${index}`), bytes));
  }

  /** Each block entered. Safe over everything, unlike HOOK_CODE. A size of 0 means that Unicorn does not know it. */
  onBlock(callback: (low: number, high: number, size: number) => void): RemoveHook {
    return this.#hook('HOOK_BLOCK', (_, low, high, size) => callback(low ?? 0, high ?? 0, size ?? 0));
  }

  /** HOOK_CODE at one address below 4 GiB. It corrupts registers at conditional jumps: place it on a NOP only. */
  onInstruction(address: number, callback: () => void): RemoveHook {
    return this.#hook('HOOK_CODE', callback, address, address);
  }

  /** Each data access; `value` is not passed on. */
  onAccess(callback: (kind: 'read' | 'write', low: number, high: number, size: number) => void): RemoveHook {
    const write = constant(this.#library, 'MEM_WRITE');
    return this.#hook('HOOK_MEM_READ|HOOK_MEM_WRITE', (_, type, low, high, size) =>
      callback(type === write ? 'write' : 'read', low ?? 0, high ?? 0, size ?? 0),
    );
  }

  /**
   * Makes faults report the instruction instead of its block: while any memory hook exists, the translator stores rip
   * before each access. The range is one byte, so the callback does not run in the way.
   */
  syncRip(): RemoveHook {
    return this.#hook('HOOK_MEM_READ|HOOK_MEM_WRITE', () => undefined, 8, 8);
  }

  /** Each access that the mapping does not allow; the run then ends with an error. */
  onBadAccess(callback: (access: 'read' | 'write' | 'fetch', low: number, high: number) => void): RemoveHook {
    const library = this.#library;
    const writes = [constant(library, 'MEM_WRITE_UNMAPPED'), constant(library, 'MEM_WRITE_PROT')];
    const fetches = [constant(library, 'MEM_FETCH_UNMAPPED'), constant(library, 'MEM_FETCH_PROT')];
    return this.#hook('HOOK_MEM_UNMAPPED|HOOK_MEM_PROT', (_, type, low, high) => {
      const kind = fetches.includes(type ?? 0) ? 'fetch' : writes.includes(type ?? 0) ? 'write' : 'read';
      callback(kind, low ?? 0, high ?? 0);
      return 0;
    });
  }

  /** Each interrupt and exception, by vector. */
  onInterrupt(callback: (vector: number) => void): RemoveHook {
    return this.#hook('HOOK_INTR', (_, vector) => callback(vector ?? 0));
  }

  placeGate(mappings: Mappings, address: bigint, handler: GateHandler, onError: (error: unknown) => void): UnicornGate {
    return new UnicornGate(this, mappings, address, handler, onError);
  }

  /**
   * Runs until `until`, a stop or a failure.
   *
   * @returns Unicorn's error number for a guest failure
   * @throws {EngineError} EIO the emulator itself broke; this CPU is of no further use
   */
  start(from: bigint, until: bigint): Failure {
    try {
      this.#unicorn.emu_start(hex(from), hex(until), 0, 0);
      return undefined;
    } catch (cause) {
      const code = errorNumber(cause);
      if (code !== undefined) return code;
      this.#dead = true;
      throw this.#wrap('run', cause, 'EIO');
    }
  }

  /** Ends the run: inside a block hook before that block, inside an instruction hook before that instruction. */
  stop(): void {
    this.#unicorn.emu_stop();
  }

  /** Frees the CPU and its hooks (each holds a slot in the library's function table). */
  close(): void {
    for (const hook of this.#hooks) {
      this.#hooks.delete(hook);
      if (!this.#dead) this.#call('dispose', () => this.#unicorn.hook_del(hook));
    }
    if (this.#dead) return;
    this.#dead = true;
    this.#call('dispose', () => this.#unicorn.close());
    this.#give(this.#heap);
  }

  #hook(
    types: string,
    callback: (unicorn: Unicorn, ...values: number[]) => unknown,
    begin = 1,
    end = 0,
    instruction?: number,
  ): RemoveHook {
    const type = types.split('|').reduce((sum, name) => sum | constant(this.#library, name), 0);
    const hook = this.#call('hook', () => this.#unicorn.hook_add(type, callback, null, begin, end, instruction));
    this.#hooks.add(hook);
    return () => {
      if (this.#hooks.delete(hook)) this.#call('hook', () => this.#unicorn.hook_del(hook));
    };
  }

  #take(bytes: number, operation: string, limit = HEAP_LIMIT): void {
    const used = heapUse.get(this.#library) ?? 0;
    if (used + bytes > limit) {
      throw new EngineError('ENOMEM', `the open CPUs use ${used} of ${limit} bytes, no room for ${bytes} more`, {
        operation,
      });
    }
    heapUse.set(this.#library, used + bytes);
    this.#heap += bytes;
  }

  #give(bytes: number): void {
    heapUse.set(this.#library, (heapUse.get(this.#library) ?? 0) - bytes);
    this.#heap -= bytes;
  }

  #call<T>(operation: string, action: () => T, code: 'EIO' | 'ENOMEM' = 'EIO'): T {
    if (this.#dead && operation !== 'dispose') {
      throw new EngineError('EIO', 'the emulator broke in an earlier call', { operation });
    }
    try {
      return action();
    } catch (cause) {
      throw this.#wrap(operation, cause, code);
    }
  }

  #wrap(operation: string, cause: unknown, code: 'EIO' | 'ENOMEM'): EngineError {
    forgetExitStatus(cause);
    const engineCode = errorNumber(cause) ?? String(cause instanceof Error ? cause.message : cause);
    return new EngineError(code, `Unicorn failed with ${engineCode}`, { operation, cause, engineCode });
  }
}

/** Guest memory that the first machines get without growing the library's heap. */
const RESERVE = 0x100_0000;

/**
 * Loads the library. Apart, because it is 2.5 MB of JavaScript that only this engine needs.
 *
 * The heap starts with room for one CPU and little guest memory; each growth copies it whole. So it is grown once here.
 */
export async function loadLibrary(): Promise<Library> {
  const library = (await import('@specy/x86/dist/x86/deps/unicorn-x86.min.js')).uc;
  if (heapUse.has(library)) return library;
  const cpu = new UnicornCpu(library);
  cpu.map(0n, BigInt(RESERVE), 'r');
  cpu.close();
  return library;
}

function constant(library: Library, name: string): number {
  const value = library[name];
  if (typeof value !== 'number') {
    throw new EngineError('EIO', `the Unicorn library has no "${name}"`, { operation: 'create' });
  }
  return value;
}

const SPELLING: Partial<Record<RegisterName, string>> = { rflags: 'EFLAGS', fsBase: 'FS_BASE', gsBase: 'GS_BASE' };

function registerIds(library: Library): Record<RegisterName, number> {
  const id = (name: RegisterName) => constant(library, `X86_REG_${SPELLING[name] ?? name.toUpperCase()}`);
  return Object.fromEntries(REGISTERS.map((name) => [name, id(name)])) as Record<RegisterName, number>;
}

/** Unicorn's error number out of what its wrapper throws: a string, or an Error, with the number in its text. */
function errorNumber(cause: unknown): number | undefined {
  const text = typeof cause === 'string' ? cause : cause instanceof Error ? cause.message : '';
  const found = /failed with code (\d+)/.exec(text);
  return found === null ? undefined : Number(found[1]);
}

/** The library sets process.exitCode when its C code calls exit(); the process goes on, so its status stays as it was. */
function forgetExitStatus(cause: unknown): void {
  const exited = typeof cause === 'object' && cause !== null && 'name' in cause && cause.name === 'ExitStatus';
  const host = globalThis as { process?: { exitCode?: unknown } };
  if (exited && host.process !== undefined) host.process.exitCode = undefined;
}
