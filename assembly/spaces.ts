// Address spaces: machines that share this instance. One of them is current, its state is where the code expects it;
// what the others have is kept in records. A fork shares all guest pages, which are copied at their first write.
import { COUNTERS } from './counters';
import { dropGlue, forkGlue, GlueRanges, glueSize, keepGlue, useGlue } from './cpu/arrival';
import { BlockTable, BUCKETS_SIZE, dropBlocks, forkBlocks, keepBlocks, useBlocks } from './cpu/blocks';
import { allocateArea, areaSize, Frames, freeArea, PAGE, reserve } from './cpu/frames';
import { isGateInWasm, setGateInWasm } from './cpu/gate';
import { dropPages, forkPages, keepPages, PageTable, tableSize, usePages } from './cpu/pages';
import { forgetSnapshots } from './cpu/snapshot';
import { STATE, STATE_SIZE } from './cpu/state';
import { dropStops, forkStops, keepStops, STOPS_SIZE, StopList, useStops } from './cpu/stops';
import { Tlb } from './cpu/tlb';
import { dropTraces, forkTraces, keepTraces, TRACES_SIZE, TraceRecords, useTraces } from './cpu/traces';
import { keepUndo, UndoLog, useUndo } from './cpu/undo';
import { FuncPool, keepFuncs, useFuncs } from './func-stacks';
import { COUNTERS_SIZE } from './layout';
import { PoolCopy } from './pool-copy';
import { keepTasks, TaskPool, useTasks } from './transition';

//   0 state    512 bytes  of the running vCPU
// 512 counters  64 bytes
// 576 gate     u32        the core answers
// 640 a struct of each file that has state, 64 bytes apart
const COUNTERS_AT: usize = 512;
const GATE_AT: usize = 576;
const PARTS_AT: usize = 640;
const PART: usize = 64;

/** The record of one address space: a frame; its address names the space. */
class Parts {
  @inline static pages(space: usize): PageTable {
    return changetype<PageTable>(space + PARTS_AT);
  }
  @inline static undo(space: usize): UndoLog {
    return changetype<UndoLog>(space + PARTS_AT + PART);
  }
  @inline static blocks(space: usize): BlockTable {
    return changetype<BlockTable>(space + PARTS_AT + 2 * PART);
  }
  @inline static traces(space: usize): TraceRecords {
    return changetype<TraceRecords>(space + PARTS_AT + 3 * PART);
  }
  @inline static glue(space: usize): GlueRanges {
    return changetype<GlueRanges>(space + PARTS_AT + 4 * PART);
  }
  @inline static stops(space: usize): StopList {
    return changetype<StopList>(space + PARTS_AT + 5 * PART);
  }
  @inline static funcs(space: usize): FuncPool {
    return changetype<FuncPool>(space + PARTS_AT + 6 * PART);
  }
  @inline static tasks(space: usize): TaskPool {
    return changetype<TaskPool>(space + PARTS_AT + 7 * PART);
  }
}

/** 0: there never was a second one, or the one that was current is gone. */
let current: usize = 0;

/** The space whose state is in use; the first one has no name until it is forked. */
export function currentSpace(): usize {
  return current;
}

/**
 * Makes a space that is as the current one, but without snapshots, blocks and traces; the current one stays current.
 * Costs the length of the page table, not the pages. Returns its name; 0: no memory, and nothing is done.
 */
export function forkSpace(): usize {
  // without a CPU there are no frames to put records in
  if (!tableSize()) return 0;
  if (!current) current = allocateArea(PAGE);
  const child = current ? allocateArea(PAGE) : 0;
  if (!child) return 0;
  // a copy of all tables; what is reserved for them nobody else may take
  let room = areaSize(tableSize()) + areaSize(BUCKETS_SIZE) + areaSize(TRACES_SIZE);
  room += areaSize(glueSize()) + areaSize(STOPS_SIZE) + Frames.sharing();
  if (!keep(current) || !keepFuncs(Parts.funcs(child)) || !keepTasks(Parts.tasks(child)) || !reserve(room)) {
    forget(child);
    return 0;
  }
  memory.copy(child, current, PARTS_AT);
  Frames.share();
  forkPages(Parts.pages(child));
  forkBlocks(Parts.blocks(child));
  forkTraces(Parts.traces(child));
  forkGlue(Parts.glue(child));
  forkStops(Parts.stops(child));
  // what was writable is shared now
  Tlb.flush();
  return child;
}

/** Makes a space current; false where there is no memory to keep what the one of before has. Not during a run. */
export function enterSpace(space: usize): bool {
  if (space == current) return true;
  if (current && !keep(current)) return false;
  current = space;
  memory.copy(STATE, space, STATE_SIZE);
  memory.copy(COUNTERS, space + COUNTERS_AT, COUNTERS_SIZE);
  setGateInWasm(load<u32>(space, GATE_AT) != 0);
  usePages(Parts.pages(space));
  useUndo(Parts.undo(space));
  useTraces(Parts.traces(space));
  useBlocks(Parts.blocks(space));
  useGlue(Parts.glue(space));
  useStops(Parts.stops(space));
  useFuncs(Parts.funcs(space));
  useTasks(Parts.tasks(space));
  Tlb.flush();
  return true;
}

/** Gives back what the current space alone has; another one must be entered next. */
export function dropSpace(): void {
  forgetSnapshots();
  dropPages();
  dropBlocks();
  dropTraces();
  dropGlue();
  dropStops();
  if (current) forget(current);
  current = 0;
}

function forget(space: usize): void {
  PoolCopy.drop(Parts.funcs(space));
  PoolCopy.drop(Parts.tasks(space));
  freeArea(space, PAGE);
}

function keep(space: usize): bool {
  if (!keepFuncs(Parts.funcs(space)) || !keepTasks(Parts.tasks(space))) return false;
  memory.copy(space, STATE, STATE_SIZE);
  memory.copy(space + COUNTERS_AT, COUNTERS, COUNTERS_SIZE);
  store<u32>(space, u32(isGateInWasm()), GATE_AT);
  keepPages(Parts.pages(space));
  keepUndo(Parts.undo(space));
  keepTraces(Parts.traces(space));
  keepBlocks(Parts.blocks(space));
  keepGlue(Parts.glue(space));
  keepStops(Parts.stops(space));
  return true;
}
