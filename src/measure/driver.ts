// The timed loop, as guest code: the same bytes call the function on every engine and on the bare CPU.
import type { Engine } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import { assemble, type Instruction, jnzShort, label, movImm64, raw } from '../x86/encode.ts';
import { BENCH_CODE, BENCH_TABLE, type Placed, runThrough, STACK_TOP, type Subject } from './subject.ts';

/** Where the loop ends. */
export const DONE = BENCH_CODE.base + 0xe00n;
const ARGUMENTS = ['rdi', 'rsi', 'rdx', 'rcx', 'r8', 'r9'] as const;
/** Calls that one run may make. */
const MOST_CALLS = 1 << 26;
/** Instructions of one call at the most, loop included. */
const CALL_BUDGET = 10_000;

/**
 * The loop: rbx calls, through the table at r14 with the mask r15, results added up in r12. Functions keep these four, as
 * the System V ABI has it.
 */
export function driver({ args }: Pick<Subject, 'args'>): Placed {
  const instructions: Instruction[] = [
    label('again'),
    raw(0x49, 0x89, 0xdd), // mov r13, rbx
    raw(0x4d, 0x21, 0xfd), // and r13, r15
    ...args.map((value, i) => movImm64(ARGUMENTS[i] ?? 'rdi', BigInt.asUintN(64, value))),
    raw(0x31, 0xc0), // xor eax, eax
    raw(0x43, 0xff, 0x14, 0xee), // call [r14+r13*8]
    raw(0x49, 0x01, 0xc4), // add r12, rax
    raw(0x48, 0xff, 0xcb), // dec rbx
    jnzShort('again'),
    raw(0xe9, 0, 0, 0, 0), // jmp DONE, below
  ];
  const { bytes } = assemble(BENCH_CODE.base, instructions);
  new DataView(bytes.buffer).setInt32(bytes.length - 4, Number(DONE - BENCH_CODE.base) - bytes.length, true);
  return { address: BENCH_CODE.base, bytes };
}

/** The functions that the loop calls, as it reads them. */
export function driverTable({ entry, entries = [entry] }: Pick<Subject, 'entry' | 'entries'>): Uint8Array {
  if (entries.length & (entries.length - 1) || entries.length * 8 > Number(BENCH_TABLE.size)) {
    throw new RangeError(`"entries" expected a power of two up to 65536, got ${entries.length}`);
  }
  return new Uint8Array(BigUint64Array.from(entries).buffer);
}

/** Puts the loop into guest memory; the subject can be timed from then on. */
export function installDriver(subject: Subject): void {
  const { address, bytes } = driver(subject);
  subject.engine.write(address, bytes);
  subject.engine.write(BENCH_TABLE.base, driverTable(subject));
}

/**
 * Makes many calls and checks the sum of their results.
 *
 * @returns nanoseconds for all of them, the loop included
 * @throws {EngineError} EIO a result was wrong · and as `runThrough`
 * @throws {RangeError} too many calls
 */
export function timeCalls(subject: Subject, calls: number): number {
  if (!Number.isInteger(calls) || calls < 1 || calls > MOST_CALLS) {
    throw new RangeError(`"calls" expected 1 to ${MOST_CALLS}, got ${calls}`);
  }
  const { engine } = subject;
  set(engine, { rbx: BigInt(calls), r12: 0n, r14: BENCH_TABLE.base, rsp: STACK_TOP + 8n, rflags: 2n });
  engine.writeRegister('r15', BigInt((subject.entries?.length ?? 1) - 1));
  const options = { from: BENCH_CODE.base, until: DONE, budget: calls * CALL_BUDGET };
  const start = performance.now();
  runThrough(subject, options);
  const ns = (performance.now() - start) * 1e6;
  const expected = BigInt.asUintN(64, subject.returns * BigInt(calls));
  if (engine.readRegister('r12') !== expected) {
    throw new EngineError('EIO', `the results of ${calls} calls do not add up to ${expected}`, {
      operation: 'measure',
    });
  }
  return ns;
}

function set(engine: Engine, values: Partial<Record<'rbx' | 'r12' | 'r14' | 'rsp' | 'rflags', bigint>>): void {
  for (const [name, value] of Object.entries(values)) engine.writeRegister(name as 'rbx', value);
}
