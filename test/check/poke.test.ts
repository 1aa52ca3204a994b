// Patch protocols: what holds, and what another CPU can trip over, one step apart.
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { keepEngines } from '../../src/check/engines.ts';
import { judgePoke, type PokeQuestion } from '../../src/check/poke.ts';
import { isWhole, type PokeStep, PROTOCOLS, stepsOf } from '../../src/check/poke-protocol.ts';
import { TrampolineBytesError, TrampolineError } from '../../src/errors.ts';

const SITE = 0xffffffff81000010n;
const NOP5 = '0f1f440000';
const CALL = 'e8fb0f0000';
const OTHER_CALL = 'e8fb1f3412';

const keeper = keepEngines();
afterAll(() => keeper.dispose());

function poke(oldHex: string, newHex: string, protocol: PokeQuestion['protocol'], address = SITE) {
  const question = { address, oldBytes: bytesOfHex(oldHex), newBytes: bytesOfHex(newHex), protocol };
  return judgePoke(question, keeper.engines);
}

const INT3 = stepsOf('int3', bytesOfHex(CALL));
const without = (...gone: number[]): PokeStep[] => INT3.filter((_, i) => !gone.includes(i));
const swapped = (i: number, j: number): PokeStep[] =>
  INT3.map((step, k) => (k === i ? INT3[j] : k === j ? INT3[i] : step) ?? step);

describe('these hold (F16–F19)', () => {
  const GOOD: readonly [string, string, string, PokeQuestion['protocol'], bigint?][] = [
    ['NOP5 to a call by int3', NOP5, CALL, 'int3'],
    ['a call to NOP5 by int3', CALL, NOP5, 'int3'],
    ['one call to another by int3', CALL, OTHER_CALL, 'int3'],
    ['a call by int3 across a cache line', NOP5, CALL, 'int3', 0xffffffff8100003en],
    ['NOP5 to a near jump by int3', NOP5, 'e9fb0f0000', 'int3'],
    ['NOP2 to a short jump by int3', '6690', 'eb10', 'int3'],
    ['a conditional branch to another by int3', '0f84fb0f0000', '0f85fb0f0000', 'int3'],
    ['NOP5 to a call in one aligned store', NOP5, CALL, 'aligned'],
    ['a change of one byte in one store, aligned or not', CALL, 'e8fb1f0000', 'aligned', 0xffffffff8100003en],
    ['an XRay sled by two bytes', 'eb09660f1f840000020000', '41ba01000000e8fb0f0000', 'two-byte'],
    ['one byte in any order', '7410', 'eb10', 'plain'],
    ['nothing changed', CALL, CALL, 'plain'],
  ];
  for (const [name, oldHex, newHex, protocol, address] of GOOD) {
    test(name, async () => {
      const answer = await poke(oldHex, newHex, protocol, address);
      expect(answer.verdict, answer.reason).toBe('equivalent');
      expect(answer.reason).toMatch(/moments, \d+ images, \d+ places, \d+ executions/);
      expect(answer.size.executed).toBeGreaterThan(0);
    });
  }
});

describe('these are broken', () => {
  const BAD: readonly [string, string, string, PokeQuestion['protocol'], string, bigint?][] = [
    ['no sync after int3', NOP5, CALL, without(2), 'C41'],
    ['no sync after the tail', NOP5, CALL, without(4), 'C41'],
    ['no sync after the first byte', NOP5, CALL, without(6), 'C41'],
    ['no handler', NOP5, CALL, without(0), 'C41'],
    ['the handler comes after int3', NOP5, CALL, swapped(0, 1), 'C41'],
    ['the handler goes before the last sync', NOP5, CALL, swapped(6, 7), 'C41'],
    ['the handler goes before the first byte is there', NOP5, CALL, swapped(5, 7), 'C41'],
    ['the tail before int3', NOP5, CALL, swapped(1, 3), 'C41'],
    ['the first byte before the tail', NOP5, CALL, swapped(3, 5), 'C41'],
    ['plain bytes in any order', NOP5, CALL, 'plain', 'C42'],
    ['one store across a cache line', NOP5, CALL, 'aligned', 'C40', 0xffffffff8100003en],
    ['one store across 8 aligned bytes', NOP5, CALL, 'aligned', 'C40', 0xffffffff81000005n],
    [
      'two-byte store on an odd place over a line',
      'eb09660f1f840000020000',
      '41ba01000000e8fb0f0000',
      'two-byte',
      'C40',
      0xffffffff8100003fn,
    ],
    ['int3 over five NOPs, with a CPU among them', '9090909090', CALL, 'int3', 'C43'],
    ['one aligned store over a prologue with a CPU inside', '554889e590', CALL, 'aligned', 'C43'],
    ['a call in the old code that returns into the poked bytes', 'ffd0909090', 'e9fb0f0000', 'aligned', 'C43'],
    ['a new instruction that the handler does not emulate', NOP5, '48c7c00100', 'int3', 'C41'],
  ];
  for (const [name, oldHex, newHex, protocol, rule, address] of BAD) {
    test(name, async () => {
      const answer = await poke(oldHex, newHex, protocol, address);
      expect(answer.verdict, answer.reason).toBe('broken');
      const [shown] = answer.findings;
      expect(shown?.rule, answer.reason).toBe(rule);
      expect(shown?.bytes).toMatch(/^[0-9a-f]+$/);
      expect(shown?.replay?.bytes[0]?.bytes).toHaveLength(oldHex.length);
    });
  }

  test('stores that no sync ever follows may never be seen', async () => {
    const answer = await poke(NOP5, CALL, stepsOf('aligned', bytesOfHex(CALL)).slice(0, 1));
    expect(answer).toMatchObject({ verdict: 'broken', findings: [{ rule: 'C45' }] });
  });
});

test('the first torn state of a plain call is told as bytes and disassembly', async () => {
  const { findings, reason } = await poke(NOP5, CALL, 'plain');
  expect(reason).toMatch(/sees [0-9a-f]{10}: neither the old code nor the new/);
  expect(findings[0]?.disassembly).toMatch(/^[a-z]/);
  expect(findings[0]?.state?.registers.rsp).toMatch(/^0x/);
});

test('a search that is too large is not judged', async () => {
  const answer = await poke('90'.repeat(40), 'cc'.repeat(40), 'plain');
  expect(answer.verdict).toBe('not-judged');
});

test('stores outside the site, no bytes and bytes of two lengths are refused', async () => {
  const outside: PokeStep[] = [{ store: { offset: 4, bytes: Uint8Array.of(1, 2) } }];
  await expect(poke(NOP5, CALL, outside)).rejects.toThrow(TrampolineBytesError);
  await expect(poke('', '', 'plain')).rejects.toThrow('1 to 64 bytes');
  await expect(poke(NOP5, '90', 'plain')).rejects.toThrow('cannot replace');
});

test('a store is whole inside eight aligned bytes only', () => {
  expect([isWhole(0x1000n, 8), isWhole(0x1003n, 5), isWhole(0x1004n, 5), isWhole(0x103fn, 2)]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(PROTOCOLS).toHaveLength(4);
});

test('a site at the end of the address space is a typed error, and the engine stays usable', async () => {
  await expect(poke(NOP5, CALL, 'int3', 0xfffffffffffffff8n)).rejects.toThrow(TrampolineError);
  expect((await poke(NOP5, CALL, 'int3')).verdict).toBe('equivalent');
});
