// Which function a stack stands in (L70): the first in the patch's order, whatever overlaps, in logarithmic steps.
import { describe, expect, test } from 'vitest';
import { type CheckedRange, CheckedRanges } from '../../src/livepatch/stack-check.ts';
import { chooseSeed, randomIntegers } from '../core/random.ts';

const BASE = 0xffffffff81000000n;
const range = (func: string, start: number, size: number): CheckedRange => ({
  func,
  start: BASE + BigInt(start),
  size: BigInt(size),
});
const standing = (ranges: readonly CheckedRange[], ...at: number[]) =>
  new CheckedRanges(ranges).standing(at.map((each) => BASE + BigInt(each)));

describe('a range', () => {
  test('holds its first address, its last one, and not the one after: as a return address that is behind a last call', () => {
    const ranges = [range('f', 16, 16)];
    expect([15, 16, 31, 32].map((at) => standing(ranges, at))).toEqual([undefined, 'f', 'f', undefined]);
  });

  test('of no size holds nothing, and no ranges hold nothing', () => {
    expect(standing([range('f', 16, 0)], 16)).toBeUndefined();
    expect(standing([], 16)).toBeUndefined();
    expect(standing([range('f', 16, 16)])).toBeUndefined();
  });

  test('at the end of the address space ends there', () => {
    const ranges = new CheckedRanges([{ func: 'f', start: (1n << 64n) - 16n, size: 16n }]);
    expect([0n, (1n << 64n) - 1n].map((at) => ranges.standing([at]))).toEqual([undefined, 'f']);
  });
});

test('of several that are stood in, the first of the patch is named, not the innermost', () => {
  expect(standing([range('f', 0, 16), range('g', 16, 16)], 20, 4)).toBe('f');
  expect(standing([range('g', 16, 16), range('f', 0, 16)], 20, 4)).toBe('g');
});

test('ranges that overlap in any way are found as by looking at each in turn (seeded)', () => {
  const seed = chooseSeed();
  const random = randomIntegers(seed);
  for (let round = 0; round < 2000; round++) {
    const ranges = Array.from({ length: random(8) }, (_, i) => range(`f${i}`, random(24), random(12)));
    const checked = new CheckedRanges(ranges);
    const addresses = Array.from({ length: random(4) }, () => BASE + BigInt(random(40)));
    const plain = ranges.find(({ start, size }) => addresses.some((at) => at >= start && at < start + size))?.func;
    expect({ seed, round, func: checked.standing(addresses) }).toEqual({ seed, round, func: plain });
  }
});

test('a stack of 100 frames takes as good as the same number of comparisons for 10 times as many functions', () => {
  const compared = (count: number): number => {
    const checked = new CheckedRanges(Array.from({ length: count }, (_, i) => range(`f${i}`, 64 * i, 64)));
    const before = checked.compared;
    checked.standing(Array.from({ length: 100 }, (_, i) => BASE + BigInt((i * 7919 * 64) % (64 * count))));
    return checked.compared - before;
  };
  const [small, large] = [compared(1000), compared(10_000)];
  expect(small).toBeLessThanOrEqual(100 * 11);
  expect(large - small).toBeLessThanOrEqual(100 * 4);
});

test('making the ranges takes comparisons in proportion to their number times its logarithm, nested ones included', () => {
  const made = (count: number): number =>
    new CheckedRanges(Array.from({ length: count }, (_, i) => range(`f${i}`, i, 2 * (count - i)))).compared;
  expect(made(10_000) / made(1000)).toBeLessThanOrEqual(13.5);
});
