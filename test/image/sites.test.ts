// Which entries are found in real objects, in which form, and what the loader leaves there.

import { describe, expect, test } from 'vitest';
import { hexBytes } from '../../src/address.ts';
import type { SiteForm } from '../../src/image/entry-bytes.ts';
import { fixture, readManifest } from '../fixtures/manifest.ts';
import { Edit } from './edit.ts';
import { addressOf, BASE, bytesAt, load, loadFixture } from './load-fixture.ts';

const NOP5 = '0f1f440000';

interface Row {
  file: string;
  form: SiteForm;
  offset: number;
  /** What the site holds in the file, the displacement as dots. */
  original: RegExp;
  idle: string;
}

const LEVELS = ['O0', 'O2', 'Os'];
const ROWS: Row[] = [
  ...LEVELS.flatMap((level): Row[] => [
    { file: `target-kernel-${level}.o`, form: 'call', offset: 0, original: /^e8.{8}$/, idle: NOP5 },
    { file: `target-nop-${level}.o`, form: 'nop5', offset: 0, original: /^0f1f440000$/, idle: NOP5 },
    { file: `target-endbr-${level}.o`, form: 'call', offset: 4, original: /^e8.{8}$/, idle: NOP5 },
    { file: `target-patchable-5-${level}.o`, form: 'nops', offset: 0, original: /^(90){5}$/, idle: NOP5 },
    { file: `target-patchable-21-16-${level}.o`, form: 'nops', offset: 0, original: /^(90){5}$/, idle: NOP5 },
    { file: `target-pie-${level}.o`, form: 'call-got', offset: 0, original: /^ff15.{8}$/, idle: `${NOP5}90` },
  ]),
  { file: 'target-patchable-endbr.o', form: 'nops', offset: 4, original: /^(90){5}$/, idle: NOP5 },
  { file: 'target-padded.o', form: 'call', offset: 4, original: /^e8.{8}$/, idle: NOP5 },
  { file: 'target-thunks.o', form: 'call', offset: 0, original: /^e8.{8}$/, idle: NOP5 },
  { file: 'target-canary.o', form: 'call', offset: 0, original: /^e8.{8}$/, idle: NOP5 },
  { file: 'target-static.elf', form: 'call', offset: 0, original: /^e8.{8}$/, idle: NOP5 },
  { file: 'target-pie.elf', form: 'call-relaxed', offset: 0, original: /^67e8.{8}$/, idle: `${NOP5}90` },
  { file: 'target.so', form: 'call-got', offset: 0, original: /^ff15.{8}$/, idle: `${NOP5}90` },
];

describe.each(ROWS)('$file', ({ file, form, offset, original, idle }) => {
  const image = loadFixture(file);

  test('has a site in each of its functions that is traced (F1, F3)', () => {
    const traced = ['checksum', 'find_text', 'sort_items', 'fibonacci', 'divide', 'tail_call', 'sum_eight', 'operate'];
    for (const name of traced) {
      const info = image.functionNamed(name);
      expect(info).toMatchObject({ reason: undefined, site: { func: name, form } });
      expect(info?.site?.offset).toBe(offset);
      expect(info?.site?.address).toBe((info?.address ?? 0n) + BigInt(offset));
    }
  });

  test('holds the idle NOP at each site, in place of what the compiler wrote (F2, F6)', () => {
    expect(image.sites.length).toBeGreaterThanOrEqual(15);
    for (const site of image.sites) {
      expect(hexBytes(site.original)).toMatch(original);
      expect(hexBytes(site.idle)).toBe(idle);
      expect(hexBytes(bytesAt(image, site.address, site.idle.length))).toBe(idle);
    }
  });

  test('changes nothing but its sites when they are converted', () => {
    const before = new Map(image.sites.map((site) => [site.address, site.original]));
    const raw = loadFixture(file);
    for (const [address, bytes] of before) bytesAt(raw, address, bytes.length).set(bytes);
    const changed = image.segments.flatMap((segment, i) => {
      const other = raw.segments[i]?.bytes ?? new Uint8Array();
      return [...segment.bytes.keys()]
        .filter((at) => segment.bytes[at] !== other[at])
        .map((at) => segment.address + BigInt(at));
    });
    const inSites = (address: bigint) =>
      image.sites.some((site) => address >= site.address && address < site.address + BigInt(site.idle.length));
    expect(changed.every(inSites)).toBe(true);
  });
});

test('a function whose NOPs all lie before it has no room at its entry', () => {
  const image = loadFixture('target-patchable-16-16.o');
  expect(image.sites).toEqual([]);
  expect(image.functionNamed('checksum')?.reason).toMatch(/^no room at entry: .{10} is no NOP$/);
});

test('new functions of the livepatch objects have sites of their own', () => {
  for (const { file } of readManifest().objects.filter((each) => /^fix_[abc]/.test(each.file))) {
    const image = loadFixture(file);
    expect(image.functions.length).toBeGreaterThanOrEqual(4);
    for (const { name, site } of image.functions) {
      expect(name).toMatch(/^livepatch_/);
      expect(site, `${file} ${name}`).toBeDefined();
    }
  }
});

describe('entries that no compiler here makes', () => {
  const image = loadFixture('entries.o', {
    resolve: (name) => (name === '__fentry__' ? BASE - 0x1000n : BASE - 0x2000n),
  });

  test.each([
    ['long_call', 'call-relaxed', 0, `${NOP5}90`],
    ['indirect_call', 'call-got', 0, `${NOP5}90`],
    ['clang_nop', 'nop5-clang', 0, NOP5],
    ['sealed', 'nop5', 4, NOP5],
    ['sizeless', 'nop5', 0, NOP5],
  ])('%s is patchable as %s at +%i (F5)', (name, form, offset, idle) => {
    const site = image.functionNamed(name)?.site;
    expect(site).toMatchObject({ form, offset, func: name });
    expect(hexBytes(site?.idle ?? new Uint8Array())).toBe(idle);
  });

  test.each([
    ['no_site_bytes', /the bytes 554889e55d at its site are neither a call of __fentry__ nor a NOP/],
    ['other_call', /does not go to __fentry__/],
    ['few_nops', /only 3 of 5 bytes/],
    ['too_short', /ends inside its site/],
    ['in_the_middle', /no site/],
  ])('%s is not patchable, and the reason is given', (name, reason) => {
    const info = image.functionNamed(name);
    expect(info?.site).toBeUndefined();
    expect(info?.reason).toMatch(reason);
  });

  test('bytes of a site that is refused stay as they are', () => {
    expect(hexBytes(bytesAt(image, addressOf(image, 'no_site_bytes'), 5))).toBe('554889e55d');
    expect(bytesAt(image, addressOf(image, 'other_call'), 1)[0]).toBe(0xe8);
  });

  test('zero and duplicate entries are skipped, and sites come by ascending address (F7)', () => {
    const addresses = image.sites.map((site) => site.address);
    expect(addresses).toEqual([...new Set(addresses)].sort((a, b) => (a < b ? -1 : 1)));
    expect(addresses).not.toContain(0n);
    expect(image.sites.filter((site) => site.func === 'clang_nop')).toHaveLength(1);
  });

  test('entries that are at no function entry are listed with a reason (F8)', () => {
    expect(image.strays).toHaveLength(2);
    expect(image.strays[0]?.reason).toMatch(/\+0x2 in 'in_the_middle', which is not its entry/);
    expect(image.strays[1]).toEqual({ address: addressOf(image, 'in_data'), reason: 'outside executable memory' });
  });
});

describe('names', () => {
  const image = loadFixture('duplicates.o');

  test('the entry of an overridden weak function belongs to no function (F8)', () => {
    expect(image.strays).toHaveLength(1);
    expect(image.strays[0]?.reason).toMatch(/in no function: left over from an overridden weak function/);
    expect(image.functionNamed('overridden')?.site).toBeDefined();
    expect(loadFixture('odd-linked.elf').strays).toHaveLength(1);
  });

  test('functions of one name are told apart by their order in the symbol table', () => {
    expect(image.functions.filter((info) => info.symbol.name === 'helper').map((info) => info.name)).toEqual([
      'helper,1',
      'helper,2',
    ]);
    expect(image.functionNamed('helper')).toBeUndefined();
    expect(image.functionNamed('helper,2')?.site?.func).toBe('helper,2');
    expect(image.symbolsNamed('helper').map((symbol) => symbol.position)).toEqual([1, 2]);
  });

  test('an alias shares the site and says whose it is', () => {
    const alias = image.functions.filter((info) => /^plain/.test(info.name));
    expect(alias).toHaveLength(2);
    expect(alias[0]?.site).toBe(alias[1]?.site);
    expect(alias.map((info) => info.aliasOf).filter((name) => name !== undefined)).toEqual([alias[0]?.site?.func]);
  });

  test('a function that is not traced says so', () => {
    expect(image.functionNamed('untraced')?.reason).toMatch(/notrace/);
  });
});

describe('ftraceLocation (F9)', () => {
  const image = loadFixture('target-endbr-O2.o');
  const start = addressOf(image, 'checksum');

  test('gives a site for its own address', () => expect(image.ftraceLocation(start + 4n)).toBe(start + 4n));
  test('gives the site inside a function for its start', () => expect(image.ftraceLocation(start)).toBe(start + 4n));
  test('gives nothing for any other address', () => {
    for (const offset of [-1n, 1n, 3n, 5n, 8n, 9n]) expect(image.ftraceLocation(start + offset)).toBeUndefined();
  });
});

describe('which table counts', () => {
  test('__mcount_loc comes before __patchable_function_entries (F4)', () => {
    const image = loadFixture('target-padded.o');
    expect(image.sites.map((site) => site.form)).toEqual(new Array(15).fill('call'));
    const renamed = load(renameSection(fixture('target-padded.o'), '__mcount_loc', '__mcount_xyz'));
    expect(renamed.sites).toEqual([]);
    expect(renamed.functionNamed('checksum')?.reason).toMatch(/^no room at entry: e8.{8} is no NOP$/);
  });

  test('without a table the sites of an object follow from its relocations to __fentry__', () => {
    const bytes = fixture('target-endbr-O2.o');
    const renamed = load(renameSection(bytes, '__mcount_loc', '__mcount_xyz'));
    expect(renamed.sites).toEqual(load(bytes).sites);
  });

  test('without a table and without __fentry__ nothing is a site', () => {
    const renamed = renameSection(
      fixture('target-patchable-5-O2.o'),
      '__patchable_function_entries',
      '__something_else',
    );
    const image = load(renamed);
    expect(image.sites).toEqual([]);
    expect(image.functionNamed('checksum')?.reason).toBe('the image lists no sites and calls no __fentry__');
  });
});

/** Overwrites a section's name in place with one that is not longer; tails that share it change as well. */
function renameSection(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const edit = new Edit(bytes);
  const table = edit.section('.shstrtab');
  const names = new TextDecoder('latin1').decode(table.bytes);
  const at = table.offset + names.indexOf(`${from}\0`);
  for (let i = 0; i < from.length; i++) edit.u8(at + i, i < to.length ? to.charCodeAt(i) : 0);
  return edit.bytes;
}
