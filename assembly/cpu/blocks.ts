// Blocks: straight runs of decoded ops, found by address, chained by the jumps that end them, dropped when bytes change.

import { Site } from '../layout';
import { glueEnd, markOf, TRAMPOLINE } from './arrival';
import { Decoded, decode, decodedCondition, decodedForm, decodedLength, decodedMnemonic, LONGEST } from './decode';
import { allocateArea, freeArea, PAGE } from './frames';
import { Hot, specialise } from './hot';
import { OP_SIZE } from './op';
import { EXECUTE, Page, Pages } from './pages';
import { Fault, FaultAccess, FaultKind, Reason, RIP } from './state';
import { Stops } from './stops';
import { Tlb } from './tlb';
import { Traces } from './traces';

//  0 rip    u64  address of the first instruction
//  8 count  u32  instructions, the pseudo op at the end not counted; HEAT for each entry until it is hot, and WATCHED
//                where calls pass to arrive later
// 12 next   u32  ► next block in the same bucket
// 16 page   u32  ► next block on the page of the first byte
// 20 page2  u32  ► next block on the page of the last byte, where that is another one
// 24 size   u32  bytes of guest code
// 28 ops    u16  ops, the pseudo op counted
// 30 mark   u16  GLUE, TRAMPOLINE of arrival.ts
// 32 the ops
// A block of no ops is a marker: a trace has instructions of these bytes, and `next` is its id.
@unmanaged
export class Block {
  rip: u64;
  count: u32;
  next: u32;
  page: u32;
  page2: u32;
  size: u32;
  ops: u16;
  mark: u16;
}

export const BLOCK_HEADER: usize = 32;
/** The instructions in a block's count. */
export const COUNT: i32 = 0xffff;
/** In a block's count, one entry until it is hot: more than any run has left, so that `execute` looks closer. */
export const HEAT: u32 = 1 << 16;
export const MOST_HEAT: u32 = 0x3fff;
/** In a block's count, with the same effect: a trampoline. */
const WATCHED: u32 = 1 << 30;
/** The longest block: it bounds how far the end of the budget can be away. */
const MOST_OPS: u32 = 64;
const BLOCK_MOST: usize = BLOCK_HEADER + (MOST_OPS + 1) * OP_SIZE;
/** So many that the first block of a bucket is mostly the right one: a wrong guess of that costs more than memory does. */
const BUCKET_BITS: u32 = 17;
const BUCKETS: u32 = 1 << BUCKET_BITS;

let buckets: usize = 0;
/** The buckets of blocks, and an empty set that steps look into, so that they end at the first branch. */
let filled: usize = 0;
let empty: usize = 0;
let pool: usize = 0;
let poolEnd: usize = 0;
let poolNext: usize = 0;
/**
 * Counts, from 1, the times that all blocks were dropped or those of another space became current: a link may be stored
 * only within one generation, and what sites know of blocks holds within one.
 */
export let generation: u32 = 1;
/** Counts the times that the pool was begun anew: blocks of an earlier round are gone, those of other spaces too. */
let round: u32 = 0;
/** Address spaces whose blocks share the pool. */
let sharers: u32 = 1;
/** Counts the blocks that were dropped because bytes changed. */
export let changes: u32 = 0;

/** The block that the gate's last answer leads to, 0 where that is not known, and its address. */
let expectedBlock: usize = 0;
let expectedRip: u64 = 0;
let untilAddress: u64 = 0;
let untilBlock: usize = 0;
let gateAddress: u64 = 0;
let hasGate: bool = false;

/** The one instruction of a step, outside the pool. */
const STEP: usize = memory.data(128, 16);
/** The end of a step that branched. */
const STEP_END: usize = memory.data(64, 16);
/** An instruction whose bytes lie on two pages. */
const FETCHED: usize = memory.data(16, 8);

/** Bytes of the buckets. */
export const BUCKETS_SIZE: usize = (<usize>BUCKETS) << 2;

/** What an address space has of this file: its blocks, and where they end. */
//  0 untilAddress u64
//  8 gateAddress  u64
// 16 filled       u32
// 20 untilBlock   u32
// 24 round        u32
// 28 hasGate      u32
@unmanaged
export class BlockTable {
  untilAddress: u64;
  gateAddress: u64;
  filled: usize;
  untilBlock: usize;
  round: u32;
  hasGate: u32;
}

export function keepBlocks(to: BlockTable): void {
  to.untilAddress = untilAddress;
  to.gateAddress = gateAddress;
  to.filled = filled;
  to.untilBlock = untilBlock;
  to.round = round;
  to.hasGate = u32(hasGate);
}

/** The page table and the traces are those of the same space already. */
export function useBlocks(from: BlockTable): void {
  untilAddress = from.untilAddress;
  gateAddress = from.gateAddress;
  filled = buckets = from.filled;
  untilBlock = from.untilBlock;
  hasGate = from.hasGate != 0;
  beginGeneration();
  if (from.round != round) forgetBlocks();
}

/** No blocks yet; room was reserved. */
export function forkBlocks(to: BlockTable): void {
  keepBlocks(to);
  to.filled = allocateArea(BUCKETS_SIZE);
  to.untilBlock = 0;
  sharers++;
}

export function dropBlocks(): void {
  freeArea(filled, BUCKETS_SIZE);
  sharers--;
}

export function initBlocks(poolBytes: usize): bool {
  filled = allocateArea(BUCKETS_SIZE);
  empty = allocateArea(BUCKETS_SIZE);
  buckets = filled;
  pool = allocateArea(poolBytes);
  poolNext = pool;
  poolEnd = pool + poolBytes;
  beginGeneration();
  untilBlock = 0;
  hasGate = false;
  return filled != 0 && empty != 0 && pool != 0;
}

function beginGeneration(): void {
  generation++;
  expectedBlock = 0;
}

function bucket(rip: u64): usize {
  return filled + slotOf(rip);
}

function slotOf(rip: u64): usize {
  return (<usize>((rip * 0x9e3779b97f4a7c15) >> (64 - BUCKET_BITS))) << 2;
}

/** The block at `rip`, decoded when it is new; 0 where no instruction can be fetched, with RIP set and a fault recorded. */
export function blockAt(rip: u64): usize {
  if (rip == expectedRip && expectedBlock) return expectedBlock;
  let block = <usize>load<u32>(buckets + slotOf(rip));
  while (block) {
    if (load<u64>(block) == rip) return block;
    block = load<u32>(block, 12);
  }
  return build(rip);
}

@unmanaged
export class Answer {
  /**
   * The gate has answered `rip` for `site`: it will be jumped to once the trampoline has restored the registers. Its
   * block is looked up by the site, whose cache line is at hand, and is on its way from memory meanwhile.
   */
  @inline
  static expect(site: Site, rip: u64): void {
    const block = <usize>site.block;
    if (site.generation != generation || load<u64>(block) != rip || isDropped(block) || buckets == empty) {
      learn(site, rip);
      return;
    }
    expectedBlock = block;
    expectedRip = rip;
  }
}

function learn(site: Site, rip: u64): void {
  // a step ends at every address
  if (buckets == empty) return;
  site.generation = generation;
  site.block = <u32>decodedAt(rip);
  expectedBlock = <usize>site.block;
  expectedRip = rip;
}

/** The block at `rip`, 0 where nothing was decoded yet. */
function decodedAt(rip: u64): usize {
  let block = <usize>load<u32>(bucket(rip));
  while (block && load<u64>(block) != rip) block = load<u32>(block, 12);
  return block;
}

/** Makes `target` the link of a jump, so that the next time needs no search. */
export function chain(op: usize, link: usize, target: u64): usize {
  const before = generation;
  const block = blockAt(target);
  if (block && before == generation) store<u32>(op + link, <u32>block);
  return block;
}

function onPage(rip: u64): u64 {
  return rip & ~(<u64>PAGE - 1);
}

function build(rip: u64): usize {
  if (buckets == empty) return stepEnd(rip);
  if (poolNext + BLOCK_MOST > poolEnd) beginPool();
  const block = changetype<Block>(poolNext);
  if (!fill(block, rip, MOST_OPS)) return 0;
  poolNext += BLOCK_HEADER + <usize>block.ops * OP_SIZE;
  block.mark = <u16>markOf(rip);
  if (block.count) block.count |= (Traces.heat() * HEAT) | (block.mark & TRAMPOLINE ? WATCHED : 0);
  // at the end: what is needed longest is found first
  let link = bucket(rip);
  while (load<u32>(link)) link = <usize>load<u32>(link) + 12;
  store<u32>(link, <u32>changetype<usize>(block));
  if (rip == untilAddress) untilBlock = changetype<usize>(block);
  else attach(block);
  return changetype<usize>(block);
}

/** Puts the block on the lists of its pages, whose writes take the slow path from now on. */
function attach(block: Block): void {
  const page = Pages.find(block.rip);
  block.page = page.code;
  page.code = <u32>changetype<usize>(block);
  Tlb.guardWrites(block.rip);
  const last = block.rip + max<u32>(block.size, 1) - 1;
  if (onPage(last) == onPage(block.rip)) return;
  const second = Pages.find(last);
  block.page2 = second.code;
  second.code = <u32>changetype<usize>(block);
  Tlb.guardWrites(last);
}

/** While stepping, a block that ends the step stands at every address. */
export function setStepping(on: bool): void {
  buckets = on ? empty : filled;
  expectedBlock = 0;
}

function stepEnd(rip: u64): usize {
  const block = changetype<Block>(STEP_END);
  memory.fill(STEP_END, 0, BLOCK_HEADER);
  block.rip = rip;
  pseudo(block, Hot.Stepped, rip);
  return STEP_END;
}

/** A block of the one instruction at `rip`, for steps; not kept. */
export function stepBlock(rip: u64): usize {
  const block = changetype<Block>(STEP);
  return fill(block, rip, 1) ? STEP : 0;
}

function pseudo(block: Block, code: Hot, rip: u64): void {
  const op = changetype<usize>(block) + BLOCK_HEADER + <usize>block.ops * OP_SIZE;
  memory.fill(op, 0, OP_SIZE);
  store<u16>(op, <u16>code);
  store<u64>(op, rip, 16);
  store<u64>(op, rip, 24);
  block.ops++;
}

/** Decodes up to `most` instructions; false where not even the first can be fetched. */
function fill(block: Block, first: u64, most: u32): bool {
  memory.fill(changetype<usize>(block), 0, BLOCK_HEADER);
  block.rip = first;
  const single = most == 1;
  if (first == untilAddress && !single) {
    pseudo(block, Hot.Until, first);
    store<u32>(changetype<usize>(block) + BLOCK_HEADER, Reason.Until, 8);
    return true;
  }
  if (hasGate && first == gateAddress) {
    pseudo(block, Hot.Gate, first);
    return true;
  }
  if (!single && Stops.has(first) && changetype<usize>(executable(first))) {
    pseudo(block, Hot.Until, first);
    store<u32>(changetype<usize>(block) + BLOCK_HEADER, Reason.Stopped, 8);
    return true;
  }
  // a block ends with the redirection code it begins in, so that a call arrives at the start of one
  const edge = single ? 0 : glueEnd(first);
  let rip = first;
  while (true) {
    const op = changetype<usize>(block) + BLOCK_HEADER + <usize>block.ops * OP_SIZE;
    const kind = fetch(rip, op);
    if (kind == Decoded.Short) {
      // nothing to execute here; a block before it runs up to it
      if (!block.count) {
        store<u64>(RIP, rip);
        return false;
      }
      break;
    }
    if (kind > Decoded.Branch) {
      const code = kind == Decoded.Invalid ? Hot.Invalid : kind == Decoded.Outside ? Hot.Outside : Hot.TooLong;
      memory.fill(op, 0, OP_SIZE);
      store<u16>(op, <u16>code);
      store<u64>(op, rip, 24);
      block.ops++;
      block.count++;
      block.size++;
      return true;
    }
    specialise(op, decodedMnemonic(), decodedForm(), decodedCondition());
    block.ops++;
    block.count++;
    block.size += decodedLength();
    rip = load<u64>(op, 24);
    if (kind == Decoded.Branch) {
      if (single) pseudo(block, Hot.Stepped, rip);
      return true;
    }
    if (block.count >= most || onPage(rip) != onPage(first) || endsAt(rip) || (edge && rip >= edge)) break;
  }
  pseudo(block, single ? Hot.Stepped : Hot.FallThrough, rip);
  return true;
}

/** Whether no block may run past this address. */
function endsAt(rip: u64): bool {
  return rip == untilAddress || (hasGate && rip == gateAddress) || Stops.has(rip);
}

/** Decodes the instruction at `rip`; Short with a fault recorded where its bytes cannot be fetched. */
function fetch(rip: u64, op: usize): Decoded {
  const page = executable(rip);
  if (!changetype<usize>(page)) return Decoded.Short;
  const offset = <u32>rip & (PAGE - 1);
  const here = PAGE - offset;
  const at = <usize>page.frame + offset;
  const kind = decode(at, here, rip, op);
  if (kind != Decoded.Short) return kind;
  const second = onPage(rip) + PAGE;
  const next = executable(second);
  if (!changetype<usize>(next)) return Decoded.Short;
  memory.copy(FETCHED, at, here);
  memory.copy(FETCHED + here, next.frame, LONGEST - here);
  return decode(FETCHED, LONGEST, rip, op);
}

function executable(address: u64): Page {
  const page = Pages.find(address);
  if (page.key && page.flags & EXECUTE) return page;
  Fault.memory(page.key ? FaultKind.Protected : FaultKind.Unmapped, FaultAccess.Fetch, address);
  return changetype<Page>(0);
}

/** Drops the blocks with bytes in [from, to) on this page. A running one leaves before its next instruction. */
export function invalidateCode(page: Page, from: u64, to: u64): void {
  let at = <usize>page.code;
  while (at) {
    const block = changetype<Block>(at);
    at = nextOnPage(block, page);
    // distances, because a range may end at 2^64
    if (block.rip - from < to - from || from - block.rip < block.size) drop(block);
  }
}

function nextOnPage(block: Block, page: Page): u32 {
  return onPage(block.rip) == (page.key & ~1) ? block.page : block.page2;
}

/** Takes a block from every list and turns its ops into Resync. A marker takes its trace with it. */
export function drop(block: Block): void {
  changes++;
  if (!block.ops) {
    Traces.drop(block.next);
    return;
  }
  const at = <u32>changetype<usize>(block);
  if (at == <u32>expectedBlock) expectedBlock = 0;
  for (let i: u32 = 0; i < block.ops; i++) {
    store<u16>(changetype<usize>(block) + BLOCK_HEADER + <usize>i * OP_SIZE, Hot.Resync);
  }
  let link = bucket(block.rip);
  while (load<u32>(link)) {
    if (load<u32>(link) == at) {
      store<u32>(link, block.next);
      break;
    }
    link = <usize>load<u32>(link) + 12;
  }
  if (changetype<usize>(block) == untilBlock) {
    untilBlock = 0;
    return;
  }
  detachFromPages(block);
}

function detachFromPages(block: Block): void {
  detach(Pages.find(block.rip), block);
  const last = block.rip + max<u32>(block.size, 1) - 1;
  if (onPage(last) != onPage(block.rip)) detach(Pages.find(last), block);
}

/** Whether bytes of the block have changed since it was made. */
export function isDropped(block: usize): bool {
  return load<u16>(block + BLOCK_HEADER) == Hot.Resync;
}

/** A second block of the same bytes, which only a trace leads to; 0: the pool is full. */
export function copyBlock(block: usize): usize {
  const size = BLOCK_HEADER + <usize>changetype<Block>(block).ops * OP_SIZE;
  if (poolNext + size > poolEnd) return 0;
  const copy = poolNext;
  poolNext += size;
  memory.copy(copy, block, size);
  attach(changetype<Block>(copy));
  return copy;
}

/** Markers of trace `id` on the bytes of `count` blocks, which are listed at `blocks`; 0: the pool is full. */
export function placeMarkers(blocks: usize, count: u32, id: u32): usize {
  const size = <usize>count * BLOCK_HEADER;
  if (poolNext + size > poolEnd) return 0;
  const first = poolNext;
  poolNext += size;
  for (let i: u32 = 0; i < count; i++) {
    const block = changetype<Block>(<usize>load<u32>(blocks + ((<usize>i) << 2)));
    const marker = changetype<Block>(first + <usize>i * BLOCK_HEADER);
    memory.fill(changetype<usize>(marker), 0, BLOCK_HEADER);
    marker.rip = block.rip;
    marker.size = block.size;
    marker.next = id;
    attach(marker);
  }
  return first;
}

export function removeMarker(marker: usize): void {
  detachFromPages(changetype<Block>(marker));
}

function detach(page: Page, block: Block): void {
  let before = changetype<Block>(0);
  let at = changetype<Block>(<usize>page.code);
  while (changetype<usize>(at)) {
    const next = nextOnPage(at, page);
    if (at == block) {
      if (!changetype<usize>(before)) page.code = next;
      else if (onPage(before.rip) == (page.key & ~1)) before.page = next;
      else before.page2 = next;
      return;
    }
    before = at;
    at = changetype<Block>(<usize>next);
  }
}

/** Forgets every block of this address space. The pool begins anew when it is full, or at once where nobody shares it. */
export function dropAll(): void {
  if (sharers == 1) beginPool();
  else forgetBlocks();
}

/** The blocks of all address spaces are gone; the others notice when they are current again. */
function beginPool(): void {
  round++;
  poolNext = pool;
  forgetBlocks();
}

function forgetBlocks(): void {
  beginGeneration();
  Traces.dropAll();
  untilBlock = 0;
  memory.fill(filled, 0, BUCKETS_SIZE);
  for (let i: u32 = 0; i < Pages.slots(); i++) Pages.slot(i).code = 0;
}

/** The address at which runs end. */
export function setUntil(address: u64): void {
  if (address == untilAddress) return;
  if (untilBlock) drop(changetype<Block>(untilBlock));
  untilAddress = address;
  invalidateAt(address, 1);
}

/** The gate's address. */
export function setGateAddress(address: u64): void {
  gateAddress = address;
  hasGate = true;
  invalidateAt(address, 1);
}

/** Makes runs stop at an address, or no longer; false where there are as many stops as fit. */
export function setStop(address: u64, on: bool): bool {
  if (!on) Stops.remove(address);
  else if (!Stops.add(address)) return false;
  invalidateAt(address, 1);
  return true;
}

function invalidateAt(address: u64, size: u32): void {
  const page = Pages.find(address);
  if (page.key) invalidateCode(page, address, address + size);
}
