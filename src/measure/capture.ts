// A call as pages: all that another x86-64 CPU needs to run the timed loop, for calls that no host code serves.
import { PAGE_SIZE, pageFloor } from '../address.ts';
import { EngineError } from '../errors.ts';
import { DONE, installDriver } from './driver.ts';
import { BENCH_CODE, BENCH_STACK, BENCH_TABLE, callOnce, RETURN, STACK_TOP, type Subject } from './subject.ts';

/** A program for the bare CPU. */
export interface Capture {
  /** Where the loop starts, where it ends, rsp before it, its table and mask. */
  readonly entry: bigint;
  readonly done: bigint;
  readonly stackTop: bigint;
  readonly table: bigint;
  readonly mask: bigint;
  readonly gsBase: bigint;
  readonly traps: ReadonlyMap<bigint, bigint>;
  /** Pages by address; all may be read, written and executed. */
  readonly pages: ReadonlyMap<bigint, Uint8Array>;
}

/**
 * Makes the call once and keeps every page that it touched, and the pages of the loop.
 *
 * @throws {EngineError} EOPNOTSUPP the host answers at the gate, which the bare CPU cannot ask · and as `callOnce`
 */
export function capture(subject: Subject): Capture {
  const { engine, traps = new Map<bigint, bigint>(), portable, entries } = subject;
  if (!portable) {
    throw new EngineError('EOPNOTSUPP', 'the core answers behind the gate; only code runs on the bare CPU', {
      operation: 'capture',
    });
  }
  installDriver(subject);
  const touched = new Set<bigint>();
  const touch = (address: bigint, size: number): void => {
    const last = pageFloor(address + BigInt(Math.max(size, 1) - 1));
    for (let page = pageFloor(address); page <= last; page += PAGE_SIZE) touched.add(page);
  };
  callOnce(subject, {
    onBlock(address, size) {
      touch(address, size);
      return undefined;
    },
    onMemory: (_, address, size) => touch(address, size),
  });
  for (const at of traps.keys()) touch(at, 1);
  for (const address of [BENCH_CODE.base, BENCH_TABLE.base, RETURN]) touch(address, 1);
  // the loop's call is below the single one's return address; signals of the host need no more
  for (let page = BENCH_STACK.base; page < BENCH_STACK.base + BENCH_STACK.size; page += PAGE_SIZE) touched.add(page);
  touch(BENCH_TABLE.base, 8 * (entries?.length ?? 1));
  return {
    entry: BENCH_CODE.base,
    done: DONE,
    stackTop: STACK_TOP + 8n,
    table: BENCH_TABLE.base,
    mask: BigInt((entries?.length ?? 1) - 1),
    gsBase: engine.readRegister('gsBase'),
    traps,
    pages: new Map(
      [...touched].sort((a, b) => (a < b ? -1 : 1)).map((page) => [page, engine.read(page, Number(PAGE_SIZE))]),
    ),
  };
}

/** The capture as the file that bench/native/call.c reads. */
export function captureFile({ entry, done, stackTop, table, mask, gsBase, traps, pages }: Capture): Uint8Array {
  const quads = [
    entry,
    done,
    stackTop,
    table,
    mask,
    gsBase,
    BigInt(traps.size),
    BigInt(pages.size),
    ...[...traps].flat(),
  ];
  const page = Number(PAGE_SIZE) + 8;
  const file = new Uint8Array(8 * quads.length + page * pages.size);
  const view = new DataView(file.buffer);
  quads.forEach((quad, i) => {
    view.setBigUint64(8 * i, quad, true);
  });
  let at = 8 * quads.length;
  for (const [address, bytes] of pages) {
    view.setBigUint64(at, address, true);
    file.set(bytes, at + 8);
    at += page;
  }
  return file;
}
