// The engine over either build of Unicorn: checks, bookkeeping of pages and decoded blocks, steps.
import { address as checked, hex } from '../address.ts';
import { EngineError } from '../errors.ts';
import { decodeOne } from '../x86/decode.ts';
import { BlockCache } from './blocks.ts';
import {
  type Access,
  type Engine,
  type EngineName,
  type Exit,
  GATE_SIZE,
  type GateHandler,
  type RegisterName,
  RFLAGS_WRITABLE,
  type RunOptions,
} from './engine.ts';
import type { ExecutionTable } from './judge.ts';
import { Mappings } from './mappings.ts';
import { runWithModels } from './models.ts';
import type { UnicornBackend, UnicornGateway } from './unicorn-backend.ts';
import { UnicornRun } from './unicorn-run.ts';
import { ForeignPages } from './wasm-pages.ts';

const RFLAGS_FIXED = 2n;

/** See Engine. */
export class UnicornEngine implements Engine {
  readonly name: EngineName;
  readonly wasmPages?: ForeignPages;
  readonly #cpu: UnicornBackend;
  readonly #table: ExecutionTable;
  readonly #mappings = new Mappings();
  readonly #blocks: BlockCache;
  #gate: UnicornGateway | undefined;
  #run: UnicornRun | undefined;
  /** The REP instruction that `step` left with iterations to go. */
  #unfinishedRep: bigint | undefined;
  #disposed = false;

  constructor(name: EngineName, cpu: UnicornBackend, table: ExecutionTable) {
    this.name = name;
    this.#cpu = cpu;
    this.#table = table;
    this.#blocks = new BlockCache(table, (address, size) =>
      cpu.read(address, this.#mappings.mappedBytes(address, size)),
    );
    if (cpu.mapBytes !== undefined) {
      this.wasmPages = new ForeignPages({
        check: (address, size) => this.#room(address, size),
        mapBytes: (address, access, bytes) => {
          cpu.mapBytes?.(address, access, bytes);
          this.#mappings.add(address, BigInt(bytes.length), access);
        },
      });
    }
    cpu.onBlock((low, high, size) => this.#run?.entered(low, high, size));
    cpu.onBadAccess((access, low, high) => this.#run?.refused(access, low, high));
    cpu.onInterrupt((vector) => this.#run?.interrupted(vector));
  }

  map(address: bigint, size: bigint, access: Access): void {
    this.#room(address, size);
    this.#cpu.map(address, size, access);
    this.#mappings.add(address, size, access);
  }

  unmap(address: bigint, size: bigint): void {
    this.#alive('unmap');
    this.#mappings.checkMapped('unmap', address, size);
    this.#cpu.unmap(address, size);
    this.#mappings.remove(address, size);
    this.wasmPages?.remove(address, size);
    this.#blocks.forget(address, size);
  }

  protect(address: bigint, size: bigint, access: Access): void {
    this.#alive('protect');
    this.#mappings.checkMapped('protect', address, size);
    this.wasmPages?.checkProtect(address, size, access);
    this.#cpu.protect(address, size, access);
    this.#mappings.protect(address, size, access);
  }

  read(address: bigint, size: number): Uint8Array {
    this.#alive('read');
    this.#mappings.checkBytes('read', address, size);
    return this.#cpu.read(address, size);
  }

  write(address: bigint, bytes: Uint8Array): void {
    this.#alive('write');
    this.#mappings.checkBytes('write', address, bytes.length);
    this.#cpu.write(address, bytes);
    this.#blocks.forget(address, BigInt(bytes.length));
  }

  readRegister(name: RegisterName): bigint {
    this.#alive('read register');
    const value = this.#cpu.readRegister(name);
    return name === 'rflags' ? value | RFLAGS_FIXED : value;
  }

  writeRegister(name: RegisterName, value: bigint): void {
    this.#alive('write register');
    checked(value, name);
    if (name === 'rip') this.#unfinishedRep = undefined;
    this.#cpu.writeRegister(name, name === 'rflags' ? (value & RFLAGS_WRITABLE) | RFLAGS_FIXED : value);
  }

  readXmm(index: number): Uint8Array {
    this.#alive('read register');
    return this.#cpu.readXmm(xmmIndex(index));
  }

  writeXmm(index: number, bytes: Uint8Array): void {
    this.#alive('write register');
    if (bytes.length !== 16) throw new RangeError(`"bytes" expected 16 bytes, got ${bytes.length}`);
    this.#cpu.writeXmm(xmmIndex(index), bytes);
  }

  run(options: RunOptions): Exit {
    this.#idle('run');
    if (options.models === true) return runWithModels(this, options);
    checked(options.from, 'from');
    checked(options.until, 'until');
    if (!(options.budget >= 0))
      throw new RangeError(`"budget" expected a count of instructions, got ${options.budget}`);
    this.#unfinishedRep = undefined;
    return this.#execute(options, false);
  }

  step(): Exit {
    this.#idle('step');
    const rip = this.#cpu.readRegister('rip');
    const instruction = decodeOne(this.#fetchable(rip), rip);
    // the gate runs as a whole, so its step ends only behind it
    const length = rip === this.#gate?.address ? GATE_SIZE : instruction.length;
    const after = BigInt.asUintN(64, rip + BigInt(length));
    const exit = this.#execute({ from: rip, until: after, budget: Number.POSITIVE_INFINITY }, true);
    if (!instruction.isRep || exit.reason !== 'stopped') return exit;

    const again = this.#unfinishedRep === rip;
    this.#unfinishedRep = undefined;
    const instructions = again ? 0 : 1;
    if (exit.rip !== rip) return { ...exit, instructions };
    // Unicorn comes back to a REP whose count has just reached 0, to find that out; the bare CPU has gone on.
    const countMask = instruction.bytes.includes(0x67) ? 0xffffffffn : 0xffffffffffffffffn;
    if ((this.#cpu.readRegister('rcx') & countMask) === 0n) {
      this.#cpu.writeRegister('rip', after);
      return { ...exit, rip: after, instructions };
    }
    this.#unfinishedRep = rip;
    return { ...exit, instructions };
  }

  setGate(address: bigint, handler: GateHandler): void {
    this.#idle('gate');
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
    for (const at of [address, address + BigInt(GATE_SIZE - 1)]) {
      if (this.#mappings.at(at)?.access.includes('x') !== true) {
        throw new EngineError('EFAULT', `${hex(at)} is not mapped executable`, { operation: 'gate' });
      }
    }
    this.#gate = this.#cpu.placeGate(this.#mappings, address, handler, (error) => this.#run?.threw(error));
    this.#blocks.forget(address, BigInt(GATE_SIZE));
  }

  dispose(): void {
    if (this.#run !== undefined) throw busy('dispose');
    if (this.#disposed) return;
    this.#disposed = true;
    this.#cpu.close();
    this.wasmPages?.release();
  }

  #execute(options: RunOptions, stepping: boolean): Exit {
    const parts = {
      engine: this.#table.engine,
      cpu: this.#cpu,
      blocks: this.#blocks,
      mappings: this.#mappings,
      gate: this.#gate,
    };
    const run = new UnicornRun(parts, options, stepping);
    const watch = options.onMemory !== undefined || this.#mappings.selfModifiable;
    const unwatch = watch
      ? this.#cpu.onAccess((kind, low, high, size) => run.accessed(kind, low, high, size))
      : undefined;
    this.#run = run;
    try {
      return run.run();
    } finally {
      this.#run = undefined;
      unwatch?.();
    }
  }

  /** Makes sure that pages can be mapped there. */
  #room(address: bigint, size: bigint): void {
    this.#alive('map');
    this.#mappings.checkMap(address, size);
    this.#gate?.makeRoom(address, size);
  }

  /** The bytes of the instruction at `rip`, as far as they are mapped; one byte that does not decode where none are. */
  #fetchable(rip: bigint): Uint8Array {
    const mapped = this.#mappings.mappedBytes(rip, 15);
    return mapped === 0 ? Uint8Array.of(0x06) : this.#cpu.read(rip, mapped);
  }

  #idle(operation: string): void {
    this.#alive(operation);
    if (this.#run !== undefined) throw busy(operation);
  }

  #alive(operation: string): void {
    if (this.#disposed) throw new EngineError('EINVAL', 'the engine is disposed', { operation });
  }
}

function xmmIndex(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index > 15)
    throw new RangeError(`"index" expected 0 to 15, got ${index}`);
  return index;
}

function busy(operation: string): EngineError {
  return new EngineError('EBUSY', 'the CPU is running', { operation });
}
