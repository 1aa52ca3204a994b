// Mutated objects: each loads or is refused with a typed error, in bounded time and memory.

import { describe, expect, test } from 'vitest';
import { TrampolineError } from '../../src/errors.ts';
import { fixture } from '../fixtures/manifest.ts';
import { load } from './load-fixture.ts';

const FILES = [
  'target-kernel-O2.o',
  'target-endbr-Os.o',
  'target-patchable-21-16-O2.o',
  'target-pie-O2.o',
  'fix_a-kernel-O2.o',
  'relocations.o',
  'entries.o',
  'duplicates.o',
  'target-static.elf',
  'target-pie.elf',
  'target.so',
  'odd-linked.elf',
];
const MUTANTS = 24_000;
const SEED = Number(process.env.SEED ?? 0x5eed_0002);
const MAX_MILLISECONDS = 2_000;
const MAX_RESIDENT = 512 * 1024 * 1024;
/** Values that counts, sizes, offsets and indexes are set to. */
const EXTREMES = [0n, 1n, 7n, 0x7fn, 0xffn, 0xff20n, 0xffffn, 0x10_0000n, 0x7fff_ffffn, 0xffff_ffffn];
const EXTREMES_64 = [1n << 40n, 1n << 60n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 0x1000n, (1n << 64n) - 1n];

test(`${MUTANTS} mutated files load or give a typed error (seed ${SEED})`, () => {
  const random = generator(SEED);
  const originals = FILES.map(fixture);
  const outcomes = { loaded: 0, refused: 0 };
  let resident = 0;
  for (let i = 0; i < MUTANTS; i++) {
    const index = i % FILES.length;
    const original = originals[index] ?? new Uint8Array();
    const mutant = mutate(original, random);
    const started = performance.now();
    try {
      load(mutant, random() % 4 === 0 ? { unresolved: 'leave', resolve: () => undefined } : {});
      outcomes.loaded++;
    } catch (error) {
      if (!(error instanceof TrampolineError)) {
        throw new Error(`seed ${SEED}, mutant ${i} of ${FILES[index]}: ${String(error)}`, { cause: error });
      }
      outcomes.refused++;
    }
    const took = performance.now() - started;
    if (took > MAX_MILLISECONDS) throw new Error(`seed ${SEED}, mutant ${i} of ${FILES[index]}: ${took} ms`);
    if (i % 50 === 0) resident = Math.max(resident, process.memoryUsage.rss());
  }
  expect(outcomes.loaded + outcomes.refused).toBe(MUTANTS);
  // Both happen often, or the mutations are too coarse or too fine to mean anything.
  expect(Math.min(outcomes.loaded, outcomes.refused)).toBeGreaterThan(MUTANTS / 10);
  expect(resident).toBeLessThan(MAX_RESIDENT);
});

describe('files made to cost time or memory', () => {
  test('65,000 sections that all name one long string are refused', () => {
    expect(() => load(manySections(65_000, 1 << 20))).toThrow(TrampolineError);
  });

  test('65,000 sections of 200 MB each are refused', () => {
    expect(() => load(manySections(65_000, 64, 200n << 20n))).toThrow(TrampolineError);
  });
});

/** An object with `count` sections, named by overlapping tails of a string, each of `size` zeroed bytes. */
function manySections(count: number, nameLength: number, size = 0n): Uint8Array {
  const table = 64 + nameLength;
  const bytes = new Uint8Array(table + 64 * count);
  bytes.set(fixture('relocations.o').subarray(0, 64));
  bytes.fill(0x61, 64, table - 1);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(40, BigInt(table), true);
  view.setUint16(60, count, true);
  view.setUint16(62, 1, true);
  for (let i = 1; i < count; i++) {
    const at = table + 64 * i;
    view.setUint32(at, (i * 13) % (nameLength - 1), true);
    view.setUint32(at + 4, i === 1 ? 3 : 8, true);
    view.setBigUint64(at + 8, i === 1 ? 0n : 3n, true);
    view.setBigUint64(at + 24, 64n, true);
    view.setBigUint64(at + 32, i === 1 ? BigInt(nameLength) : size, true);
    view.setBigUint64(at + 48, 1n, true);
  }
  return bytes;
}

/** One of: flipped bytes anywhere, a cut, fields of headers and tables set to extremes, or several of these. */
function mutate(original: Uint8Array, random: () => number): Uint8Array {
  const bytes = original.slice();
  const view = new DataView(bytes.buffer);
  const rounds = 1 + (random() % 4);
  for (let round = 0; round < rounds; round++) {
    const kind = random() % 8;
    if (kind < 3) {
      for (let flips = 1 + (random() % 8); flips > 0; flips--) {
        bytes[random() % bytes.length] = random() & 0xff;
      }
    } else if (kind === 3 && round === 0 && random() % 2 === 0) {
      return bytes.subarray(0, random() % bytes.length);
    } else {
      setField(view, fieldAt(view, random), random);
    }
  }
  return bytes;
}

/** A place in the ELF header, a section header, a program header or the content of a table. */
function fieldAt(view: DataView, random: () => number): { at: number; size: number } {
  const within = (start: number, length: number) => ({
    at: Math.min(start + (random() % Math.max(1, length >> 2)) * 4, view.byteLength - 8),
    size: 1 << (1 + (random() % 3)),
  });
  const sections = Math.min(Number(view.getBigUint64(40, true)), view.byteLength - 64);
  const count = Math.max(1, Math.min(view.getUint16(60, true), Math.floor((view.byteLength - sections) / 64)));
  const header = sections + 64 * (random() % count);
  switch (random() % 6) {
    case 0:
      return within(16, 48);
    case 1:
      return within(64, 56 * 8);
    case 2:
    case 3:
      return within(header, 64);
    default: {
      const start = Math.min(Number(BigInt.asUintN(32, view.getBigUint64(header + 24, true))), view.byteLength - 8);
      return within(start, Number(BigInt.asUintN(16, view.getBigUint64(header + 32, true))));
    }
  }
}

function setField(view: DataView, { at, size }: { at: number; size: number }, random: () => number): void {
  const extremes = size === 8 ? [...EXTREMES, ...EXTREMES_64] : EXTREMES;
  const value = extremes[random() % extremes.length] ?? 0n;
  if (size === 8) view.setBigUint64(at, value, true);
  else if (size === 4) view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
  else view.setUint16(at, Number(BigInt.asUintN(16, value)), true);
}

/** xorshift32: unsigned 32-bit numbers from a seed. */
function generator(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}
