// What the CPU exports: setting up, guest memory, state and runs.
import { initArrivals } from './arrival';
import { initBlocks, setGateAddress } from './blocks';
import { Flags } from './flags';
import { initFrames } from './frames';
import { initPages } from './pages';
import { oneByteRows, threeByteRows, twoByteRows } from './rows-integer';
import { sseFloatRows, sseIntegerRows, sseMoveRows, sseThreeByteRows } from './rows-sse';
import { MXCSR } from './state';
import { initStops } from './stops';
import { Tlb } from './tlb';
import { initTraces } from './traces';
import { initUndo } from './undo';

export {
  arrivalState,
  arrivals,
  FIRST_ARRIVAL,
  glueRanges,
  takeArrivals,
  watchArrivals,
} from './arrival';
export { dropAll, setStop } from './blocks';
export { DECODE_AT, decodeBytes, decodedPlace } from './decode';
export { high64 } from './execute';
export { framesInUse } from './frames';
export { GATE_ANSWER, setGateInWasm, traceGate } from './gate';
export { isExecutable, isMapped, mapPages, protectPages, readable, reservePages, unmapPages, writable } from './guest';
export { EXPECTED, repeat } from './repeat';
export { isaList, isaRows } from './rows';
export { advance, retired, run, STOP_AT, step } from './run';
export { changesSince, forgetSnapshots, goBack, takeSnapshot } from './snapshot';
export {
  CARRIES,
  FAULT,
  FS_BASE,
  GENERAL,
  GS_BASE,
  MXCSR,
  REP_RIP,
  REST,
  RESULT,
  RIP,
  SHAPE,
  STATE,
  STATE_SIZE,
  TASK,
  XMM,
} from './state';
export { ENTRY_MASK, ENTRY_SHIFT, TLB } from './tlb';
export { traceAwaits, traceFrame, tracePasses, traceRead, traceStore } from './trace-calls';
export { installTrace, refuseTrace, setTraces } from './traces';

/** Carves the CPU's tables and the first frames at `base`; `pool` bytes hold decoded blocks. False: no memory. */
export function initCpu(base: usize, pool: u32): bool {
  initFrames(base);
  if (!initPages() || !initBlocks(pool) || !initArrivals() || !initStops() || !initTraces()) return false;
  oneByteRows();
  twoByteRows();
  threeByteRows();
  sseMoveRows();
  sseFloatRows();
  sseIntegerRows();
  sseThreeByteRows();
  initUndo();
  Tlb.flush();
  Flags.setAll(0);
  store<u32>(MXCSR, 0x1f80);
  return true;
}

/** The address that asks the gate. */
export function setGate(address: u64): void {
  setGateAddress(address);
}

/** rflags, which the lazy flags are joined into. */
export function readFlags(): u64 {
  return Flags.get();
}

export function writeFlags(value: u64): void {
  Flags.setAll(value);
}

/** Every data access of the guest is told to the host. */
export function traceMemory(on: bool): void {
  Tlb.trace(on);
}
