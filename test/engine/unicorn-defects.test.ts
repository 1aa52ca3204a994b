// Pins each defect of the unicorn.js build that the adapter works around, against the raw library: a failure here says
// that a newer build has lost one, and that its work-around can go.
import { type Unicorn, uc } from '@specy/x86/dist/x86/deps/unicorn-x86.min.js';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { bytesOfHex, hex } from '../../src/address.ts';

const BASE = 0xffffffff81000000n;
const LOW = 0x100000;

/** A constant of the library. */
const id = (name: string): number => {
  const value = uc[name];
  if (typeof value !== 'number') throw new Error(`no constant ${name}`);
  return value;
};

describe('unicorn.js 1.0.3', () => {
  let unicorn: Unicorn;

  beforeEach(() => {
    unicorn = new uc.Unicorn(id('ARCH_X86'), id('MODE_64'));
    unicorn.mem_map(hex(BASE), 0x4000, id('PROT_ALL'));
    unicorn.mem_map(LOW, 0x4000, id('PROT_ALL'));
  });
  afterEach(() => {
    vi.restoreAllMocks();
    unicorn.close();
  });

  const register = (name: string) =>
    new DataView(unicorn.reg_read(id(`X86_REG_${name}`), 8).buffer).getBigUint64(0, true);
  const setRegister = (name: string, value: bigint) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    unicorn.reg_write(id(`X86_REG_${name}`), bytes);
  };
  /** Runs code at `at` to its end, and gives what was thrown. */
  const run = (text: string, at = BASE, until?: bigint): unknown => {
    const bytes = bytesOfHex(text);
    unicorn.mem_write(hex(at), bytes);
    try {
      unicorn.emu_start(hex(at), hex(until ?? at + BigInt(bytes.length)), 0, 0);
      return undefined;
    } catch (error) {
      return error;
    }
  };
  /** Every block reported, as `offset+size`. */
  const blocks = (): string[] => {
    const seen: string[] = [];
    unicorn.hook_add(id('HOOK_BLOCK'), (_, low = 0, _high, size) => seen.push(`${low & 0xffff}+${size}`), null, 1, 0);
    return seen;
  };

  test('an instruction hook on a conditional jump corrupts rax', () => {
    const loop = '31c0 b903000000 ffc9 75fc 90';
    run(loop, BigInt(LOW));
    const right = register('RAX');
    unicorn.hook_add(id('HOOK_CODE'), () => undefined, null, 1, 0);
    run(loop, BigInt(LOW));
    expect(right).toBe(0n);
    expect(register('RAX')).not.toBe(0n);
  });

  test('the count argument of emu_start corrupts rax in the same way', () => {
    unicorn.mem_write(LOW, bytesOfHex('31c0 b903000000 ffc9 75fc 90'));
    unicorn.emu_start(LOW, LOW + 12, 0, 100);
    expect(register('RAX')).not.toBe(0n);
  });

  test('a hook range above 4 GiB is not hooked', () => {
    let calls = 0;
    unicorn.hook_add(id('HOOK_CODE'), () => calls++, null, Number(BASE), Number(BASE + 0x1000n));
    run('9090');
    expect(calls).toBe(0);
  });

  test('a bigint address silently becomes 0', () => {
    const map = unicorn.mem_map as (address: unknown, size: number, access: number) => void;
    map.call(unicorn, 0x7000_0000n, 0x1000, id('PROT_ALL'));
    expect(unicorn.mem_read(0, 1)).toEqual(Uint8Array.of(0));
    expect(() => unicorn.mem_read(0x7000_0000, 1)).toThrow();
    unicorn.reg_write_i64(id('X86_REG_RAX'), 5n);
    expect(register('RAX')).toBe(0n);
  });

  test('reg_read_i64 gives the low 32 bits only', () => {
    setRegister('RAX', 0x1234567880000001n);
    expect(unicorn.reg_read_i64(id('X86_REG_RAX'))).toBe(-0x7fffffff);
    expect(register('RAX')).toBe(0x1234567880000001n);
  });

  test('contexts and regions do nothing, version throws', () => {
    const said = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    expect(unicorn.context_alloc()).toBeUndefined();
    expect(unicorn.mem_regions()).toBeUndefined();
    expect(said).toHaveBeenCalledTimes(2);
    expect(() => uc.version()).toThrow(ReferenceError);
  });

  test('failures are thrown as strings', () => {
    let thrown: unknown;
    try {
      unicorn.mem_read(hex(0x5000n), 1);
    } catch (error) {
      thrown = error;
    }
    expect(typeof thrown).toBe('string');
    expect(run('488b042500000000')).toBeInstanceOf(Error);
  });

  test('a run inside a hook makes the outer run throw Infinity', () => {
    let hook = true;
    unicorn.hook_add(
      id('HOOK_BLOCK'),
      () => {
        if (!hook) return;
        hook = false;
        unicorn.emu_start(hex(BASE + 0x100n), hex(BASE + 0x101n), 0, 0);
      },
      null,
      1,
      0,
    );
    unicorn.mem_write(hex(BASE + 0x100n), [0x90]);
    expect(run('90')).toBe(Number.POSITIVE_INFINITY);
  });

  test('the first block of each run but the first is reported twice', () => {
    const seen = blocks();
    run('9090');
    expect(seen.splice(0)).toEqual(['0+2']);
    for (let i = 0; i < 3; i++) {
      run('9090');
      expect(seen.splice(0)).toEqual(['0+2', '0+2']);
    }
  });

  test('each iteration of a REP is a block, and one more for the end', () => {
    const seen = blocks();
    setRegister('RCX', 2n);
    setRegister('RDI', BASE + 0x1000n);
    run('90 f3aa 90');
    expect(seen).toEqual(['0+3', '1+2', '1+2', '3+1']);
  });

  test('a block too long for the translator has size 0, and its rest is not reported', () => {
    const seen = blocks();
    run(`${'48894424f8'.repeat(200)}eb00 90`);
    expect(seen[0]).toBe('0+0');
    expect(seen.length).toBeLessThan(200 / 16);
  });

  test('a store into its own block reports the rest with size 0', () => {
    const seen = blocks();
    run('90 c6050100000090 90 90 90');
    expect(seen).toEqual(['0+11', '1+0']);
  });

  test('after a memory fault rip is the start of the block, unless a memory hook exists', () => {
    expect(run('90 488b042500000000')).toBeInstanceOf(Error);
    expect(register('RIP')).toBe(BASE);
    unicorn.hook_add(id('HOOK_MEM_READ') | id('HOOK_MEM_WRITE'), () => undefined, null, 8, 8);
    expect(run('90 488b042500000000')).toBeInstanceOf(Error);
    expect(register('RIP')).toBe(BASE + 1n);
  });

  test('a block that runs off its page faults before its first instruction', () => {
    setRegister('RAX', 0n);
    expect(run('48ffc0 48ffc0', BASE + 0x3ffan, 0n)).toBeInstanceOf(Error);
    expect(register('RAX')).toBe(0n);
    expect(register('RIP')).toBe(BASE + 0x3ffan);
  });

  test('a taken branch runs past a stop address behind it', () => {
    run('31c0 7401 90 90', BASE, BASE + 4n);
    expect(register('RIP')).not.toBe(BASE + 4n);
  });

  test('hlt ends a run without a word', () => {
    expect(run('f4 90 90')).toBeUndefined();
    expect(register('RIP')).toBe(BASE + 1n);
  });

  test('the reserved flag bit reads as 0', () => {
    expect(register('EFLAGS') & 2n).toBe(0n);
  });

  test('an address that is not canonical is taken for an unmapped one', () => {
    setRegister('RAX', 1n << 63n);
    expect(String(run('488b00'))).toContain('code 6');
  });

  test('andn is silently wrong, popcnt and movbe are refused', () => {
    setRegister('RAX', 0xf0n);
    setRegister('RCX', 0x6f3n);
    expect(run('c4e278f2d1')).toBeUndefined(); // andn edx, eax, ecx
    expect(register('RDX')).not.toBe(0x603n);
    expect(String(run('f30fb8c1'))).toContain('code 10');
    expect(String(run('0f38f000'))).toContain('code 10');
  });
});
