// The decoder against iced-x86 on random bytes; longer runs: npx tsx test/cpu/decoder-fuzz.ts.

import { describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { Isa } from '../../src/wasm/isa.ts';
import { fuzz, sweep } from './decoder-fuzz.ts';

describe('the decoder', () => {
  test.each([0x5eed, 0x7261_6e64])('agrees with iced-x86 on validity and length (seed %d)', async (seed) => {
    const report = await fuzz(300_000, seed);
    expect(report.disagreements).toEqual([]);
    expect(report.instructions).toBeGreaterThan(100_000);
    expect(report.refused).toBeGreaterThan(50_000);
  });

  test('agrees with iced-x86 on every opcode with every ModRM byte: each gap is one on purpose', async () => {
    const report = await sweep();
    expect(report.disagreements).toEqual([]);
    expect(report.tried).toBe(60 << 16);
  });

  test.each([
    ['an instruction of 15 bytes', `${'2e'.repeat(14)}90`, 'straight', 15],
    ['16 bytes', `${'2e'.repeat(15)}90`, 'too-long', 0],
    ['prefixes alone', '66'.repeat(15), 'too-long', 0],
    ['too few bytes', '48b8 00', 'short', 0],
    ['no bytes', '', 'short', 0],
    ['a REX prefix before another prefix, which does not count', '4866 05 0100', 'straight', 5],
    ['an immediate of eight bytes', '48b8 0102030405060708', 'straight', 10],
    ['an address of eight bytes, four with 67', '67a0 01020304', 'straight', 6],
    ['lock on a register', 'f001c0', 'invalid', 0],
    ['lock on what reads only', 'f03907', 'invalid', 0],
    ['lock on a move', 'f08907', 'invalid', 0],
    ['push es, gone in 64-bit mode', '06', 'invalid', 0],
    ['cr1, which does not exist', '0f20c8', 'invalid', 0],
    ['movbe with f3', 'f30f38f106', 'invalid', 0],
    ['vector code', 'c5f877', 'outside', 0],
    ['endbr64', 'f30f1efa', 'straight', 4],
    ['a jump', 'eb00', 'branch', 2],
  ])('%s', async (_, text, kind, length) => {
    expect((await Isa.create()).decode(bytesOfHex(text))).toMatchObject({ kind, length });
  });
});
