// Range sets answer which address comes first outside all ranges.
import { describe, expect, test } from 'vitest';
import { ArrivalWatch } from '../../src/ftrace/arrival.ts';
import { RangeSet } from '../../src/ftrace/ranges.ts';

const TOP = 0xffffffffffffff00n;

describe('skipping ranges', () => {
  test('touching and overlapping ranges are skipped as one', () => {
    const set = new RangeSet();
    set.add([
      { start: 30n, end: 40n },
      { start: 10n, end: 20n },
      { start: 20n, end: 25n },
      { start: 35n, end: 50n },
    ]);
    expect([9n, 10n, 19n, 20n, 24n, 25n, 29n, 30n, 49n, 50n].map((at) => set.skip(at))).toEqual([
      9n,
      25n,
      25n,
      25n,
      25n,
      25n,
      29n,
      50n,
      50n,
      50n,
    ]);
  });

  test('a removed part leaves both sides', () => {
    const set = new RangeSet();
    set.add([{ start: TOP, end: TOP + 0x80n }]);
    set.remove([{ start: TOP + 0x10n, end: TOP + 0x20n }]);
    expect(set.skip(TOP)).toBe(TOP + 0x10n);
    expect(set.skip(TOP + 0x20n)).toBe(TOP + 0x80n);
  });

  test('several parts are taken out at once, in any order', () => {
    const set = new RangeSet();
    set.add([
      { start: 10n, end: 20n },
      { start: 30n, end: 40n },
    ]);
    set.remove([
      { start: 35n, end: 60n },
      { start: 12n, end: 14n },
      { start: 16n, end: 32n },
    ]);
    expect([10n, 12n, 14n, 16n, 32n, 35n].map((at) => set.skip(at))).toEqual([12n, 12n, 16n, 16n, 35n, 35n]);
  });

  test('an empty set skips nothing', () => {
    expect(new RangeSet().skip(0n)).toBe(0n);
  });

  test('agrees with a plain list of addresses for random ranges', () => {
    const seed = 0x5eed;
    let state = seed;
    const next = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 200; round++) {
      const inside = new Array<boolean>(64).fill(false);
      const set = new RangeSet();
      for (let i = 0; i < 8; i++) {
        const start = next(60);
        const end = start + 1 + next(63 - start);
        const adding = next(3) > 0;
        inside.fill(adding, start, end);
        const range = { start: BigInt(start), end: BigInt(end) };
        if (adding) set.add([range]);
        else set.remove([range]);
      }
      for (let at = 0; at < 64; at++) {
        let expected = at;
        while (inside[expected]) expected++;
        expect(set.skip(BigInt(at)), `seed ${seed} round ${round} at ${at}`).toBe(BigInt(expected));
      }
    }
  });
});

describe('arrivals', () => {
  const glue = new RangeSet();
  glue.add([{ start: 0x100n, end: 0x109n }]);

  test('reaching the site alone is no arrival, the instruction after it is', () => {
    const seen: [bigint, boolean][] = [];
    const watch = new ArrivalWatch({
      glue,
      trampolines: { start: 0x1000n, end: 0x2000n },
      entrySp: 0n,
      atOnce: true,
      onArrival: (at, dispatched) => {
        seen.push([at, dispatched]);
        return true;
      },
    });
    expect(watch.enterBlock(0x100n, 9)).toBeUndefined();
    expect(watch.enterBlock(0x100n, 10)).toBe(0x109n);
    expect(seen).toEqual([[0x109n, false]]);
    expect(watch.enterBlock(0x200n, 4)).toBeUndefined();
    expect(watch.enterBlock(0x1040n, 4)).toBeUndefined();
    expect(watch.enterBlock(0x300n, 4)).toBe(0x300n);
    expect(seen[1]).toEqual([0x300n, true]);
  });
});
