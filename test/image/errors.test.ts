// Files that are wrong in one place: each is refused with a code, a place and a reason.

import { describe, expect, test } from 'vitest';
import { ImageError } from '../../src/errors.ts';
import { ElfFile } from '../../src/image/elf.ts';
import { fixture } from '../fixtures/manifest.ts';
import { catchError } from '../support/catch-error.ts';
import { Edit } from './edit.ts';
import { BASE, load, loadFixture } from './load-fixture.ts';

const OBJECT = 'target-kernel-O2.o';
const PIE = 'target-pie.elf';
const HUGE = 1n << 60n;

interface Row {
  what: string;
  file?: string;
  change: (edit: Edit) => Edit;
  code: string;
  message: RegExp;
  section?: string;
}

const ROWS: Row[] = [
  { what: 'no ELF magic', change: (e) => e.u8(0, 0), code: 'ENOEXEC', message: /not an ELF file/ },
  { what: '32-bit', change: (e) => e.u8(4, 1), code: 'ENOEXEC', message: /not a 64-bit ELF file/ },
  { what: 'big-endian', change: (e) => e.u8(5, 2), code: 'ENOEXEC', message: /not little-endian/ },
  { what: 'another machine', change: (e) => e.u16(18, 183), code: 'ENOEXEC', message: /machine 183 is not x86-64/ },
  { what: 'a core dump', change: (e) => e.u16(16, 4), code: 'ENOEXEC', message: /type 4 is no object/ },
  { what: 'section headers outside', change: (e) => e.u64(40, HUGE), code: 'ENOEXEC', message: /section header table/ },
  { what: 'too many sections', change: (e) => e.u16(60, 0xfeff), code: 'ENOEXEC', message: /section header table/ },
  { what: 'extended numbering', change: (e) => e.u16(60, 0), code: 'ENOEXEC', message: /extended section numbering/ },
  {
    what: 'odd section headers',
    change: (e) => e.u16(58, 40),
    code: 'ENOEXEC',
    message: /section headers of 40 bytes/,
  },
  { what: 'no section names', change: (e) => e.u16(62, 999), code: 'ENOEXEC', message: /section 999 with the section/ },
  { what: 'names in code', change: (e) => e.u16(62, 1), code: 'ENOEXEC', message: /section 1 is no string table/ },
  {
    what: 'a section name outside its table',
    change: (e) => e.u32(e.header('.text'), 0xffffff),
    code: 'ENOEXEC',
    section: '.shstrtab',
    message: /string index 0xffffff has no terminated name/,
  },
  {
    what: 'section content outside the file',
    change: (e) => e.u64(e.header('.text') + 32, HUGE),
    code: 'ENOEXEC',
    section: '.text',
    message: /content of 0x1000000000000000 bytes ends outside the file/,
  },
  {
    what: 'an alignment that is no power of two',
    change: (e) => e.u64(e.header('.text') + 48, 24n),
    code: 'EINVAL',
    section: '.text',
    message: /alignment 0x18 is no power of two/,
  },
  {
    what: 'an alignment of 2^40',
    change: (e) => e.u64(e.header('.text') + 48, 1n << 40n),
    code: 'EINVAL',
    section: '.text',
    message: /alignment 0x10000000000 is above 0x200000/,
  },
  {
    what: 'a .bss of 2^60 bytes',
    change: (e) => e.u64(e.header('.bss') + 32, HUGE).u32(e.header('.bss') + 4, 8),
    code: 'ENOMEM',
    section: '.bss',
    message: /do not fit: an image has at most/,
  },
  {
    what: 'symbols of no size',
    change: (e) => e.u64(e.header('.symtab') + 56, 0n),
    code: 'ENOEXEC',
    section: '.symtab',
    message: /symbols of 0 bytes/,
  },
  {
    what: 'a missing symbol name table',
    change: (e) => e.u32(e.header('.symtab') + 40, 5000),
    code: 'ENOEXEC',
    section: '.symtab',
    message: /string table 5000 is missing/,
  },
  {
    what: 'a symbol name outside its table',
    change: (e) => e.u32(e.symbol('checksum'), 0x7fffffff),
    code: 'ENOEXEC',
    section: '.strtab',
    message: /string index 0x7fffffff/,
  },
  {
    what: 'a symbol in a section that is not there',
    change: (e) => e.u16(e.symbol('checksum') + 6, 0x1234),
    code: 'ENOEXEC',
    section: '.symtab',
    message: /lies in section 4660, which does not exist/,
  },
  {
    what: 'relocations of no size',
    change: (e) => e.u64(e.header('.rela.text') + 56, 0n),
    code: 'ENOEXEC',
    section: '.rela.text',
    message: /relocations of 0 bytes/,
  },
  {
    what: 'relocations of a section that is not there',
    change: (e) => e.u32(e.header('.rela.text') + 44, 4000),
    code: 'ENOEXEC',
    section: '.rela.text',
    message: /relocated section 4000 is missing/,
  },
  {
    what: 'a relocation to a symbol that is not there',
    change: (e) => e.u32(e.section('.rela.text').offset + 12, 4000),
    code: 'ENOEXEC',
    section: '.rela.text',
    message: /symbol 4000 does not exist/,
  },
  {
    what: 'relocations without addend',
    change: (e) => e.u32(e.header('.rela.text') + 4, 9),
    code: 'EINVAL',
    section: '.rela.text',
    message: /without addend \(REL, RELR\) are not supported/,
  },
  {
    what: 'program headers outside',
    file: PIE,
    change: (e) => e.u64(32, HUGE),
    code: 'ENOEXEC',
    message: /program header table/,
  },
  {
    what: 'a segment of 2^60 bytes',
    file: PIE,
    change: (e) => e.u64(firstLoad(e) + 40, HUGE),
    code: 'ENOMEM',
    message: /segment at 0x0 of 0x1000000000000000 bytes: too large/,
  },
  {
    what: 'a segment with more bytes than memory',
    file: PIE,
    change: (e) => e.u64(firstLoad(e) + 40, 1n),
    code: 'EINVAL',
    message: /more bytes in the file than in memory/,
  },
  {
    what: 'segments that overlap',
    file: PIE,
    change: (e) => e.u64(firstLoad(e) + 56 + 16, 0x10n),
    code: 'EINVAL',
    message: /segment at 0x10 overlaps another or shares a page with it/,
  },
  {
    what: 'nothing to load',
    file: PIE,
    change: (e) => e.u16(56, 0),
    code: 'ENOEXEC',
    message: /no segment to load/,
  },
];

describe('a file is refused', () => {
  test.each(ROWS)('with $what: $code', ({ file = OBJECT, change, code, message, section }) => {
    const edit = change(new Edit(fixture(file)));
    const error = catchError(ImageError, () => load(edit.bytes));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^load: 'test\.o'/);
    if (section !== undefined) expect(error.section).toBe(section);
    expect(error.offset ?? error.section).toBeDefined();
  });

  test('when it ends early, wherever', () => {
    const bytes = fixture(OBJECT);
    for (let size = 0; size < bytes.length; size += 7) {
      expect(catchError(ImageError, () => load(bytes.subarray(0, size))).code).toBe('ENOEXEC');
    }
  });

  test('when the same bytes are claimed by many sections', () => {
    const edit = new Edit(fixture(OBJECT));
    const { offset, size } = edit.section('.text');
    for (const name of ['.data', '.rodata', '.eh_frame', '.comment', '.rela.text', '.rela.data']) {
      edit.u64(edit.header(name) + 24, BigInt(offset - offset)).u64(edit.header(name) + 32, BigInt(edit.bytes.length));
    }
    expect(size).toBeGreaterThan(0n);
    expect(catchError(ImageError, () => load(edit.bytes)).message).toContain('the sections overlap in the file');
  });
});

describe('where an image goes', () => {
  test('a base that is no page is refused', () => {
    expect(() => loadFixture(OBJECT, { base: BASE + 8n })).toThrow(RangeError);
    expect(() => loadFixture(OBJECT, { base: -4096n })).toThrow(RangeError);
  });

  test('an image that would pass the end of memory is refused', () => {
    const error = catchError(ImageError, () => loadFixture(OBJECT, { base: 0xffff_ffff_ffff_e000n }));
    expect(error.code).toBe('ENOMEM');
  });

  test.each([OBJECT, PIE, 'target.so', 'target-static.elf', 'relocations.o'])(
    'segments of %s are whole pages, apart from each other, within base and end',
    (file) => {
      const image = loadFixture(file);
      let next = image.base;
      for (const { address, bytes } of image.segments) {
        expect(address % 4096n).toBe(0n);
        expect(bytes.length % 4096).toBe(0);
        expect(address).toBeGreaterThanOrEqual(next);
        next = address + BigInt(bytes.length);
      }
      expect(image.end).toBeLessThanOrEqual(next);
      expect(image.end).toBeGreaterThan(next - 4096n);
    },
  );

  test('code, constants and data get the access that their sections ask for', () => {
    expect(loadFixture(OBJECT).segments.map((segment) => segment.access)).toEqual(['rx', 'r', 'rw']);
  });

  test('sections that are not allocated are not in memory', () => {
    const size = loadFixture(OBJECT).segments.reduce((sum, segment) => sum + segment.bytes.length, 0);
    const names = ElfFile.parse(fixture(OBJECT), OBJECT).sections.map((section) => section.name);
    expect(names).toContain('.comment');
    const comment = new TextEncoder().encode('GCC: (');
    for (const { bytes } of loadFixture(OBJECT).segments) {
      expect(new TextDecoder('latin1').decode(bytes)).not.toContain(new TextDecoder().decode(comment));
    }
    expect(size).toBeLessThan(64 * 1024);
  });

  test('.eh_frame is given with its address, relocated', () => {
    const image = loadFixture(OBJECT);
    const frame = image.ehFrame;
    if (frame === undefined) throw new Error('no .eh_frame');
    expect(image.segments[1]?.access).toBe('r');
    expect(frame.address).toBeGreaterThanOrEqual(image.segments[1]?.address ?? 0n);
    // The first FDE follows the CIE; its pc_begin, 8 bytes in, is relative to itself and points into the code.
    const view = new DataView(frame.bytes.buffer, frame.bytes.byteOffset);
    const fde = 4 + view.getUint32(0, true);
    const begin = frame.address + BigInt(fde + 8) + BigInt(view.getInt32(fde + 8, true));
    expect(image.functionAt(begin)?.address).toBe(begin);
  });
});

function firstLoad(edit: Edit): number {
  const view = new DataView(edit.bytes.buffer);
  for (let at = 64; ; at += 56) if (view.getUint32(at, true) === 1) return at;
}
