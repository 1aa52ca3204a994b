// The page table: a hash table with linear probing whose slots are the page descriptors.

import { allocateArea, allocateFrame, Frames, freeArea, freeFrame, PAGE, reserve } from './frames';

//  0 key    u64  page address | 1, 0 in an empty slot
//  8 frame  u32  where the page's bytes are
// 12 flags  u32  READ … SAVED
// 16 code   u32  ► first block with bytes on this page, 0 without
// 20 saved  u32  the snapshot since which it changed last, see undo.ts
// 24 unused u64
@unmanaged
export class Page {
  key: u64;
  frame: u32;
  flags: u32;
  code: u32;
  saved: u32;
  unused: u64;
}

/** Bytes of a slot, a power of two. */
const SLOT: usize = 32;

export const READ: u32 = 1;
export const WRITE: u32 = 2;
export const EXECUTE: u32 = 4;

let table: usize = 0;
let capacity: u32 = 0;
let used: u32 = 0;

/** What an address space has of this file. */
//  0 table    u32
//  4 capacity u32
//  8 used     u32
@unmanaged
export class PageTable {
  table: usize;
  capacity: u32;
  used: u32;
}

export function keepPages(to: PageTable): void {
  to.table = table;
  to.capacity = capacity;
  to.used = used;
}

export function usePages(from: PageTable): void {
  table = from.table;
  capacity = from.capacity;
  used = from.used;
}

/** A page table of the same frames, which are shared from now on; room was reserved. */
export function forkPages(to: PageTable): void {
  keepPages(to);
  to.table = allocateArea(tableSize());
  memory.copy(to.table, table, tableSize());
  for (let i: u32 = 0; i < capacity; i++) {
    const page = changetype<Page>(to.table + <usize>i * SLOT);
    if (!page.key) continue;
    Frames.hold(page.frame, 1);
    page.code = 0;
    page.saved = 0;
  }
}

/** Gives back all pages and the table. */
export function dropPages(): void {
  for (let i: u32 = 0; i < capacity; i++) {
    const page = Pages.slot(i);
    if (page.key) freeFrame(page.frame);
  }
  freeArea(table, tableSize());
}

/** Bytes of the table. */
export function tableSize(): usize {
  return <usize>capacity * SLOT;
}

export function initPages(): bool {
  capacity = 1024;
  used = 0;
  table = allocateArea(tableSize());
  return table != 0;
}

@unmanaged
export class Pages {
  @inline
  static home(key: u64): u32 {
    return <u32>(((key >> 12) * 0x9e3779b97f4a7c15) >> 32) & (capacity - 1);
  }

  @inline
  static slot(index: u32): Page {
    return changetype<Page>(table + <usize>index * SLOT);
  }

  /** The descriptor of the page that holds `address`; its key is 0 where there is none. */
  static find(address: u64): Page {
    const key = (address & ~(<u64>PAGE - 1)) | 1;
    let index = Pages.home(key);
    while (true) {
      const page = Pages.slot(index);
      if (page.key == key || !page.key) return page;
      index = (index + 1) & (capacity - 1);
    }
  }

  static count(): u32 {
    return used;
  }

  /** Room for `pages` more in the table and in memory. */
  static reserve(pages: u32): bool {
    let wanted = capacity;
    // at most half full, so that probes stay short
    while ((used + pages) * 2 > wanted) wanted <<= 1;
    if (!reserve(<usize>pages * PAGE + <usize>wanted * SLOT)) return false;
    return wanted == capacity || Pages.rehash(wanted);
  }

  static rehash(wanted: u32): bool {
    const before = table;
    const slots = capacity;
    const area = allocateArea(<usize>wanted * SLOT);
    if (!area) return false;
    table = area;
    capacity = wanted;
    for (let i: u32 = 0; i < slots; i++) {
      const from = changetype<Page>(before + <usize>i * SLOT);
      if (from.key) memory.copy(changetype<usize>(Pages.find(from.key)), changetype<usize>(from), SLOT);
    }
    freeArea(before, <usize>slots * SLOT);
    return true;
  }

  /** Adds a zeroed page; `reserve` came before. */
  static add(address: u64, flags: u32): bool {
    const frame = allocateFrame();
    if (!frame) return false;
    Pages.put(address | 1, <u32>frame, flags);
    return true;
  }

  /** Adds a page with this frame. */
  static put(key: u64, frame: u32, flags: u32): Page {
    const page = Pages.find(key & ~1);
    page.key = key;
    page.frame = frame;
    page.flags = flags;
    page.code = 0;
    page.saved = 0;
    used++;
    return page;
  }

  /** Removes a page and closes the gap it leaves in the probe sequence. */
  static remove(page: Page): void {
    freeFrame(page.frame);
    Pages.take(page);
  }

  /** Takes the descriptor out and leaves the frame alone. */
  static take(page: Page): void {
    used--;
    let gap = <u32>((changetype<usize>(page) - table) / SLOT);
    let index = gap;
    while (true) {
      Pages.slot(gap).key = 0;
      while (true) {
        index = (index + 1) & (capacity - 1);
        const key = Pages.slot(index).key;
        if (!key) return;
        // a page may move into the gap unless its home lies between the gap and where it is
        const home = Pages.home(key);
        if (gap <= index ? gap >= home || home > index : gap >= home && home > index) break;
      }
      memory.copy(changetype<usize>(Pages.slot(gap)), changetype<usize>(Pages.slot(index)), SLOT);
      gap = index;
    }
  }

  /** The nth slot, for walks over all pages. */
  static slots(): u32 {
    return capacity;
  }
}
