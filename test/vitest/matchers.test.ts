// The matchers for vitest: what passes, what fails, and what a failure shows.
import { describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import '../../src/vitest.ts';

const FUNCTION = { address: 0x1000_0800n, bytes: bytesOfHex('554889e54883ec10c9c3'), padding: 0xcc };
const OPTIONS = { function: FUNCTION, address: 0x1000_4000n };
const GOOD = '554889e54883ec10e9fbc7ffff';
const BROKEN = '554889e54883ec1083c301e9f8c7ffff';

async function failure(expectation: Promise<unknown>): Promise<string> {
  try {
    await expectation;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return '';
}

describe('toBeEquivalentTrampoline', () => {
  test('passes for a relocated prologue, as bytes or hex digits', async () => {
    await expect(GOOD).toBeEquivalentTrampoline(OPTIONS);
    await expect(bytesOfHex(GOOD)).toBeEquivalentTrampoline(OPTIONS);
    await expect(BROKEN).not.toBeEquivalentTrampoline(OPTIONS);
  });

  test('fails with the first difference, and the instruction that makes it', async () => {
    const message = await failure(expect(BROKEN).toBeEquivalentTrampoline(OPTIONS));
    expect(message).toContain('expected the bytes at 0x10004000 to be an equivalent trampoline: broken: rbx is 0x1');
    expect(message).toMatch(/> +0x10004008 +83c301 +add ebx, 0x1 +rbx=0x1/);
    expect(message).toContain('first difference: rbx is 0x1 instead of 0x0');
    expect(await failure(expect(GOOD).not.toBeEquivalentTrampoline(OPTIONS))).toContain('0x10004000 not to be');
  });

  test('what is not judged fails both ways', async () => {
    const message = /not-judged: no bytes/;
    expect(await failure(expect('').toDispatchTo(1n, { address: 0n }))).toMatch(message);
    expect(await failure(expect('').not.toDispatchTo(1n, { address: 0n }))).toMatch(message);
  });

  test('another value than bytes is a type error', async () => {
    expect(await failure(expect(5).toBeEquivalentTrampoline(OPTIONS))).toContain('expected a Uint8Array or hex digits');
  });
});

describe('toDispatchTo', () => {
  const address = 0x1000_0000n;

  test('passes where a jump or an indirect jump leads there, whatever the registers', async () => {
    await expect('e9fb0f0000').toDispatchTo(0x1000_1000n, { address });
    // jmp [rip+0] and its pointer, above 4 GiB
    await expect('ff2500000000001000000090ffff').toDispatchTo(0xffff_9000_0000_1000n, { address });
    // mov r11, imm64; jmp r11
    await expect('49bb001000100000000041ffe3').toDispatchTo(0x1000_1000n, { address });
  });

  test('fails where it depends on a register, and shows it', async () => {
    const bytes = '4885ff74050f1f440000e9f10f0000'; // test rdi, rdi; je to the jump; nop; jmp
    await expect(bytes).toDispatchTo(0x1000_1000n, { address: 0x1000_0000n });
    const split = '4885ff7405e9f60f0000e9f20f0000'; // test rdi, rdi; je +5; jmp; jmp one byte further
    const message = await failure(expect(split).toDispatchTo(0x1000_1000n, { address }));
    expect(message).toMatch(/goes to 0x10001001 instead of 0x10001000/);
    expect(message).toContain('test rdi, rdi');
  });

  test('runs through functions that are called on the way', async () => {
    // call the handler, then jump on
    await expect('e8fb1f0000e9f60f0000').toDispatchTo(0x1000_1000n, { address, calls: [0x1000_2000n] });
  });
});

describe('the result of a call on a machine', () => {
  test('is told apart by where it arrived, and with which registers', async () => {
    const result = { runs: { name: 'fix_a:f', changed: ['rsi'] } };
    await expect(result).toDispatchTo('fix_a:f');
    await expect(result).not.toPreserveRegisters();
    expect(await failure(expect(result).toDispatchTo('vmlinux:f'))).toContain('to run vmlinux:f, it ran fix_a:f');
    expect(await failure(expect(result).toPreserveRegisters())).toContain('changed: rsi');
    expect(await failure(expect('90').toPreserveRegisters())).toContain('or bytes with { address }');
  });
});

describe('toPreserveRegisters', () => {
  const address = 0x1000_0000n;

  test('passes for pushes and pops in pairs', async () => {
    await expect('505153585859e9f50f0000').not.toPreserveRegisters({ address });
    await expect('50515958e9f70f0000').toPreserveRegisters({ address });
  });

  test('fails with the register and the instruction that changed it', async () => {
    const message = await failure(expect('49bb001000100000000041ffe3').toPreserveRegisters({ address }));
    expect(message).toContain('r11 is 0x10001000 instead of 0x0');
    expect(message).toContain('mov r11, 0x10001000');
  });

  test('only the registers named count, and the flags only if asked', async () => {
    await expect('49bb001000100000000041ffe3').toPreserveRegisters({ address, registers: ['rax', 'xmm0', 'rsp'] });
    await expect('4839c0e9f80f0000').toPreserveRegisters({ address }); // cmp rax, rax
    await expect('4839c0e9f80f0000').not.toPreserveRegisters({ address, flags: true });
    await expect('0f57c0e9f80f0000').not.toPreserveRegisters({ address }); // xorps xmm0, xmm0
  });
});
