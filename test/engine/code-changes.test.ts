// Code that changes under the WASM CPU: by the guest, by the host, by protection, in the running block and across pages.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { createWasm, type WasmEngine } from '../../src/engine/wasm.ts';
import { Instance } from '../../src/wasm/instance.ts';

const PAGE = 0x1000n;
const CODE = 0xffffffff81000000n;
const DATA = 0xffff888000010000n;

describe.each(['interpreted', 'compiled at once'])('%s', (how) => {
  let cpu: WasmEngine;

  beforeEach(async () => {
    cpu = await createWasm(await Instance.create(), how === 'interpreted' ? false : 'eager');
    cpu.map(CODE, 3n * PAGE, 'rwx');
    cpu.map(DATA, 2n * PAGE, 'rw');
    cpu.writeRegister('rsp', DATA + PAGE);
  });
  afterEach(() => cpu.dispose());

  function run(from: bigint, until: bigint, budget = 10_000) {
    return cpu.run({ from, until, budget });
  }

  test('a store into the next instruction of the same block, in a hot loop', () => {
    // again: inc byte [rip+2] (the immediate of the next one); mov eax, imm32; add rbx, rax; dec ecx; jnz again
    cpu.write(CODE, bytesOfHex('fe0501000000 b800000000 4801c3 ffc9 75ee'));
    for (let round = 0; round < 3; round++) {
      cpu.write(CODE + 7n, Uint8Array.of(0, 0, 0, 0));
      cpu.writeRegister('rbx', 0n);
      cpu.writeRegister('rcx', 20n);
      expect(run(CODE, CODE + 18n)).toMatchObject({ reason: 'until', instructions: 100 });
      // 1 + 2 + … + 20
      expect(cpu.readRegister('rbx')).toBe(210n);
    }
  });

  test('a store across the edge of two pages that both hold code', () => {
    // at the edge: mov eax, 0x11223344 from 2 bytes before it; nop; ret, reached by a call from CODE
    const edge = CODE + PAGE - 2n;
    cpu.write(edge, bytesOfHex('b844332211 90 c3'));
    // again: call edge; mov [rdi], rsi (8 bytes over the edge); call edge; ret
    cpu.write(CODE, bytesOfHex('e8f90f0000 488937 e8f10f0000'));
    for (let round = 0; round < 3; round++) {
      cpu.write(edge, bytesOfHex('b844332211 90 c3 00'));
      cpu.writeRegister('rdi', edge);
      // b8 88 77 66 55 90 c3 00
      cpu.writeRegister('rsi', 0x00c3905566_7788b8n);
      expect(run(CODE, CODE + 5n).reason).toBe('until');
      expect(cpu.readRegister('rax')).toBe(0x11223344n);
      expect(run(CODE + 5n, CODE + 13n).reason).toBe('until');
      expect(cpu.readRegister('rax')).toBe(0x55667788n);
    }
  });

  test('an instruction on two pages, of which the host changes only the second', () => {
    const edge = CODE + PAGE - 3n;
    cpu.write(edge, bytesOfHex('b801000000 90'));
    for (const value of [1, 2, 3]) {
      // the bytes 00 00 of the immediate are on the second page
      cpu.write(CODE + PAGE, Uint8Array.of(value, 0));
      expect(run(edge, edge + 6n).instructions).toBe(2);
      expect(cpu.readRegister('rax')).toBe(BigInt(1 + value * 0x10000));
    }
    cpu.unmap(CODE + PAGE, PAGE);
    expect(run(edge, edge + 6n).fault).toEqual({ kind: 'unmapped', rip: edge, access: 'fetch', address: CODE + PAGE });
  });

  test('a page that a hook makes unexecutable, writable or read-only counts from the next block on', () => {
    // inc eax; jmp +0; inc eax; jmp +0; mov [rdi], eax
    cpu.write(CODE, bytesOfHex('ffc0 eb00 ffc0 eb00 8907'));
    cpu.writeRegister('rdi', DATA);
    const at = (block: bigint, change: () => void) => {
      cpu.writeRegister('rax', 0n);
      const onBlock = (address: bigint) => {
        if (address === block) change();
        return undefined;
      };
      return cpu.run({ from: CODE, until: CODE + 10n, budget: 100, onBlock });
    };
    expect(at(CODE + 4n, () => cpu.protect(DATA, PAGE, 'r')).fault).toMatchObject({
      kind: 'protected',
      rip: CODE + 8n,
    });
    expect(at(CODE + 4n, () => cpu.protect(DATA, PAGE, 'rw')).reason).toBe('until');
    const unexecutable = at(CODE + 4n, () => cpu.protect(CODE, PAGE, 'rw'));
    expect(unexecutable.fault).toMatchObject({ kind: 'protected', access: 'fetch', rip: CODE + 4n });
    expect(cpu.readRegister('rax')).toBe(1n);
    cpu.protect(CODE, PAGE, 'rx');
    expect(run(CODE, CODE + 10n).reason).toBe('until');
  });

  test('a guest that writes to code it may not write faults before anything changes', () => {
    cpu.write(CODE, bytesOfHex('c60590000000cc c3'));
    cpu.protect(CODE, PAGE, 'rx');
    for (let round = 0; round < 3; round++) {
      const { fault, instructions } = run(CODE, CODE + 7n);
      expect(fault).toEqual({ kind: 'protected', rip: CODE, access: 'write', address: CODE + 0x97n });
      expect(instructions).toBe(0);
    }
  });

  test('the budget ends long runs exactly, also where the next block is longer than what is left', () => {
    // again: inc rax × 8; dec rcx; jnz again
    cpu.write(CODE, bytesOfHex(`${'48ffc0'.repeat(8)} 48ffc9 75e3`));
    for (const budget of [0, 1, 9, 10, 11, 65_535, 65_536, 65_537, 131_079, 200_003]) {
      cpu.writeRegister('rax', 0n);
      cpu.writeRegister('rcx', 1_000_000n);
      expect(run(CODE, 0n, budget)).toMatchObject({ reason: 'budget', instructions: budget });
      expect(cpu.readRegister('rax'), `budget ${budget}`).toBe(
        BigInt(8 * Math.floor(budget / 10) + Math.min(8, budget % 10)),
      );
    }
  });
});
