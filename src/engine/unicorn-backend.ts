// What the two builds of Unicorn (JavaScript and native) give the engine over them.
import type { Access, GateHandler, RegisterName } from './engine.ts';
import type { Mappings } from './mappings.ts';

/** Why `start` came back: undefined for a clean end, else Unicorn's own error number. */
export type Failure = number | undefined;

/** Takes a hook away again; twice is harmless. */
export type RemoveHook = () => void;

/** One Unicorn CPU in 64-bit mode. Halves of addresses are 32-bit, signed or not. */
export interface UnicornBackend {
  /** It reports the first block of each start but its very first twice. */
  readonly repeatsFirstBlock: boolean;

  map(address: bigint, size: bigint, access: Access): void;
  /** Pages that are these bytes, which stay where they are until `close`; where the build can. */
  mapBytes?(address: bigint, access: Access, bytes: Uint8Array): void;
  unmap(address: bigint, size: bigint): void;
  protect(address: bigint, size: bigint, access: Access): void;
  read(address: bigint, size: number): Uint8Array;
  /** Translations of the bytes written are dropped. */
  write(address: bigint, bytes: Uint8Array): void;
  readRegister(name: RegisterName): bigint;
  writeRegister(name: RegisterName, value: bigint): void;
  readXmm(index: number): Uint8Array;
  writeXmm(index: number, bytes: Uint8Array): void;

  /** Each block entered. A size of 0 means that Unicorn does not know it. */
  onBlock(callback: (low: number, high: number, size: number) => void): RemoveHook;
  /** Each data access. */
  onAccess(callback: (kind: 'read' | 'write', low: number, high: number, size: number) => void): RemoveHook;
  /** Each access that the mapping does not allow; the run then ends with an error. */
  onBadAccess(callback: (access: 'read' | 'write' | 'fetch', low: number, high: number) => void): RemoveHook;
  /** Each interrupt and exception, by vector. */
  onInterrupt(callback: (vector: number) => void): RemoveHook;

  /** The gate at an address that is mapped executable; what its handler throws goes to `onError`. */
  placeGate(
    mappings: Mappings,
    address: bigint,
    handler: GateHandler,
    onError: (error: unknown) => void,
  ): UnicornGateway;

  /**
   * Runs until `until`, a stop or a failure.
   *
   * @returns Unicorn's error number for a guest failure
   * @throws {EngineError} EIO the emulator itself broke; this CPU is of no further use
   */
  start(from: bigint, until: bigint): Failure;
  /** Ends the run: inside a block hook before that block. */
  stop(): void;
  /** Frees the CPU and its hooks. */
  close(): void;
}

/** The gate as a run sees it. */
export interface UnicornGateway {
  readonly address: bigint;
  handler: GateHandler;
  /** Whether an address is the gate's entry or one of the gate's own instructions. */
  holds(address: bigint): boolean;
  /** Whether a block belongs to the gate. */
  isBlock(low: number, high: number): boolean;
  isEntry(low: number, high: number): boolean;
  /** Moves what it keeps in guest memory away from pages that the guest is about to get. */
  makeRoom(start: bigint, size: bigint): void;
}
