// Shadow variables as the library has them: keys, order, and what a constructor or destructor may do wrong (L81).
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Log } from '../../src/livepatch/log.ts';
import { ShadowVariables } from '../../src/livepatch/shadow.ts';

let log: Log;
let live: Map<bigint, bigint>;
let room: bigint;
let shadow: ShadowVariables;

beforeEach(() => {
  log = new Log();
  live = new Map();
  room = 1n << 20n;
  let next = 0x1000n;
  shadow = new ShadowVariables({
    log,
    allocate: (size) => {
      if (size > room) return 0n;
      next += 0x1000n;
      live.set(next, size);
      return next;
    },
    free: (at) => expect(live.delete(at)).toBe(true),
    write: () => {},
  });
});

/** bits of hash_64 that choose the bucket of an object. */
const bucket = (object: bigint): bigint => BigInt.asUintN(64, object * 0x61c8864680b583ebn) >> 52n;

describe('a shadow variable', () => {
  test('is found by object and id, both of 64 bits', () => {
    const keys: [bigint, bigint][] = [
      [1n, 2n],
      [2n, 1n],
      [12n, 1n],
      [1n, 21n],
      [0n, 0n],
      [(1n << 64n) - 1n, (1n << 64n) - 1n],
    ];
    const data = keys.map(([object, id]) => shadow.allocate({ object, id, size: 8n }));
    expect(new Set(data).size).toBe(keys.length);
    expect(keys.map(([object, id]) => shadow.get(object, id))).toEqual(data);
    expect(shadow.get(21n, 1n)).toBeUndefined();
    for (const [object, id] of keys) shadow.free(object, id);
    expect([shadow.size, live.size]).toEqual([0, 0]);
  });

  test('that is there is returned by getOrAllocate without its constructor, and refused by allocate with a warning', () => {
    const data = shadow.allocate({ object: 1n, id: 2n, size: 0n });
    const ctor = (): number => expect.fail('the constructor ran');
    expect(shadow.getOrAllocate({ object: 1n, id: 2n, size: 8n, ctor })).toBe(data);
    expect(shadow.allocate({ object: 1n, id: 2n, size: 8n, ctor })).toBeUndefined();
    expect(log.take()).toEqual(['Duplicate shadow variable <0000000000000001, 2>']);
  });

  test('is not there while it is constructed, nor when it is destroyed', () => {
    const seen: unknown[] = [];
    const data = shadow.allocate({
      ...{ object: 1n, id: 2n, size: 8n },
      ctor: (object, at) => {
        seen.push(object, at, shadow.get(1n, 2n));
        return 0;
      },
    });
    shadow.free(1n, 2n, (object, at) => seen.push(object, at, shadow.get(1n, 2n), live.size));
    expect(seen).toEqual([1n, data, undefined, 1n, data, undefined, 1]);
    expect(live.size).toBe(0);
  });

  test.each([-12, -22, 1])('whose constructor returns %i is freed, with a line in the log', (result) => {
    expect(shadow.getOrAllocate({ object: 0x10n, id: 0xabn, size: 8n, ctor: () => result })).toBeUndefined();
    expect(log.take()).toEqual([`livepatch: Failed to construct shadow variable <0000000000000010, ab> (${result})`]);
    expect([shadow.size, live.size]).toEqual([0, 0]);
  });

  test('whose constructor or destructor throws is freed all the same', () => {
    const fail = (): never => {
      throw new RangeError('no');
    };
    expect(() => shadow.allocate({ object: 1n, id: 2n, size: 8n, ctor: fail })).toThrow('no');
    expect([shadow.size, live.size]).toEqual([0, 0]);
    shadow.allocate({ object: 1n, id: 2n, size: 8n });
    expect(() => shadow.free(1n, 2n, fail)).toThrow('no');
    expect([shadow.size, live.size]).toEqual([0, 0]);
  });

  test('for which there is no memory is none, without a line', () => {
    room = 0x30n;
    expect(shadow.allocate({ object: 1n, id: 2n, size: 8n })).toBeUndefined();
    expect(shadow.allocate({ object: 1n, id: 2n, size: (1n << 64n) - 1n })).toBeUndefined();
    expect(log.take()).toEqual([]);
    expect(shadow.allocate({ object: 1n, id: 2n, size: 0n })).toBeDefined();
  });

  test('that is not there is freed as nothing', () => {
    shadow.free(1n, 2n, () => expect.fail('the destructor ran'));
    shadow.freeAll(2n, () => expect.fail('the destructor ran'));
  });
});

test('all of an id are freed by bucket of the kernel’s hash table, the newest of a bucket first; others stay', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.bigInt(0n, (1n << 64n) - 1n), { minLength: 1, maxLength: 40 }), (objects) => {
      for (const object of objects) for (const id of [1n, 2n]) shadow.allocate({ object, id, size: 4n });
      const order: bigint[] = [];
      shadow.freeAll(1n, (object) => order.push(object));
      const expected = [...objects].reverse().sort((a, b) => Number(bucket(a) - bucket(b)));
      expect(order).toEqual(expected);
      expect(shadow.size).toBe(objects.length);
      shadow.freeAll(2n);
      expect(live.size).toBe(0);
    }),
    { seed: 0x5ad0, numRuns: 200 },
  );
});
