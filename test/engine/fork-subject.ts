// What the fork tests drive: one engine with a few pages and routines, and operations on it whose outcome is a text.
import fc from 'fast-check';
import type { Access, EngineSnapshot, Exit } from '../../src/engine/engine.ts';
import type { JitMode } from '../../src/engine/jit/jit.ts';
import { WasmEngine } from '../../src/engine/wasm.ts';
import { EngineError } from '../../src/errors.ts';
import { Instance } from '../../src/wasm/instance.ts';
import type { ForkSubject } from '../support/forks.ts';

export const PAGE = 0x1000n;
export const CODE = 0xffffffff81000000n;
export const GATE = CODE + PAGE;
/** The last of these pages is the last one of the address space. */
export const DATA = 0xfffffffffffff000n - 5n * PAGE;
const DATA_PAGES = 6;

/** Routines of the guest: rdi and rsi are addresses, rdx a value, rsp a stack. Each runs to its end. */
const ROUTINES: readonly (readonly number[])[] = [
  // mov [rdi], rdx; mov rax, [rsi]; add rax, [rdi]
  [0x48, 0x89, 0x17, 0x48, 0x8b, 0x06, 0x48, 0x03, 0x07],
  // mov ecx, 40; 1: add [rdi], rdx; xadd [rsi], rdx; dec ecx; jnz 1b
  [0xb9, 40, 0, 0, 0, 0x48, 0x01, 0x17, 0x48, 0x0f, 0xc1, 0x16, 0xff, 0xc9, 0x75, 0xf5],
  // mov [rip + 1], dl; mov eax, 0 (its low byte is what was written)
  [0x88, 0x15, 0x01, 0, 0, 0, 0xb8, 0, 0, 0, 0],
  // mov ecx, 24; mov eax, edx; rep stosb
  [0xb9, 24, 0, 0, 0, 0x89, 0xd0, 0xf3, 0xaa],
  // mov ecx, 5; rep movsq
  [0xb9, 5, 0, 0, 0, 0xf3, 0x48, 0xa5],
  // mov ecx, 9; 1: push rdx; push rcx; pop rax; add [rsp], rax; pop rdx; dec ecx; jnz 1b
  [0xb9, 9, 0, 0, 0, 0x52, 0x51, 0x58, 0x48, 0x01, 0x04, 0x24, 0x5a, 0xff, 0xc9, 0x75, 0xf4],
  // mov rcx, rsi; call gate (its handler answers a host's count)
  [0x48, 0x89, 0xf1, 0xe8, 0, 0, 0, 0],
  // movdqu xmm3, [rsi]; paddb xmm3, xmm3; movdqu [rdi], xmm3
  [0xf3, 0x0f, 0x6f, 0x1e, 0x66, 0x0f, 0xfc, 0xdb, 0xf3, 0x0f, 0x7f, 0x1f],
  // rdtsc; inc edx
  [0x0f, 0x31, 0xff, 0xc2],
];
const GATE_ROUTINE = 6;
const ROUTINE_SIZE = 0x40n;

/** One operation; addresses are offsets into the data pages. */
export type Operation =
  | { kind: 'map' | 'protect'; page: number; access: Access }
  | { kind: 'unmap'; page: number }
  | { kind: 'write'; at: number; bytes: number[] }
  | { kind: 'patch'; routine: number; at: number; byte: number }
  | { kind: 'run'; routine: number; rdi: number; rsi: number; rdx: number; times: number }
  | { kind: 'step' }
  | { kind: 'take' }
  | { kind: 'restore' | 'release'; index: number }
  | { kind: 'addCpu' }
  | { kind: 'selectCpu'; cpu: number }
  | { kind: 'advance'; cpu: number; instructions: number };

const page = fc.integer({ min: 0, max: DATA_PAGES - 1 });
const access = fc.constantFrom<Access>('r', 'rw', 'rwx', 'rx');
// near page edges more often than not
const offset = fc.oneof(
  fc.integer({ min: 0, max: DATA_PAGES * 4096 - 64 }),
  fc.tuple(fc.integer({ min: 1, max: DATA_PAGES - 1 }), fc.integer({ min: -16, max: 8 })).map(([p, d]) => p * 4096 + d),
);
const byte = fc.integer({ min: 0, max: 255 });
const small = fc.integer({ min: 0, max: 3 });

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('map', 'protect'), page, access }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unmap'), page }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('write'),
      at: offset,
      bytes: fc.array(byte, { minLength: 1, maxLength: 20 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('patch'),
      // the immediates of mov ecx
      routine: fc.constantFrom(1, 3, 4, 5),
      at: fc.constant(1),
      byte: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('run'),
      routine: fc.integer({ min: 0, max: ROUTINES.length - 1 }),
      rdi: offset,
      rsi: offset,
      rdx: byte,
      times: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'step' }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'take' }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('restore', 'release'), index: small }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'addCpu' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('selectCpu'), cpu: small }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('advance'), cpu: small, instructions: fc.integer({ min: 0, max: 9 }) }),
  },
) as fc.Arbitrary<Operation>;

/** An engine that is driven by operations. */
export class Subject implements ForkSubject<Operation> {
  readonly engine: WasmEngine;
  #snapshots: EngineSnapshot[] = [];

  constructor(engine: WasmEngine) {
    this.engine = engine;
  }

  /** @param pool bytes for decoded blocks */
  static async create(jit: JitMode, pool: number): Promise<Subject> {
    const engine = WasmEngine.over(await Instance.create(), jit, pool);
    engine.map(CODE, PAGE, 'rwx');
    engine.map(GATE, PAGE, 'rx');
    engine.map(DATA, 4n * PAGE, 'rw');
    for (const [i, bytes] of ROUTINES.entries()) engine.write(startOf(i), Uint8Array.from(bytes));
    const call = startOf(GATE_ROUTINE) + 3n;
    const distance = new Uint8Array(Int32Array.of(Number(GATE - (call + 5n))).buffer);
    engine.write(call + 1n, distance);
    engine.setGate(GATE, (low, high, answer) => {
      answer[0] = low ^ 0x55;
      answer[1] = high;
    });
    return new Subject(engine);
  }

  fork(): Subject {
    return new Subject(this.engine.fork());
  }

  forgetSnapshots(): void {
    for (const one of this.#snapshots) this.engine.snapshots.release(one);
    this.#snapshots = [];
  }

  dispose(): void {
    this.engine.dispose();
  }

  apply(operation: Operation): string {
    try {
      return this.#apply(operation);
    } catch (error) {
      if (error instanceof EngineError) return error.message;
      throw error;
    }
  }

  observe(): unknown {
    const { engine } = this;
    const pages = Array.from({ length: DATA_PAGES }, (_, i) => {
      try {
        return Buffer.from(engine.read(DATA + BigInt(i) * PAGE, 4096)).toString('hex');
      } catch {
        return 'unmapped';
      }
    });
    return {
      pages,
      code: Buffer.from(engine.read(CODE, 4096)).toString('hex'),
      registers: registersOf(engine),
      cpus: [engine.cpus.count, engine.cpus.current],
      changes: this.#snapshots.map(({ changes }) => changes),
    };
  }

  #apply(operation: Operation): string {
    const { engine } = this;
    switch (operation.kind) {
      case 'map':
      case 'protect':
        engine[operation.kind](DATA + BigInt(operation.page) * PAGE, PAGE, operation.access);
        return 'done';
      case 'unmap':
        engine.unmap(DATA + BigInt(operation.page) * PAGE, PAGE);
        return 'done';
      case 'write':
        engine.write(DATA + BigInt(operation.at), Uint8Array.from(operation.bytes));
        return 'done';
      case 'patch':
        engine.write(startOf(operation.routine) + BigInt(operation.at), Uint8Array.of(operation.byte));
        return 'done';
      case 'run':
        return this.#run(operation);
      case 'step':
        return textOf(engine.step());
      case 'take':
        if (this.#snapshots.length < 4) this.#snapshots.push(engine.snapshots.take());
        return 'done';
      case 'restore':
      case 'release': {
        const snapshot = this.#snapshots[operation.index];
        if (snapshot === undefined) return 'none';
        engine.snapshots[operation.kind](snapshot);
        if (operation.kind === 'release') this.#snapshots.splice(operation.index, 1);
        else this.#snapshots.length = operation.index + 1;
        return 'done';
      }
      case 'addCpu':
        return engine.cpus.count < 4 ? String(engine.cpus.add()) : 'enough';
      case 'selectCpu':
        engine.cpus.select(operation.cpu);
        return 'done';
      case 'advance':
        return textOf(engine.cpus.advance(operation.cpu, operation.instructions, 0n));
    }
  }

  #run({ routine, rdi, rsi, rdx, times }: Extract<Operation, { kind: 'run' }>): string {
    const { engine } = this;
    const exits: string[] = [];
    for (let i = 0; i < times; i++) {
      engine.writeRegister('rdi', DATA + BigInt(rdi));
      engine.writeRegister('rsi', DATA + BigInt(rsi));
      engine.writeRegister('rdx', BigInt(rdx));
      engine.writeRegister('rsp', DATA + BigInt(rdi));
      const until = startOf(routine) + BigInt(ROUTINES[routine]?.length ?? 0);
      exits.push(textOf(engine.run({ from: startOf(routine), until, budget: 2000 })));
    }
    return exits.join();
  }
}

function startOf(routine: number): bigint {
  return CODE + BigInt(routine) * ROUTINE_SIZE;
}

function registersOf(engine: WasmEngine): string {
  const names = ['rax', 'rcx', 'rdx', 'rsp', 'rsi', 'rdi', 'rip', 'rflags'] as const;
  return [...names.map((name) => engine.readRegister(name).toString(16)), ...engine.readXmm(3)].join();
}

function textOf({ reason, rip, instructions, fault }: Exit): string {
  return `${reason} ${rip.toString(16)} ${instructions} ${fault?.kind ?? ''} ${fault?.address?.toString(16) ?? ''}`;
}
