// Guest stacks and the data beside them: a task has one of each from its outermost call's start to that call's return.
import type { Engine } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import type { GuestMap, Region } from './guest-map.ts';

/** What a task owns while it is in a call. */
export interface CallArea {
  readonly stack: Region;
  readonly data: Region;
}

/** Where one call may put its frame and its buffers: all of an area, or what the calls around it have left. */
export interface CallRoom {
  /** Grows down from `top`; the frame must begin at `bottom` or above. */
  readonly stack: { readonly top: bigint; readonly bottom: bigint };
  readonly data: { readonly from: bigint; readonly limit: bigint };
}

/** Unused bytes above the outermost frame. */
const ABOVE = 0x100n;
/** Areas at once, so that neither stacks nor data reach the region that follows. */
const MOST = 8192;

/** The areas of one machine. They are mapped as they are needed and used again. */
export class CallAreas {
  readonly #engine: Engine;
  readonly #first: CallArea;
  #free: CallArea[];
  #made = 1;

  /**
   * The first area is mapped already.
   * @param from those of the machine that this one is a fork of
   */
  constructor(engine: Engine, { stack, data }: GuestMap, from?: CallAreas) {
    this.#engine = engine;
    this.#first = { stack, data };
    this.#free = from === undefined ? [this.#first] : [...from.#free];
    if (from !== undefined) this.#made = from.#made;
  }

  /** How many are mapped. Set back to fewer where those after them were unmapped; none may be in use then. */
  get made(): number {
    return this.#made;
  }

  set made(count: number) {
    this.#made = count;
    this.#free = Array.from({ length: count }, (_, i) => this.#area(count - 1 - i));
  }

  /**
   * An area for a task that begins a call.
   * @throws {EngineError} ENOMEM so many tasks are in calls that no stack is left
   */
  take(): CallArea {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made >= MOST) {
      throw new EngineError('ENOMEM', `${MOST} tasks are in calls, no stack is left`, { operation: 'call' });
    }
    const area = this.#area(this.#made);
    this.#engine.map(area.stack.base, area.stack.size, 'rw');
    try {
      this.#engine.map(area.data.base, area.data.size, 'rw');
    } catch (error) {
      this.#engine.unmap(area.stack.base, area.stack.size);
      throw error;
    }
    this.#made++;
    return area;
  }

  /** Where the one lies that was made as this number. */
  #area(index: number): CallArea {
    const { stack, data } = this.#first;
    // as much as an area takes stays unmapped behind it
    const offset = 2n * stack.size * BigInt(index);
    return {
      stack: { base: stack.base + offset, size: stack.size },
      data: { base: data.base + offset, size: data.size },
    };
  }

  /** Gives an area back, with what stands in it. */
  give(area: CallArea): void {
    this.#free.push(area);
  }
}

/** The whole of an area. Arguments get half of the stack at most. */
export function wholeArea({ stack, data }: CallArea): CallRoom {
  return {
    stack: { top: stack.base + stack.size - ABOVE, bottom: stack.base + stack.size / 2n },
    data: { from: data.base, limit: data.base + data.size },
  };
}

/** What is left below a frame that stays: a call that interrupts it, or one made for a service. */
export function roomBelow({ stack, data }: CallArea, rsp: bigint, dataFrom: bigint): CallRoom {
  return {
    stack: { top: rsp, bottom: stack.base + stack.size / 4n },
    data: { from: dataFrom, limit: data.base + data.size },
  };
}
