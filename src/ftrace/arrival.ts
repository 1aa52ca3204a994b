// Where a call arrived, read off the blocks that the CPU enters: the first instruction outside all redirection code.
import type { RangeSet } from './ranges.ts';

/** Told of each arrival; returning true stops the run there. */
export type ArrivalHook = (address: bigint, dispatched: boolean) => boolean;

/** What a watch is told of the guest. */
export interface ArrivalParts {
  /** Code that no call arrives at: sites, trampolines, handlers and gate. */
  readonly glue: RangeSet;
  /** Whether a trampoline begins there, whose caller arrives somewhere after it: ftrace's own, or a direct one. */
  trampolineAt(address: bigint): 'ftrace' | 'direct' | undefined;
  /** Whether the return address at the top of the stack is one of a site: a direct trampoline may be called otherwise. */
  calledBySite(stackPointer: bigint): boolean;
  /** rsp, as it stands when a block is entered. */
  stackPointer(): bigint;
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
 * nothing of func stacks, so that it cannot agree with them by construction.
 */
export class ArrivalWatch {
  readonly #parts: ArrivalParts;
  readonly #onArrival: ArrivalHook;
  /** Innermost last. */
  readonly #awaited: Awaited[] = [{ slot: undefined }];

  constructor(parts: ArrivalParts, onArrival: ArrivalHook) {
    this.#parts = parts;
    this.#onArrival = onArrival;
  }

  /** The engine's block hook: an address to stop at, or undefined to go on. */
  enterBlock(address: bigint, size: number): bigint | undefined {
    const trampoline = this.#parts.trampolineAt(address);
    if (trampoline !== undefined && this.#enterTrampoline(trampoline)) return undefined;
    const awaited = this.#awaited.at(-1);
    if (awaited === undefined) return undefined;
    const first = this.#parts.glue.skip(address);
    if (first >= address + BigInt(size)) return undefined;
    const dispatched = awaited.slot !== undefined;
    if (dispatched && !this.#returned(this.#parts.stackPointer())) return undefined;
    if (!dispatched) this.#awaited.pop();
    return this.#onArrival(first, dispatched) ? first : undefined;
  }

  /** Returns false where a direct trampoline was called as any function is. */
  #enterTrampoline(trampoline: 'ftrace' | 'direct'): boolean {
    const slot = this.#parts.stackPointer();
    const awaited = this.#awaited.at(-1);
    // a common caller enters a direct trampoline with the site's own slot (F26)
    if (awaited?.slot === slot) return true;
    if (trampoline === 'direct' && !this.#parts.calledBySite(slot)) return false;
    if (awaited !== undefined && awaited.slot === undefined) awaited.slot = slot;
    else this.#awaited.push({ slot });
    return true;
  }

  /** Whether the innermost trampoline has returned; those that were left without are forgotten. */
  #returned(stackPointer: bigint): boolean {
    let returned = false;
    for (
      let last = this.#awaited.at(-1);
      last?.slot !== undefined && stackPointer > last.slot;
      last = this.#awaited.at(-1)
    ) {
      this.#awaited.pop();
      returned = true;
    }
    return returned;
  }
}
