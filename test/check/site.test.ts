// Sites by rule: for each kind one input of each outcome, most of them one byte apart.
import { describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import { judgeSite, type SiteKind, type SiteQuestion } from '../../src/check/site.ts';

const KERNEL = 0xffffffff81000000n;

const CASES: readonly [SiteKind, string, string, Partial<SiteQuestion>?][] = [
  ['text-poke-new-bytes', 'e8fb0f0000', 'accepted'],
  ['text-poke-new-bytes', 'c3cccccccc', 'accepted'],
  ['text-poke-new-bytes', 'c3cccccc90', 'rejected'],
  ['text-poke-new-bytes', 'e9fb0f0000cc', 'rejected'],
  ['text-poke-new-bytes', '0f1f840000000000', 'rejected'],
  ['static-call-site', 'e8fb0f0000', 'valid', { tail: false }],
  ['static-call-site', 'e8fb0f0000', 'invalid', { tail: true }],
  ['static-call-site', 'e9fb0f0000', 'valid', { tail: true }],
  ['static-call-site', '2e2e31c090', 'invalid', { tail: false }],
  ['ftrace-site', '0f1f440000', 'accepted', { expectedOld: 'nop' }],
  ['ftrace-site', '6666666690', 'rejected', { expectedOld: 'nop' }],
  ['ftrace-site', 'f30f1efa0f1f440000', 'accepted', { expectedOld: 'nop', offset: 4 }],
  ['ftrace-site', 'e8fb0f0000', 'accepted', { expectedOld: '0xffffffff81001000' }],
  ['ftrace-site', 'e8fa0f0000', 'rejected', { expectedOld: '0xffffffff81001000' }],
  ['kprobe-optimize', '31c0909090909075f8c3', 'not-optimizable'],
  ['kprobe-optimize', '9090909090909090c3', 'optimizable'],
  ['kprobe-optimize', '9090909090ffe0', 'not-optimizable'],
  ['kprobe-optimize', '0fa29090909090c3', 'not-optimizable'],
  ['uprobe-site', 'fa', 'rejected'],
  ['uprobe-site', '4889e5', 'accepted'],
  ['uprobe-site', '3effe0', 'rejected'],
  ['sled-patch', 'eb09660f1f840000020000', 'patched', { target: KERNEL + 0x1000n }],
  ['sled-patch', 'eb09660f1f840000020000', 'refused', { address: KERNEL + 1n }],
  ['sled-patch', '9009660f1f840000020000', 'refused'],
  ['patchable-entry', '9090909090909090909090909090 6690c3', 'patched', { offset: 14 }],
  ['patchable-entry', '9090909090909090909090909090 55c390', 'refused', { offset: 14 }],
  ['filler', 'cc', 'filler'],
  ['filler', '0f1f80000000', 'not-filler'],
  ['end-of-function', 'f3c3', 'ends-function'],
  ['end-of-function', '0f0b', 'ends-function'],
  ['end-of-function', 'e800000000', 'does-not-end-function'],
  ['nop', '0f1f4000', 'nop'],
  ['nop', '9090', 'not-nop'],
  ['nop', '8d7600', 'not-nop'],
  ['nop', '8d7600', 'nop', { bitness: 32 }],
  ['hook', '554889e54883ec10c9c3', 'hookable'],
  ['hook', '31c0c3554889e55dc3', 'refused'],
  ['hook', '31c0ffc083f80a75f9c3', 'refused'],
  ['hook', '31c0ffc09083f80a75f8c3', 'refused'],
  ['hook', '31c0ffc09083f80a75fbc3', 'hookable'],
  ['hook', 'e303909090c3', 'refused'],
];

describe.each(CASES)('%s %s', (kind, hex, outcome, more) => {
  test(`is ${outcome}`, () => {
    const answer = judgeSite(kind, { bytes: bytesOfHex(hex), address: KERNEL, bitness: 64, ...more });
    expect(answer).toMatchObject({ outcome });
    expect(answer.reason.length).toBeGreaterThan(5);
  });
});

test('a rip-relative uprobe is rewritten through a register that the instruction does not use', () => {
  const site = (text: string) => judgeSite('uprobe-site', { bytes: bytesOfHex(text), address: 0x401000n, bitness: 64 });
  expect(site('890578563412').details).toMatchObject({ scratch: 'rsi', rewritten: '898678563412' });
  // mov [rip+d], esi: rsi is taken, so rdi
  expect(site('893578563412').details).toMatchObject({ scratch: 'rdi', rewritten: '89b778563412' });
});

test('libpulp keeps endbr64 and jumps back over it', () => {
  const bytes = bytesOfHex('9090909090909090909090909090f30f1efa9090c3');
  const answer = judgeSite('patchable-entry', {
    bytes,
    address: 0x401000n,
    bitness: 64,
    offset: 14,
    target: 0x7f1234560000n,
  });
  expect(answer.details.output).toBe('ff250000000000005634127f0000f30f1efaebecc3');
});
