// Where a call arrived, read off the blocks that the CPU enters: the first instruction outside all redirection code.
import type { ArrivalState, ArrivalWatcher } from '../engine/engine.ts';
import type { RangeSet } from './ranges.ts';

/**
 * Told of each arrival, see ArrivalWatcher; returning true stops the run there.
 * @param nested it is of a call that a handler makes, while the one that called the handler has not arrived
 */
export type ArrivalHook = (...arrival: [...Parameters<ArrivalWatcher['arrived']>, nested: boolean]) => boolean;

/** What a watch is told of the guest. */
export interface ArrivalGuest {
  /** Code that no call arrives at: sites, trampolines, handlers and gate. */
  readonly glue: RangeSet;
  /** Whether a trampoline begins there, whose caller arrives somewhere after it: ftrace's own, or a direct one. */
  trampolineAt(address: bigint): 'ftrace' | 'direct' | undefined;
  /** Whether the return address at the top of the stack is one of a site: a direct trampoline may be called otherwise. */
  calledBySite(stackPointer: bigint): boolean;
  /** rsp, as it stands when a block is entered. */
  stackPointer(): bigint;
}

/** How a run is watched. */
export interface ArrivalWatchParts {
  readonly guest: ArrivalGuest;
  /** rsp at the call's entry. */
  readonly entrySp: bigint;
  /** Arrivals are told while the guest runs. */
  readonly atOnce: boolean;
  readonly onArrival: ArrivalHook;
}

/** An arrival that is awaited. */
interface Awaited {
  /** rsp at the entry of the trampoline, where the site's return slot is; undefined before any trampoline. */
  slot: bigint | undefined;
}

/**
 * Follows one run. An arrival is awaited from the call's first instruction and again each time the guest has entered a
 * trampoline; it is the first instruction executed outside sites, trampolines, handlers and gate (I2), and above the
 * trampoline's frame: what runs below it was called by the trampoline, and is a handler wherever its code lies. Knows
 * nothing of func stacks, so that it cannot agree with them by construction. An engine with `redirection` finds them
 * itself while all handlers are redirection code, in assembly/cpu/arrival.ts; otherwise engines tell of their blocks.
 */
export class ArrivalWatch implements ArrivalWatcher {
  readonly #parts: ArrivalWatchParts;
  /** Innermost last. */
  readonly #awaited: Awaited[] = [{ slot: undefined }];
  #first = true;

  /** @param from that of the run that this one is a copy of */
  constructor(parts: ArrivalWatchParts, from?: ArrivalWatch) {
    this.#parts = parts;
    if (from === undefined) return;
    this.#awaited.splice(0, 1, ...from.#awaited.map(({ slot }) => ({ slot })));
    this.#first = from.#first;
  }

  get awaited(): boolean {
    return this.#awaited.length > 0;
  }

  set awaited(on: boolean) {
    if (!on) this.#awaited.length = 0;
    else if (this.#awaited.length === 0) this.#awaited.push({ slot: undefined });
  }

  get dispatched(): boolean {
    return this.#awaited.at(-1)?.slot !== undefined;
  }

  set dispatched(on: boolean) {
    const last = this.#awaited.at(-1);
    // the engine knows of no frames: any stack pointer is above this one
    if (on && last !== undefined) last.slot ??= 0n;
  }

  get first(): boolean {
    return this.#first;
  }

  get entrySp(): bigint {
    return this.#parts.entrySp;
  }

  get atOnce(): boolean {
    return this.#parts.atOnce;
  }

  arrived(address: bigint, dispatched: boolean, state: ArrivalState | undefined): boolean {
    const stop = this.#parts.onArrival(address, dispatched, state, false);
    this.#first = false;
    return stop;
  }

  /** The engine's block hook: an address to stop at, or undefined to go on. */
  enterBlock(address: bigint, size: number): bigint | undefined {
    const { guest } = this.#parts;
    const trampoline = guest.trampolineAt(address);
    if (trampoline !== undefined && this.#enterTrampoline(trampoline)) return undefined;
    const awaited = this.#awaited.at(-1);
    if (awaited === undefined) return undefined;
    const first = guest.glue.skip(address);
    if (first >= address + BigInt(size)) return undefined;
    const dispatched = awaited.slot !== undefined;
    if (dispatched && !this.#returned(guest.stackPointer())) return undefined;
    if (!dispatched) this.#awaited.pop();
    return this.#tell(first, dispatched, undefined) ? first : undefined;
  }

  #tell(address: bigint, dispatched: boolean, state: ArrivalState | undefined): boolean {
    const nested = this.#awaited.length > 0;
    const stop = this.#parts.onArrival(address, dispatched, state, nested);
    if (!nested) this.#first = false;
    return stop;
  }

  /** Returns false where a direct trampoline was called as any function is. */
  #enterTrampoline(trampoline: 'ftrace' | 'direct'): boolean {
    const { guest } = this.#parts;
    const slot = guest.stackPointer();
    const awaited = this.#awaited.at(-1);
    // a common caller enters a direct trampoline with the site's own slot (F26)
    if (awaited?.slot === slot) return true;
    if (trampoline === 'direct' && !guest.calledBySite(slot)) return false;
    if (awaited !== undefined && awaited.slot === undefined) awaited.slot = slot;
    else this.#awaited.push({ slot });
    return true;
  }

  /** Whether the innermost trampoline has returned; those that were left without are forgotten. */
  #returned(stackPointer: bigint): boolean {
    const left = this.#awaited.findIndex(({ slot }) => slot !== undefined && slot < stackPointer);
    if (left < 0) return false;
    this.#awaited.length = left;
    return true;
  }
}
