// Where instructions begin: in a row, and where branches lead.
import { expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { instructionAround } from '../../src/machine/instruction-starts.ts';

const START = 0xffffffff81000000n;
/** Offsets of a function at which no instruction begins. */
function insides(code: string): number[] {
  const bytes = bytesOfHex(code);
  return [...bytes.keys()].filter((i) => instructionAround(bytes, START, START + BigInt(i)) !== undefined);
}

test('the bytes of an instruction after its first one are inside of it', () => {
  // push rbp; mov rbp, rsp; ret
  expect(insides('554889e5c3')).toEqual([2, 3]);
  expect(instructionAround(bytesOfHex('554889e5c3'), START, START + 3n)?.text).toBe('mov rbp, rsp');
});

test('a branch over a prefix begins an instruction inside of another one', () => {
  // jmp +1; lock add [rdi], eax; ret
  expect(insides('eb01f00107c3')).toEqual([1, 4]);
  // jne back into an immediate, where another jump leads on: mov eax, imm; jne +1; ret
  expect(insides('b8ebfe909075fac3')).toEqual([2, 3, 4, 6]);
});

test('what stands behind bytes that are no code is not known', () => {
  expect(insides('06c3b801000000')).toEqual([]);
  expect(insides('')).toEqual([]);
});
