// Seeded random numbers (mulberry32), so that a failing run can be repeated.

/** The seed of this run: TRAMP64_SEED where it is set, else the clock. */
export function chooseSeed(): number {
  const given = process.env.TRAMP64_SEED;
  return given === undefined ? Date.now() >>> 0 : Number(given) >>> 0;
}

/** A generator of integers from 0 to below `limit`. */
export function randomIntegers(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
