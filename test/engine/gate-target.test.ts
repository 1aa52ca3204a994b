// A site knows the block that its last answer led to; what changes in between is noticed at once (I2).
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { Core } from '../../src/core/core.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createWasm, type WasmEngine } from '../../src/engine/wasm.ts';
import { callBytes } from '../../src/ftrace/site.ts';
import { opsTrampoline } from '../../src/ftrace/trampoline.ts';
import { assemble, bytesOf, call, endbr64, type Instruction, movImm32, raw, ret } from '../../src/x86/encode.ts';

const TEXT = 0xffffffff81000000n;
const GATE = TEXT;
const THUNK = TEXT + 0x20n;
const UNTIL = TEXT + 0x40n;
const TRAMPOLINE = TEXT + 0x100n;
/** Calls the function. */
const CALLER = TEXT + 0x400n;
/** Enters the gate for the site, to come back at the new function. */
const STRAIGHT = TEXT + 0x440n;
const FUNCTION = TEXT + 0x500n;
const SITE = FUNCTION + 4n;
/** On pages of their own. */
const NEW = TEXT + 0x1000n;
const OTHER = TEXT + 0x2000n;
const STACK = 0xffffc90000000000n;
const SP = STACK + 0x800n;

describe.each(['interpreted', 'compiled at once'])('%s', (how) => {
  let cpu: WasmEngine;
  let core: Core;
  let task: number;

  beforeEach(async () => {
    core = await Core.create({ sites: 16, funcs: 16, tasks: 4 });
    cpu = await createWasm(core.instance, how === 'interpreted' ? false : 'eager');
    cpu.map(TEXT, 0x3000n, 'rwx');
    cpu.map(STACK, 0x1000n, 'rw');
    const trampoline = { kernel: '6.12', handler: GATE, ops: STACK, returnThunk: THUNK } as const;
    cpu.write(TRAMPOLINE, opsTrampoline({ ...trampoline, kind: 'regs', address: TRAMPOLINE }).bytes);
    place(GATE, raw(0xcc));
    place(THUNK, ret());
    place(CALLER, call(FUNCTION), ret());
    // lea rcx, [rsp-0x200]; mov rdi, SITE; mov rax, NEW; push rax; jmp GATE
    cpu.write(STRAIGHT, bytesOfHex('488d8c2400feffff 48c7c704050081 48c7c000100081 50 e9a4fbffff'));
    place(FUNCTION, endbr64(), raw(...callBytes(SITE, TRAMPOLINE)), movImm32('rax', 1), ret());
    place(NEW, movImm32('rax', 2), ret());
    place(OTHER, movImm32('rax', 3), ret());
    cpu.redirection.useCore(GATE);
    task = core.addTask();
    cpu.redirection.setTask(task);
    core.pushFunc(SITE, NEW, 1);
    for (let i = 0; i < 5; i++) expect(called()).toBe(2n);
  });
  afterEach(() => cpu.dispose());

  function place(at: bigint, ...instructions: Instruction[]): void {
    cpu.write(at, assemble(at, instructions).bytes);
  }

  function start(from: bigint, until = UNTIL, on: Engine = cpu) {
    on.write(SP, Uint8Array.from(bytesOf(UNTIL, 8)));
    on.writeRegister('rsp', SP);
    return on.run({ from, until, budget: 10_000 });
  }

  /** What the function returns. */
  function called(on: Engine = cpu): bigint {
    expect(start(CALLER, UNTIL, on)).toMatchObject({ reason: 'until' });
    return on.readRegister('rax');
  }

  test('the host writes the new function', () => {
    for (const value of [7, 8]) {
      place(NEW, movImm32('rax', value), ret());
      for (let i = 0; i < 3; i++) expect(called()).toBe(BigInt(value));
    }
  });

  test('the guest writes the new function between the gate and it', () => {
    // the return thunk becomes: mov dword [NEW+3], 9; ret
    cpu.write(THUNK, bytesOfHex('c7042503100081 09000000 c3'));
    expect(called()).toBe(9n);
    cpu.write(NEW + 3n, Uint8Array.of(2));
    expect(called()).toBe(9n);
  });

  test('the new function is no longer executable, or gone', () => {
    cpu.protect(NEW, 0x1000n, 'rw');
    const fault = { access: 'fetch', address: NEW };
    expect(start(CALLER)).toMatchObject({ reason: 'fault', rip: NEW, fault: { kind: 'protected', ...fault } });
    cpu.protect(NEW, 0x1000n, 'rx');
    expect(called()).toBe(2n);
    cpu.unmap(NEW, 0x1000n);
    expect(start(CALLER)).toMatchObject({ reason: 'fault', rip: NEW, fault: { kind: 'unmapped', ...fault } });
    cpu.map(NEW, 0x1000n, 'rwx');
    place(NEW, movImm32('rax', 4), ret());
    expect(called()).toBe(4n);
  });

  test('runs end and stop at the new function', () => {
    expect(start(CALLER, NEW)).toMatchObject({ reason: 'until', rip: NEW });
    expect(called()).toBe(2n);
    cpu.redirection.setStop(NEW, true);
    expect(start(CALLER)).toMatchObject({ reason: 'stopped', rip: NEW });
    cpu.redirection.setStop(NEW, false);
    expect(called()).toBe(2n);
  });

  test('all blocks are dropped', () => {
    for (let i = 0; i < 3; i++) {
      cpu.redirection.setGlue(BigUint64Array.of(TRAMPOLINE, CALLER), { start: TRAMPOLINE, end: CALLER });
      place(NEW, movImm32('rax', i), ret());
      expect(called()).toBe(BigInt(i));
      expect(called()).toBe(BigInt(i));
    }
  });

  test('a fork writes the new function, which is still the old one in its parent', () => {
    const instance = core.instance.fork();
    core.fork(instance);
    const fork = cpu.fork(instance);
    try {
      fork.write(NEW + 3n, Uint8Array.of(6));
      for (let i = 0; i < 3; i++) {
        expect(called(fork)).toBe(6n);
        expect(called()).toBe(2n);
      }
      // parent and fork share the site, and what the one knows of blocks does not hold for the other
      expect([called(), called(), called(fork), called(fork)]).toEqual([2n, 2n, 6n, 6n]);
    } finally {
      fork.dispose();
      instance.dispose();
    }
  });

  test('there is no redirection code', () => {
    for (let i = 0; i < 2; i++) {
      cpu.redirection.setGlue(new BigUint64Array(0), { start: 0n, end: 0n });
      expect(called()).toBe(2n);
    }
  });

  test('two tasks in a transition take turns (L39, L40)', () => {
    const old = core.addTask();
    core.pushFunc(SITE, OTHER, 2, { transition: true });
    core.setPatchState(task, 'patched');
    core.setPatchState(old, 'unpatched');
    for (let i = 0; i < 4; i++) {
      cpu.redirection.setTask(task);
      expect(called()).toBe(3n);
      cpu.redirection.setTask(old);
      expect(called()).toBe(2n);
    }
  });

  test('a second patch comes and goes', () => {
    for (let round = 0; round < 3; round++) {
      const other = core.pushFunc(SITE, OTHER, 2);
      expect(called()).toBe(3n);
      core.removeFunc(other);
      expect(called()).toBe(2n);
    }
  });

  test('a step over the gate ends after it, though it comes back at the new function', () => {
    place(NEW, ret());
    for (let i = 0; i < 3; i++) {
      expect(start(STRAIGHT)).toMatchObject({ reason: 'until' });
      expect(start(STRAIGHT, GATE)).toMatchObject({ reason: 'until', rip: GATE });
      expect(cpu.step()).toMatchObject({ reason: 'stopped', rip: NEW, instructions: 0 });
      expect(cpu.step()).toMatchObject({ reason: 'stopped', rip: UNTIL, instructions: 1 });
    }
  });
});
