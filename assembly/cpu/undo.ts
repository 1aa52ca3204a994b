// Snapshots: a log of what happened to guest pages since, so that going back costs what was changed, not what there is.

import { allocateArea, allocateRaw, freeArea, freeFrame, PAGE } from './frames';
import { Page } from './pages';
import { Tlb } from './tlb';

/** What happened to a page. */
export enum Happened {
  /** It was written: the frame is the one of before. */
  Written = 0,
  /** It was mapped. */
  Mapped = 1,
  /** It was unmapped: frame and flags are what it had. */
  Unmapped = 2,
  /** Its flags were others. */
  Protected = 3,
}

//  0 key   u64  of the page
//  8 frame u32
// 12 flags u16  of the page before
// 14 kind  u16  Happened
@unmanaged
export class Entry {
  key: u64;
  frame: u32;
  flags: u16;
  kind: u16;
}

const ENTRY: usize = 16;

let log: usize = 0;
let count: u32 = 0;
let room: u32 = 0;
/** Pages written since the last snapshot carry its number in `saved`; 0 while there is no snapshot. */
let layer: u32 = 0;
/** Never used again, so that a page saved for a snapshot that is gone is saved anew. */
let lastLayer: u32 = 0;

/** What an address space has of this file. */
//  0 log       u32
//  4 count     u32
//  8 room      u32
// 12 layer     u32
// 16 lastLayer u32
@unmanaged
export class UndoLog {
  log: usize;
  count: u32;
  room: u32;
  layer: u32;
  lastLayer: u32;
}

export function keepUndo(to: UndoLog): void {
  to.log = log;
  to.count = count;
  to.room = room;
  to.layer = layer;
  to.lastLayer = lastLayer;
}

/** Without snapshots where all of it is 0. */
export function useUndo(from: UndoLog): void {
  log = from.log;
  count = from.count;
  room = from.room;
  layer = from.layer;
  lastLayer = from.lastLayer;
}

export function initUndo(): void {
  log = 0;
  count = room = layer = 0;
}

@unmanaged
export class Undo {
  @inline
  static get recording(): bool {
    return layer != 0;
  }

  /** Whether this page must be saved before it is written. */
  @inline
  static wants(page: Page): bool {
    return layer != 0 && page.saved != layer;
  }

  @inline
  static at(index: u32): Entry {
    return changetype<Entry>(log + <usize>index * ENTRY);
  }

  static get count(): u32 {
    return count;
  }

  static truncate(to: u32): void {
    count = to;
  }

  /** A new layer: every page is saved before its next write. */
  static begin(): void {
    layer = ++lastLayer;
    Tlb.flush();
  }

  /** Nothing is recorded any more; the log is empty. */
  static end(): void {
    layer = 0;
    if (room) freeArea(log, <usize>room * ENTRY);
    log = 0;
    count = room = 0;
    Tlb.flush();
  }

  /** Notes what happens to a page, while there is a snapshot; false where there is no memory for it. */
  static note(page: Page, kind: Happened): bool {
    if (!layer) return true;
    if (count == room && !grow()) return false;
    const entry = Undo.at(count++);
    entry.key = page.key;
    entry.frame = page.frame;
    entry.flags = <u16>page.flags;
    entry.kind = <u16>kind;
    // what was mapped or written since then needs no further copy
    if (kind == Happened.Mapped || kind == Happened.Written) page.saved = layer;
    return true;
  }

  /** Room for `more` notes; false where there is no memory. */
  static reserve(more: u32): bool {
    while (layer && count + more > room) if (!grow()) return false;
    return true;
  }

  /** Gives the page a copy of its frame, the log keeps the one of before; false where there is no memory. */
  static save(page: Page): bool {
    const copy = allocateRaw();
    if (!copy) return false;
    if (!Undo.note(page, Happened.Written)) {
      freeFrame(copy);
      return false;
    }
    memory.copy(copy, page.frame, PAGE);
    page.frame = <u32>copy;
    Tlb.forget(page.key & ~1);
    return true;
  }
}

function grow(): bool {
  const wanted = room ? room << 1 : PAGE / <u32>ENTRY;
  const area = allocateArea(<usize>wanted * ENTRY);
  if (!area) return false;
  memory.copy(area, log, <usize>count * ENTRY);
  if (room) freeArea(log, <usize>room * ENTRY);
  log = area;
  room = wanted;
  return true;
}
