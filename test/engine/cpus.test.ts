// Several vCPUs over one memory: every interleaving is the caller's, and what one writes the others see at once.
import { beforeEach, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { Core } from '../../src/core/core.ts';
import type { Exit } from '../../src/engine/engine.ts';
import { createWasm, type WasmEngine } from '../../src/engine/wasm.ts';
import { EngineError } from '../../src/errors.ts';
import {
  assemble,
  call,
  endbr64,
  type Instruction,
  jmpReg,
  label,
  lea,
  mem,
  mov,
  movImm32,
  raw,
  ret,
} from '../../src/x86/encode.ts';
import { catchError } from '../support/catch-error.ts';

const CODE = 0xffffffff81000000n;
const DATA = 0xffff888000010000n;
const GATE = CODE + 0x3000n;
const END = CODE + 0x3f00n;
const STACK = DATA + 0x8000n;
const STACK_SIZE = 0x2000n;

let cpu: WasmEngine;
let core: Core;

beforeEach(async () => {
  core = await Core.create();
  cpu = await createWasm(core.instance);
  cpu.map(CODE, 0x4000n, 'rwx');
  cpu.map(DATA, 0x20000n, 'rw');
});

/** Two vCPUs that are about to call `entry`, each on a stack of its own. */
function twoAt(entry: bigint): void {
  if (cpu.cpus.count === 1) cpu.cpus.add();
  for (const one of [0, 1]) {
    cpu.cpus.select(one);
    const sp = STACK + STACK_SIZE * BigInt(one + 1) - 8n;
    writeQuad(sp, END);
    cpu.writeRegister('rsp', sp);
    cpu.writeRegister('rip', entry);
  }
}

function writeQuad(at: bigint, value: bigint): void {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, value, true);
  cpu.write(at, new Uint8Array(bytes.buffer));
}

const readQuad = (at: bigint) => new DataView(cpu.read(at, 8).buffer).getBigUint64(0, true);

/** Runs both to END, so many instructions each in turn. */
function interleave(slices: readonly [number, number]): void {
  const done = [false, false];
  for (let turn = 0; !done.every(Boolean); turn++) {
    const one = turn % 2;
    if (done[one]) continue;
    const exit = cpu.cpus.advance(one, slices[one] ?? 1, END);
    if (exit.reason === 'budget') expect(exit.instructions).toBe(slices[one]);
    else expect(exit.reason).toBe('until');
    done[one] = exit.reason === 'until';
  }
}

describe('interleavings', () => {
  test('a lock-prefixed counter loses nothing, whatever the slices', () => {
    // again: lock inc qword [rdi]; dec ecx; jnz again; ret
    cpu.write(CODE, bytesOfHex('f048ff07 ffc9 75f8 c3'));
    for (const slices of [
      [1, 1],
      [1, 2],
      [3, 1],
      [7, 5],
    ] as const) {
      writeQuad(DATA, 0n);
      twoAt(CODE);
      for (const one of [0, 1]) {
        cpu.cpus.select(one);
        cpu.writeRegister('rdi', DATA);
        cpu.writeRegister('rcx', 100n);
      }
      interleave(slices);
      expect(readQuad(DATA), `slices ${slices}`).toBe(200n);
    }
  });

  test('load, add and store apart lose what the other one did between them', () => {
    // again: mov rax, [rdi]; inc rax; mov [rdi], rax; dec ecx; jnz again; ret
    cpu.write(CODE, bytesOfHex('488b07 48ffc0 488907 ffc9 75f3 c3'));
    writeQuad(DATA, 0n);
    twoAt(CODE);
    for (const one of [0, 1]) {
      cpu.cpus.select(one);
      cpu.writeRegister('rdi', DATA);
      cpu.writeRegister('rcx', 100n);
    }
    interleave([1, 1]);
    expect(readQuad(DATA)).toBe(100n);
  });

  test('a REP that is cut goes on where it was, and counts as one instruction', () => {
    cpu.write(CODE, bytesOfHex('f3a4 c3'));
    twoAt(CODE);
    cpu.cpus.select(0);
    cpu.write(DATA, Uint8Array.of(1, 2, 3, 4, 5));
    cpu.writeRegister('rsi', DATA);
    cpu.writeRegister('rdi', DATA + 0x100n);
    cpu.writeRegister('rcx', 5n);
    const exits: Exit[] = [];
    for (let i = 0; i < 3; i++) exits.push(cpu.cpus.advance(0, 2, END));
    expect(exits.map(({ reason }) => reason)).toEqual(['budget', 'budget', 'until']);
    expect(exits.reduce((sum, { instructions }) => sum + instructions, 0)).toBe(2);
    expect(cpu.read(DATA + 0x100n, 5)).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
  });

  test('code that one writes is what the other runs next, also in the line that it stands in', () => {
    // vCPU 0: mov eax, 1 four times; ret. vCPU 1: mov byte [rdi], 2; ret
    cpu.write(CODE, bytesOfHex('b801000000 b801000000 b801000000 b801000000 c3'));
    cpu.write(CODE + 0x100n, bytesOfHex('c60702 c3'));
    twoAt(CODE);
    expect(cpu.cpus.advance(0, 2, END).instructions).toBe(2);
    cpu.cpus.select(1);
    cpu.writeRegister('rip', CODE + 0x100n);
    cpu.writeRegister('rdi', CODE + 11n);
    cpu.cpus.advance(1, 1, END);
    cpu.cpus.advance(0, 1, END);
    expect(cpu.readRegister('rax')).toBe(2n);
    cpu.cpus.advance(0, 1, END);
    expect(cpu.readRegister('rax')).toBe(1n);
  });
});

describe('patched calls', () => {
  const SITE = CODE + 0x104n;
  const TRAMPOLINE = CODE + 0x400n;
  const ORIGINAL = 10n;

  /** A function at SITE - 4, new functions that return 20 and 30, and a trampoline that asks the gate. */
  function place(): { caller: bigint; newFuncs: readonly [bigint, bigint] } {
    const parts: [bigint, Instruction[]][] = [
      [CODE + 0x100n, [endbr64(), raw(0x0f, 0x1f, 0x44, 0, 0), movImm32('rax', Number(ORIGINAL)), ret()]],
      [CODE + 0x200n, [movImm32('rax', 20), ret()]],
      [CODE + 0x300n, [movImm32('rax', 30), ret()]],
      [
        TRAMPOLINE,
        // the site is where the return address on the stack says, less 5; pt_regs lie below the stack
        [
          raw(0x5f),
          lea('rdi', mem('rdi', -5)),
          lea('rcx', mem('rsp', -0x400)),
          call(GATE),
          mov('rax', mem('rcx', 0x80)),
          jmpReg('rax'),
        ],
      ],
      // add rbx, what eight calls return
      [CODE + 0x500n, [...Array(8)].flatMap(() => [call(CODE + 0x100n), raw(0x48, 0x01, 0xc3)]).concat(ret())],
    ];
    for (const [at, code] of parts) cpu.write(at, assemble(at, [label('.start'), ...code]).bytes);
    return { caller: CODE + 0x500n, newFuncs: [CODE + 0x200n, CODE + 0x300n] };
  }

  const callOf = (target: bigint) => {
    const bytes = new DataView(new ArrayBuffer(5));
    bytes.setUint8(0, 0xe8);
    bytes.setInt32(1, Number(BigInt.asIntN(32, target - (SITE + 5n))), true);
    return new Uint8Array(bytes.buffer);
  };

  test('the gate asks for the task of the vCPU that enters it: one is patched, the other not yet', () => {
    const { caller, newFuncs } = place();
    const tasks = [core.addTask(), core.addTask()] as const;
    core.pushFunc(SITE, newFuncs[0], 1);
    core.pushFunc(SITE, newFuncs[1], 2, { transition: true });
    core.setPatchState(tasks[0], 'unpatched');
    core.setPatchState(tasks[1], 'patched');
    cpu.write(SITE, callOf(TRAMPOLINE));
    cpu.redirection.useCore(GATE);
    for (const slices of [
      [1, 1],
      [1, 5],
      [4, 3],
    ] as const) {
      core.clearCounters();
      twoAt(caller);
      for (const one of [0, 1] as const) {
        cpu.cpus.select(one);
        cpu.writeRegister('rbx', 0n);
        cpu.redirection.setTask(tasks[one]);
      }
      interleave(slices);
      const sums = [0, 1].map((one) => {
        cpu.cpus.select(one);
        return cpu.readRegister('rbx');
      });
      expect(sums).toEqual([8n * 20n, 8n * 30n]);
      expect(core.counters()).toMatchObject({ calls: 16, below: 8, patched: 8 });
    }
  });

  test('a site that is poked in three steps (C41) while both call it runs the original or the new function, never else', () => {
    const { caller, newFuncs } = place();
    const task = core.addTask();
    core.pushFunc(SITE, newFuncs[0], 1);
    cpu.redirection.useCore(GATE);
    const nop = Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0);
    const patched = callOf(TRAMPOLINE);
    for (let before = 0; before < 24; before++) {
      cpu.write(SITE, nop);
      twoAt(caller);
      for (const one of [0, 1]) {
        cpu.cpus.select(one);
        cpu.writeRegister('rbx', 0n);
        cpu.redirection.setTask(task);
      }
      // int3 over the first byte, then the tail, then the first byte of the call; each step after some instructions
      const pokes = [
        () => cpu.write(SITE, Uint8Array.of(0xcc)),
        () => cpu.write(SITE + 1n, patched.subarray(1)),
        () => cpu.write(SITE, patched.subarray(0, 1)),
      ];
      const done = [false, false];
      for (let turn = 0; !done.every(Boolean); turn++) {
        if (turn % 3 === 0 && turn >= before) pokes.shift()?.();
        const one = turn % 2;
        if (done[one]) continue;
        const exit = cpu.cpus.advance(one, 1 + (turn % 2), END);
        if (exit.fault?.kind === 'breakpoint') {
          // poke_int3_handler: as if the NOP had been executed
          expect(exit.rip).toBe(SITE + 1n);
          cpu.writeRegister('rip', SITE + 5n);
        } else expect(['budget', 'until'], `before ${before} turn ${turn}`).toContain(exit.reason);
        done[one] = exit.reason === 'until';
      }
      const sums = [0, 1].map((one) => {
        cpu.cpus.select(one);
        return cpu.readRegister('rbx');
      });
      // of eight calls each, all before the poke ran the original, all after it the new function
      for (const sum of sums) expect((sum - 8n * ORIGINAL) % 10n, `before ${before}`).toBe(0n);
      for (const sum of sums) expect(sum).toBeLessThanOrEqual(160n);
    }
    expect(core.counters().calls).toBeGreaterThan(0);
  });
});

describe('vCPUs', () => {
  test('have registers of their own, vector registers and flags too', () => {
    cpu.writeRegister('r12', 1n);
    expect(cpu.cpus.add()).toBe(1);
    cpu.cpus.select(1);
    expect(cpu.readRegister('r12')).toBe(1n);
    cpu.writeRegister('r12', 2n);
    cpu.writeXmm(5, new Uint8Array(16).fill(7));
    cpu.writeRegister('rflags', 0x41n);
    cpu.cpus.select(0);
    expect(cpu.readRegister('r12')).toBe(1n);
    expect(cpu.readXmm(5)).toEqual(new Uint8Array(16));
    expect(cpu.readRegister('rflags') & 0x41n).toBe(0n);
    cpu.cpus.select(1);
    expect(cpu.readRegister('rflags') & 0x41n).toBe(0x41n);
  });

  test('go back with a snapshot, those added since are gone', () => {
    cpu.cpus.add();
    cpu.cpus.select(1);
    cpu.writeRegister('rbx', 5n);
    const snapshot = cpu.snapshots.take();
    cpu.writeRegister('rbx', 6n);
    cpu.cpus.add();
    cpu.cpus.select(0);
    cpu.writeRegister('rbx', 7n);
    cpu.snapshots.restore(snapshot);
    expect([cpu.cpus.count, cpu.cpus.current, cpu.readRegister('rbx')]).toEqual([2, 1, 5n]);
    cpu.cpus.select(0);
    expect(cpu.readRegister('rbx')).toBe(0n);
  });

  test('wrong numbers are refused, and so is any use from inside a run', () => {
    expect(catchError(EngineError, () => cpu.cpus.select(1)).code).toBe('EINVAL');
    expect(catchError(EngineError, () => cpu.cpus.select(-1)).code).toBe('EINVAL');
    for (const count of [-1, 1.5, Number.NaN]) expect(() => cpu.cpus.advance(0, count, END)).toThrow(RangeError);
    expect(() => cpu.cpus.advance(0, 1, -1n)).toThrow(RangeError);
    cpu.write(CODE, bytesOfHex('90 90'));
    const codes: string[] = [];
    const onBlock = () => {
      for (const use of [() => cpu.cpus.select(0), () => cpu.cpus.add(), () => cpu.cpus.advance(0, 1, END)]) {
        codes.push(catchError(EngineError, use).code);
      }
      return undefined;
    };
    cpu.run({ from: CODE, until: CODE + 2n, budget: 5, onBlock });
    expect(codes).toEqual(['EBUSY', 'EBUSY', 'EBUSY']);
  });
});
