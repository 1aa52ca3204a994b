// The common callers are the kernel's own, to the byte that a site or a copy depends on (F26, F30, F32).
import { describe, expect, test } from 'vitest';
import { commonCaller, DIRECT_JUMP, END, HANDLER_CALL, OP_PTR, opsTrampoline } from '../../src/ftrace/trampoline.ts';
import { decode } from '../../src/x86/decode.ts';

const ADDRESS = 0xffffffffc0000000n;
const THUNK = ADDRESS + 0x2000n;
const HANDLER = ADDRESS + 0x3000n;
const VARIABLE = ADDRESS + 0x1000n;

/** F32: the sizes and offsets of Debian's kernels. */
const LAYOUTS = [
  { kind: 'args', kernel: '6.1', size: 194, opPtr: 0x67, call: 0x7e, jump: undefined },
  { kind: 'regs', kernel: '6.1', size: 327, opPtr: 0x58, call: 0xc3, jump: 0x115 },
  { kind: 'args', kernel: '6.12', size: 216, opPtr: 0x74, call: 0x94, jump: undefined },
  { kind: 'regs', kernel: '6.12', size: 349, opPtr: 0x65, call: 0xd9, jump: 0x12b },
] as const;

describe.each(LAYOUTS)('the $kind caller of $kernel', ({ kind, kernel, size, opPtr, call, jump }) => {
  const spec = { kind, kernel, address: ADDRESS, handler: HANDLER, returnThunk: THUNK } as const;
  const { bytes, labels } = commonCaller({ ...spec, functionTraceOp: VARIABLE });

  test('has the size and the offsets of the real one (F32)', () => {
    expect([END, OP_PTR, HANDLER_CALL, DIRECT_JUMP].map((name) => labels.get(name))).toEqual([size, opPtr, call, jump]);
    const load = decode(bytes, ADDRESS).find(({ ip }) => ip === ADDRESS + BigInt(opPtr));
    expect(load?.ripAddress).toBe(VARIABLE);
  });

  test('is what its copies are copied from, but for the ops pointer and the jump to the direct part (F28–F30)', () => {
    const copy = opsTrampoline({ ...spec, ops: 0n }).bytes.slice(0, size);
    const same = bytes.slice(0, size);
    copy.fill(0, opPtr + 3, opPtr + 7);
    same.fill(0, opPtr + 3, opPtr + 7);
    if (jump !== undefined) {
      expect([...same.slice(jump, jump + 1), ...copy.slice(jump, jump + 2)]).toEqual([0x75, 0x66, 0x90]);
      copy.fill(0, jump, jump + 2);
      same.fill(0, jump, jump + 2);
    }
    expect(same).toEqual(copy);
  });

  test('enters a direct trampoline by a return, which 6.12 balances with a call (F26)', () => {
    if (jump === undefined) return;
    const direct = decode(bytes.slice(size + 5), ADDRESS + BigInt(size + 5));
    const target = ADDRESS + BigInt(jump + 2) + BigInt(bytes[jump + 1] ?? 0);
    expect(target).toBe(ADDRESS + BigInt(size + 5));
    expect(direct.at(-1)).toMatchObject({ flow: 'jump', target: THUNK });
    expect(direct.filter(({ flow }) => flow === 'call')).toHaveLength(kernel === '6.12' ? 1 : 0);
  });
});
