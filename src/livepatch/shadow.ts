// Shadow variables: data that a patch hangs on an object of the guest, found by the object's address and an id (klp/shadow.c, L81).
import type { Log } from './log.ts';

/** Constructs the data of a new variable: 0, or -errno, which undoes the allocation. */
export type ShadowConstructor = (object: bigint, data: bigint) => number;
/** Told of the data of a variable that goes; it can no longer be found then. */
export type ShadowDestructor = (object: bigint, data: bigint) => void;

/** What shadow variables take. */
export interface ShadowParts {
  log: Log;
  /** kzalloc: the address of zeroed memory, or 0. */
  allocate(size: bigint): bigint;
  /** kfree. */
  free(address: bigint): void;
  /** Writes 64-bit values. */
  write(address: bigint, values: readonly bigint[]): void;
}

/** How a variable is made. */
export interface ShadowRequest {
  readonly object: bigint;
  readonly id: bigint;
  /** Bytes of data. */
  readonly size: bigint;
  readonly ctor?: ShadowConstructor | undefined;
}

/** struct klp_shadow: node, rcu_head, obj at 0x20, id, data at 0x30 (6.1 and 6.12). */
const OBJECT = 0x20n;
const DATA = 0x30n;
/** 2^12 buckets (DEFINE_HASHTABLE of klp/shadow.c), by hash_64. */
const HASH_BITS = 12n;
const GOLDEN_RATIO_64 = 0x61c8864680b583ebn;

interface Variable {
  readonly object: bigint;
  readonly id: bigint;
  readonly struct: bigint;
}

/** The shadow variables of one machine. */
export class ShadowVariables {
  readonly #parts: ShadowParts;
  /** Key → variable, in the order of making. */
  readonly #variables: Map<string, Variable>;

  /** @param from those of the machine that this one is a fork of */
  constructor(parts: ShadowParts, from?: ShadowVariables) {
    this.#parts = parts;
    this.#variables = new Map(from === undefined ? [] : from.#variables);
  }

  /** How many there are. */
  get size(): number {
    return this.#variables.size;
  }

  /** klp_shadow_get: the address of the data, or undefined. */
  get(object: bigint, id: bigint): bigint | undefined {
    const found = this.#variables.get(keyOf(object, id));
    return found && found.struct + DATA;
  }

  /**
   * klp_shadow_alloc: new, zeroed data.
   *
   * @returns its address; undefined where the variable is there already (a warning), where there is no memory, and where
   * the ctor does not return 0 (an error in the log)
   * @throws what the constructor throws; nothing is allocated then
   */
  allocate(request: ShadowRequest): bigint | undefined {
    const { object, id } = request;
    if (this.get(object, id) === undefined) return this.#make(request);
    this.#parts.log.emit({ kind: 'shadowDuplicate', object, id });
    return undefined;
  }

  /** klp_shadow_get_or_alloc: data that is there is returned as it is, without the constructor. @throws as `allocate` */
  getOrAllocate(request: ShadowRequest): bigint | undefined {
    return this.get(request.object, request.id) ?? this.#make(request);
  }

  /**
   * klp_shadow_free: frees one variable, if it is there. The destructor runs when it can no longer be found.
   * @throws what the destructor throws; the variable is freed all the same
   */
  free(object: bigint, id: bigint, dtor?: ShadowDestructor): void {
    const found = this.#variables.get(keyOf(object, id));
    if (found !== undefined) this.#release(found, dtor);
  }

  /** klp_shadow_free_all: frees the variables of an id, of all objects, in the order of the kernel's hash table. */
  freeAll(id: bigint, dtor?: ShadowDestructor): void {
    const all = [...this.#variables.values()].filter((one) => one.id === id).reverse();
    all.sort((a, b) => Number(bucketOf(a.object) - bucketOf(b.object)));
    for (const one of all) this.#release(one, dtor);
  }

  #make({ object, id, size, ctor }: ShadowRequest): bigint | undefined {
    const { log, allocate, free, write } = this.#parts;
    const struct = size >= 1n << 63n ? 0n : allocate(size + DATA);
    if (struct === 0n) return undefined;
    write(struct + OBJECT, [object, id]);
    let error: number;
    try {
      error = ctor?.(object, struct + DATA) ?? 0;
    } catch (thrown) {
      free(struct);
      throw thrown;
    }
    if (error !== 0) {
      free(struct);
      log.emit({ kind: 'shadowFailed', object, id, error });
      return undefined;
    }
    this.#variables.set(keyOf(object, id), { object, id, struct });
    return struct + DATA;
  }

  #release(variable: Variable, dtor: ShadowDestructor | undefined): void {
    this.#variables.delete(keyOf(variable.object, variable.id));
    try {
      dtor?.(variable.object, variable.struct + DATA);
    } finally {
      this.#parts.free(variable.struct);
    }
  }
}

function keyOf(object: bigint, id: bigint): string {
  return `${object} ${id}`;
}

function bucketOf(object: bigint): bigint {
  return BigInt.asUintN(64, object * GOLDEN_RATIO_64) >> (64n - HASH_BITS);
}
