// Seeded random numbers, and the boundary values that operands are drawn from.

/** sfc32: small, fast, passes PractRand; identical on every host. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d = 1;

  /** @param seed together with `name`, decides the whole sequence */
  constructor(seed: number, name: string) {
    this.a = seed >>> 0;
    this.b = hash(new TextEncoder().encode(name));
    this.c = 0x9e3779b9;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 32 random bits, unsigned. */
  next(): number {
    const t = (((this.a + this.b) | 0) + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    this.c |= 0;
    return t >>> 0;
  }

  /** 0 to n-1. */
  below(n: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * n);
  }

  /** True once in n. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(list: readonly T[]): T {
    const value = list[this.below(list.length)];
    if (value === undefined) throw new RangeError('pick from an empty list');
    return value;
  }

  /** A 64-bit operand: half of them random, the rest near the edges of 8, 16, 32 and 64 bits. */
  u64(): bigint {
    const kind = this.below(8);
    if (kind < 3) return this.bits64();
    if (kind === 3) return BigInt(this.below(70)); // a plausible shift count
    if (kind === 4) return BigInt.asUintN(64, BigInt(this.next() | 0));
    const edge = this.pick(EDGES);
    // an edge under random upper bits shows what leaks in from above the operand's size
    return kind === 5 ? (this.bits64() & ~0xffff_ffffn) | (edge & 0xffff_ffffn) : edge;
  }

  bits64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }

  /** An immediate of `size` bytes, as the unsigned low bits. */
  immediate(size: number): bigint {
    return BigInt.asUintN(8 * size, this.u64());
  }

  /** Fills vector data: random bits, float or double edges, or small integers. */
  lanes(out: Uint8Array): void {
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    for (let at = 0; at + 8 <= out.length; at += 8) {
      const kind = this.below(6);
      if (kind === 0) {
        view.setUint32(at, this.next(), true);
        view.setUint32(at + 4, this.next(), true);
      } else if (kind === 1) {
        view.setUint32(at, this.float32(), true);
        view.setUint32(at + 4, this.float32(), true);
      } else if (kind <= 3) {
        view.setBigUint64(at, this.float64(), true);
      } else if (kind === 4) {
        view.setFloat32(at, this.below(2_000_000) / 16 - 50_000, true);
        view.setFloat32(at + 4, this.below(2_000) - 1_000, true);
      } else {
        view.setBigUint64(at, this.u64(), true);
      }
    }
  }

  private float32(): number {
    const edge = this.pick(FLOATS);
    return this.oneIn(3) ? this.next() : edge;
  }

  private float64(): bigint {
    if (this.oneIn(3)) return DOUBLE_OF(this.below(2 ** 31) / 256 - 2 ** 22);
    return this.oneIn(3) ? this.bits64() : this.pick(DOUBLES);
  }
}

/** FNV-1a over bytes. */
export function hash(bytes: Uint8Array, start = 0x811c9dc5): number {
  let value = start;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}

function DOUBLE_OF(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

const EDGES: readonly bigint[] = [8n, 16n, 32n, 64n].flatMap((bits) => {
  const top = 1n << (bits - 1n);
  return [0n, 1n, top - 1n, top, top + 1n, 2n * top - 2n, 2n * top - 1n].map((v) => BigInt.asUintN(64, v));
});

// zeros, denormals, one, integers' edges, largest, infinities, quiet and signalling NaNs
const FLOATS = [
  0, 0x80000000, 1, 0x807fffff, 0x00800000, 0x3f800000, 0xbf800000, 0x3f000000, 0x4b000001, 0x4f000000, 0xcf000000,
  0x4effffff, 0x5f000000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc01234, 0x7f800001,
  0xffa00000,
] as const;
const DOUBLES = [
  0n,
  0x8000000000000000n,
  1n,
  0x800fffffffffffffn,
  0x0010000000000000n,
  0x3ff0000000000000n,
  0xbff8000000000000n,
  0x3fe0000000000000n,
  0x41dfffffffc00000n,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0xc1e0000000200000n,
  0x43e0000000000000n,
  0xc3e0000000000000n,
  0x47efffffe0000000n,
  0x36a0000000000000n,
  0x7fefffffffffffffn,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8000000001234n,
  0x7ff0000000000001n,
  0xfff4000000000000n,
] as const;
