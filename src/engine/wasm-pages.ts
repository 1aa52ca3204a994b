// Guest pages that are bytes of a WASM memory, on an engine whose build takes memory of its caller.
import { PAGE_SIZE } from '../address.ts';
import { EngineError } from '../errors.ts';
import type { Access, DataAccess, WasmPages } from './engine.ts';
import { Mappings } from './mappings.ts';

const PAGE = Number(PAGE_SIZE);

/** What it works with. */
export interface ForeignPagesParts {
  /** @throws {EngineError} the engine is disposed, or there is no room at that address */
  check(address: bigint, size: bigint): void;
  /** Maps pages that are these bytes. */
  mapBytes(address: bigint, access: Access, bytes: Uint8Array): void;
}

/** See WasmPages. */
export class ForeignPages implements WasmPages {
  readonly #parts: ForeignPagesParts;
  readonly #mappings = new Mappings();
  /** Unicorn has addresses only: without these references the collector would take the memory from under the guest. */
  readonly #kept = new Set<WebAssembly.Memory>();

  constructor(parts: ForeignPagesParts) {
    this.#parts = parts;
  }

  map(address: bigint, size: bigint, access: DataAccess, memory: WebAssembly.Memory, offset: number): void {
    this.#parts.check(address, size);
    if (executable(access)) throw refused('pages of a WASM memory hold data, not code; map code with map()');
    const { buffer } = memory;
    if (!(buffer instanceof ArrayBuffer)) {
      throw refused('a memory that threads share cannot be mapped; use one of a single thread');
    }
    if (!Number.isInteger(offset) || offset < 0 || offset % PAGE !== 0 || BigInt(offset) + size > buffer.byteLength) {
      const range = `${size} bytes at offset ${offset}`;
      throw refused(`${range} are not whole pages of a memory of ${buffer.byteLength} bytes`);
    }
    this.#parts.mapBytes(address, access, new Uint8Array(buffer, offset, Number(size)));
    this.#mappings.add(address, size, access);
    this.#kept.add(memory);
  }

  /** @throws {EngineError} EINVAL some of these pages would become executable */
  checkProtect(address: bigint, size: bigint, access: Access): void {
    if (!executable(access) || this.#mappings.overlapping(address, address + size).length === 0) return;
    throw refused('pages of a WASM memory hold data, not code', 'protect');
  }

  /** The pages are not in the guest any more. */
  remove(address: bigint, size: bigint): void {
    this.#mappings.remove(address, size);
  }

  /** The CPU is gone; nothing reads the memories any more. */
  release(): void {
    this.#kept.clear();
  }
}

function executable(access: Access): boolean {
  return access.includes('x');
}

function refused(fact: string, operation = 'map'): EngineError {
  return new EngineError('EINVAL', fact, { operation });
}
