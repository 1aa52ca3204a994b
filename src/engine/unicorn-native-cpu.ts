// One CPU of the system's libunicorn: exact 64-bit values, EngineError instead of error numbers, everything freed.
import { hex } from '../address.ts';
import { EngineError } from '../errors.ts';
import { type Access, type GateHandler, REGISTERS, type RegisterName } from './engine.ts';
import type { Handle, LibUnicorn } from './libunicorn.ts';
import type { Mappings } from './mappings.ts';
import type { Failure, RemoveHook, UnicornBackend } from './unicorn-backend.ts';
import { UnicornNativeGate } from './unicorn-native-gate.ts';

// Numbers of unicorn.h and x86.h; they are the same in every 2.x.
const ARCH_X86 = 4;
const MODE_64 = 8;
const HOOK = { interrupt: 1, code: 4, block: 8, badAccess: 0x3f0, access: 0xc00 };
const MEM_WRITE = 17;
const BAD_WRITES: readonly number[] = [20, 22];
const BAD_FETCHES: readonly number[] = [21, 24];
const XMM0 = 122;
const PERMISSIONS: Readonly<Record<Access, number>> = { r: 1, rw: 3, rx: 5, rwx: 7 };

/** In the order of REGISTERS. */
const NUMBERS = [35, 38, 40, 37, 44, 36, 43, 39, 106, 107, 108, 109, 110, 111, 112, 113, 41, 25, 250, 251];
const REGISTER = Object.fromEntries(REGISTERS.map((name, i) => [name, NUMBERS[i] ?? 0])) as Record<
  RegisterName,
  number
>;

/** Unicorn's error numbers for what the guest did: bad accesses, an unknown instruction, an exception. */
const GUEST_ERRORS: ReadonlySet<number> = new Set([6, 7, 8, 10, 12, 13, 14, 21]);
const NO_MEMORY = 1;

/** One Unicorn CPU in 64-bit mode. */
export class UnicornNativeCpu implements UnicornBackend {
  readonly repeatsFirstBlock = false;
  readonly #library: LibUnicorn;
  readonly #handle: Handle;
  readonly #hooks = new Set<RemoveHook>();
  readonly #word = new Uint8Array(8);
  readonly #view = new DataView(this.#word.buffer);
  #closed = false;

  /** @throws {EngineError} ENOMEM the library cannot make one */
  constructor(library: LibUnicorn) {
    this.#library = library;
    const handle: [Handle] = [null];
    this.#check('create', library.open(ARCH_X86, MODE_64, handle), 'ENOMEM');
    this.#handle = handle[0];
  }

  map(address: bigint, size: bigint, access: Access): void {
    const error = this.#library.memMap(this.#handle, address, size, PERMISSIONS[access]);
    this.#check('map', error, error === NO_MEMORY ? 'ENOMEM' : 'EIO');
  }

  mapBytes(address: bigint, access: Access, bytes: Uint8Array): void {
    const size = BigInt(bytes.length);
    const error = this.#library.memMapBytes(this.#handle, address, size, PERMISSIONS[access], bytes);
    this.#check('map', error, error === NO_MEMORY ? 'ENOMEM' : 'EIO');
  }

  unmap(address: bigint, size: bigint): void {
    this.#forget(address, size);
    this.#check('unmap', this.#library.memUnmap(this.#handle, address, size));
  }

  protect(address: bigint, size: bigint, access: Access): void {
    this.#check('protect', this.#library.memProtect(this.#handle, address, size, PERMISSIONS[access]));
  }

  read(address: bigint, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    if (size > 0) this.#check('read', this.#library.memRead(this.#handle, address, bytes, size));
    return bytes;
  }

  /** Unicorn 2 goes on with old translations of bytes that the host has written, so they are dropped here. */
  write(address: bigint, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#check('write', this.#library.memWrite(this.#handle, address, bytes, bytes.length));
    this.#forget(address, BigInt(bytes.length));
  }

  readRegister(name: RegisterName): bigint {
    // of rflags Unicorn leaves the lower half only
    if (name === 'rflags') this.#word.fill(0);
    this.#check('register', this.#library.regRead(this.#handle, REGISTER[name], this.#word));
    return this.#view.getBigUint64(0, true);
  }

  writeRegister(name: RegisterName, value: bigint): void {
    this.#view.setBigUint64(0, value, true);
    this.#check('register', this.#library.regWrite(this.#handle, REGISTER[name], this.#word));
  }

  readXmm(index: number): Uint8Array {
    const bytes = new Uint8Array(16);
    this.#check('register', this.#library.regRead(this.#handle, XMM0 + index, bytes));
    return bytes;
  }

  writeXmm(index: number, bytes: Uint8Array): void {
    this.#check('register', this.#library.regWrite(this.#handle, XMM0 + index, bytes));
  }

  onBlock(callback: (low: number, high: number, size: number) => void): RemoveHook {
    return this.#hook('block', HOOK.block, (_: Handle, address: number | bigint, size: number) =>
      callback(low(address), high(address), size),
    );
  }

  /** Before the instruction at `address`; registers may be written there. */
  onInstruction(address: bigint, callback: () => void): RemoveHook {
    return this.#hook('block', HOOK.code, callback, address, address);
  }

  onAccess(callback: (kind: 'read' | 'write', low: number, high: number, size: number) => void): RemoveHook {
    return this.#hook('access', HOOK.access, (_: Handle, type: number, address: number | bigint, size: number) =>
      callback(type === MEM_WRITE ? 'write' : 'read', low(address), high(address), size),
    );
  }

  /**
   * Makes faults report the instruction instead of its block: while any memory hook exists, the translator stores rip
   * before each access. The range is one byte, so the callback does not run in the way.
   */
  syncRip(): RemoveHook {
    return this.#hook('access', HOOK.access, () => undefined, 8n, 8n);
  }

  onBadAccess(callback: (access: 'read' | 'write' | 'fetch', low: number, high: number) => void): RemoveHook {
    return this.#hook('badAccess', HOOK.badAccess, (_: Handle, type: number, address: number | bigint) => {
      const kind = BAD_FETCHES.includes(type) ? 'fetch' : BAD_WRITES.includes(type) ? 'write' : 'read';
      callback(kind, low(address), high(address));
      return false;
    });
  }

  onInterrupt(callback: (vector: number) => void): RemoveHook {
    return this.#hook('interrupt', HOOK.interrupt, (_: Handle, vector: number) => callback(vector));
  }

  placeGate(_: Mappings, address: bigint, handler: GateHandler, onError: (error: unknown) => void): UnicornNativeGate {
    return new UnicornNativeGate(this, address, handler, onError);
  }

  start(from: bigint, until: bigint): Failure {
    // a block that was translated for another stop address runs past this one
    this.#forget(until, 1n);
    const error = this.#library.emuStart(this.#handle, from, until, 0, 0);
    if (error === 0 || GUEST_ERRORS.has(error)) return error === 0 ? undefined : error;
    throw this.#failed('run', error, 'EIO', hex(from));
  }

  stop(): void {
    this.#library.emuStop(this.#handle);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const remove of [...this.#hooks]) remove();
    this.#check('dispose', this.#library.close(this.#handle));
  }

  /** Drops translations; where nothing is mapped there are none. */
  #forget(address: bigint, size: bigint): void {
    this.#library.removeCache(this.#handle, address, address + size);
  }

  #hook(
    kind: Parameters<LibUnicorn['callback']>[0],
    type: number,
    action: (...values: never[]) => unknown,
    begin = 1n,
    end = 0n,
  ): RemoveHook {
    const callback = this.#library.callback(kind, action);
    const hook: [number] = [0];
    this.#check('hook', this.#library.hookAdd(this.#handle, hook, type, callback, begin, end));
    const remove = () => {
      if (!this.#hooks.delete(remove)) return;
      this.#check('hook', this.#library.hookDel(this.#handle, hook[0]));
      this.#library.release(callback);
    };
    this.#hooks.add(remove);
    return remove;
  }

  #check(operation: string, error: number, code: 'EIO' | 'ENOMEM' = 'EIO'): void {
    if (error !== 0) throw this.#failed(operation, error, code);
  }

  #failed(operation: string, error: number, code: 'EIO' | 'ENOMEM', where?: string): EngineError {
    const place = where === undefined ? '' : ` at ${where}`;
    return new EngineError(code, `libunicorn failed${place}: ${this.#library.describe(error)}`, {
      operation,
      engineCode: error,
    });
  }
}

/** The halves of an address as koffi delivers it: a number where that is exact. */
function low(address: number | bigint): number {
  return typeof address === 'number' ? address >>> 0 : Number(address & 0xffffffffn);
}

function high(address: number | bigint): number {
  return typeof address === 'number' ? Math.floor(address / 2 ** 32) : Number(address >> 32n);
}
