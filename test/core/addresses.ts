// Site addresses that are hard on a hash table.

/** The core's multiplier, 2^64 / golden ratio, and its inverse modulo 2^64. */
const SPREAD = 0x9e3779b97f4a7c15n;
const INVERSE = inverse(SPREAD);

/** Addresses whose search starts at one and the same slot, the table's last: probing has to wrap around. */
export function colliding(count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => BigInt.asUintN(64, (0xffff_ffff_0000_0000n + BigInt(i)) * INVERSE));
}

/** The ends of the address space. */
export const EXTREMES = [0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n];

/** Addresses that differ in the low half only. */
export function sameHigh(count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => 0xffff_ffff_8100_0000n + 16n * BigInt(i));
}

/** Addresses that differ in the high half only. */
export function sameLow(count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => (BigInt(i + 7) << 32n) | 0x8100_0004n);
}

/** Newton's iteration doubles the number of right bits: 3, 6 … 96. */
function inverse(odd: bigint): bigint {
  let x = odd;
  for (let i = 0; i < 5; i++) x = BigInt.asUintN(64, x * (2n - odd * x));
  return x;
}
