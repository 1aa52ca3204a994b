// What memory another CPU may see while a site is poked: the steps of a protocol, and the images after each of them.
import { hexBytes } from '../address.ts';
import { TrampolineBytesError } from '../errors.ts';

/** One step of whoever pokes. */
export type PokeStep =
  /** Bytes at an offset into the site. `single`: one store instruction, which is whole only inside 8 aligned bytes. */
  | { readonly store: { readonly offset: number; readonly bytes: Uint8Array; readonly single?: boolean } }
  /** Every CPU serializes: from here on it sees all earlier stores (C45). */
  | { readonly sync: true }
  /** The int3 handler begins or ends to know the site (F15–F17). */
  | { readonly handler: boolean };

/**
 * `int3`: the three steps of text_poke_bp (F16) · `aligned`: one store and a sync · `two-byte`: the rest, then the first
 * two bytes by one store, as XRay flips its sleds · `plain`: bytes in any order, as memcpy does.
 */
export const PROTOCOLS = ['int3', 'aligned', 'two-byte', 'plain'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** The memory that may be seen between two steps. */
export interface Phase {
  /** What was done last, for messages. */
  readonly after: string;
  readonly images: readonly Uint8Array[];
  /** Whether the handler knows the site. */
  readonly handled: boolean;
}

/** More images than these in one phase are not searched. */
export const MAX_IMAGES = 65_536;
/** Longest site and longest list of steps. */
export const MAX_SITE = 64;
export const MAX_STEPS = 64;

/** The steps of a named protocol that turns a site into `newBytes`. */
export function stepsOf(protocol: Protocol, newBytes: Uint8Array): PokeStep[] {
  const store = (from: number, to: number, single: boolean): PokeStep[] =>
    to > from ? [{ store: { offset: from, bytes: newBytes.slice(from, to), single } }] : [];
  const sync: PokeStep = { sync: true };
  switch (protocol) {
    case 'int3':
      return [
        { handler: true },
        { store: { offset: 0, bytes: Uint8Array.of(0xcc), single: true } },
        sync,
        ...store(1, newBytes.length, false),
        sync,
        ...store(0, 1, true),
        sync,
        { handler: false },
      ];
    case 'aligned':
      return [...store(0, newBytes.length, true), sync];
    case 'two-byte':
      return [...store(2, newBytes.length, false), sync, ...store(0, Math.min(2, newBytes.length), true), sync];
    case 'plain':
      return [...store(0, newBytes.length, false), sync];
  }
}

/**
 * The images that another CPU may see before the first step and after each one: of the stores that no sync has followed,
 * each whole store (inside 8 aligned bytes) or else each byte has arrived or not, independently (C40, C42).
 *
 * @throws {TrampolineBytesError} EINVAL a store outside the site, or too many steps · EOVERFLOW too many images
 */
export function phasesOf(address: bigint, oldBytes: Uint8Array, steps: readonly PokeStep[]): Phase[] {
  if (steps.length > MAX_STEPS) throw wrong('EINVAL', `${steps.length} steps, at most ${MAX_STEPS} are judged`);
  let settled = oldBytes.slice();
  let pending: Unit[] = [];
  let handled = false;
  const phases: Phase[] = [{ after: 'nothing', images: [settled], handled }];
  for (const step of steps) {
    if ('sync' in step) {
      settled = settled.slice();
      for (const unit of pending) settled.set(unit.bytes, unit.offset);
      pending = [];
    } else if ('handler' in step) handled = step.handler;
    else pending.push(...unitsOf(address, step.store, oldBytes.length));
    phases.push({ after: describe(step), images: imagesOf(settled, pending), handled });
  }
  return phases;
}

/** One step in words. */
function describe(step: PokeStep): string {
  if ('sync' in step) return 'the sync';
  if ('handler' in step) return step.handler ? 'the handler is in place' : 'the handler is gone';
  const { offset, bytes } = step.store;
  return `the store of ${hexBytes(bytes)} at +${offset}`;
}

/** What arrives as a whole. */
interface Unit {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

function unitsOf(
  address: bigint,
  store: { readonly offset: number; readonly bytes: Uint8Array; readonly single?: boolean },
  size: number,
): Unit[] {
  const { offset, bytes, single = false } = store;
  if (!Number.isInteger(offset) || offset < 0 || bytes.length === 0 || offset + bytes.length > size) {
    throw wrong('EINVAL', `a store of ${bytes.length} bytes at +${offset} is not inside the site of ${size} bytes`);
  }
  if (single && isWhole(address + BigInt(offset), bytes.length)) return [{ offset, bytes }];
  return [...bytes].map((byte, i) => ({ offset: offset + i, bytes: Uint8Array.of(byte) }));
}

/** Whether a store is seen whole by every CPU: all of it in 8 aligned bytes, hence in one cache line (C40). */
export function isWhole(address: bigint, size: number): boolean {
  return size > 0 && address >> 3n === (address + BigInt(size) - 1n) >> 3n;
}

/** All combinations of units that have arrived; of two stores to one byte the later one counts. */
function imagesOf(settled: Uint8Array, pending: readonly Unit[]): Uint8Array[] {
  let images = new Map<string, Uint8Array>([[hexBytes(settled), settled]]);
  for (const unit of pending) {
    const next = new Map(images);
    for (const image of images.values()) {
      const stored = image.slice();
      stored.set(unit.bytes, unit.offset);
      next.set(hexBytes(stored), stored);
    }
    if (next.size > MAX_IMAGES) throw wrong('EOVERFLOW', `more than ${MAX_IMAGES} memory images between two syncs`);
    images = next;
  }
  return [...images.values()];
}

function wrong(code: 'EINVAL' | 'EOVERFLOW', fact: string): TrampolineBytesError {
  return new TrampolineBytesError(code, fact, {
    operation: 'check poke',
    offset: 0,
    bytes: new Uint8Array(0),
    rule: 'C42',
  });
}
