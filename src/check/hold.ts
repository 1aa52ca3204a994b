// Runs from a state that chooses what memory holds: where that is, only the run itself shows.
import type { Segment } from './space.ts';
import { type Outcome, pointer, type State, segmentsOf } from './world.ts';

/** Pointers that are followed from one chosen place to the next, and places that are chosen in one state. */
const MOST_POINTERS = 4;
const MOST_HELD = 64;
const LAST_QUAD = 0xffff_ffff_ffff_fff8n;

/**
 * Runs from `plain`; then again and again with the places that the run came to read set, as far as the pointers in them
 * lead it.
 *
 * @param choose what a place holds, by the count of pointers in memory that led to it; undefined: what it held. Without it
 *   there is one run
 * @param isData whether the eight bytes at an address may be chosen
 * @returns the last run, and the state that leads to it
 */
export function runHolding(
  plain: State,
  choose: ((depth: number) => bigint | undefined) | undefined,
  run: (state: State) => Outcome,
  isData: (address: bigint) => boolean,
): { state: State; outcome: Outcome } {
  let state = plain;
  let outcome = run(state);
  if (choose === undefined) return { state, outcome };
  const known = new Set<bigint>();
  const held = new Map<bigint, bigint>();
  for (let depth = 0; depth < MOST_POINTERS; depth++) {
    const fresh = [...outcome.reads].filter((at) => !known.has(at) && at <= LAST_QUAD && isData(at));
    if (fresh.length === 0) break;
    for (const at of fresh) {
      known.add(at);
      const value = held.size < MOST_HELD ? choose(depth) : undefined;
      if (value !== undefined) held.set(at, value);
    }
    state = { ...plain, memory: layered(plain.memory ?? [], held) };
    outcome = run(state);
  }
  return { state, outcome };
}

/** Quads over the memory of a state, as segments without overlaps; of two quads that overlap the higher one is whole. */
function layered(below: readonly Segment[], quads: ReadonlyMap<bigint, bigint>): Segment[] {
  const above = [...quads]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([address, value]) => ({ address, bytes: pointer(value) }));
  const bytes = new Map<bigint, number>();
  for (const segment of [...below, ...above]) {
    for (const [i, byte] of segment.bytes.entries()) bytes.set(segment.address + BigInt(i), byte);
  }
  return segmentsOf(bytes.keys(), (address) => bytes.get(address));
}
