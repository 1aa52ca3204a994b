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

/** A watch of a guest whose sites end at 0x109, with trampolines at 0x1000 and 0x2000 and a direct one at 0x500. */
class Watched {
  stackPointer = 0n;
  readonly seen: [bigint, boolean][] = [];
  readonly #watch: ArrivalWatch;

  constructor(calledBySite = true) {
    const glue = new RangeSet();
    glue.add([
      { start: 0x100n, end: 0x109n },
      { start: 0x1000n, end: 0x3000n },
    ]);
    const parts = {
      glue,
      trampolineAt: (at: bigint) =>
        at === 0x500n ? 'direct' : at === 0x1000n || at === 0x2000n ? 'ftrace' : undefined,
      calledBySite: () => calledBySite,
      stackPointer: () => this.stackPointer,
    } as const;
    this.#watch = new ArrivalWatch({
      guest: parts,
      entrySp: 0x8000n,
      atOnce: true,
      onArrival: (at, dispatched) => {
        this.seen.push([at, dispatched]);
        return true;
      },
    });
  }

  enter(block: bigint, stackPointer: bigint, size = 4): bigint | undefined {
    this.stackPointer = stackPointer;
    return this.#watch.enterBlock(block, size);
  }
}

describe('arrivals', () => {
  test('reaching the site alone is no arrival, the instruction after it is', () => {
    const guest = new Watched();
    expect(guest.enter(0x100n, 0x8000n, 9)).toBeUndefined();
    expect(guest.enter(0x100n, 0x8000n, 10)).toBe(0x109n);
    expect(guest.enter(0x200n, 0x8000n)).toBeUndefined();
    guest.enter(0x1000n, 0x7ff0n);
    guest.enter(0x1040n, 0x7f00n);
    expect(guest.enter(0x300n, 0x7ff8n)).toBe(0x300n);
    expect(guest.seen).toEqual([
      [0x109n, false],
      [0x300n, true],
    ]);
  });

  test('a handler anywhere in memory runs below the frame of its trampoline, and is none', () => {
    const guest = new Watched();
    guest.enter(0x1000n, 0x7ff0n);
    expect(guest.enter(0x400n, 0x7f00n)).toBeUndefined();
    // it calls a traced function, which is an arrival of its own
    guest.enter(0x2000n, 0x7ee0n);
    expect(guest.enter(0x410n, 0x7e00n)).toBeUndefined();
    expect(guest.enter(0x300n, 0x7ee8n)).toBe(0x300n);
    expect(guest.enter(0x420n, 0x7f00n)).toBeUndefined();
    expect(guest.enter(0x109n, 0x7ff8n)).toBe(0x109n);
    expect(guest.enter(0x310n, 0x7ff8n)).toBeUndefined();
  });

  test('a direct trampoline is one where a site or a common caller enters it, and a function where it is called', () => {
    const sent = new Watched();
    expect(sent.enter(0x500n, 0x7ff0n)).toBeUndefined();
    expect(sent.enter(0x510n, 0x7f00n)).toBeUndefined();
    expect(sent.enter(0x109n, 0x7ff8n)).toBe(0x109n);
    const shared = new Watched(false);
    shared.enter(0x1000n, 0x7ff0n);
    expect(shared.enter(0x500n, 0x7ff0n)).toBeUndefined();
    expect(shared.enter(0x300n, 0x7ff8n)).toBe(0x300n);
    expect(new Watched(false).enter(0x500n, 0x7ff0n)).toBe(0x500n);
  });
});
