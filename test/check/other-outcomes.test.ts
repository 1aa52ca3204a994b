// Sites by the kernel's and the tools' rules: rows of our own, at least as many as the shared file lacks of an outcome.
import { describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { judgeSite, type SiteKind, type SiteQuestion } from '../../src/check/site.ts';
import redirectCases from './cases/redirect-cases.json' with { type: 'json' };

const KERNEL = 0xffff_ffff_8100_0000n;
const PAD = '90'.repeat(14);

/** kind, outcome, why, and the rows: bytes alone, or with what else is asked. */
const ROWS: readonly [SiteKind, string, string, readonly (string | readonly [string, Partial<SiteQuestion>])[]][] = [
  [
    'text-poke-new-bytes',
    'accepted',
    'the int3 handler can emulate it (text_poke_loc_init)',
    [
      'e8fb0f0000',
      'e9fb0f0000',
      'eb0e',
      'eb0ecccccc',
      'c3',
      'c3cccc',
      'c3cccccccc',
      'f3c3',
      '7010',
      '7f10',
      '0f8000100000',
      '0f8fffffffff',
    ],
  ],
  [
    'text-poke-new-bytes',
    'rejected',
    'BUG() in text_poke_loc_init',
    [
      'e8fb0f0000cc',
      'e9fb0f0000cc',
      'eb0ecccccccc',
      'eb0e90',
      'c390',
      'c20800',
      'cccc',
      '7010cc',
      '90',
      '660f1f440000',
      '0f1f8000000000',
      '31c0',
      '50',
      'e2fe',
      'e302',
      'ff15000000',
      '0f0b',
      '06',
    ],
  ],
  [
    'static-call-site',
    'valid',
    '__static_call_validate',
    [
      ['e8fb0f0000', { tail: false }],
      ['0f1f440000', { tail: false }],
      ['e9fb0f0000', { tail: true }],
      ['0f8f00000000', { tail: true }],
      ['c3cccccccc', { tail: true }],
      ['e9fb0f00000fb9cc', { tail: true, trampoline: true }],
      ['c3cccccccc0fb9cc', { tail: true, trampoline: true }],
    ],
  ],
  [
    'static-call-site',
    'invalid',
    '__static_call_validate',
    [
      ['e9fb0f0000', { tail: false }],
      ['e8fb0f0000', { tail: true }],
      ['2e2e2e31c0', { tail: true }],
      ['eb0e909090', { tail: true }],
      ['6666666690', { tail: false }],
      ['ff1500000000', { tail: false }],
      ['e9fb0f00000f0bcc', { tail: true, trampoline: true }],
      ['e9fb0f0000', { tail: true, trampoline: true }],
    ],
  ],
  [
    'ftrace-site',
    'accepted',
    'ftrace_verify_code finds what it expects (F11)',
    [
      ['0f1f440000', { expectedOld: 'nop' }],
      ['f30f1efa0f1f440000', { expectedOld: 'nop', offset: 4 }],
      ['e8fb0f0000', { expectedOld: '0xffffffff81001000' }],
      ['e8fb0f0000', { expectedOld: 'call 0xffffffff81001000' }],
    ],
  ],
  [
    'ftrace-site',
    'rejected',
    'ftrace_verify_code finds something else (F13)',
    [
      ['6666666690', { expectedOld: 'nop' }],
      ['9090909090', { expectedOld: 'nop' }],
      ['0f1f440000', { expectedOld: '0xffffffff81001000' }],
      ['e8fc0f0000', { expectedOld: '0xffffffff81001000' }],
      ['e9fb0f0000', { expectedOld: '0xffffffff81001000' }],
      ['0f1f4400', { expectedOld: 'nop' }],
    ],
  ],
  [
    'kprobe-optimize',
    'optimizable',
    'can_optimize and can_boost allow it',
    [
      '9090909090c3',
      '0fafc790909090c3',
      'ffc083c00190c3',
      'fec0909090c3',
      '31c09090907401c3c3',
      'c5f96fc190c3',
      '9090909090cccccc',
    ],
  ],
  [
    'kprobe-optimize',
    'not-optimizable',
    'can_optimize or can_boost refuses it',
    [
      '90909090',
      '31c0909090ebfa',
      '31c090909075fe',
      '90909090ffe0',
      '90909090ff20',
      '7400909090c3',
      '0fa2909090c3',
      'fff0909090c3',
      'f6c801909090c3',
      'f4909090909090',
      'c5f877909090c3',
      'f30f1efa90c3',
      '0690909090c3',
    ],
  ],
  [
    'uprobe-site',
    'accepted',
    'arch_uprobe_analyze_insn',
    ['90', '4889e5', '4155', 'eb00', 'e900000000', 'c3', '31c0', '8b0578563412', 'ffe0', '0f1f440000'],
  ],
  [
    'uprobe-site',
    'rejected',
    'arch_uprobe_analyze_insn',
    ['f4', 'fa', 'fb', 'cd80', 'cc', '0f05', '3e31c0', '26ffe0', 'f0ff07', '667402', '66e80000', 'c5f877', '06'],
  ],
  [
    'sled-patch',
    'patched',
    'an XRay sled',
    [
      'eb09660f1f840000020000',
      'c32e660f1f840000000000',
      ['eb09660f1f840000020000', { address: 0x40_1000n, target: 0x40_100bn + 0x7fff_ffffn }],
      `eb0f${'90'.repeat(15)}`,
      '41ba01000000e8fb0f0000',
    ],
  ],
  [
    'sled-patch',
    'refused',
    'no XRay sled, or one that cannot be patched',
    [
      'eb0a660f1f840000020000',
      'eb09660f1f8400000200',
      ['eb09660f1f840000020000', { address: 0x40_1001n }],
      ['eb09660f1f840000020000', { address: 0x40_1000n, target: 0x40_100bn + 0x8000_0000n }],
    ],
  ],
  [
    'patchable-entry',
    'refused',
    'libpulp finds no entry of its own',
    [
      [`${PAD}55c3`, { offset: 14 }],
      [`${PAD}f30f1efa55c3`, { offset: 14 }],
      [`${PAD}0f1f00c3`, { offset: 14 }],
      [`${PAD}9055c3`, { offset: 14 }],
      ['909090906690c3', { offset: 4 }],
    ],
  ],
  ['filler', 'filler', 'padding', ['cc', '0f1f00', '0f1f8000000000', '0f1f840000000000', '660f1f440000', 'cccccc']],
  [
    'filler',
    'not-filler',
    'no padding that is known',
    ['c3', '55', '89f6', '00', '662e0f1f840000000000', '8d742600', '0f0b', 'e9'],
  ],
  [
    'end-of-function',
    'ends-function',
    'nothing runs on',
    ['eb00', 'ffe0', 'ff20', 'f3c3', 'f2c3', 'cc', '0f0b', '3effe0', 'c20800', 'cb'],
  ],
  [
    'end-of-function',
    'does-not-end-function',
    'control may go on',
    ['e800000000', '7400', '0f8400000000', 'e200', 'e300', 'ffd0', 'ff1500000000', 'cd80', '0f05', '90', '06'],
  ],
  [
    'nop',
    'not-nop',
    'no one-instruction NOP of the manual or the kernel',
    [
      '9090',
      '6666666690',
      '89f6',
      '8d7600',
      '87c0',
      '4890',
      '0f1f4001',
      '0f1f0000',
      '0f1f440001',
      '660f1f00',
      '0f1e00',
      'f390',
      '0f18c0',
      '31c0',
      '488d7600',
      '0f1f84',
      'c3',
    ],
  ],
  [
    'nop',
    'nop',
    'a one-instruction NOP of 32-bit Linux',
    [
      ['3e8d742600', { bitness: 32 }],
      ['8db600000000', { bitness: 32 }],
      ['8db42600000000', { bitness: 32 }],
      ['3e8db42600000000', { bitness: 32 }],
    ],
  ],
  [
    'nop',
    'not-nop',
    'no NOP of 32-bit Linux',
    [
      ['2e8d742600', { bitness: 32 }],
      ['8d742601', { bitness: 32 }],
    ],
  ],
];

describe.each(ROWS)('%s is %s: %s', (kind, outcome, _why, rows) => {
  test.each(rows.map((row) => (typeof row === 'string' ? ([row, {}] as const) : row)))('%s', (hex, more) => {
    const answer = judgeSite(kind, { bytes: bytesOfHex(hex), address: KERNEL, bitness: 64, ...more });
    expect(answer.outcome, answer.reason).toBe(outcome);
  });
});

test('where the shared file has one outcome of a kind, there are as many rows of the other', () => {
  const counts = new Map<string, Map<string, number>>();
  for (const { kind, expected } of redirectCases.cases) {
    const of = counts.get(kind) ?? new Map<string, number>();
    counts.set(kind, of.set(expected.outcome, (of.get(expected.outcome) ?? 0) + 1));
  }
  for (const [kind, outcomes] of counts) {
    const [only] = [...outcomes];
    // a block boundary is always classified; its answer lies in the details
    if (outcomes.size > 1 || only === undefined || kind === 'block-boundary') continue;
    const others = ROWS.filter((row) => row[0] === kind && row[1] !== only[0]).flatMap((row) => row[3]);
    expect(others.length, kind).toBeGreaterThanOrEqual(only[1]);
  }
});

test.each([
  ['90', false, false],
  ['7401', true, false],
  ['e842000000', true, false],
  ['ffd0', true, false],
  ['eb01', true, true],
  ['ffe0', true, true],
  ['c3', true, true],
  ['e2fe', true, false],
])('the block boundary after %s: block %s, input %s', (hex, endOfBlockAfterFirst, endOfInputAfterFirst) => {
  const answer = judgeSite('block-boundary', { bytes: bytesOfHex(hex), address: KERNEL, bitness: 64 });
  expect(answer.details).toMatchObject({ endOfBlockAfterFirst, endOfInputAfterFirst });
});
