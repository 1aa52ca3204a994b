// What each relocation type writes, and what happens when it cannot.

import { describe, expect, test } from 'vitest';
import { ImageError } from '../../src/errors.ts';
import { R } from '../../src/image/elf-format.ts';
import { fixture } from '../fixtures/manifest.ts';
import { catchError } from '../support/catch-error.ts';
import { Edit } from './edit.ts';
import { addressOf, BASE, bytesAt, i32At, load, loadFixture, OUTSIDE, u64At } from './load-fixture.ts';

describe('in an object', () => {
  const image = loadFixture('relocations.o', { resolve: (name) => (name === 'outside' ? OUTSIDE : undefined) });
  const at = (name: string) => addressOf(image, name);
  const datum = at('datum');

  test('PLT32 and PC32 count from the field, with the addend', () => {
    expect(at('at_plt32') + 5n + i32At(image, at('at_plt32') + 1n)).toBe(OUTSIDE);
    expect(at('at_pc32') + 7n + i32At(image, at('at_pc32') + 3n)).toBe(datum);
  });

  test('32S holds an address that sign extension restores, 32 one that zero extension restores', () => {
    expect(BigInt.asUintN(64, i32At(image, at('at_32s') + 3n))).toBe(datum);
    expect(i32At(image, at('at_32') + 1n)).toBe(0x1234n);
  });

  test('64 holds the address with its addend, PC64 the distance', () => {
    expect(u64At(image, at('at_64'))).toBe(OUTSIDE + 5n);
    expect(BigInt.asUintN(64, u64At(image, at('at_pc64')) + at('at_pc64'))).toBe(OUTSIDE);
  });

  test('the GOT kinds reach slots that hold the addresses', () => {
    const call = at('at_gotpcrelx');
    expect(u64At(image, call + 6n + i32At(image, call + 2n))).toBe(OUTSIDE);
    const move = at('at_rexgotpcrelx');
    expect(u64At(image, move + 7n + i32At(image, move + 3n))).toBe(datum);
    const field = at('at_gotpcrel');
    expect(u64At(image, field + i32At(image, field) - 4n)).toBe(datum);
  });

  test('NONE writes nothing', () => expect(i32At(image, at('at_none'))).toBe(0n));
  test('a weak symbol that nobody defines is 0', () => expect(u64At(image, at('at_weak'))).toBe(0n));

  test('a common symbol gets zeroed memory with its alignment', () => {
    const block = u64At(image, at('at_common'));
    expect(block).toBe(at('shared_block'));
    expect(block % 16n).toBe(0n);
    expect([...bytesAt(image, block, 24)]).toEqual(new Array(24).fill(0));
  });

  test('data of the file is where its symbol says', () => expect(u64At(image, datum)).toBe(0x1122334455667788n));
});

describe('in linked files', () => {
  test('RELATIVE adds the load address to a PIE, whose symbols move with it', () => {
    const image = loadFixture('target-pie.elf');
    const table = addressOf(image, 'comparisons');
    expect(u64At(image, table)).toBe(addressOf(image, 'compare_up'));
    expect(u64At(image, table + 8n)).toBe(addressOf(image, 'compare_down'));
    expect(image.base).toBe(BASE);
    expect(image.entry).toBe(addressOf(image, '_start'));
  });

  test('GLOB_DAT and JUMP_SLOT of a shared object hold the symbol, its own or a resolved one', () => {
    const names: string[] = [];
    const image = loadFixture('target.so', {
      resolve: (name) => {
        names.push(name);
        return OUTSIDE;
      },
    });
    expect([...new Set(names)]).toEqual(['__fentry__']);
    const words = image.segments
      .filter((segment) => segment.access === 'rw')
      .flatMap((segment) =>
        Array.from({ length: segment.bytes.length / 8 }, (_, i) => u64At(image, segment.address + BigInt(8 * i))),
      );
    for (const value of [OUTSIDE, addressOf(image, 'checksum'), addressOf(image, 'fibonacci')]) {
      expect(words).toContain(value);
    }
  });

  test('an executable keeps its addresses whatever the base', () => {
    expect(loadFixture('target-static.elf').base).toBeLessThan(0x1000000n);
    expect(addressOf(loadFixture('odd-linked.elf'), '__fentry__')).toBeGreaterThan(0xffffffff80000000n);
  });
});

describe('what cannot be applied', () => {
  test('a type that is not supported is named with section and offset', () => {
    const edit = new Edit(fixture('relocations.o'));
    const table = edit.section('.rela.data');
    edit.u32(table.offset + 8, 23);
    const error = catchError(ImageError, () => load(edit.bytes));
    expect(error).toMatchObject({ code: 'EINVAL', section: '.data', offset: table.offset });
    expect(error.message).toContain("R_X86_64_TPOFF32 at +0x8 to 'outside'");
  });

  test.each([
    ['PLT32', 'target-kernel-O2.o', BASE, '__fentry__'],
    ['32S', 'relocations.o', 0x7f00_0000_0000n, 'datum'],
  ])('%s that does not reach is ERANGE and names the symbol', (type, file, base, symbol) => {
    const error = catchError(ImageError, () => loadFixture(file, { base, resolve: () => 0x7f00_0000_0000n }));
    expect(error.code).toBe('ERANGE');
    expect(error.message).toContain(`R_X86_64_${type} at`);
    expect(error.message).toContain(`'${symbol}'`);
  });

  test('32 refuses an address that needs its upper half', () => {
    const edit = new Edit(fixture('relocations.o'));
    edit.u64(edit.symbol('low') + 8, 0xffff_ffff_8000_0000n);
    const error = catchError(ImageError, () => load(edit.bytes));
    expect(error.code).toBe('ERANGE');
    expect(error.message).toContain("R_X86_64_32 at +0x14 to 'low'");
  });

  test('unresolved symbols are listed all at once', () => {
    const error = catchError(ImageError, () => loadFixture('target-thunks.o', { resolve: () => undefined }));
    expect(error.code).toBe('ENOENT');
    expect(error.message).toContain(
      '4 unresolved symbols: __fentry__, __x86_indirect_thunk_r13, __x86_indirect_thunk_rax, __x86_return_thunk',
    );
  });

  test('left unresolved on request, they are listed in the image and their bytes stay', () => {
    const image = loadFixture('relocations.o', { resolve: () => undefined, unresolved: 'leave' });
    expect(image.unresolved).toEqual(['outside']);
    expect(u64At(image, addressOf(image, 'at_64'))).toBe(0n);
    expect(loadFixture('target-kernel-O2.o', { resolve: () => undefined, unresolved: 'leave' }).sites).toHaveLength(15);
  });

  test('a relocation past the end of its section is refused', () => {
    const edit = new Edit(fixture('relocations.o'));
    const text = edit.section('.text');
    edit.u64(edit.section('.rela.text').offset, text.size - 3n);
    expect(catchError(ImageError, () => load(edit.bytes))).toMatchObject({ code: 'ENOEXEC', section: '.text' });
  });

  test('a symbol for the livepatch code is refused outside its own tables, and kept for later inside', () => {
    const edit = new Edit(fixture('relocations.o'));
    edit.u16(edit.symbol('outside') + 6, 0xff20);
    const error = catchError(ImageError, () => load(edit.bytes));
    expect(error).toMatchObject({ code: 'ENOTSUPP', section: '.text' });
    for (const table of ['.rela.text', '.rela.data']) edit.u64(edit.header(table) + 8, 0x0010_0002n);
    const image = load(edit.bytes);
    expect(image.livepatchTables.map((section) => section.name)).toEqual(['.rela.text', '.rela.data']);
    expect(u64At(image, addressOf(image, 'at_64'))).toBe(0n);
  });

  test('GOT relocations in a linked file have no slot', () => {
    const edit = new Edit(fixture('target-pie.elf'));
    edit.u32(edit.section('.rela.dyn').offset + 8, R.GOTPCREL);
    expect(catchError(ImageError, () => load(edit.bytes)).message).toContain('has no GOT slot');
  });
});
