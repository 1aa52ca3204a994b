// The engine over our own x86_64 CPU in WebAssembly (assembly/cpu).
import { address as checked, hex, wrap } from '../address.ts';
import { EngineError } from '../errors.ts';
import { Instance } from '../wasm/instance.ts';
import { join } from './blocks.ts';
import {
  type Access,
  type Engine,
  type EngineName,
  type Exit,
  type Fault,
  type GateHandler,
  GENERAL_REGISTERS,
  type RegisterName,
  RFLAGS_WRITABLE,
  type RunOptions,
} from './engine.ts';
import { defaultJitMode, Jit, type JitCounts, type JitMode } from './jit/jit.ts';
import { Mappings } from './mappings.ts';
import { runWithModels } from './models.ts';
import { WasmCpus } from './wasm-cpus.ts';
import { WasmRedirection } from './wasm-redirection.ts';
import { WasmSnapshots } from './wasm-snapshots.ts';

const PAGE = 4096;
/** Bytes for decoded blocks: about 100,000 blocks of ten instructions. */
const POOL = 32 << 20;
/** Guest pages of one engine are bounded by what 32-bit memory can hold beside the tables. */
const MOST_PAGES = 900_000n;

// The order of Reason, FaultKind and FaultAccess in assembly/cpu/state.ts.
const REASONS = ['none', 'until', 'budget', 'fault', 'not-judged', 'stepped', 'stopped'] as const;
const FAULT_KINDS = [
  undefined,
  'unmapped',
  'protected',
  'invalid-instruction',
  'divide-error',
  'general-protection',
  'breakpoint',
  'interrupt',
  'syscall',
  'halt',
] as const;
const ACCESSES = ['read', 'write', 'fetch'] as const;

/**
 * Makes a CPU.
 *
 * @param instance the instance whose memory it uses, after the core's pools are carved; its own by default
 * @param jit when hot code is compiled; see `defaultJitMode` for what it is by default
 * @throws {EngineError} ENOMEM no memory for its tables
 */
export async function createWasm(instance?: Instance, jit?: JitMode): Promise<WasmEngine> {
  const own = instance ?? (await Instance.create());
  return WasmEngine.over(own, jit);
}

/** See Engine. */
export class WasmEngine implements Engine {
  readonly name: EngineName = 'wasm';
  readonly redirection: WasmRedirection;
  readonly snapshots: WasmSnapshots;
  readonly cpus: WasmCpus;
  readonly #instance: Instance;
  readonly #mappings = new Mappings();
  readonly #jitMode: JitMode;
  #gate: { readonly address: bigint; handler: GateHandler } | undefined;
  #running: RunOptions | undefined;
  #busy = false;
  #disposed = false;
  readonly #jit: Jit | undefined;

  /** @param from of which `instance` is a fork */
  private constructor(instance: Instance, jit: JitMode, from?: WasmEngine) {
    this.#instance = instance;
    this.#jitMode = jit;
    this.redirection = new WasmRedirection(instance, {
      idle: (operation) => this.#idle(operation),
      placeGate: (address) => this.#placeGate(address, () => undefined),
      execute: (options, body) => this.#execute(options, body),
      start: (options, leaves) => this.#start(options, leaves),
    });
    const idle = (operation: string): void => this.#idle(operation);
    this.cpus = new WasmCpus(instance, { idle, execute: (body) => this.#execute(undefined, body) }, from?.cpus);
    this.snapshots = new WasmSnapshots(instance, { mappings: this.#mappings, cpus: this.cpus, idle });
    instance.host = {
      arrived: (low, high, dispatched) => this.redirection.arrived(low, high, dispatched),
      blockEntered: (low, high, size) => this.#blockEntered(low, high, size),
      memoryAccessed: (kind, address, size) =>
        this.#running?.onMemory?.(kind === 0 ? 'read' : 'write', wrap(address), size),
      gateEntered: (low, high) => this.#gateEntered(low, high),
      traceRecorded: (id, blocks, count, low, high) => this.#jit?.recorded(id, blocks, count, join(low, high)),
      traceDropped: (slot) => this.#jit?.dropped(slot),
    };
    this.#jit = jit === false ? undefined : new Jit(instance, jit);
    if (from === undefined) return;
    this.#mappings.replace(from.#mappings.copy());
    if (from.#gate === undefined) return;
    this.#gate = { ...from.#gate };
    this.#jit?.setGate(from.#gate.address);
  }

  /**
   * The CPU of an instance.
   *
   * @param pool bytes for decoded blocks
   * @throws {EngineError} ENOMEM no memory for its tables
   */
  static over(instance: Instance, jit: JitMode = defaultJitMode(), pool = POOL): WasmEngine {
    const { exports } = instance;
    if (!exports.initCpu(exports.used(), pool)) {
      throw new EngineError('ENOMEM', 'no memory for the tables of the CPU', { operation: 'create engine' });
    }
    return new WasmEngine(instance, jit);
  }

  fork(instance?: Instance): WasmEngine {
    this.#idle('fork');
    return new WasmEngine(instance ?? this.#instance.fork(), this.#jitMode, this);
  }

  /** What the JIT has compiled; undefined where it is off. */
  get jitCounts(): JitCounts | undefined {
    return this.#jit?.counts;
  }

  map(address: bigint, size: bigint, access: Access): void {
    this.#alive('map');
    this.#mappings.checkMap(address, size);
    const pages = size / BigInt(PAGE);
    const { exports } = this.#instance;
    if (pages > MOST_PAGES || !exports.reservePages(Number(pages))) {
      throw new EngineError('ENOMEM', `no memory for ${size} bytes`, { operation: 'map' });
    }
    if (!exports.mapPages(address, Number(pages), accessBits(access))) throw noMemory('map');
    this.#mappings.add(address, size, access);
  }

  unmap(address: bigint, size: bigint): void {
    this.#alive('unmap');
    this.#mappings.checkMapped('unmap', address, size);
    if (!this.#instance.exports.unmapPages(address, Number(size / BigInt(PAGE)))) throw noMemory('unmap');
    this.#mappings.remove(address, size);
  }

  protect(address: bigint, size: bigint, access: Access): void {
    this.#alive('protect');
    this.#mappings.checkMapped('protect', address, size);
    const pages = Number(size / BigInt(PAGE));
    if (!this.#instance.exports.protectPages(address, pages, accessBits(access))) throw noMemory('protect');
    this.#mappings.protect(address, size, access);
  }

  read(address: bigint, size: number): Uint8Array {
    this.#alive('read');
    this.#mappings.checkBytes('read', address, size);
    const bytes = new Uint8Array(size);
    for (const [at, offset, length] of pieces(address, size)) {
      const from = this.#instance.exports.readable(at) >>> 0;
      bytes.set(this.#instance.u8.subarray(from, from + length), offset);
    }
    return bytes;
  }

  write(address: bigint, bytes: Uint8Array): void {
    this.#alive('write');
    this.#mappings.checkBytes('write', address, bytes.length);
    for (const [at, offset, length] of pieces(address, bytes.length)) {
      const to = this.#instance.exports.writable(at, length) >>> 0;
      this.#instance.u8.set(bytes.subarray(offset, offset + length), to);
    }
  }

  readRegister(name: RegisterName): bigint {
    this.#alive('read register');
    if (name === 'rflags') return BigInt.asUintN(64, this.#instance.exports.readFlags());
    return this.#instance.u64[this.#word(name)] ?? 0n;
  }

  writeRegister(name: RegisterName, value: bigint): void {
    this.#alive('write register');
    checked(value, name);
    if (name === 'rflags') this.#instance.exports.writeFlags(value & RFLAGS_WRITABLE);
    else this.#instance.u64[this.#word(name)] = value;
    if (name === 'rip') this.#instance.u64[this.#instance.exports.REP_RIP.value / 8] = 0n;
  }

  readXmm(index: number): Uint8Array {
    this.#alive('read register');
    const at = this.#xmm(index);
    return this.#instance.u8.slice(at, at + 16);
  }

  writeXmm(index: number, bytes: Uint8Array): void {
    this.#alive('write register');
    if (bytes.length !== 16) throw new RangeError(`"bytes" expected 16 bytes, got ${bytes.length}`);
    this.#instance.u8.set(bytes, this.#xmm(index));
  }

  run(options: RunOptions): Exit {
    this.#idle('run');
    if (options.models === true) return runWithModels(this, options);
    return this.#execute(options, () => this.#start(options, false));
  }

  step(): Exit {
    this.#idle('step');
    return this.#execute(undefined, () => this.#instance.exports.step());
  }

  setGate(address: bigint, handler: GateHandler): void {
    this.#idle('gate');
    this.#placeGate(address, handler);
    this.#instance.exports.setGateInWasm(false);
  }

  dispose(): void {
    if (this.#busy) throw busy('dispose');
    if (this.#disposed) return;
    this.#jit?.dispose();
    this.#instance.dispose();
    this.#instance.host = undefined;
    this.#disposed = true;
  }

  #placeGate(address: bigint, handler: GateHandler): void {
    checked(address, 'address');
    if (this.#gate !== undefined) {
      if (this.#gate.address !== address) {
        throw new EngineError('EINVAL', `the gate is at ${hex(this.#gate.address)}, not ${hex(address)}`, {
          operation: 'gate',
        });
      }
      this.#gate.handler = handler;
      return;
    }
    if (this.#mappings.at(address)?.access.includes('x') !== true) {
      throw new EngineError('EFAULT', `${hex(address)} is not mapped executable`, { operation: 'gate' });
    }
    this.#gate = { address, handler };
    this.#instance.exports.setGate(address);
    this.#jit?.setGate(address);
  }

  /** Checks the options and runs. */
  #start({ from, until, budget, onBlock }: RunOptions, leaves: boolean): number {
    checked(from, 'from');
    checked(until, 'until');
    if (!(budget >= 0)) throw new RangeError(`"budget" expected a count of instructions, got ${budget}`);
    const { exports } = this.#instance;
    this.#instance.u64[exports.REP_RIP.value / 8] = 0n;
    const most = Math.min(Math.trunc(budget), Number.MAX_SAFE_INTEGER);
    return exports.run(from, until, most, onBlock !== undefined, leaves);
  }

  #execute(options: RunOptions | undefined, body: () => number): Exit {
    const { exports } = this.#instance;
    const traced = options?.onMemory !== undefined;
    this.#busy = true;
    this.#instance.running = true;
    this.#running = options;
    try {
      if (traced) exports.traceMemory(true);
      return this.#exit(body());
    } finally {
      if (traced) exports.traceMemory(false);
      this.#running = undefined;
      this.#instance.running = false;
      this.#busy = false;
    }
  }

  #exit(code: number): Exit {
    const rip = this.readRegister('rip');
    const instructions = this.#instance.exports.retired();
    const reason = REASONS[code];
    switch (reason) {
      case 'until':
      case 'stopped':
      case 'budget':
        return { reason, rip, instructions };
      case 'stepped':
        return { reason: 'stopped', rip, instructions };
      case 'fault':
        return { reason, rip, instructions, fault: this.#fault(rip) };
      default:
        return { reason: 'not-judged', rip, instructions, why: this.#why(rip) };
    }
  }

  #fault(rip: bigint): Fault {
    const { u32, u64, exports } = this.#instance;
    const at = exports.FAULT.value / 4;
    const kind = FAULT_KINDS[u32[at] ?? 0];
    if (kind === undefined) throw new EngineError('ENOMEM', 'no memory for a page', { operation: 'run', rip });
    if (kind === 'unmapped' || kind === 'protected') {
      const access = ACCESSES[u32[at + 1] ?? 0] ?? 'read';
      return { kind, rip, access, address: u64[(exports.FAULT.value + 8) / 8] ?? 0n };
    }
    return kind === 'interrupt' ? { kind, rip, vector: u32[at + 4] ?? 0 } : { kind, rip };
  }

  #why(rip: bigint): string {
    const size = this.#mappings.mappedBytes(rip, 15);
    const bytes = Array.from(this.read(rip, size), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    return `the instruction at ${hex(rip)} (bytes ${bytes}) is outside the instruction set of this engine`;
  }

  #blockEntered(low: number, high: number, size: number): number {
    const stop = this.#running?.onBlock?.(join(low, high), size);
    if (stop === undefined) return 0;
    this.#instance.u64[this.#instance.exports.STOP_AT.value / 8] = stop;
    return 1;
  }

  #gateEntered(low: number, high: number): void {
    const answer = new Uint32Array(2);
    this.#gate?.handler(low >>> 0, high >>> 0, answer);
    this.#instance.u32.set(answer, this.#instance.exports.GATE_ANSWER.value / 4);
  }

  /** Index of a register in the 64-bit view. */
  #word(name: RegisterName): number {
    const { exports } = this.#instance;
    if (name === 'rip') return exports.RIP.value / 8;
    const general = GENERAL_REGISTERS.indexOf(name);
    if (general >= 0) return exports.GENERAL.value / 8 + general;
    return exports.GENERAL.value / 8 + (name === 'fsBase' ? 17 : 18);
  }

  #xmm(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index > 15) {
      throw new RangeError(`"index" expected 0 to 15, got ${index}`);
    }
    return this.#instance.exports.XMM.value + index * 16;
  }

  #alive(operation: string): void {
    if (this.#disposed) throw new EngineError('EINVAL', 'the engine is disposed', { operation });
  }

  #idle(operation: string): void {
    this.#alive(operation);
    if (this.#busy) throw busy(operation);
  }
}

function noMemory(operation: string): EngineError {
  return new EngineError('ENOMEM', 'no memory to remember what the pages were', { operation });
}

function busy(operation: string): EngineError {
  return new EngineError('EBUSY', 'the engine is running', { operation });
}

function accessBits(access: Access): number {
  return 1 | (access.includes('w') ? 2 : 0) | (access.includes('x') ? 4 : 0);
}

/** A range cut at page edges: address, offset into the range, length. */
function* pieces(address: bigint, size: number): Generator<[bigint, number, number]> {
  for (let offset = 0; offset < size; ) {
    const at = address + BigInt(offset);
    const length = Math.min(size - offset, PAGE - Number(at & 0xfffn));
    yield [at, offset, length];
    offset += length;
  }
}
