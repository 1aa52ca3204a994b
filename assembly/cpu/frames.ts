// Frames: the 4 KiB pieces of linear memory that hold guest pages, and the larger areas carved once.

export const PAGE: u32 = 4096;

/** First free frame of the list of freed ones, 0 at its end; each links to the next in its first word. */
let freed: usize = 0;
/** Where the never used part begins and where linear memory ends. */
let next: usize = 0;
let end: usize = 0;
/** Frames that are handed out, those of areas among them. */
let inUse: u32 = 0;

export function framesInUse(): u32 {
  return inUse;
}

/** Starts at `base`, above everything else in linear memory. */
export function initFrames(base: usize): void {
  freed = 0;
  inUse = 0;
  next = (base + PAGE - 1) & ~(PAGE - 1);
  end = (<usize>memory.size()) << 16;
}

/** Makes room for `bytes` without using them, so that memory grows now and not in the middle of a run. */
export function reserve(bytes: usize): bool {
  if (next + bytes <= end) return true;
  const pages = <i32>((next + bytes - end + 0xffff) >> 16);
  if (memory.grow(pages) < 0) return false;
  end = (<usize>memory.size()) << 16;
  return true;
}

/** A zeroed area of `bytes` (rounded up to frames), or 0 where memory cannot grow. */
export function allocateArea(bytes: usize): usize {
  const size = (bytes + PAGE - 1) & ~(PAGE - 1);
  if (!reserve(size)) return 0;
  const area = next;
  next += size;
  inUse += <u32>(size / PAGE);
  return area;
}

/** A zeroed frame, or 0 where memory cannot grow. */
export function allocateFrame(): usize {
  const used = freed != 0;
  const frame = allocateRaw();
  if (used) memory.fill(frame, 0, PAGE);
  return frame;
}

/** A frame with whatever stands in it, or 0 where memory cannot grow. */
export function allocateRaw(): usize {
  const frame = freed;
  if (!frame) {
    // grow by 1 MiB at a time
    if (next + PAGE > end && !reserve(1 << 20) && !reserve(PAGE)) return 0;
    next += PAGE;
    inUse++;
    return next - PAGE;
  }
  freed = load<u32>(frame);
  inUse++;
  return frame;
}

export function freeFrame(frame: usize): void {
  store<u32>(frame, <u32>freed);
  freed = frame;
  inUse--;
}

/** Gives an area back, frame by frame. */
export function freeArea(area: usize, bytes: usize): void {
  const size = (bytes + PAGE - 1) & ~(PAGE - 1);
  for (let at: usize = 0; at < size; at += PAGE) freeFrame(area + at);
}
