// kmalloc and kfree for guest code: what is handed out is remembered, so that a wrong kfree is an error and not a guess.
import { hex } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import type { Arena } from '../ftrace/code-arena.ts';

/** What kmalloc gives for 0 bytes: not NULL, and not to be read (ZERO_SIZE_PTR, include/linux/slab.h). */
export const ZERO_SIZE_PTR = 0x10n;
/** One allocation at most: KMALLOC_MAX_SIZE of x86_64. */
const MAX_SIZE = 4 << 20;
/** All allocations together. */
const MAX_TOTAL = 64 << 20;

/** The heap of one machine. Freed memory is filled with 0xcc and used again. */
export class GuestHeap {
  readonly #engine: Engine;
  readonly #arena: Arena;
  /** Address → bytes, of what is in use. */
  readonly #live: Map<bigint, number>;
  readonly #freed: Set<bigint>;
  #total: number;

  /** @param from that of the machine that this one is a fork of */
  constructor(engine: Engine, arena: Arena, from?: GuestHeap) {
    this.#engine = engine;
    this.#arena = arena;
    this.#live = new Map(from === undefined ? [] : from.#live);
    this.#freed = new Set(from === undefined ? [] : from.#freed);
    this.#total = from === undefined ? 0 : from.#total;
  }

  /** Bytes in use. */
  get inUse(): number {
    return this.#total;
  }

  /** The allocations in use, by address. */
  get live(): ReadonlyMap<bigint, number> {
    return this.#live;
  }

  /**
   * kmalloc.
   *
   * @param size bytes, whatever the guest asked for
   * @param zeroed filled with zeros, otherwise with 0xcc
   * @returns the address, or 0 where there is no room: what the guest asks for is no error of the machine
   */
  allocate(size: bigint, zeroed: boolean): bigint {
    if (size === 0n) return ZERO_SIZE_PTR;
    if (size > BigInt(MAX_SIZE) || this.#total + Number(size) > MAX_TOTAL) return 0n;
    const length = Number(size);
    const place = this.#arena.allocate(length);
    this.#engine.write(place, new Uint8Array(length).fill(zeroed ? 0 : 0xcc));
    this.#live.set(place, length);
    this.#freed.delete(place);
    this.#total += length;
    return place;
  }

  /**
   * kfree; nothing for NULL and for what 0 bytes gave.
   * @throws {EngineError} EFAULT with engineCode `double-free` or `foreign-free`
   */
  free(place: bigint): void {
    if (place === 0n || place === ZERO_SIZE_PTR) return;
    const length = this.#live.get(place);
    if (length === undefined) {
      const twice = this.#freed.has(place);
      throw new EngineError('EFAULT', `${hex(place)} ${twice ? 'is free already' : 'was not allocated by kmalloc'}`, {
        operation: 'kfree',
        engineCode: twice ? 'double-free' : 'foreign-free',
      });
    }
    this.#live.delete(place);
    this.#freed.add(place);
    this.#total -= length;
    this.#arena.free(place, length);
  }
}
