// How often each exit of the ladder was taken, and the warnings that the kernel prints once.
import type { Instance } from '../wasm/instance.ts';
import type { CounterName, Layout } from './layout.ts';

/** Calls by exit. Every call takes exactly one of the first seven; `nops` counts those among them that met a nop. */
export interface DispatchCounts extends Readonly<Record<CounterName, number>> {
  /** All calls. */
  readonly calls: number;
}

/** The exits at which the kernel warns once (L36, L37, L41). */
export const WARNINGS = ['recursion', 'empty', 'idle'] as const;
export type Warning = (typeof WARNINGS)[number];

/** The counters of one core. */
export class DispatchCounters {
  readonly #instance: Instance;
  readonly #layout: Layout;
  readonly #warned: Set<Warning>;

  /** @param from those of the core that this one is a fork of */
  constructor(instance: Instance, layout: Layout, from?: DispatchCounters) {
    this.#instance = instance;
    this.#layout = layout;
    this.#warned = new Set(from === undefined ? [] : from.#warned);
  }

  /** What the counters hold now. */
  read(): DispatchCounts {
    const steady = this.#count('steady');
    const patched = this.#count('patched');
    const below = this.#count('below');
    const exhausted = this.#count('exhausted');
    const idle = this.#count('idle');
    const empty = this.#count('empty');
    const recursion = this.#count('recursion');
    const calls = steady + patched + below + exhausted + idle + empty + recursion;
    return { calls, steady, patched, below, exhausted, idle, empty, recursion, nops: this.#count('nops') };
  }

  /** Warnings that came up since the last question; each is returned once in the core's life, as WARN_ON_ONCE does. */
  takeWarnings(): Warning[] {
    const fresh = WARNINGS.filter((name) => !this.#warned.has(name) && this.#count(name) > 0);
    for (const name of fresh) this.#warned.add(name);
    return fresh;
  }

  #count(name: CounterName): number {
    return Number(this.#instance.u64[(this.#layout.counters + this.#layout.counter[name]) / 8]);
  }
}
