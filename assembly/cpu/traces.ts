// Traces: which blocks are hot, what ran after them, and the compiled functions that stand in for them
// (src/engine/jit compiles; call_indirect runs).

import {
  BLOCK_HEADER,
  Block,
  COUNT,
  copyBlock,
  drop,
  generation,
  HEAT,
  isDropped,
  MOST_HEAT,
  placeMarkers,
  removeMarker,
} from './blocks';
import { allocateArea, freeArea } from './frames';
import { traceDropped, traceRecorded } from './host';
import { Hot } from './hot';
import { COLD, OP_SIZE } from './op';

//  0 id      u32  counts up; id modulo MOST_TRACES is the record
//  4 head    u32  ► block that starts the trace, 0: the record is free
//  8 plain   u32  ► the same block without the trace, 0 while the trace is being compiled
// 12 markers u32  ► the first of the markers, which follow one another
// 16 count   u32  markers
// 20 slot    u32  of the table
@unmanaged
class Trace {
  id: u32;
  head: u32;
  plain: u32;
  markers: u32;
  count: u32;
  slot: u32;
}

const TRACE_SIZE: usize = 24;
/** Offsets in the op of a block that a trace stands in for. */
const LOOPS: usize = 2;
export const LONGEST_WAY: usize = 4;
export const SLOT: usize = 8;
export const PLAIN: usize = 12;
const ID: usize = 16;
const CREDIT: usize = 20;
/** What a trace may lose before it is given up, and gain at most: some 2,000 passes that leave at once. */
const MOST_CREDIT: i32 = 1 << 17;
/** Traces that exist at a time: each is a module of its own. */
const MOST_TRACES: u32 = 512;
export const TRACES_SIZE: usize = <usize>MOST_TRACES * TRACE_SIZE;
/** The longest trace. */
const MOST_BLOCKS: u32 = 48;
const MOST_INSTRUCTIONS: u32 = 512;
/** Each trace that was dropped makes it an eighth harder to be hot: code that keeps changing is not worth compiling. */
const COOLING: u32 = 3;

/** Entries after which a block is hot; 0 while traces are off. */
let threshold: u32 = 0;
let dropped: u32 = 0;
let traces: usize = 0;
let live: u32 = 0;
let lastId: u32 = 0;
/** Traces may run and be recorded: nobody watches single blocks or accesses. */
let allowed: bool = false;

/** The blocks that ran since the hot one, and how many instructions they have. */
let recorded: usize = 0;
let recordedCount: u32 = 0;
let recordedInstructions: u32 = 0;
let recordedGeneration: u32 = 0;
/** The first of them that starts a trace of its own, and the instructions before it; 0 where none does. */
let joint: u32 = 0;
let jointInstructions: u32 = 0;
/** … and whether that trace goes round by itself. */
let jointLoops: bool = false;
/** Instructions from which on a trace that does not loop is worth entering and leaving. */
let worth: u32 = 0;

/** What an address space has of this file; what is recorded lasts for a run. */
//  0 traces    u32
//  4 live      u32
//  8 lastId    u32
// 12 dropped   u32
// 16 threshold u32
// 20 worth     u32
@unmanaged
export class TraceRecords {
  traces: usize;
  live: u32;
  lastId: u32;
  dropped: u32;
  threshold: u32;
  worth: u32;
}

export function keepTraces(to: TraceRecords): void {
  to.traces = traces;
  to.live = live;
  to.lastId = lastId;
  to.dropped = dropped;
  to.threshold = threshold;
  to.worth = worth;
}

export function useTraces(from: TraceRecords): void {
  traces = from.traces;
  live = from.live;
  lastId = from.lastId;
  dropped = from.dropped;
  threshold = from.threshold;
  worth = from.worth;
}

/** No traces yet; room was reserved. */
export function forkTraces(to: TraceRecords): void {
  to.traces = allocateArea(TRACES_SIZE);
}

/** The host has freed what they stand for. */
export function dropTraces(): void {
  freeArea(traces, TRACES_SIZE);
}

export function initTraces(): bool {
  traces = allocateArea(TRACES_SIZE);
  recorded = allocateArea((<usize>MOST_BLOCKS) << 2);
  return traces != 0 && recorded != 0;
}

/**
 * Compiles blocks that were entered `entries` times; 0: none, and those that exist no longer run.
 *
 * @param least instructions from which on a trace that does not loop is worth entering and leaving
 */
export function setTraces(entries: u32, least: u32): void {
  threshold = min(entries, MOST_HEAT);
  worth = least;
}

@unmanaged
export class Traces {
  /** How often a new block has to be entered. */
  static heat(): u32 {
    return threshold ? min(threshold + dropped * (threshold >> COOLING), MOST_HEAT) : 0;
  }

  /** Of the run that begins. */
  static allow(on: bool): void {
    allowed = on && threshold != 0;
    recording = false;
  }

  @inline
  static get areAllowed(): bool {
    return allowed;
  }

  /** Counts an entry of a block that is warm; true when it is hot. */
  static warm(block: usize): bool {
    if (!allowed || recording) return false;
    const count = load<u32>(block, 8) - HEAT;
    store<u32>(block, count, 8);
    return !(count & (MOST_HEAT * HEAT)) && live < MOST_TRACES;
  }

  /** Starts recording with the block that is about to run. */
  static record(): void {
    recordedCount = 0;
    recordedInstructions = 0;
    recordedGeneration = generation;
    joint = 0;
    recording = true;
    allowed = false;
  }

  /**
   * A block is about to run: notes it, or ends the recording before it. It goes on through the heads of other traces, in
   * case it comes back to where it began.
   */
  static next(block: usize): void {
    const instructions = load<u32>(block, 8) & COUNT;
    let plain = block;
    let ends = recordedCount == MOST_BLOCKS || recordedInstructions + instructions > MOST_INSTRUCTIONS || !instructions;
    if (isTrace(block)) {
      const op = block + BLOCK_HEADER;
      plain = load<u32>(op, PLAIN);
      if (!joint) {
        joint = recordedCount;
        jointInstructions = recordedInstructions;
        jointLoops = load<bool>(op, LOOPS);
      }
      // the same loop, from another of its blocks
      if (recordedCount && load<u8>(op, LOOPS) && covers(at(load<u32>(op, ID)), load<u64>(recordedAt(0)))) ends = true;
    }
    if (ends || isRecorded(plain)) {
      Traces.end(load<u64>(block));
      return;
    }
    store<u32>(recorded + ((<usize>recordedCount) << 2), <u32>plain);
    recordedCount++;
    recordedInstructions += instructions;
    // a trace ends before a cold op; so the block, a REP of many iterations perhaps, need not run by itself
    if (hasColdOp(changetype<Block>(plain))) Traces.end(0);
  }

  /** Ends the recording; the next block would have been the one at `rip`. */
  static end(rip: u64): void {
    if (!recording) return;
    recording = false;
    allowed = true;
    if (!recordedCount || recordedGeneration != generation) return;
    let next = rip;
    if (rip != load<u64>(recordedAt(0))) {
      // it does not loop: code that other traces share is left to them, unless it is short beside what leads there
      if (joint && (jointLoops || jointInstructions << 1 < recordedInstructions)) {
        next = load<u64>(recordedAt(joint));
        recordedCount = joint;
        recordedInstructions = jointInstructions;
      }
      if (recordedInstructions < worth) return;
    }
    const id = reserve();
    if (!id) return;
    cool();
    traceRecorded(id, recorded, recordedCount, <u32>next, <u32>(next >> 32));
  }

  /** The last block did not run to its end. */
  static cut(): void {
    if (!recording || !recordedCount) return;
    recordedCount--;
    const last = recordedAt(recordedCount);
    recordedInstructions -= load<u32>(last, 8) & COUNT;
    if (joint >= recordedCount) joint = 0;
    Traces.end(load<u64>(last));
  }

  /** Drops the trace that a marker belongs to: bytes of it have changed. */
  static drop(id: u32): void {
    const trace = at(id);
    if (!trace.head) return;
    const head = <usize>trace.head;
    dropped++;
    free(trace);
    if (!trace.plain) return;
    drop(changetype<Block>(head));
    drop(changetype<Block>(<usize>trace.plain));
    traceDropped(trace.slot);
  }

  /** Counts for a trace that was entered how far it came; one that mostly leaves early is given up for good. */
  @inline
  static judge(op: usize, instructions: i32): void {
    const credit = load<i32>(op, CREDIT) + (instructions << 2) - load<i32>(op, LONGEST_WAY);
    store<i32>(op, min(credit, MOST_CREDIT), CREDIT);
    if (credit < -MOST_CREDIT) giveUp(op);
  }

  /** All blocks are gone. */
  static dropAll(): void {
    for (let i: u32 = 0; i < MOST_TRACES; i++) {
      const trace = at(i);
      if (trace.head && trace.plain) traceDropped(trace.slot);
      trace.head = 0;
    }
    live = 0;
    allowed = allowed || recording;
    recording = false;
  }
}

/** Blocks are being recorded. */
export let recording: bool = false;

/** Puts the interpreter's ops back where a trace stood. */
function giveUp(op: usize): void {
  const trace = at(load<u32>(op, ID));
  // the trace may have changed its own code
  if (load<u16>(op) != Hot.Trace || trace.head != <u32>(op - BLOCK_HEADER)) return;
  const plain = changetype<Block>(<usize>trace.plain);
  const size = <usize>plain.ops * OP_SIZE;
  free(trace);
  memory.copy(op, changetype<usize>(plain) + BLOCK_HEADER, size);
  drop(plain);
  traceDropped(trace.slot);
}

function free(trace: Trace): void {
  trace.head = 0;
  live--;
  for (let i: u32 = 0; i < trace.count; i++) removeMarker(<usize>trace.markers + <usize>i * BLOCK_HEADER);
}

function at(id: u32): Trace {
  return changetype<Trace>(traces + <usize>(id % MOST_TRACES) * TRACE_SIZE);
}

function recordedAt(index: u32): usize {
  return <usize>load<u32>(recorded + ((<usize>index) << 2));
}

function isTrace(block: usize): bool {
  return load<u16>(block + BLOCK_HEADER) == Hot.Trace;
}

function hasColdOp(block: Block): bool {
  const first = changetype<usize>(block) + BLOCK_HEADER;
  for (let i: u32 = 0; i < block.ops; i++) {
    if (load<u16>(first + <usize>i * OP_SIZE) >= COLD) return true;
  }
  return false;
}

/** What the trace covers is hot again only when it is entered as often without it. */
function cool(): void {
  for (let i: u32 = 1; i < recordedCount; i++) {
    const block = recordedAt(i);
    const count = load<u32>(block, 8);
    if (count & (MOST_HEAT * HEAT)) store<u32>(block, (count & ~(MOST_HEAT * HEAT)) | (Traces.heat() * HEAT), 8);
  }
}

/** Whether a block that begins at `rip` is part of the trace. */
function covers(trace: Trace, rip: u64): bool {
  for (let i: u32 = 0; i < trace.count; i++) {
    if (load<u64>(<usize>trace.markers + <usize>i * BLOCK_HEADER) == rip) return true;
  }
  return false;
}

function isRecorded(block: usize): bool {
  for (let i: u32 = 0; i < recordedCount; i++) {
    if (recordedAt(i) == block) return true;
  }
  return false;
}

/** A record for what was recorded, with a marker on every block's bytes: a change drops it, compiled or not. */
function reserve(): u32 {
  for (let i: u32 = 0; i < recordedCount; i++) {
    if (isDropped(recordedAt(i))) return 0;
  }
  let tries: u32 = 0;
  while (at(++lastId).head) {
    if (++tries == MOST_TRACES) return 0;
  }
  const markers = placeMarkers(recorded, recordedCount, lastId);
  if (!markers) return 0;
  const trace = at(lastId);
  trace.id = lastId;
  trace.head = <u32>recordedAt(0);
  trace.plain = 0;
  trace.markers = <u32>markers;
  trace.count = recordedCount;
  live++;
  return lastId;
}

/**
 * Lets the function at `slot` of the table stand in for the first block of what was recorded as `id`.
 *
 * @param longest instructions that the budget must hold
 * @param loops whether it goes round by itself
 * @returns false: code has changed meanwhile, or there is no room
 */
export function installTrace(id: u32, slot: u32, longest: u32, loops: bool): bool {
  const trace = at(id);
  if (!trace.head || trace.id != id) return false;
  const head = <usize>trace.head;
  const plain = copyBlock(head);
  if (!plain) {
    Traces.drop(id);
    return false;
  }
  trace.plain = <u32>plain;
  trace.slot = slot;
  const op = head + BLOCK_HEADER;
  store<u16>(op, <u16>Hot.Trace);
  store<u8>(op, u8(loops), LOOPS);
  store<u32>(op, id, ID);
  store<i32>(op, 0, CREDIT);
  store<u32>(op, longest, LONGEST_WAY);
  store<u32>(op, slot, SLOT);
  store<u32>(op, <u32>plain, PLAIN);
  return true;
}

/** What was recorded as `id` is not compiled. */
export function refuseTrace(id: u32): void {
  if (at(id).id == id) Traces.drop(id);
}
