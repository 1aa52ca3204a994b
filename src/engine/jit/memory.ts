// Guest memory in a trace: the stack frame directly, everything else through the soft TLB (assembly/cpu/tlb.ts).
import { type Code, I32, I64 } from './code.ts';
import type { Layout } from './layout.ts';
import type { State, Value } from './values.ts';

/** Distances from rsp that belong to the frame; accesses beyond go through the TLB. */
const FRAME_REACH = 1024;

/** A point that a trace can leave at: before an instruction, or after it. */
export interface Point {
  readonly state: State;
  readonly rip: Value;
  /** Instructions retired since the trace's head. */
  readonly retired: number;
}

/** What the accesses need of the translator around them. */
export interface MemoryParts {
  readonly code: Code;
  readonly layout: Layout;
  readonly push: (value: Value) => void;
  readonly exit: (point: Point) => void;
  /** The frame is reached through `frameLocal`; otherwise all accesses go through the TLB. */
  readonly direct: boolean;
  /** The lowest offset of the frame, once known. */
  readonly lowest: number;
}

/** Emits loads and stores, and notes which part of the frame they touch. */
export class TraceMemory {
  readonly #parts: MemoryParts;
  /** Local with the linear address of the frame's lowest byte. */
  readonly frameLocal: number;
  /** What the accesses touched of the frame: from, to. */
  low = 0;
  high = 0;
  readonly #entry: number;
  readonly #address: number;
  readonly #result: number;

  constructor(parts: MemoryParts) {
    this.#parts = parts;
    this.frameLocal = parts.code.local(I32);
    this.#entry = parts.code.local(I32);
    this.#address = parts.code.local(I64);
    this.#result = parts.code.local(I32);
  }

  /** Reads `size` bytes; the value's upper bits are clear. Leaves at `before` where they cannot be read. */
  load(state: State, size: number, address: Value, before: Point): Value {
    const { code } = this.#parts;
    const slot = this.#slotOf(address);
    const known = slot !== undefined && size === 8 ? state.slots.get(slot) : undefined;
    if (known !== undefined) return known;
    if (slot !== undefined && this.#parts.direct) {
      this.#touch(slot, size);
      code.get(this.frameLocal).load(size, slot - this.#parts.lowest);
    } else {
      this.#readable(address, size, before);
      code.load(size);
    }
    const local = code.local(I64);
    code.set(local);
    const value: Value = { kind: 'local', index: local };
    if (slot !== undefined && size === 8) state.slots.set(slot, value);
    return value;
  }

  /**
   * Writes the low `size` bytes of a value. `state` is what holds after the instruction and learns of the write. Leaves
   * at `before` where the bytes cannot be written, at `after` where the write changed code.
   */
  store(state: State, size: number, address: Value, value: Value, before: Point, after: Point): void {
    const { code, push } = this.#parts;
    const slot = this.#slotOf(address);
    if (slot !== undefined && this.#parts.direct) {
      this.#touch(slot, size);
      code.get(this.frameLocal);
      push(value);
      code.store(size, slot - this.#parts.lowest);
      this.#learn(state, slot, size, value);
      return;
    }
    // what lies elsewhere may be the frame by another name, unless its distance is known
    if (slot !== undefined) this.#learn(state, slot, size, value);
    else if (address.kind !== 'frame') state.slots.clear();
    this.#throughTlb(size, address, value, before, after);
  }

  /**
   * A quad of the frame that can be written without fault and without changing code; leaves at `before` where that is
   * not known to hold. `storeReady` then writes it.
   */
  makeReady(offset: number, before: Point): void {
    const { code, push, layout, exit } = this.#parts;
    if (this.#parts.direct) {
      this.#touch(offset, 8);
      return;
    }
    push({ kind: 'frame', offset });
    code.set(this.#address);
    this.#lookUp(8, layout.writeTag);
    code.op('i32.eqz').if();
    exit(before);
    code.op('end');
  }

  /** Writes a quad that `makeReady` has found writable. */
  storeReady(state: State, offset: number, value: Value): void {
    const { code, push } = this.#parts;
    if (this.#parts.direct) {
      code.get(this.frameLocal);
      push(value);
      code.store(8, offset - this.#parts.lowest);
    } else {
      push({ kind: 'frame', offset });
      code.set(this.#address);
      this.#entryOf();
      this.#linear();
      push(value);
      code.store(8);
    }
    this.#learn(state, offset, 8, value);
  }

  /** Whether `makeReady` reaches an offset. */
  inReach(offset: number): boolean {
    return Math.abs(offset) <= FRAME_REACH;
  }

  #slotOf(address: Value): number | undefined {
    return address.kind === 'frame' && this.inReach(address.offset) ? address.offset : undefined;
  }

  #touch(offset: number, size: number): void {
    this.low = Math.min(this.low, offset);
    this.high = Math.max(this.high, offset + size);
  }

  #learn(state: State, slot: number, size: number, value: Value): void {
    state.forget(slot, size);
    if (size === 8) state.slots.set(slot, value);
  }

  /** Leaves the linear address of readable bytes on the stack. */
  #readable(address: Value, size: number, before: Point): void {
    const { code, push, layout, exit } = this.#parts;
    push(address);
    code.set(this.#address);
    this.#lookUp(size, layout.readTag);
    code.if(I32);
    this.#linear();
    code.op('else').get(this.#address).i32(size).call(layout.functions.traceRead).tee(this.#result);
    code.op('i32.eqz').if();
    exit(before);
    code.op('end').get(this.#result).op('end');
  }

  #throughTlb(size: number, address: Value, value: Value, before: Point, after: Point): void {
    const { code, push, layout, exit } = this.#parts;
    push(address);
    code.set(this.#address);
    this.#lookUp(size, layout.writeTag);
    code.if();
    this.#linear();
    push(value);
    code.store(size).op('else').get(this.#address);
    push(value);
    code.i32(size).call(layout.functions.traceStore).tee(this.#result).op('i32.eqz').if();
    exit(before);
    code.op('end').get(this.#result).i32(2).op('i32.eq').if();
    exit(after);
    code.op('end').op('end');
  }

  /** The TLB's entry of the address in `#address`. */
  #entryOf(): void {
    const { code, layout } = this.#parts;
    code.get(this.#address).op('i32.wrap_i64').i32(layout.entryShift).op('i32.shr_u');
    code.i32(layout.entryMask).op('i32.and').set(this.#entry);
  }

  /** Leaves on the stack whether the entry's tag is that of the page of the last byte. */
  #lookUp(size: number, tag: number): void {
    const { code } = this.#parts;
    this.#entryOf();
    code.get(this.#entry).load(8, tag).get(this.#address);
    if (size > 1) code.i64(BigInt(size - 1)).op('i64.add');
    code.i64(-4096n).op('i64.and').op('i64.eq');
  }

  /** The linear address of `#address`, by its entry. */
  #linear(): void {
    const { code, layout } = this.#parts;
    code.get(this.#address).op('i32.wrap_i64').get(this.#entry).loadI32(layout.addend).op('i32.add');
  }
}
