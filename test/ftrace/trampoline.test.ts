// The trampolines have the kernel's layout (F20 to F32), and take the kernel's number of instructions on the CPU.
import { describe, expect, test } from 'vitest';
import { createEngine } from '../../src/engine/create.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { PT_REGS, PT_REGS_SIZE } from '../../src/ftrace/pt-regs.ts';
import { callBytes } from '../../src/ftrace/site.ts';
import { END, HANDLER_CALL, type KernelVersion, OP_PTR, opsTrampoline } from '../../src/ftrace/trampoline.ts';
import { decode } from '../../src/x86/decode.ts';
import * as x86 from '../../src/x86/encode.ts';

const CODE = 0xffffffffc0000000n;
const TRAMPOLINE = CODE + 0x1000n;
const HANDLER = CODE + 0x2000n;
const THUNK = CODE + 0x2100n;
const FUNCTION = CODE + 0x3000n;
const TARGET = CODE + 0x4000n;
const PARENT = CODE + 0x5000n;
const STACK = 0xffffc90000000000n;
const OPS = 0xffffffff82345678n;

const spec = (kind: 'args' | 'regs', kernel: KernelVersion) =>
  ({ kind, kernel, address: TRAMPOLINE, handler: HANDLER, ops: OPS, returnThunk: THUNK }) as const;

/** F32: sizes and offsets in Debian's 6.1 and 6.12 kernels; the copy adds a 5-byte return and 8 bytes of ops pointer. */
const LAYOUTS = [
  { kind: 'args', kernel: '6.1', size: 194, opPtr: 0x67, call: 0x7e },
  { kind: 'regs', kernel: '6.1', size: 327, opPtr: 0x58, call: 0xc3, jnz: 0x115 },
  { kind: 'args', kernel: '6.12', size: 216, opPtr: 0x74, call: 0x94 },
  { kind: 'regs', kernel: '6.12', size: 349, opPtr: 0x65, call: 0xd9, jnz: 0x12b },
] as const;

describe.each(LAYOUTS)('the $kind trampoline of $kernel', ({ kind, kernel, size, opPtr, call, ...rest }) => {
  const { bytes, labels } = opsTrampoline(spec(kind, kernel));

  test('has the size and the offsets of the real one (F30, F32)', () => {
    expect(labels.get(END)).toBe(size);
    expect(labels.get(OP_PTR)).toBe(opPtr);
    expect(labels.get(HANDLER_CALL)).toBe(call);
    expect(bytes).toHaveLength(size + 5 + 8);
    expect([...bytes.subarray(opPtr, opPtr + 3)]).toEqual([0x48, 0x8b, 0x15]);
    if ('jnz' in rest) expect([...bytes.subarray(rest.jnz, rest.jnz + 2)]).toEqual([0x66, 0x90]);
  });

  test('loads its ops, calls the handler and ends in the return thunk (F28, F29, F31)', () => {
    const code = decode(bytes.subarray(0, size + 5), TRAMPOLINE);
    expect(code.every((one) => one.flow !== 'invalid')).toBe(true);
    expect(code.find((one) => one.flow === 'call')?.target).toBe(HANDLER);
    expect(code.at(-1)).toMatchObject({ flow: 'jump', target: THUNK });
    expect(code.find((one) => one.ip === TRAMPOLINE + BigInt(opPtr))?.ripAddress).toBe(TRAMPOLINE + BigInt(size + 5));
    expect(new DataView(bytes.buffer).getBigUint64(size + 5, true)).toBe(OPS);
  });
});

/** A function whose site calls the trampoline, and a handler of our own. */
async function guest(kind: 'args' | 'regs', kernel: KernelVersion, handler: x86.Instruction[]): Promise<Engine> {
  const engine = await createEngine('unicorn');
  engine.map(CODE, 0x6000n, 'rx');
  engine.map(STACK, 0x2000n, 'rw');
  engine.write(TRAMPOLINE, opsTrampoline(spec(kind, kernel)).bytes);
  engine.write(HANDLER, x86.assemble(HANDLER, handler).bytes);
  engine.write(THUNK, x86.assemble(THUNK, [x86.ret(), x86.int3()]).bytes);
  engine.write(FUNCTION, callBytes(FUNCTION, TRAMPOLINE));
  engine.write(FUNCTION + 5n, x86.assemble(FUNCTION + 5n, [x86.ret()]).bytes);
  engine.write(TARGET, x86.assemble(TARGET, [x86.ret()]).bytes);
  engine.writeRegister('rsp', STACK + 0x1ff8n);
  engine.write(STACK + 0x1ff8n, Uint8Array.from(x86.bytesOf(PARENT, 8)));
  return engine;
}

const redirect = [x86.movImm32(x86.mem('rcx', PT_REGS.ip), Number(BigInt.asIntN(32, TARGET))), x86.jmp(THUNK)];

describe('a call through the trampoline of 6.1 with a two-instruction handler', () => {
  test.each([
    { kind: 'args', instructions: 38 },
    { kind: 'regs', instructions: 64 },
  ] as const)('reaches the target after $instructions instructions ($kind)', async ({ kind, instructions }) => {
    const engine = await guest(kind, '6.1', redirect);
    const exit = engine.run({ from: FUNCTION, until: TARGET, budget: 1000 });
    expect(exit).toMatchObject({ reason: 'until', rip: TARGET, instructions });
    engine.dispose();
  });

  test.each([
    { kind: 'args', instructions: 37 - 1 },
    { kind: 'regs', instructions: 63 - 1 },
  ] as const)(
    'falls through to the original after $instructions where the handler only returns ($kind)',
    async (row) => {
      const engine = await guest(row.kind, '6.1', [x86.ret()]);
      const exit = engine.run({ from: FUNCTION, until: FUNCTION + 5n, budget: 1000 });
      expect(exit).toMatchObject({ reason: 'until', instructions: row.instructions });
      engine.dispose();
    },
  );
});

describe.each(LAYOUTS)('what the handler finds and what the target gets ($kind, $kernel)', ({ kind, kernel }) => {
  test('pt_regs, arguments and registers are those of the rules (F20–F25)', async () => {
    const engine = await guest(kind, kernel, redirect);
    const before = new Map(x86.REGS.map((reg, i) => [reg, 0x1111_2222_3333_0000n + BigInt(i)] as const));
    for (const [reg, value] of before) if (reg !== 'rsp') engine.writeRegister(reg, value);
    const flags = 0x8d5n;
    engine.writeRegister('rflags', flags);
    const at = engine.run({ from: FUNCTION, until: HANDLER, budget: 1000 });
    expect(at.reason).toBe('until');
    const rsp = STACK + 0x1ff8n;
    expect(engine.readRegister('rdi')).toBe(FUNCTION); // F21
    expect(engine.readRegister('rsi')).toBe(PARENT);
    expect(engine.readRegister('rdx')).toBe(OPS);
    const regs = engine.readRegister('rcx');
    expect(regs).toBe(rsp - 8n - (kind === 'regs' ? 8n : 0n) - BigInt(PT_REGS_SIZE));
    const frame = new DataView(engine.read(regs, PT_REGS_SIZE).buffer);
    const saved = (offset: number) => frame.getBigUint64(offset, true);
    const everywhere = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'rbp'] as const;
    const rest = ['r15', 'r14', 'r13', 'r12', 'r11', 'r10', 'rbx'] as const;
    for (const reg of kind === 'regs' ? [...everywhere, ...rest] : everywhere) {
      expect(saved(PT_REGS[reg]), reg).toBe(before.get(reg));
    }
    expect(saved(PT_REGS.origRax)).toBe(0n); // C25
    expect(saved(PT_REGS.ip)).toBe(FUNCTION + 5n);
    expect(saved(PT_REGS.sp)).toBe(rsp);
    expect(saved(PT_REGS.cs)).toBe(kind === 'regs' ? 0x10n : 0n); // C27
    if (kind === 'regs') {
      expect(saved(PT_REGS.ss)).toBe(0x18n);
      expect(saved(PT_REGS.flags) & flags).toBe(flags);
    }
    const end = engine.run({ from: HANDLER, until: TARGET, budget: 1000 });
    expect(end.reason).toBe('until');
    for (const reg of kind === 'regs' ? x86.REGS : x86.REGS.filter((one) => !['r10', 'r11'].includes(one))) {
      expect(engine.readRegister(reg), reg).toBe(reg === 'rsp' ? rsp : before.get(reg)); // I3
    }
    if (kind === 'regs') expect(engine.readRegister('rflags') & flags).toBe(flags); // F25
    engine.dispose();
  });
});
