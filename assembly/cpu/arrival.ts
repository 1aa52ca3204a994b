// Where calls arrive: the first instruction executed outside all redirection code. Read off the blocks that the CPU
// enters; knows nothing of func stacks, so that it cannot agree with them by construction (I2).

import { allocateArea, freeArea } from './frames';
import { arrived } from './host';
import { Pages } from './pages';
import { GENERAL, RIP } from './state';

/** The block begins in redirection code: sites, trampolines, handlers and the kernel's routines. */
export const GLUE: u32 = 1;
/** … and that is a trampoline: whoever passes one arrives somewhere after it. */
export const TRAMPOLINE: u32 = 2;

/** How arrivals are watched for. */
export enum Watch {
  Off = 0,
  /** They are kept for the host, which reads them after the run. */
  Keep = 1,
  /** The host is told of each at once, and may stop there. */
  Tell = 2,
}

/** What `entered` answers. */
export enum Entered {
  /** No arrival is awaited. As a mask it lets the count of what is left through. */
  Nothing = -1,
  /** One is. As a mask it leaves nothing, so that the next block is asked about too. */
  Awaited = 0,
  /** The host wants to stop at this block. */
  Stop = 1,
}

/** Arrivals between two visits of the host: 16 bytes each, address and whether a trampoline was passed. */
export const MOST_ARRIVALS: u32 = 1024;
const ARRIVAL_SIZE: usize = 16;
/** The registers at the first arrival (rax … r15), then the quad at the entry's rsp and whether it is mapped. */
export const FIRST_ARRIVAL: usize = memory.data(144, 16);

let ring: usize = 0;
let kept: u32 = 0;
let watch: Watch = Watch.Off;
let awaited: Entered = Entered.Nothing;
let dispatched: bool = false;
/** The registers of the next arrival are to be kept. */
let snapshot: bool = false;
let entrySp: u64 = 0;

/** Half-open ranges of redirection code, sorted: pairs of u64. */
let ranges: usize = 0;
let rangeCount: u32 = 0;
let rangeRoom: u32 = 0;
let trampolines: u64 = 0;
let trampolinesEnd: u64 = 0;

/** What an address space has of this file; the rest lasts for a run. */
//  0 trampolines    u64
//  8 trampolinesEnd u64
// 16 ranges         u32
// 20 count          u32
// 24 room           u32
@unmanaged
export class GlueRanges {
  trampolines: u64;
  trampolinesEnd: u64;
  ranges: usize;
  count: u32;
  room: u32;
}

export function keepGlue(to: GlueRanges): void {
  to.trampolines = trampolines;
  to.trampolinesEnd = trampolinesEnd;
  to.ranges = ranges;
  to.count = rangeCount;
  to.room = rangeRoom;
}

export function useGlue(from: GlueRanges): void {
  trampolines = from.trampolines;
  trampolinesEnd = from.trampolinesEnd;
  ranges = from.ranges;
  rangeCount = from.count;
  rangeRoom = from.room;
}

/** The same ranges once more; room was reserved. */
export function forkGlue(to: GlueRanges): void {
  keepGlue(to);
  if (!rangeRoom) return;
  to.ranges = allocateArea(glueSize());
  memory.copy(to.ranges, ranges, (<usize>rangeCount) << 4);
}

export function dropGlue(): void {
  if (rangeRoom) freeArea(ranges, glueSize());
}

/** Bytes of the ranges. */
export function glueSize(): usize {
  return (<usize>rangeRoom) << 4;
}

export function initArrivals(): bool {
  rangeCount = rangeRoom = 0;
  trampolines = trampolinesEnd = 0;
  watch = Watch.Off;
  awaited = Entered.Nothing;
  ring = allocateArea(<usize>MOST_ARRIVALS * ARRIVAL_SIZE);
  return ring != 0;
}

/** Where the host writes `count` ranges, two u64 each; 0 where there is no memory. Blocks must be dropped after it. */
export function glueRanges(count: u32, from: u64, to: u64): usize {
  if (!rangeRoom || count > rangeRoom) {
    const room = count + (count >> 1) + 1;
    const area = allocateArea((<usize>room) << 4);
    if (!area) return 0;
    dropGlue();
    ranges = area;
    rangeRoom = room;
  }
  rangeCount = count;
  trampolines = from;
  trampolinesEnd = to;
  return ranges;
}

/** One past the range of redirection code that holds `address`, or 0 where none does. */
export function glueEnd(address: u64): u64 {
  let low: u32 = 0;
  let high = rangeCount;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<u64>(ranges + ((<usize>middle) << 4), 8) <= address) low = middle + 1;
    else high = middle;
  }
  const at = ranges + ((<usize>low) << 4);
  return low < rangeCount && load<u64>(at) <= address ? load<u64>(at, 8) : 0;
}

/** What a block that begins at `address` is. */
export function markOf(address: u64): u32 {
  if (address - trampolines < trampolinesEnd - trampolines) return GLUE | TRAMPOLINE;
  return glueEnd(address) ? GLUE : 0;
}

/**
 * Watches the runs that follow. What is awaited and whether a trampoline was passed come from the run's last piece.
 *
 * @param first the run has not arrived yet: keep the registers, and the quad at `sp`, of its next arrival
 */
export function watchArrivals(how: Watch, wait: bool, passed: bool, first: bool, sp: u64): void {
  watch = how;
  awaited = how != Watch.Off && wait ? Entered.Awaited : Entered.Nothing;
  dispatched = passed;
  snapshot = first;
  entrySp = sp;
  kept = 0;
}

/** Where the kept arrivals are. */
export function arrivals(): usize {
  return ring;
}

/** How many there are; they are forgotten with it. */
export function takeArrivals(): u32 {
  const count = kept;
  kept = 0;
  return count;
}

/** Bit 0: an arrival is awaited; bit 1: a trampoline was passed. */
export function arrivalState(): u32 {
  return (awaited == Entered.Awaited ? 1 : 0) | (dispatched ? 2 : 0);
}

/** The mask with which `execute` begins. */
@unmanaged
export class Arrivals {
  @inline
  static mask(): i32 {
    return awaited;
  }
}

/** A block with this mark, at `address`, is about to run. */
export function entered(mark: u32, address: u64): Entered {
  if (mark & TRAMPOLINE) {
    if (watch == Watch.Off) return Entered.Nothing;
    dispatched = true;
    awaited = Entered.Awaited;
    return awaited;
  }
  if (mark & GLUE || awaited != Entered.Awaited) return awaited;
  awaited = Entered.Nothing;
  const passed = dispatched;
  dispatched = false;
  if (snapshot) keepRegisters();
  if (watch == Watch.Tell) {
    store<u64>(RIP, address);
    return arrived(<u32>address, <u32>(address >> 32), passed) ? Entered.Stop : Entered.Nothing;
  }
  const at = ring + <usize>kept * ARRIVAL_SIZE;
  store<u64>(at, address);
  store<u64>(at, u64(passed), 8);
  kept++;
  // the host empties the ring and goes on
  if (kept == MOST_ARRIVALS) arrived(<u32>address, <u32>(address >> 32), passed);
  return Entered.Nothing;
}

function keepRegisters(): void {
  snapshot = false;
  memory.copy(FIRST_ARRIVAL, GENERAL, 128);
  const last = Pages.find(entrySp + 7);
  const page = Pages.find(entrySp);
  const mapped = page.key != 0 && last.key == page.key;
  store<u64>(FIRST_ARRIVAL, u64(mapped), 136);
  if (mapped) store<u64>(FIRST_ARRIVAL, load<u64>(<usize>page.frame + (<usize>entrySp & 0xfff)), 128);
}
