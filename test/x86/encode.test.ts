// What the encoder writes is what the decoder reads.
import { describe, expect, test } from 'vitest';
import { decode } from '../../src/x86/decode.ts';
import * as x86 from '../../src/x86/encode.ts';

const AT = 0xffffffffc0010000n;

function text(...instructions: x86.Instruction[]): string[] {
  const { bytes } = x86.assemble(AT, instructions);
  const decoded = decode(bytes, AT);
  expect(decoded.reduce((sum, one) => sum + one.length, 0)).toBe(bytes.length);
  expect(decoded.map((one) => one.length)).toEqual(instructions.map((one) => one.length));
  return decoded.map((one) => one.text);
}

describe('every register in every place of an instruction', () => {
  for (const a of x86.REGS) {
    test(`${a} with each other register`, () => {
      for (const b of x86.REGS) {
        expect(text(x86.mov(a, b))).toEqual([`mov ${a}, ${b}`]);
        expect(text(x86.test(a, b))).toEqual([`test ${a}, ${b}`]);
        expect(text(x86.mov(a, x86.mem(b)))).toEqual([`mov ${a}, [${b}]`]);
        expect(text(x86.mov(x86.mem(b, 0x10), a))).toEqual([`mov [${b}+0x10], ${a}`]);
        expect(text(x86.lea(a, x86.mem(b, 0x1234)))).toEqual([`lea ${a}, [${b}+0x1234]`]);
        expect(text(x86.mov(a, x86.mem(b, -0x80)))).toEqual([`mov ${a}, [${b}-0x80]`]);
        expect(text(x86.mov(a, x86.mem(b, -0x81)))).toEqual([`mov ${a}, [${b}-0x81]`]);
        expect(text(x86.mov(a, x86.mem(b, 0x7f)))).toEqual([`mov ${a}, [${b}+0x7f]`]);
        expect(text(x86.mov(a, x86.mem(b, 0x80)))).toEqual([`mov ${a}, [${b}+0x80]`]);
      }
      expect(text(x86.push(a), x86.pop(a), x86.jmpReg(a))).toEqual([`push ${a}`, `pop ${a}`, `jmp ${a}`]);
      expect(text(x86.add(a, 8), x86.sub(a, 0xa8))).toEqual([`add ${a}, 0x8`, `sub ${a}, 0xa8`]);
      expect(text(x86.movImm64(a, 0x8877665544332211n))).toEqual([`mov ${a}, 0x8877665544332211`]);
      expect(text(x86.movImm32(a, 0x18))).toEqual([`mov ${a}, 0x18`]);
    });
  }
});

test('each NOP of 1 to 9 bytes is one instruction of that length', () => {
  for (let length = 1; length <= 9; length++) {
    expect(text(x86.nop(length))).toHaveLength(1);
    expect(x86.nop(length).length).toBe(length);
  }
  expect(() => x86.nop(10)).toThrow(RangeError);
  expect(() => x86.nop(0)).toThrow(RangeError);
});

test('branches reach exactly from -2^31 to 2^31-1 past their end', () => {
  const next = AT + 5n;
  for (const target of [next - (1n << 31n), next + (1n << 31n) - 1n, next]) {
    const [one] = decode(x86.assemble(AT, [x86.call(BigInt.asUintN(64, target))]).bytes, AT);
    expect(one?.target).toBe(BigInt.asUintN(64, target));
  }
  for (const target of [next - (1n << 31n) - 1n, next + (1n << 31n)]) {
    expect(() => x86.assemble(AT, [x86.jmp(BigInt.asUintN(64, target))])).toThrow(/ERANGE/);
  }
});

test('a branch across the end of the address space wraps as the CPU does', () => {
  const [one] = decode(x86.assemble(0xfffffffffffffff0n, [x86.call(0x100n)]).bytes, 0xfffffffffffffff0n);
  expect(one?.target).toBe(0x100n);
});

test('labels give the place of data and of short branches', () => {
  const { bytes, labels } = x86.assemble(AT, [
    x86.label('top'),
    x86.movRip('r9', 'data'),
    x86.jnzShort('top'),
    x86.jmpRip('data'),
    x86.label('data'),
    x86.quad(0x1122334455667788n),
  ]);
  expect(labels.get('data')).toBe(15);
  const [load, branch, jump] = decode(bytes.subarray(0, 15), AT);
  expect([load?.ripAddress, branch?.target, jump?.ripAddress]).toEqual([AT + 15n, AT, AT + 15n]);
  expect(() => x86.assemble(AT, [x86.jmp('nowhere')])).toThrow(/'nowhere'.*EINVAL/);
  const far = [x86.jnzShort('end'), ...Array.from({ length: 128 }, () => x86.nop(1)), x86.label('end')];
  expect(() => x86.assemble(AT, far)).toThrow(/ERANGE/);
});
