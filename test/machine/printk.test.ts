// Kernel printf for any format and any arguments: bounded, and safe for pointers to nothing.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatText, MAX_RECORD, recordOf } from '../../src/machine/printk.ts';

const TEXT = new TextEncoder().encode('text\0');
const BASE = 0x10000n;

/** Formats with arguments as they stand; memory holds `text` at BASE, up to the end of memory. */
function format(pattern: string, ...values: readonly bigint[]): string {
  let next = 0;
  return formatText(pattern, {
    next: () => BigInt.asUintN(64, values[next++] ?? 0n),
    read: (at, size) => {
      const from = Number(at - BASE);
      return from < 0 || from + size > 0x1000
        ? undefined
        : Uint8Array.from({ length: size }, (_, i) => TEXT[from + i] ?? 0);
    },
    symbol: (address, offset) => `symbol_${address}${offset ? '+0' : ''}`,
  });
}

describe('a conversion', () => {
  test.each<[string, bigint[], string]>([
    ['%d', [-1n], '-1'],
    ['%d', [0x1_0000_0005n], '5'],
    ['%ld', [-(1n << 63n)], '-9223372036854775808'],
    ['%u', [-1n], '4294967295'],
    ['%llu', [-1n], '18446744073709551615'],
    ['%hhd', [0xffn], '-1'],
    ['%#o', [8n], '010'],
    ['%#X', [255n], '0XFF'],
    ['%#x', [0n], '0'],
    ['%08lx', [0xabn], '000000ab'],
    ['%-8x|', [0xabn], 'ab      |'],
    ['%-08d|', [7n], '7       |'],
    ['%+.3d', [7n], '+007'],
    ['%8.3d', [7n], '     007'],
    ['%*d', [-4n, 7n], '7   '],
    ['%.*s', [-1n, BASE], 'text'],
    ['%.0s|', [BASE], '|'],
    ['%.2s', [0xdead0000n], '(e'],
    ['%s', [0n], '(null)'],
    ['%.1s', [0n], '('],
    ['%6s', [BASE], '  text'],
    ['%c%c', [0x41n, 0x142n], 'AB'],
    ['%p', [0x12n], '0000000000000012'],
    ['%20p', [0x12n], '                  12'],
    ['%pS %ps', [5n, 5n], 'symbol_5+0 symbol_5'],
    ['%pK%d', [1n, 2n], '00000000000000012'],
    ['100%%', [], '100%'],
    ['100%', [], '100%'],
    ['%5', [], '%5'],
    ['%Lf %d', [1n, 2n], '%Lf %d'],
    ['%zd %td', [-1n, 2n], '-1 2'],
  ])('%s gives its text', (pattern, values, expected) => {
    expect(format(pattern, ...values)).toBe(expected);
  });
});

test('any format with any arguments gives at most one record', () => {
  const piece = fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.constantFrom('%s', '%d', '%999999999d', '%.999999999s', '%*.*ld', '%p', '%pS', '%n', '%', '%%', '\u0001' + '6'),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), fc.array(fc.bigInt(0n, (1n << 64n) - 1n)), (pieces, values) => {
      const text = format(pieces.join(''), ...values);
      expect(text.length).toBeLessThan(MAX_RECORD);
      expect(recordOf(text).lines.join('\n').length).toBeLessThanOrEqual(text.length);
    }),
    { seed: 0x9127, numRuns: 500 },
  );
});

test('levels are taken off, the last newline too, and a record that continues says so', () => {
  const level = (letter: string): string => `\u0001${letter}`;
  expect(recordOf(`${level('6')}a\nb\n`)).toEqual({ continues: false, lines: ['a', 'b'] });
  expect(recordOf(`${level('c')}more`)).toEqual({ continues: true, lines: ['more'] });
  expect(recordOf(`${level('4')}${level('c')}more`)).toEqual({ continues: true, lines: ['more'] });
  expect(recordOf(`${level('x')}a`)).toEqual({ continues: false, lines: [`${level('x')}a`] });
  expect(recordOf('')).toEqual({ continues: false, lines: [''] });
});
