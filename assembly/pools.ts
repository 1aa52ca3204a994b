// Carves the pools of sites, funcs and tasks out of memory, once, and hands out what lies after them.
import { allocateArea, hasFrames } from './cpu/frames';
import { EBUSY, EINVAL, ENOMEM } from './errno';
import { FUNC_STRIDE, SITE_STRIDE, TASK_STRIDE } from './layout';

const PAGE_SHIFT: u32 = 16;
const CACHE_LINE: u64 = 64;

/** Handles are offsets and must be non-negative i32, so that -errno is told from them. */
const POOLS_LIMIT: u64 = 0x7fff_ffff;

/** 0: the pools are not carved yet. */
let end: u64 = 0;
let siteCount: u32 = 0;
let funcCount: u32 = 0;
let taskCount: u32 = 0;

/** 64 - log2(slots): the product's top bits are the slot. */
export let siteShift: u64 = 63;
/** Bytes of the site table - 1. */
export let siteMask: usize = 0;
/** First byte of the funcs and of the tasks. */
export let funcsBase: usize = 0;
export let tasksBase: usize = 0;

export class SiteTable {
  /** First byte of the site table, known when the module is linked: a look-up adds a constant. */
  @inline
  static get base(): usize {
    return (__heap_base + 63) & ~63;
  }
}

/** Sites, funcs and tasks there is room for. */
export function siteCapacity(): u32 {
  return siteCount;
}
export function funcCapacity(): u32 {
  return funcCount;
}
export function taskCapacity(): u32 {
  return taskCount;
}

/** First byte after everything that is in use. */
export function used(): usize {
  return end != 0 ? <usize>end : SiteTable.base;
}

/**
 * Carves the pools; at most half of the site table is ever filled.
 * Returns 0, -EBUSY when done before, -EINVAL for an empty pool, -ENOMEM when memory cannot hold them.
 */
export function init(sites: u32, funcs: u32, tasks: u32): i32 {
  if (siteCount != 0) return -EBUSY;
  if (sites == 0 || funcs == 0 || tasks == 0) return -EINVAL;

  // A first bound keeps the sums below within 64 bits.
  if (sites > 1 << 25) return -ENOMEM;
  const bits: u32 = 32 - clz<u32>(2 * sites - 1);
  const slots: u32 = 1 << bits;
  const funcsAt: u64 = <u64>SiteTable.base + <u64>slots * SITE_STRIDE;
  const tasksAt: u64 = funcsAt + <u64>funcs * FUNC_STRIDE;
  const poolsEnd: u64 = tasksAt + <u64>tasks * TASK_STRIDE;
  if (poolsEnd > POOLS_LIMIT || !extend(poolsEnd)) return -ENOMEM;

  siteCount = sites;
  funcCount = funcs;
  taskCount = tasks;
  siteShift = 64 - bits;
  siteMask = <usize>slots * SITE_STRIDE - 1;
  funcsBase = <usize>funcsAt;
  tasksBase = <usize>tasksAt;
  return 0;
}

/**
 * Reserves zeroed, cache-line aligned bytes for batches: after what is in use, or of the CPU's where there is one. Grows
 * memory: views detach, so the host calls it only while loading. Returns the offset, or 0 when memory cannot hold them
 * or before init.
 */
export function reserve(bytes: u32): usize {
  const at = end;
  if (at != 0 && hasFrames()) return allocateArea(bytes);
  return at != 0 && extend(at + bytes) ? <usize>at : 0;
}

/** Moves the end of what is in use, growing memory once where it must. */
function extend(to: u64): bool {
  const aligned = (to + CACHE_LINE - 1) & ~(CACHE_LINE - 1);
  const pages = (aligned + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT;
  if (pages > 1 << 16) return false;
  const have = <u64>memory.size();
  if (pages > have && memory.grow(<i32>(pages - have)) < 0) return false;
  end = aligned;
  return true;
}
