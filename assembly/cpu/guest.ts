// Guest memory as the host sees it: mapping, protection, and the frames behind addresses.

import { invalidateCode } from './blocks';
import { PAGE } from './frames';
import { EXECUTE, Pages, READ, WRITE } from './pages';
import { prepareWrite, Tlb } from './tlb';
import { Happened, Undo } from './undo';

/** Whether the page at `address` is mapped. */
export function isMapped(address: u64): bool {
  return Pages.find(address).key != 0;
}

export function isExecutable(address: u64): bool {
  const page = Pages.find(address);
  return page.key != 0 && (page.flags & EXECUTE) != 0;
}

/** Makes room for `pages` more; false where memory cannot grow. */
export function reservePages(pages: u32): bool {
  return Pages.reserve(pages);
}

/** Maps zeroed pages; the host checked that none is mapped and reserved them. `access`: 1 read, 2 write, 4 execute. */
export function mapPages(address: u64, pages: u32, access: u32): bool {
  if (!Undo.reserve(pages)) return false;
  for (let i: u32 = 0; i < pages; i++) {
    const at = address + <u64>i * PAGE;
    if (!Pages.add(at, access & (READ | WRITE | EXECUTE))) return false;
    if (!Undo.note(Pages.find(at), Happened.Mapped)) return false;
  }
  return true;
}

/** Removes pages; false, and nothing is done, where there is no memory to remember them. */
export function unmapPages(address: u64, pages: u32): bool {
  if (!Undo.reserve(pages)) return false;
  for (let i: u32 = 0; i < pages; i++) {
    const at = address + <u64>i * PAGE;
    const page = Pages.find(at);
    invalidateCode(page, at, at + PAGE);
    if (!Undo.recording) Pages.remove(page);
    else if (Undo.note(page, Happened.Unmapped)) Pages.take(page);
  }
  Tlb.flush();
  return true;
}

/** Changes what pages allow; false, and nothing is done, where there is no memory to remember them. */
export function protectPages(address: u64, pages: u32, access: u32): bool {
  if (!Undo.reserve(pages)) return false;
  for (let i: u32 = 0; i < pages; i++) {
    const at = address + <u64>i * PAGE;
    const page = Pages.find(at);
    invalidateCode(page, at, at + PAGE);
    Undo.note(page, Happened.Protected);
    page.flags = (page.flags & ~(READ | WRITE | EXECUTE)) | access;
  }
  Tlb.flush();
  return true;
}

/** Where the host can read the byte at `address`; 0 where it is not mapped. */
export function readable(address: u64): usize {
  const page = Pages.find(address);
  return page.key ? <usize>page.frame + (<u32>address & (PAGE - 1)) : 0;
}

/** Where the host can write `size` bytes of one page; code decoded from them is dropped. */
export function writable(address: u64, size: u32): usize {
  const page = Pages.find(address);
  if (!page.key || !prepareWrite(page, address, address + size)) return 0;
  return <usize>page.frame + (<u32>address & (PAGE - 1));
}
