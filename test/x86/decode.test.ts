// The decoder: what each field says, and that nothing throws.
import { describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { decode, decodeOne, instructionLengths } from '../../src/x86/decode.ts';

const IP = 0xffffffff81000000n;
const one = (text: string) => decodeOne(bytesOfHex(text), IP);

describe('decode', () => {
  test.each([
    ['0f1f440000', 'nop [rax+rax]', 'next', undefined],
    ['e8fb0f0000', 'call 0xffffffff81001000', 'call', IP + 0x1000n],
    ['e9fbffffff', 'jmp 0xffffffff81000000', 'jump', IP],
    ['74fe', 'je short 0xffffffff81000000', 'conditional', IP],
    ['e2fe', 'loop 0xffffffff81000000', 'conditional', IP],
    ['ffd0', 'call rax', 'indirect-call', undefined],
    ['ff2500000000', 'jmp qword ptr [rip]', 'indirect-jump', undefined],
    ['c3', 'ret', 'return', undefined],
    ['cc', 'int3', 'interrupt', undefined],
    ['0f0b', 'ud2', 'exception', undefined],
    ['06', '(bad)', 'invalid', undefined],
  ])('%s is "%s", flow %s', (bytes, text, flow, target) => {
    const instruction = one(bytes);
    expect(instruction).toMatchObject({ ip: IP, text, flow, length: bytes.length / 2 });
    expect(instruction.target).toBe(target);
    expect(instruction.bytes).toEqual(bytesOfHex(bytes));
  });

  test('a RIP-relative operand names its address, in the high half too', () => {
    expect(one('488b0510000000')).toMatchObject({
      text: 'mov rax, [rip+0x10]',
      ripAddress: IP + 0x17n,
      code: 'Mov_r64_rm64',
    });
    expect(one('488b00').ripAddress).toBeUndefined();
  });

  test('only repeating string instructions are REP', () => {
    expect(['f3a4', 'f2ae', 'f348ab'].map((bytes) => one(bytes).isRep)).toEqual([true, true, true]);
    expect(['a4', 'f390', 'f3c3', 'f30fb8c1', 'f30f1efa'].map((bytes) => one(bytes).isRep)).toEqual(
      Array(5).fill(false),
    );
  });

  test('undecodable bytes and a truncated end are one byte each, and decoding goes on', () => {
    expect(decode(bytesOfHex('06 90 0e 488b'), IP).map(({ text }) => text)).toEqual([
      '(bad)',
      'nop',
      '(bad)',
      '(bad)',
      '(bad)',
    ]);
    expect(instructionLengths(bytesOfHex('06 90 0f1f440000 e8'), IP)).toEqual([1, 1, 5, 1]);
  });

  test('the limit ends decoding, and no bytes give no instructions', () => {
    expect(decode(bytesOfHex('909090'), IP, 2)).toHaveLength(2);
    expect(decode(new Uint8Array(), IP)).toEqual([]);
    expect(() => decodeOne(new Uint8Array(), IP)).toThrow(RangeError);
  });

  test('addresses wrap at 2^64', () => {
    expect(decodeOne(bytesOfHex('eb00'), 0xfffffffffffffffen).target).toBe(0n);
    expect(decode(bytesOfHex('9090'), 0xffffffffffffffffn)[1]?.ip).toBe(0n);
  });

  test('lengths always sum to the bytes given, whatever they are', () => {
    const seed = 0x5eed;
    let state = seed;
    const bytes = Uint8Array.from({ length: 20_000 }, () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return state >>> 16;
    });
    const sum = instructionLengths(bytes, IP).reduce((total, length) => total + length, 0);
    expect(sum, `seed ${seed}`).toBe(bytes.length);
  });
});
