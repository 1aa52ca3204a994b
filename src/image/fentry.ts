// Tells a call of __fentry__ from any other call, by relocation or by where it goes.

import { wrap } from '../address.ts';
import type { SiteForm } from './entry-bytes.ts';
import { endbrLength } from './entry-bytes.ts';
import type { ImageMemory } from './memory.ts';

/** The function that entry calls go to. */
export const FENTRY = '__fentry__';

/** What is known of `__fentry__` in an image. */
export interface FentryKnowledge {
  /** Addresses of fields (call displacements, GOT slots) whose relocation names it. */
  readonly places: ReadonlySet<bigint>;
  /** Addresses that it has. */
  readonly addresses: ReadonlySet<bigint>;
  /** In relocatable files: the relocated fields in code, from which the sites follow. */
  readonly codePlaces: readonly bigint[] | undefined;
}

/** Answers whether calls go to `__fentry__`. */
export class FentryCalls {
  readonly #memory: ImageMemory;
  readonly #known: FentryKnowledge;
  /** Sites that follow from relocations, sorted; undefined in linked files. */
  readonly sites: bigint[] | undefined;

  constructor(memory: ImageMemory, known: FentryKnowledge) {
    this.#memory = memory;
    this.#known = known;
    const sites = known.codePlaces?.flatMap((place) => this.#siteOf(place) ?? []);
    this.sites = sites && [...new Set(sites)].sort((a, b) => (a < b ? -1 : 1));
  }

  /** Whether the image names `__fentry__` at all. */
  get known(): boolean {
    return this.#known.places.size > 0 || this.#known.addresses.size > 0;
  }

  /** Whether the call of this form at `address` goes to `__fentry__`; undefined where the image does not name it. */
  reaches(address: bigint, form: SiteForm): boolean | undefined {
    if (!this.known) return undefined;
    const field = address + (form === 'call' ? 1n : 2n);
    if (this.#known.places.has(field)) return true;
    const target = this.#relative(field);
    if (target === undefined) return false;
    return form === 'call-got' ? this.#slotHolds(target) : this.#goesThere(target);
  }

  #goesThere(target: bigint): boolean {
    if (this.#known.addresses.has(target)) return true;
    // A PLT entry: [endbr64] [bnd] jmp *slot(%rip)
    const entry = this.#memory.code(target, 11);
    if (entry === undefined) return false;
    let at = endbrLength(entry);
    if (entry[at] === 0xf2) at++;
    if (entry[at] !== 0xff || entry[at + 1] !== 0x25) return false;
    const slot = this.#relative(target + BigInt(at) + 2n);
    return slot !== undefined && this.#slotHolds(slot);
  }

  #slotHolds(slot: bigint): boolean {
    if (this.#known.places.has(slot)) return true;
    const value = this.#memory.u64(slot);
    return value !== undefined && this.#known.addresses.has(value);
  }

  // Where the rel32 at `field` points.
  #relative(field: bigint): bigint | undefined {
    const displacement = this.#memory.i32(field);
    return displacement === undefined ? undefined : wrap(field + 4n + BigInt(displacement));
  }

  // The call that a relocated field belongs to.
  #siteOf(field: bigint): bigint | undefined {
    const [long, short] = this.#memory.code(field - 2n, 2) ?? [];
    if ((long === 0xff && short === 0x15) || (long === 0x67 && short === 0xe8)) return field - 2n;
    return this.#memory.code(field - 1n, 1)?.[0] === 0xe8 ? field - 1n : undefined;
  }
}
