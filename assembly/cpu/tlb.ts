// The soft TLB: guest address → linear address in one compare, and the slow path behind it.
//
// An entry holds the page it reads, the page it writes, and what to add to a guest address. The compare is of the
// page of the LAST byte with the entry of the first one's page, so an access across pages misses by itself.
//  0 readTag  u64  page address, or EMPTY
//  8 writeTag u64  EMPTY too while the page needs care: code on it, not yet saved, shared, or hooks are on
// 16 addend   u32

import { invalidateCode } from './blocks';
import { allocateRaw, Frames, freeFrame, PAGE } from './frames';
import { memoryAccessed } from './host';
import { Page, Pages, WRITE } from './pages';
import { Fault, FaultAccess, FaultKind } from './state';
import { Undo } from './undo';

const ENTRIES: u32 = 256;
export const TLB: usize = memory.data(8192, 64);
/** How an address gives the offset of its entry: shifted right, then masked. */
export const ENTRY_SHIFT: u32 = 7;
export const ENTRY_MASK: u32 = (ENTRIES - 1) << 5;
/** Never the address of a page. */
const EMPTY: u64 = 1;
const PAGE_MASK: u64 = ~(<u64>PAGE - 1);
/** Where accesses across two pages are put together; its address tells them from frames. */
export const BOUNCE: usize = memory.data(64, 16);

/** Where the bytes of BOUNCE belong. */
let bounceAddress: u64 = 0;
let bounceSize: u32 = 0;
/** Every data access is told to the host. */
let traced: bool = false;
/** … except those of the gate. */
let silent: bool = false;
/** The write in progress reads first. */
let updating: bool = false;

@unmanaged
export class Tlb {
  @inline
  static entry(address: u64): usize {
    return <usize>((<u32>address >> ENTRY_SHIFT) & ENTRY_MASK);
  }

  static flush(): void {
    for (let at: usize = 0; at < (<usize>ENTRIES) << 5; at += 32) {
      store<u64>(at, EMPTY, TLB);
      store<u64>(at, EMPTY, TLB + 8);
    }
  }

  /** The next write to this page takes the slow path. */
  static guardWrites(address: u64): void {
    const entry = Tlb.entry(address);
    if (load<u64>(entry, TLB + 8) == (address & PAGE_MASK)) store<u64>(entry, EMPTY, TLB + 8);
  }

  static trace(on: bool): void {
    traced = on;
    updating = false;
    Tlb.flush();
  }

  /** Accesses are not told to the host, though all others are. */
  static silence(on: bool): void {
    silent = on;
  }

  /** The next access to this page takes the slow path. */
  static forget(address: u64): void {
    const entry = Tlb.entry(address);
    if (load<u64>(entry, TLB) != (address & PAGE_MASK)) return;
    store<u64>(entry, EMPTY, TLB);
    store<u64>(entry, EMPTY, TLB + 8);
  }

  /** Where `size` bytes at `address` can be read, or 0 with a fault recorded. */
  @inline
  static reader(address: u64, size: u32): usize {
    const entry = Tlb.entry(address);
    if (load<u64>(entry, TLB) == ((address + (size - 1)) & PAGE_MASK)) {
      return <usize>(<u32>address + load<u32>(entry, TLB + 16));
    }
    return readerSlow(address, size);
  }

  /** Where `size` bytes at `address` can be read and written, or 0 with a fault recorded; `wrote` must follow. */
  @inline
  static writer(address: u64, size: u32): usize {
    const entry = Tlb.entry(address);
    if (load<u64>(entry, TLB + 8) == ((address + (size - 1)) & PAGE_MASK)) {
      return <usize>(<u32>address + load<u32>(entry, TLB + 16));
    }
    return writerSlow(address, size);
  }

  /** As `writer`, for an instruction that reads what it replaces; `wrote` must follow. */
  @inline
  static updater(address: u64, size: u32): usize {
    const entry = Tlb.entry(address);
    if (load<u64>(entry, TLB + 8) == ((address + (size - 1)) & PAGE_MASK)) {
      return <usize>(<u32>address + load<u32>(entry, TLB + 16));
    }
    return updaterSlow(address, size);
  }

  /** Where `size` bytes of one page can be written without any care, or 0. */
  static direct(address: u64, size: u32): usize {
    const entry = Tlb.entry(address);
    const hit = load<u64>(entry, TLB + 8) == ((address + (size - 1)) & PAGE_MASK);
    if (hit) return <usize>(<u32>address + load<u32>(entry, TLB + 16));
    const page = Pages.find(address);
    const offset = <u32>address & (PAGE - 1);
    if (!page.key || offset + size > PAGE || traced || !carefree(page)) return 0;
    fill(page, address, true);
    return <usize>page.frame + offset;
  }

  static get isTraced(): bool {
    return traced;
  }

  /** Ends a write to what `writer` answered. */
  @inline
  static wrote(at: usize): void {
    if (at == BOUNCE) spread();
  }

  /** Stores a value; false with a fault recorded. */
  @inline
  static store<T>(address: u64, value: T): bool {
    const entry = Tlb.entry(address);
    if (load<u64>(entry, TLB + 8) == ((address + (sizeof<T>() - 1)) & PAGE_MASK)) {
      store<T>(<usize>(<u32>address + load<u32>(entry, TLB + 16)), value);
      return true;
    }
    return storeSlow(address, <u64>value, sizeof<T>());
  }
}

function tell(kind: u32, address: u64, size: u32): void {
  if (!traced || silent) return;
  if (updating) memoryAccessed(0, address, size);
  memoryAccessed(kind, address, size);
}

function updaterSlow(address: u64, size: u32): usize {
  updating = true;
  const at = writerSlow(address, size);
  updating = false;
  return at;
}

function fill(page: Page, address: u64, writable: bool): void {
  if (traced) return;
  const entry = Tlb.entry(address);
  const tag = address & PAGE_MASK;
  store<u64>(entry, tag, TLB);
  store<u64>(entry, writable ? tag : EMPTY, TLB + 8);
  store<u32>(entry, page.frame - <u32>tag, TLB + 16);
}

/** Nothing stands in the way of writing this page without care. */
function carefree(page: Page): bool {
  return (page.flags & WRITE) != 0 && !page.code && !Undo.wants(page) && !Frames.isShared(page.frame);
}

function readerSlow(address: u64, size: u32): usize {
  const page = Pages.find(address);
  if (!page.key) {
    Fault.memory(FaultKind.Unmapped, FaultAccess.Read, address);
    return 0;
  }
  const offset = <u32>address & (PAGE - 1);
  let at = <usize>page.frame + offset;
  if (offset + size > PAGE) {
    const second = (address + size) & PAGE_MASK;
    const next = Pages.find(second);
    if (!next.key) {
      Fault.memory(FaultKind.Unmapped, FaultAccess.Read, second);
      return 0;
    }
    const head = PAGE - offset;
    memory.copy(BOUNCE, at, head);
    memory.copy(BOUNCE + head, next.frame, size - head);
    at = BOUNCE;
  } else {
    fill(page, address, carefree(page));
  }
  tell(0, address, size);
  return at;
}

/** Makes a page ready to be written at [from, to); false where there is no memory. */
export function prepareWrite(page: Page, from: u64, to: u64): bool {
  if (Undo.wants(page)) {
    if (!Undo.save(page)) return false;
  } else if (Frames.isShared(page.frame) && !unshare(page)) return false;
  if (page.code) invalidateCode(page, from, to);
  return true;
}

/** Gives the page a frame of its own; false where there is no memory. */
function unshare(page: Page): bool {
  const copy = allocateRaw();
  if (!copy) return false;
  memory.copy(copy, page.frame, PAGE);
  freeFrame(page.frame);
  page.frame = <u32>copy;
  Tlb.forget(page.key & ~1);
  return true;
}

function writable(address: u64): Page {
  const page = Pages.find(address);
  if (!page.key) {
    Fault.memory(FaultKind.Unmapped, FaultAccess.Write, address);
    return changetype<Page>(0);
  }
  if (!(page.flags & WRITE)) {
    Fault.memory(FaultKind.Protected, FaultAccess.Write, address);
    return changetype<Page>(0);
  }
  return page;
}

function writerSlow(address: u64, size: u32): usize {
  const page = writable(address);
  if (!changetype<usize>(page)) return 0;
  const offset = <u32>address & (PAGE - 1);
  if (offset + size > PAGE) {
    const second = (address + size) & PAGE_MASK;
    const next = writable(second);
    if (!changetype<usize>(next)) return 0;
    if (!prepareWrite(page, address, second) || !prepareWrite(next, second, address + size)) return 0;
    const head = PAGE - offset;
    memory.copy(BOUNCE, <usize>page.frame + offset, head);
    memory.copy(BOUNCE + head, next.frame, size - head);
    bounceAddress = address;
    bounceSize = size;
    tell(1, address, size);
    return BOUNCE;
  }
  if (!prepareWrite(page, address, address + size)) return 0;
  fill(page, address, carefree(page));
  tell(1, address, size);
  return <usize>page.frame + offset;
}

/** Brings the bytes of BOUNCE to their two pages, both ready to be written. */
function spread(): void {
  const head = PAGE - (<u32>bounceAddress & (PAGE - 1));
  const second = (bounceAddress + bounceSize) & PAGE_MASK;
  const page = Pages.find(bounceAddress);
  memory.copy(<usize>page.frame + (PAGE - head), BOUNCE, head);
  const next = Pages.find(second);
  memory.copy(next.frame, BOUNCE + head, bounceSize - head);
}

function storeSlow(address: u64, value: u64, size: u32): bool {
  const at = writerSlow(address, size);
  if (!at) return false;
  if (size == 8) store<u64>(at, value);
  else if (size == 4) store<u32>(at, <u32>value);
  else if (size == 2) store<u16>(at, <u16>value);
  else store<u8>(at, <u8>value);
  Tlb.wrote(at);
  return true;
}
