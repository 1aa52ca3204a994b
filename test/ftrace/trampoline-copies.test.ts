// Copies of a trampoline are, byte for byte, what assembling each of them gives.
import { describe, expect, test } from 'vitest';
import { TrampolineBytesError } from '../../src/errors.ts';
import { opsTrampoline } from '../../src/ftrace/trampoline.ts';
import { TrampolineCopies } from '../../src/ftrace/trampoline-copies.ts';

const THUNK = 0xffffffff81000100n;
const HANDLERS = [0xffffffff81000000n, 0xffffffff80ffff00n];
const PLACES = [0xffffffffc0000000n, 0xffffffffc0001230n, 0xffffffff80000ff0n];

describe.each(['6.1', '6.12'] as const)('trampolines of %s', (kernel) => {
  const copies = new TrampolineCopies(kernel, THUNK);

  test.each(['args', 'regs'] as const)(
    'of kind %s, copied to any place for any ops, are those that are assembled there (F28–F31)',
    (kind) => {
      for (const handler of HANDLERS) {
        for (const [i, address] of PLACES.entries()) {
          const ops = address + 0x100n + BigInt(i);
          const { bytes } = opsTrampoline({ kind, kernel, address, handler, ops, returnThunk: THUNK });
          expect(copies.copy({ kind, handler, address, ops })).toEqual(bytes);
          expect(copies.length(kind, handler, address)).toBe(bytes.length);
        }
      }
    },
  );

  test('a place from which the handler is out of reach is refused (F10)', () => {
    const spec = { kind: 'args', handler: HANDLERS[0] ?? 0n, ops: 0n } as const;
    copies.copy({ ...spec, address: PLACES[0] ?? 0n });
    expect(() => copies.copy({ ...spec, address: 0x7fff00000000n })).toThrow(TrampolineBytesError);
  });
});
