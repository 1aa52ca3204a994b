// Taking snapshots of guest memory and going back to them.

import { invalidateCode } from './blocks';
import { freeFrame, PAGE } from './frames';
import { Page, Pages } from './pages';
import { Tlb } from './tlb';
import { Entry, Happened, Undo } from './undo';

/** Takes a snapshot; where it stands in the log. */
export function takeSnapshot(): u32 {
  Undo.begin();
  return Undo.count;
}

/** Undoes all that happened to guest pages since the snapshot that stands at `mark`; it can be gone back to again. */
export function goBack(mark: u32): void {
  while (Undo.count > mark) {
    const index = Undo.count - 1;
    undo(Undo.at(index));
    Undo.truncate(index);
  }
  Undo.begin();
}

/** Forgets all snapshots; what is in memory now stays. */
export function forgetSnapshots(): void {
  while (Undo.count) {
    const index = Undo.count - 1;
    const entry = Undo.at(index);
    if (entry.kind == Happened.Written || entry.kind == Happened.Unmapped) freeFrame(entry.frame);
    Undo.truncate(index);
  }
  Undo.end();
}

/** How much happened to pages since the snapshot that stands at `mark`. */
export function changesSince(mark: u32): u32 {
  return mark < Undo.count ? Undo.count - mark : 0;
}

function undo(entry: Entry): void {
  const page = Pages.find(entry.key & ~1);
  if (entry.kind == Happened.Unmapped) {
    Pages.put(entry.key, entry.frame, entry.flags);
    return;
  }
  invalidateAll(page);
  Tlb.forget(entry.key & ~1);
  if (entry.kind == Happened.Mapped) {
    Pages.remove(page);
    return;
  }
  if (entry.kind == Happened.Written) {
    freeFrame(page.frame);
    page.frame = entry.frame;
  }
  page.flags = entry.flags;
}

function invalidateAll(page: Page): void {
  const at = page.key & ~1;
  if (page.code) invalidateCode(page, at, at + PAGE);
}
