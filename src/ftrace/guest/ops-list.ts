// The registered ops as a list in guest memory, for the list func that is guest code: struct ftrace_ops and its hashes.
import type { Engine } from '../../engine/engine.ts';
import type { Twins } from '../../twins.ts';
import type { Arena } from '../code-arena.ts';
import { copyOps, type FtraceHash, type Ops } from '../ops.ts';
import { LAYOUT } from './handler.generated.ts';
import { Struct, writeU64 } from './memory.ts';

/** As the kernel bounds the buckets of a hash (FTRACE_HASH_MAX_BITS). */
const MOST_BITS = 12;
/** The multiplier of hash_64, 2^64 divided by the golden ratio; handler.c has the same. */
const GOLDEN = 0x61c8864680b583ebn;

/** One ops on the list. */
interface Entry {
  readonly ops: Ops;
  readonly place: bigint;
  hashes: readonly { readonly place: bigint; readonly size: number }[];
  newer: Entry | undefined;
  older: Entry | undefined;
}

/** The list of one guest, newest first. */
export class GuestOpsList {
  readonly #engine: Engine;
  readonly #heap: Arena;
  readonly #head: () => bigint;
  readonly #entries = new Map<Ops, Entry>();
  #newest: Entry | undefined;

  /**
   * @param head where the pointer to the newest ops lies
   * @param fork that of the machine that this one is a fork of
   */
  constructor(
    engine: Engine,
    heap: Arena,
    head: () => bigint,
    fork?: { readonly from: GuestOpsList | undefined; readonly twins: Twins },
  ) {
    this.#engine = engine;
    this.#heap = heap;
    this.#head = head;
    const oldestFirst = fork?.from === undefined ? [] : [...fork.from.#newestFirst()].reverse();
    for (const { ops, place, hashes } of oldestFirst) {
      const copy = fork?.twins.of(ops, copyOps) ?? ops;
      this.#link({ ops: copy, place, hashes, newer: undefined, older: this.#newest });
    }
  }

  /** Makes room for an ops that has no place of its own. */
  allocate(): bigint {
    return this.#heap.allocate(LAYOUT.ops);
  }

  /** Gives such a place back. */
  release(place: bigint): void {
    this.#heap.free(place, LAYOUT.ops);
  }

  /** Writes the ops and puts it at the head (add_ftrace_ops). @throws {SiteError} ENOMEM */
  add(ops: Ops, place: bigint, func: bigint): void {
    const hashes = this.#makeHashes(ops);
    const older = this.#newest;
    const entry: Entry = { ops, place, hashes, newer: undefined, older };
    const flags = ops.has('SAVE_REGS') ? BigInt(LAYOUT.saveRegs) : 0n;
    const fields: readonly [number, bigint][] = [
      [LAYOUT.opsFunc, func],
      [LAYOUT.opsNext, older?.place ?? 0n],
      [LAYOUT.opsFlags, flags],
    ];
    for (const [offset, value] of fields) writeU64(this.#engine, place + BigInt(offset), value);
    this.#pointToHashes(entry);
    writeU64(this.#engine, this.#head(), place);
    this.#link(entry);
  }

  #link(entry: Entry): void {
    if (entry.older !== undefined) entry.older.newer = entry;
    this.#newest = entry;
    this.#entries.set(entry.ops, entry);
  }

  *#newestFirst(): Generator<Entry> {
    for (let entry = this.#newest; entry !== undefined; entry = entry.older) yield entry;
  }

  /** Takes an ops off; its own `next` stays, for whoever stands on it (remove_ftrace_ops). */
  remove(ops: Ops): void {
    const entry = this.#entries.get(ops);
    if (entry === undefined) return;
    const { newer, older } = entry;
    const link = newer === undefined ? this.#head() : newer.place + BigInt(LAYOUT.opsNext);
    writeU64(this.#engine, link, older?.place ?? 0n);
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    if (older !== undefined) older.newer = newer;
    this.#entries.delete(ops);
    for (const { place, size } of entry.hashes) this.#heap.free(place, size);
  }

  /** The ops has other hashes now. @throws {SiteError} ENOMEM; it has the old ones then */
  rehash(ops: Ops): void {
    const entry = this.#entries.get(ops);
    if (entry === undefined) return;
    const old = entry.hashes;
    entry.hashes = this.#makeHashes(ops);
    this.#pointToHashes(entry);
    for (const { place, size } of old) this.#heap.free(place, size);
  }

  #pointToHashes({ place, hashes: [filter, notrace] }: Entry): void {
    writeU64(this.#engine, place + BigInt(LAYOUT.opsFilter), filter?.place ?? 0n);
    writeU64(this.#engine, place + BigInt(LAYOUT.opsNotrace), notrace?.place ?? 0n);
  }

  #makeHashes({ filter, notrace }: Ops): Entry['hashes'] {
    const first = this.#makeHash(filter);
    try {
      return [first, this.#makeHash(notrace)];
    } catch (error) {
      this.#heap.free(first.place, first.size);
      throw error;
    }
  }

  /** A struct ftrace_hash, its buckets and its entries in one block. */
  #makeHash(hash: FtraceHash): { place: bigint; size: number } {
    const bits = Math.min(32 - Math.clz32(hash.size >> 1), MOST_BITS);
    const entries = LAYOUT.hashBuckets + 8 * 2 ** bits;
    const size = entries + LAYOUT.entry * hash.size;
    const place = this.#heap.allocate(size);
    const block = new Struct(size).u64(LAYOUT.hashBits, BigInt(bits)).u64(LAYOUT.hashCount, BigInt(hash.size));
    const heads = new Array<bigint>(2 ** bits).fill(0n);
    let at = entries;
    for (const ip of hash) {
      const bucket = bits === 0 ? 0 : Number(BigInt.asUintN(64, ip * GOLDEN) >> BigInt(64 - bits));
      block.u64(at, heads[bucket] ?? 0n).u64(at + LAYOUT.entryIp, ip);
      heads[bucket] = place + BigInt(at);
      at += LAYOUT.entry;
    }
    for (const [bucket, head] of heads.entries()) block.u64(LAYOUT.hashBuckets + 8 * bucket, head);
    this.#engine.write(place, block.bytes);
    return { place, size };
  }
}
