// Site ip → func stack: an open-addressing table with 64-bit keys, and a doubly linked stack of Funcs per site.
import { EINVAL, ENOMEM } from './errno';
import { FUNC_LIVE, FUNC_NOP, FUNC_STRIDE, FUNC_TRANSITION, Func, SITE_STRIDE, Site } from './layout';
import { PoolCopy } from './pool-copy';
import { funcCapacity, funcsBase, SiteTable, siteCapacity, siteMask, siteShift } from './pools';

/** 2^64 / golden ratio: multiply-shift spreads neighbouring and high-half addresses alike. */
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/** Differs between any two states of the stacks, in whatever address space. */
let version: u32 = 0;
let lastVersion: u32 = 0;
let siteUse: u32 = 0;
let funcUse: u32 = 0;
let fresh: usize = 0; // bytes of the func pool that were ever used
let freeFunc: Func | null = null;

export class Sites {
  /** The slot that holds `ip`, or the vacant one where the search ends. At most half full, so it does end. */
  @inline
  static find(ip: u64): Site {
    let slot = Sites.home(ip);
    while (Sites.at(slot).ip != ip && Sites.at(slot).top != null) slot = Sites.after(slot);
    return Sites.at(slot);
  }

  /** Offset within the table where the search for `ip` starts. */
  @inline
  static home(ip: u64): usize {
    return <usize>((ip * SPREAD) >> siteShift) * SITE_STRIDE;
  }

  @inline
  static after(slot: usize): usize {
    return (slot + SITE_STRIDE) & siteMask;
  }

  @inline
  static at(slot: usize): Site {
    return changetype<Site>(SiteTable.base + slot);
  }
}

/**
 * Pushes a Func on top of the stack of site `ip` (L29, L30). `flags` is any of FUNC_TRANSITION and FUNC_NOP.
 * Returns its handle, -EINVAL for unknown flags or a newFunc of 0 without NOP (0 means "the original" to callers of
 * dispatch), -ENOMEM when either pool is full.
 */
export function pushFunc(ip: u64, newFunc: u64, owner: u32, flags: u32): i32 {
  if (flags & ~(FUNC_TRANSITION | FUNC_NOP)) return -EINVAL;
  if (newFunc == 0 && !(flags & FUNC_NOP)) return -EINVAL;
  if (funcUse == funcCapacity()) return -ENOMEM;
  const site = Sites.find(ip);
  const older = site.top;
  if (older == null) {
    if (siteUse == siteCapacity()) return -ENOMEM;
    site.ip = ip;
    siteUse++;
  }

  version = ++lastVersion;
  const func = takeFunc();
  func.newFunc = newFunc;
  func.ip = ip;
  func.owner = owner;
  func.flags = flags | FUNC_LIVE;
  func.below = older;
  func.above = null;
  if (older != null) older.above = func;
  setTop(site, func);
  return <i32>changetype<usize>(func);
}

/** Removes a Func from any position of its stack (L32). Returns 0, or -EINVAL when the handle names no live Func. */
export function removeFunc(handle: usize): i32 {
  if (!isFunc(handle)) return -EINVAL;
  version = ++lastVersion;
  const func = changetype<Func>(handle);
  const below = func.below;
  const above = func.above;
  if (below != null) below.above = above;
  if (above != null) {
    above.below = below;
  } else {
    const site = Sites.find(func.ip);
    assert(site.top == func, 'a Func without one above is the top of its site');
    if (below != null) setTop(site, below);
    else vacate(site);
  }
  giveFunc(func);
  return 0;
}

/** Makes a Func visible to patched tasks only, or to all. Returns 0, or -EINVAL when the handle names no live Func. */
export function setTransition(handle: usize, on: bool): i32 {
  if (!isFunc(handle)) return -EINVAL;
  version = ++lastVersion;
  const func = changetype<Func>(handle);
  func.flags = on ? func.flags | FUNC_TRANSITION : func.flags & ~FUNC_TRANSITION;
  if (func.above == null) setTop(Sites.find(func.ip), func);
  return 0;
}

/** Handle of the Func on top of the site's stack, 0 when the stack is empty. */
export function topFunc(ip: u64): usize {
  return changetype<usize>(Sites.find(ip).top);
}

/** Whether a handle names a Func that is on a stack. */
export function isFunc(handle: usize): bool {
  const at = handle - funcsBase;
  return (
    handle >= funcsBase && at < fresh && at % FUNC_STRIDE == 0 && (changetype<Func>(handle).flags & FUNC_LIVE) != 0
  );
}

/** Sites with a non-empty stack. */
export function sitesUsed(): u32 {
  return siteUse;
}

/** Funcs on all stacks. */
export function funcsUsed(): u32 {
  return funcUse;
}

/** Caches in the slot what the steady call needs of its top. */
function setTop(site: Site, func: Func): void {
  assert(site.ip == func.ip, 'a Func is top of its own site only');
  site.top = func;
  site.newFunc = func.newFunc;
  site.steady = (func.flags & (FUNC_TRANSITION | FUNC_NOP)) == 0 ? 1 : 0;
}

/**
 * Empties a slot and closes the gap: every later entry of the run that may stand in the hole moves into it. Leaves no
 * tombstones, so searches stay as short after a million removals as before.
 */
function vacate(site: Site): void {
  let hole = changetype<usize>(site) - SiteTable.base;
  for (let slot = Sites.after(hole); Sites.at(slot).top != null; slot = Sites.after(slot)) {
    // An entry may move back to the hole unless that is before the place where its search starts.
    const fromHome = (slot - Sites.home(Sites.at(slot).ip)) & siteMask;
    const fromHole = (slot - hole) & siteMask;
    if (fromHome < fromHole) continue;
    memory.copy(SiteTable.base + hole, SiteTable.base + slot, SITE_STRIDE);
    hole = slot;
  }
  memory.fill(SiteTable.base + hole, 0, SITE_STRIDE);
  siteUse--;
}

/** A Func from the free list, or one never used; the caller has checked that there is one. */
function takeFunc(): Func {
  funcUse++;
  const free = freeFunc;
  if (free != null) {
    freeFunc = free.below;
    return free;
  }
  const func = changetype<Func>(funcsBase + fresh);
  fresh += FUNC_STRIDE;
  return func;
}

function giveFunc(func: Func): void {
  func.flags = 0;
  func.below = freeFunc;
  freeFunc = func;
  funcUse--;
}

/** What an address space has of this file while another one is current. The site table is made again from the Funcs. */
// 12 version  u32
// 16 siteUse  u32
// 20 funcUse  u32
// 24 freeFunc u32
@unmanaged
export class FuncPool extends PoolCopy {
  version: u32;
  siteUse: u32;
  funcUse: u32;
  freeFunc: Func | null;
}

/** Copies the pool out, unless this very state was copied before; false where there is no memory. */
export function keepFuncs(to: FuncPool): bool {
  if (to.version == version) return true;
  if (!PoolCopy.keep(to, funcsBase, fresh)) return false;
  to.version = version;
  to.siteUse = siteUse;
  to.funcUse = funcUse;
  to.freeFunc = freeFunc;
  return true;
}

/** Copies the pool in, at the addresses that it had, so that handles stay what they are. */
export function useFuncs(from: FuncPool): void {
  if (from.version == version) return;
  for (let at: usize = 0; at < fresh; at += FUNC_STRIDE) {
    const func = changetype<Func>(funcsBase + at);
    if (func.flags & FUNC_LIVE) clearRun(Sites.home(func.ip));
  }
  fresh = from.fresh;
  version = from.version;
  siteUse = from.siteUse;
  funcUse = from.funcUse;
  freeFunc = from.freeFunc;
  memory.copy(funcsBase, from.at, fresh);
  for (let at: usize = 0; at < fresh; at += FUNC_STRIDE) {
    const func = changetype<Func>(funcsBase + at);
    if (!(func.flags & FUNC_LIVE) || func.above != null) continue;
    const site = Sites.find(func.ip);
    site.ip = func.ip;
    setTop(site, func);
  }
}

/** Empties the slots from here to the next vacant one; all sites are to go, so nothing is looked for behind them. */
function clearRun(slot: usize): void {
  for (; Sites.at(slot).top != null; slot = Sites.after(slot)) memory.fill(SiteTable.base + slot, 0, SITE_STRIDE);
}
