// Guest memory that is handed out in 16-byte units, freed and used again: for trampolines, and for structs.
import { hex } from '../address.ts';
import type { Access, Engine } from '../engine/engine.ts';
import { SiteError } from '../errors.ts';

/** Bytes mapped at a time. */
const CHUNK = 0x10000n;
const ALIGNMENT = 16n;
/** int3, so that a stray jump into freed or unused space traps. */
const FILLER = 0xcc;

/** Space of `size` bytes from `base` upwards; pages are mapped as they are needed. */
export class Arena {
  readonly #engine: Engine;
  readonly #access: Access;
  readonly #limit: bigint;
  #mapped: bigint;
  #next: bigint;
  /** Freed places by their size in bytes: nearly all that is handed out has one of a few sizes. */
  readonly #free: Map<bigint, bigint[]>;
  #changes = 0;
  readonly #held: () => boolean;
  /** Freed while it was held. */
  #waiting: { place: bigint; size: bigint }[] = [];

  /**
   * @param held true while a task may stand in what is freed: it stays as it is until then, as after a grace period of
   * RCU (F31)
   * @param from that of the machine that this one is a fork of
   */
  constructor(
    engine: Engine,
    base: bigint,
    size: bigint,
    access: Access,
    held: () => boolean = () => false,
    from?: Arena,
  ) {
    this.#engine = engine;
    this.#access = access;
    this.#held = held;
    this.#mapped = base;
    this.#next = base;
    this.#limit = base + size;
    this.base = base;
    this.#free = new Map(from === undefined ? [] : [...from.#free].map(([length, places]) => [length, [...places]]));
    if (from === undefined) return;
    this.#mapped = from.#mapped;
    this.#next = from.#next;
    this.#changes = from.#changes;
    this.#waiting = [...from.#waiting];
  }

  /** Lowest address. */
  readonly base: bigint;

  /** One past the highest address handed out so far. */
  get end(): bigint {
    return this.#next;
  }

  /** How often a place was handed out or given back. */
  get changes(): number {
    return this.#changes;
  }

  /**
   * A place for `length` bytes.
   * @throws {SiteError} ENOMEM the space is used up
   */
  allocate(length: number): bigint {
    this.#settle();
    const size = roundUp(BigInt(length));
    const reused = this.#free.get(size)?.pop();
    this.#changes++;
    if (reused !== undefined) return reused;
    const place = this.#next;
    if (place + size > this.#limit) {
      throw new SiteError('ENOMEM', `the space of ${this.#limit - this.base} bytes from ${hex(this.base)} is full`, {
        operation: 'allocate',
        address: place,
      });
    }
    while (place + size > this.#mapped) {
      this.#engine.map(this.#mapped, CHUNK, this.#access);
      this.#engine.write(this.#mapped, new Uint8Array(Number(CHUNK)).fill(FILLER));
      this.#mapped += CHUNK;
    }
    this.#next = place + size;
    return place;
  }

  /** Gives a place back; what stood there becomes int3. */
  free(place: bigint, length: number): void {
    this.#waiting.push({ place, size: roundUp(BigInt(length)) });
    this.#settle();
  }

  /** Makes free what was freed, unless it is held. */
  #settle(): void {
    if (this.#waiting.length === 0 || this.#held()) return;
    for (const { place, size } of this.#waiting) {
      this.#changes++;
      this.#engine.write(place, new Uint8Array(Number(size)).fill(FILLER));
      const places = this.#free.get(size);
      if (places === undefined) this.#free.set(size, [place]);
      else places.push(place);
    }
    this.#waiting = [];
  }
}

/** Space for trampolines: mapped read and execute (F31). */
export class CodeArena extends Arena {
  constructor(engine: Engine, base: bigint, size: bigint, held?: () => boolean, from?: CodeArena) {
    super(engine, base, size, 'rx', held, from);
  }
}

function roundUp(length: bigint): bigint {
  return (length + ALIGNMENT - 1n) & ~(ALIGNMENT - 1n);
}
