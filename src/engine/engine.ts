// The interface every x86_64 CPU implements: memory, registers, bounded runs, and the gate.
import type { Instance } from '../wasm/instance.ts';

import type { ModelReport } from './model-report.ts';

/** The engines tramp64 knows. */
export type EngineName = 'unicorn' | 'unicorn-native' | 'wasm';

/** What a page allows. Every mapping is readable. */
export type Access = 'r' | 'rw' | 'rx' | 'rwx';

/** The general registers in the order of their encoding, then rip, rflags and the two segment bases. */
export const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'rflags',
  'fsBase',
  'gsBase',
] as const;

/** A 64-bit register by name. */
export type RegisterName = (typeof REGISTERS)[number];

/** The sixteen general registers, without rip, flags and bases. */
export const GENERAL_REGISTERS = REGISTERS.slice(0, 16) as readonly RegisterName[];

/** The rflags bits that can be written (CF to OF, IOPL, NT, AC, ID); bit 1 is always set, the rest stay clear. */
export const RFLAGS_WRITABLE = 0x247fd5n;

/**
 * Why the guest could not go on. `rip` is the instruction that faulted, except for `breakpoint` and `interrupt`,
 * where it is the instruction after it (as the CPU reports traps).
 */
export interface Fault {
  kind:
    | 'unmapped'
    | 'protected'
    | 'invalid-instruction'
    | 'divide-error'
    | 'general-protection'
    | 'breakpoint'
    | 'interrupt'
    | 'syscall'
    | 'halt';
  rip: bigint;
  /** For `unmapped` and `protected`: what was tried. */
  access?: 'read' | 'write' | 'fetch';
  /** For `unmapped` and `protected`: the address that was touched. */
  address?: bigint;
  /** For `interrupt`: the vector number. */
  vector?: number;
}

/** How a run ended. */
export interface Exit {
  /**
   * `until`: rip reached the stop address. `stopped`: a hook asked to stop. `budget`: the instruction budget is spent.
   * `fault`: see `fault`. `not-judged`: the next instruction is outside what this engine executes rightly; see `why`.
   */
  reason: 'until' | 'stopped' | 'budget' | 'fault' | 'not-judged';
  /** Where the CPU stands now. */
  rip: bigint;
  /**
   * Instructions retired in this run. A REP instruction counts as one; what runs between the gate's entry and its ret
   * does not count.
   */
  instructions: number;
  fault?: Fault;
  /** For `not-judged`: the instruction and the reason, as a sentence. */
  why?: string;
  /** Where the run asked for models. */
  models?: ModelReport;
}

/**
 * Told of each block of straight-line code before it runs: address, and length in bytes. Returning an address inside
 * the block stops the run there (reason `stopped`); the block's own address stops before its first instruction. Where
 * no instruction begins, no run stops.
 * Registers may be read inside the hook. Blocks of the gate are not reported.
 */
export type BlockHook = (address: bigint, size: number) => bigint | undefined;

/**
 * Told of each data access of the guest, in order; `size` in bytes. Unicorn makes two of 8 bytes of one of 16. Accesses
 * inside the gate are not reported.
 */
export type MemoryHook = (kind: 'read' | 'write', address: bigint, size: number) => void;

/** What a run is bounded by. */
export interface RunOptions {
  /** First instruction. */
  from: bigint;
  /** The run ends when rip comes here; this instruction is not executed. Inside an instruction it is never come to. */
  until: bigint;
  /**
   * At most this many instructions (a REP counts each iteration here). Unicorn engines stop at the last block boundary
   * at or below it, the WASM CPU exactly.
   */
  budget: number;
  onBlock?: BlockHook;
  onMemory?: MemoryHook;
  /**
   * Follow the run with IBT, a shadow stack, a return-address stack and counts; the exit has what they say. `until` is
   * where the outermost call is to return to. The run itself is the same, but slower; without it, they cost nothing.
   */
  models?: boolean;
}

/** The CPU as it was when a call arrived. */
export interface ArrivalState {
  /** One of GENERAL_REGISTERS. */
  register(name: RegisterName): bigint;
  /** The quad that the call's entry found at rsp; undefined where that is not mapped any more. */
  readonly returnAddress: bigint | undefined;
}

/**
 * Watches where one call arrives: the first instruction outside sites, trampolines, handlers and gate, from the call's
 * start and again after each trampoline. Its state outlives the pieces in which the call runs.
 */
export interface ArrivalWatcher {
  /** An arrival is awaited; true at the call's start. */
  awaited: boolean;
  /** A trampoline was passed since the last one. */
  dispatched: boolean;
  /** There was none yet: the state at the next one is wanted. */
  readonly first: boolean;
  /** rsp at the call's entry. */
  readonly entrySp: bigint;
  /** Arrivals are told when they happen, not after the run; only then may `arrived` stop it. */
  readonly atOnce: boolean;
  /**
   * Told of each arrival in order.
   * @param state of the first one; undefined where the engine's own registers are still those of the arrival
   * @returns true to stop before the instruction at `address`
   */
  arrived(address: bigint, dispatched: boolean, state: ArrivalState | undefined): boolean;
}

/** How each of many equal calls must end. */
export interface ExpectedEnd {
  readonly rax: bigint;
  readonly rdx: bigint;
  readonly instructions: number;
  /** At most 64: address, and whether a trampoline was passed. */
  readonly arrivals: readonly (readonly [bigint, boolean])[];
}

/**
 * What an engine can do whose CPU and core share a WASM instance: calls are redirected, and their arrivals found,
 * without leaving WASM.
 */
export interface Redirection {
  /**
   * Lets the core answer at the gate, for the current task.
   * @throws {EngineError} EFAULT `address` is not mapped executable · EINVAL the gate is elsewhere · EBUSY
   */
  useCore(address: bigint): void;

  /** Who asks at the gate from now on: a handle of the core. */
  setTask(task: number): void;

  /**
   * What no call arrives at.
   *
   * @param ranges half-open, sorted and disjoint: start and end of each in turn
   * @param trampolines where the trampolines are, which the ranges hold too
   * @throws {EngineError} ENOMEM · EBUSY
   */
  setGlue(ranges: BigUint64Array, trampolines: { readonly start: bigint; readonly end: bigint }): void;

  /**
   * Runs stop before the instruction at `address`, with reason `stopped`, or no longer.
   * @throws {EngineError} ENOMEM more than 512 of them
   */
  setStop(address: bigint, on: boolean): void;

  /**
   * Makes the call for which the registers and the stack are ready `times` times, putting both back each time. Flags
   * begin clear; vector registers and memory stay as the call before left them.
   *
   * @param frame quads at rsp that the callee may change: the return address and the arguments behind it; 64 at most
   * @returns how many in a row ended as expected, rsp given back
   */
  repeat(options: RunOptions, times: number, frame: number, expected: ExpectedEnd): number;

  /** As Engine.run, watching for arrivals. @param leaves runs stop at `from`: pass it all the same */
  run(options: RunOptions, watch: ArrivalWatcher | undefined, leaves: boolean): Exit;
}

/** Index of the words in a gate's answer. */
export const ANSWER_IP_LOW = 0;
export const ANSWER_IP_HIGH = 1;

/**
 * Asked once each time the guest enters the gate. Gets the site's address (rdi, F21) as two 32-bit halves and leaves
 * the new instruction pointer in `answer`, low half first; the engine writes it to pt_regs.ip ([rcx + 0x80], F22).
 * Halves, not a bigint: two of the three engines deliver registers as bytes, and joining and splitting a bigint costs
 * ten times the look-up. An exception thrown here ends the run and is rethrown by `run`.
 */
export type GateHandler = (ipLow: number, ipHigh: number, answer: Uint32Array) => void;

/** Guest memory and registers at one moment, of one engine. */
export interface EngineSnapshot {
  /** Guest pages that were written, mapped, unmapped or protected since it was taken, or since the last restore. */
  readonly changes: number;
}

/** What an engine can do that keeps track of the guest pages that change. */
export interface Snapshots {
  /**
   * Takes note of memory and registers as they are. From now on each page is copied before its first write.
   * @throws {EngineError} EBUSY
   */
  take(): EngineSnapshot;

  /**
   * Goes back to a snapshot, which can be gone back to again; those taken after it are gone. Costs what was changed
   * since, whatever there is.
   * @throws {EngineError} EINVAL the snapshot is gone, or another engine's · EBUSY
   */
  restore(snapshot: EngineSnapshot): void;

  /** Forgets a snapshot; with the last one the copies are given back. Harmless where it is gone. */
  release(snapshot: EngineSnapshot): void;
}

/**
 * CPUs that share one guest memory and run in turns: the caller is their scheduler, so that every interleaving can be
 * had. Each has registers, flags, vector registers and the task that it asks the gate for; mappings, gate and code are
 * common, and what one writes, the others see with their next instruction.
 */
export interface VirtualCpus {
  /** How many there are; 1 at first. */
  readonly count: number;
  /** The one whose registers the engine reads and writes, and which `run` and `step` run; 0 at first. */
  readonly current: number;

  /** A further one, its registers those of the current one. @returns its number @throws {EngineError} EBUSY */
  add(): number;

  /** Makes one the current one. @throws {EngineError} EINVAL there is none of this number · EBUSY */
  select(cpu: number): void;

  /**
   * Makes one the current one and runs it from its rip for exactly so many instructions, iterations of a REP counted
   * each; a REP that is cut goes on where it was, and counts in the advance that ends it. Ends earlier, as `run` does, at `until` and by faults.
   *
   * @throws {EngineError} as `select` · {RangeError} no count, or no address
   */
  advance(cpu: number, instructions: number, until: bigint): Exit;
}

/** What an engine can do whose guest pages may lie in memory of its caller. */
export interface WasmPages {
  /**
   * Maps the bytes of a WASM memory from `offset` on: what either side stores, the other reads, without a copy. Data
   * only: a plain store by WASM would leave old translations of code. The memory is kept until `dispose`; it may grow.
   *
   * @param offset bytes, a multiple of 4096, as `address` and `size` are
   * @throws {EngineError} EINVAL not page-aligned, not inside the memory, shared between threads, or executable
   * · EEXIST overlaps a mapping · ENOMEM
   */
  map(address: bigint, size: bigint, access: DataAccess, memory: WebAssembly.Memory, offset: number): void;
}

/** What a page of data allows. */
export type DataAccess = Exclude<Access, `${string}x`>;

/** Bytes at the gate's address that belong to the engine; the caller maps them executable and leaves them alone. */
export const GATE_SIZE = 16;

/**
 * An x86_64 CPU in 64-bit mode with its own guest memory. All addresses are unsigned 64-bit. Not re-entrant: `run`,
 * `step` and `dispose` from inside a hook or handler throw EngineError EBUSY, on every engine.
 */
export interface Engine {
  readonly name: EngineName;

  /** Where the core lies in the same WASM instance. */
  readonly redirection?: Redirection;

  /** Where one memory can have several CPUs. */
  readonly cpus?: VirtualCpus;

  /** Where it keeps track of the pages that change. */
  readonly snapshots?: Snapshots;

  /** Where guest pages may be bytes of a WASM memory. */
  readonly wasmPages?: WasmPages;

  /**
   * Maps zeroed pages. `address` and `size` are multiples of 4096.
   * @throws {EngineError} EINVAL not page-aligned, empty, or past 2^64 · EEXIST overlaps a mapping · ENOMEM
   */
  map(address: bigint, size: bigint, access: Access): void;

  /**
   * Removes pages; all of the range must be mapped.
   * @throws {EngineError} EINVAL not page-aligned · EFAULT not mapped
   */
  unmap(address: bigint, size: bigint): void;

  /**
   * Changes what mapped pages allow.
   * @throws {EngineError} EINVAL not page-aligned · EFAULT not mapped
   */
  protect(address: bigint, size: bigint, access: Access): void;

  /**
   * Copies guest memory out, whatever the page allows.
   * @throws {EngineError} EFAULT some of it is not mapped
   */
  read(address: bigint, size: number): Uint8Array;

  /**
   * Writes guest memory, whatever the page allows; translations of the bytes written are dropped, so that the next
   * fetch sees the new ones. Allowed inside hooks and handlers.
   * @throws {EngineError} EFAULT some of it is not mapped; nothing is written then
   */
  write(address: bigint, bytes: Uint8Array): void;

  /** A 64-bit register, unsigned. */
  readRegister(name: RegisterName): bigint;

  /**
   * Sets a 64-bit register. In rflags the fixed bits stay as the CPU has them.
   * @throws {RangeError} not an unsigned 64-bit value
   */
  writeRegister(name: RegisterName, value: bigint): void;

  /** xmm0 to xmm15 as 16 bytes, lowest first. */
  readXmm(index: number): Uint8Array;
  writeXmm(index: number, bytes: Uint8Array): void;

  /**
   * Runs until a stop address, a stop request, the budget's end or a fault. Guest faults are returned, not thrown.
   * @throws {EngineError} EBUSY already running · EIO the emulator itself failed
   */
  run(options: RunOptions): Exit;

  /**
   * Executes the one instruction at rip; a REP instruction runs one iteration, the gate runs as a whole.
   * `instructions` is 1, or 0 for a further iteration of the same REP instruction and for the gate.
   */
  step(): Exit;

  /**
   * Installs the gate: entering `address` asks `handler`, stores its answer, and returns to the caller. One gate per
   * engine; a second call replaces the handler and must name the same address.
   * @throws {EngineError} EFAULT `address` is not mapped executable
   */
  setGate(address: bigint, handler: GateHandler): void;

  /**
   * Where engines can share an instance: a further engine as this one is now, registers, gate and all, which then goes
   * its own way. Guest pages are shared until one of the two writes them, so it costs the length of the page table,
   * not what is mapped. The gate's handler is common; it has no snapshots and nothing decoded yet. Either may be disposed
   * first.
   *
   * @param instance a fork of the instance that it shares with a core; by default it makes one
   * @throws {EngineError} EBUSY it runs, or another fork of it · ENOMEM
   */
  fork?(instance?: Instance): Engine;

  /** Frees everything; twice is harmless. Any later call throws EngineError EINVAL. */
  dispose(): void;
}
