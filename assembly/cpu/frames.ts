// Frames: the 4 KiB pieces of linear memory that hold guest pages, and the larger areas that tables are made of.

export const PAGE: u32 = 4096;

/** First free frame of the list of freed ones, 0 at its end; each links to the next in its first word. */
let freed: usize = 0;
/** Where the never used part begins and where linear memory ends. */
let next: usize = 0;
let end: u64 = 0;
/** The last 64 KiB stay unused, so that 32 bits hold where any frame ends. */
const LIMIT: u64 = 0xffff0000;
/** Frames that are handed out, those of areas among them. */
let inUse: u32 = 0;
/** Frames that 32 bits address, as a power of two. */
const MOST_ORDER: u32 = 20;
/** First free area of 2^order frames, for each order but 0; they are linked as freed frames are. */
const spare: usize = memory.data((MOST_ORDER + 1) * 4, 4);
/** For each frame, how many address spaces hold it beside the first; 0 until there is a second one. */
let holders: usize = 0;

export function framesInUse(): u32 {
  return inUse;
}

/** Whether linear memory is handed out here: there is a CPU. */
export function hasFrames(): bool {
  return next != 0;
}

/** Starts at `base`, above everything else in linear memory. */
export function initFrames(base: usize): void {
  freed = 0;
  inUse = 0;
  holders = 0;
  memory.fill(spare, 0, (MOST_ORDER + 1) * 4);
  next = (base + PAGE - 1) & ~(PAGE - 1);
  findEnd();
}

function findEnd(): void {
  end = min<u64>((<u64>memory.size()) << 16, LIMIT);
}

/** Makes room for `bytes` without using them, so that memory grows now and not in the middle of a run. */
export function reserve(bytes: usize): bool {
  const wanted = <u64>next + bytes;
  if (wanted <= end) return true;
  if (wanted > LIMIT || memory.grow(<i32>((wanted - end + 0xffff) >> 16)) < 0) return false;
  findEnd();
  return true;
}

/** The frames of an area of `bytes`, as a power of two. */
function orderOf(bytes: usize): u32 {
  return bytes <= PAGE ? 0 : 32 - clz<u32>(<u32>((bytes - 1) / PAGE));
}

/** What an area of `bytes` takes. */
export function areaSize(bytes: usize): usize {
  return (<usize>PAGE) << orderOf(bytes);
}

/** A zeroed area of `bytes`, or 0 where memory cannot grow. */
export function allocateArea(bytes: usize): usize {
  const order = orderOf(bytes);
  if (!order) return allocateFrame();
  if (order >= MOST_ORDER) return 0;
  const size = (<usize>PAGE) << order;
  let area = <usize>load<u32>(spare + (order << 2));
  if (area) {
    store<u32>(spare + (order << 2), load<u32>(area));
    memory.fill(area, 0, size);
  } else {
    if (!reserve(size)) return 0;
    area = next;
    next += size;
  }
  inUse += 1 << order;
  return area;
}

/** Gives an area back. */
export function freeArea(area: usize, bytes: usize): void {
  const order = orderOf(bytes);
  if (!order) {
    freeFrame(area);
    return;
  }
  store<u32>(area, load<u32>(spare + (order << 2)));
  store<u32>(spare + (order << 2), <u32>area);
  inUse -= 1 << order;
}

/** A zeroed frame, or 0 where memory cannot grow. */
export function allocateFrame(): usize {
  const used = freed != 0;
  const frame = allocateRaw();
  if (frame && (used || freed)) memory.fill(frame, 0, PAGE);
  return frame;
}

/** A frame with whatever stands in it, or 0 where memory cannot grow. */
export function allocateRaw(): usize {
  // grow by 1 MiB at a time
  if (!freed && <u64>next + PAGE > end && !reserve(1 << 20) && !reserve(PAGE) && !takeApart()) return 0;
  inUse++;
  if (!freed) {
    next += PAGE;
    return next - PAGE;
  }
  const frame = freed;
  freed = load<u32>(frame);
  return frame;
}

/** Makes frames of the smallest area that is free; false where there is none. */
function takeApart(): bool {
  for (let order: u32 = 1; order <= MOST_ORDER; order++) {
    const area = <usize>load<u32>(spare + (order << 2));
    if (!area) continue;
    store<u32>(spare + (order << 2), load<u32>(area));
    for (let i: u32 = 0; i < 1 << order; i++) link(area + <usize>i * PAGE);
    return true;
  }
  return false;
}

function link(frame: usize): void {
  store<u32>(frame, <u32>freed);
  freed = frame;
}

/** Gives a frame back, once nobody else holds it. */
export function freeFrame(frame: usize): void {
  if (Frames.isShared(frame)) {
    Frames.hold(frame, -1);
    return;
  }
  link(frame);
  inUse--;
}

@unmanaged
export class Frames {
  /** Whether several address spaces hold the frame: who writes it makes a copy first. */
  @inline
  static isShared(frame: usize): bool {
    return holders != 0 && load<u16>(Frames.count(frame)) != 0;
  }

  /** So many more hold the frame; spaces are bounded by what their tables take, far below 65,536. */
  @inline
  static hold(frame: usize, more: i32): void {
    const at = Frames.count(frame);
    store<u16>(at, <u16>(load<u16>(at) + more));
  }

  @inline
  static count(frame: usize): usize {
    return holders + ((frame / PAGE) << 1);
  }

  /** What `share` is going to take. */
  static sharing(): usize {
    return holders ? 0 : (<usize>2) << MOST_ORDER;
  }

  /** From now on frames can be shared; room was reserved. */
  static share(): void {
    if (!holders) holders = allocateArea(Frames.sharing());
  }
}
