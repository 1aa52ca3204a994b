// klp relocations: resolved when their object is there, cleared when it goes, and every wrong name refused (L18, L25).
import { beforeEach, describe, expect, test } from 'vitest';
import { ImageError, PatchError } from '../../src/errors.ts';
import { Log } from '../../src/livepatch/log.ts';
import { applyRelocations } from '../../src/livepatch/relocations.ts';
import { Machine } from '../../src/machine.ts';
import { fixture } from '../fixtures/manifest.ts';
import { Edit } from '../image/edit.ts';
import { object as example } from '../scenario/world.ts';
import { catchError } from '../support/catch-error.ts';

const klp = (line: string): string => `livepatch: ${line}`;

let machine: Machine;

async function boot(kernel: '6.1' | '6.12' = '6.12'): Promise<void> {
  machine = await Machine.create({ kernel });
  machine.load(example('target.o'), { name: 'vmlinux' });
}

beforeEach(async () => {
  await boot();
  return () => machine.dispose();
});

const insert = (bytes = fixture('lp_klp.ko')) => machine.load(bytes, { name: 'lp_klp', kind: 'module' });
const target = (name: 'odd' | 'lp_busy') =>
  machine.load(fixture(name === 'odd' ? 'duplicates.o' : 'lp_busy.ko'), { name, kind: 'module' });
const odd = (): bigint => machine.call('odd:call_helper', [1n]).returns;
const busy = (): bigint => machine.call('lp_busy:busy_work', [3n]).returns;
/** The bytes that the relocations of an object change. */
const places = (object: string): number[] =>
  (machine.images.get('lp_klp')?.livepatchTables ?? [])
    .filter(({ name }) => name.startsWith(`.klp.rela.${object}.`))
    .flatMap(({ relocations }) => relocations.flatMap(({ place }) => [...machine.read(place, 4)]));

describe('a livepatch module with klp relocations', () => {
  test('reaches what the kernel does not export as soon as it is loaded', () => {
    insert();
    // tail_target(5) + call_count
    expect(machine.call('vmlinux:checksum', ['hello', 5n])).toMatchObject({
      runs: { name: 'lp_klp:livepatch_checksum' },
      returns: 16n + 40n,
    });
  });

  test('leaves those against a module alone until that comes, by position and in data as well', () => {
    insert();
    expect(places('odd').every((byte) => byte === 0)).toBe(true);
    target('odd');
    // helper,1 is x * 7 and helper,2 is x * 13
    expect(odd()).toBe(7n + 13n);
    expect(places('lp_busy').every((byte) => byte === 0)).toBe(true);
    target('lp_busy');
    expect(busy()).toBe(4n + 100n);
    expect(odd()).toBe(7n + 13n);
  });

  test('applies them at once where the module is there before', () => {
    target('odd');
    target('lp_busy');
    insert();
    expect([odd(), busy()]).toEqual([20n, 104n]);
  });

  test('finds them zero again when the module has gone, so that it may come again, elsewhere too', () => {
    insert();
    for (let round = 0; round < 3; round++) {
      target('odd');
      if (round === 1) target('lp_busy');
      expect(odd()).toBe(20n);
      machine.unload('odd');
      expect(places('odd').every((byte) => byte === 0)).toBe(true);
    }
    expect(busy()).toBe(104n);
  });

  test('keeps them in a kernel before 6.3, which refuses the module the second time', async () => {
    machine.dispose();
    await boot('6.1');
    insert();
    target('odd');
    machine.unload('odd');
    machine.log.take();
    expect(catchError(PatchError, () => target('odd'))).toMatchObject({ code: 'ENOEXEC' });
    expect(machine.log.take()).toEqual([
      klp("failed to initialize patch 'lp_klp' for module 'odd' (-8)"),
      klp("patch 'lp_klp' failed for module 'odd', refusing to load module 'odd'"),
    ]);
    expect(machine.images.get('odd')).toBeUndefined();
  });

  test('undoes them where pre_patch or patching of the module fails, so that the next attempt succeeds', () => {
    insert();
    machine.faults.inject('register', { errno: 'ENOMEM' });
    expect(catchError(PatchError, () => target('odd')).code).toBe('ENOMEM');
    expect(places('odd').every((byte) => byte === 0)).toBe(true);
    target('odd');
    expect(odd()).toBe(20n);
  });

  test('is enabled again after it was disabled, where its image stays', () => {
    target('odd');
    machine.load(fixture('lp_klp.ko'), { name: 'lp_klp', kind: 'livepatch' });
    for (let round = 0; round < 2; round++) {
      machine.livepatch.enable(machine.patchStruct('lp_klp'));
      expect(odd()).toBe(20n);
      machine.livepatch.disable('lp_klp');
      expect(odd()).toBe(8n);
    }
  });
});

/** The module with the name of a symbol or section written over; the new one is as long. */
function renamed(from: string, to: string): Uint8Array {
  expect(to).toHaveLength(from.length);
  const bytes = fixture('lp_klp.ko').slice();
  const at = new TextDecoder('latin1').decode(bytes).indexOf(`${from}\0`);
  bytes.set(new TextEncoder().encode(to), at);
  return bytes;
}

describe('a module whose klp tables are wrong is refused, and nothing is left: ', () => {
  const refused = (bytes: Uint8Array, lines: string[], code = 'EINVAL'): void => {
    expect(catchError(PatchError, () => insert(bytes)).code).toBe(code);
    expect(machine.log.take()).toEqual(lines.map(klp));
    expect(machine.images.get('lp_klp')).toBeUndefined();
    insert();
    expect(machine.livepatch.patches).toHaveLength(1);
  };

  test('a symbol of the kernel that is not there (L22)', () =>
    refused(renamed('.klp.sym.vmlinux.tail_target,0', '.klp.sym.vmlinux.nail_target,0'), [
      "symbol 'nail_target' not found in symbol table",
    ]));

  test('a position that is not there (L23)', () =>
    refused(renamed('.klp.sym.vmlinux.tail_target,0', '.klp.sym.vmlinux.tail_target,2'), [
      "symbol position 2 for symbol 'tail_target' in object 'vmlinux' not found",
    ]));

  test('a symbol without a position', () =>
    refused(renamed('.klp.sym.vmlinux.tail_target,0', '.klp.sym.vmlinux.tail_target;0'), [
      'symbol .klp.sym.vmlinux.tail_target;0 has an incorrectly formatted name',
    ]));

  test('a symbol that is not marked', () => {
    const edit = new Edit(fixture('lp_klp.ko'));
    edit.u16(edit.symbol('.klp.sym.vmlinux.tail_target,0') + 6, 0xfff1);
    refused(edit.bytes, ['symbol .klp.sym.vmlinux.tail_target,0 is not marked as a livepatch symbol']);
  });

  test('a section without an object', () =>
    refused(renamed('.klp.rela.vmlinux..text', '.klp.rela..vmlinux.text'), [
      'section .klp.rela..vmlinux.text has an incorrectly formatted name',
    ]));

  test('a place that is not zero', () => {
    const edit = new Edit(fixture('lp_klp.ko'));
    edit.u8(edit.section('.text').offset + 0x61, 1);
    refused(edit.bytes, [], 'ENOEXEC');
  });

  test('a place outside its section', () => {
    const edit = new Edit(fixture('lp_klp.ko'));
    edit.u64(edit.section('.klp.rela.vmlinux..text').offset, edit.section('.text').size - 3n);
    expect(catchError(ImageError, () => insert(edit.bytes)).code).toBe('ENOEXEC');
    insert();
  });

  test('an ambiguous symbol of a module, when that comes: the module is refused (L22, L65)', () => {
    insert(renamed('.klp.sym.odd.helper,1', '.klp.sym.odd.helper,0'));
    machine.log.take();
    expect(catchError(PatchError, () => target('odd')).code).toBe('EINVAL');
    expect(machine.log.take()).toEqual(
      [
        "unresolvable ambiguity for symbol 'helper' in object 'odd'",
        "failed to initialize patch 'lp_klp' for module 'odd' (-22)",
        "patch 'lp_klp' failed for module 'odd', refusing to load module 'odd'",
      ].map(klp),
    );
    expect(places('odd').every((byte) => byte === 0)).toBe(true);
    expect(machine.images.get('odd')).toBeUndefined();
  });
});

describe('names as the kernel’s scanf reads them', () => {
  /** What one symbol in one section gives: the address that is written, or the line of the refusal. */
  function outcome(section: string, symbol: string, object: string | null = null, more: object = {}): string {
    const log = new Log();
    const memory = new Uint8Array(8);
    const relocation = { place: 0n, type: 1, symbol, marked: true, addend: 0n, ...more };
    try {
      applyRelocations('m', [{ name: section, relocations: [relocation] }], object, {
        log,
        object: (name) => ({
          name,
          named: (wanted) => (wanted === 'f' ? [{ name: 'f', address: 0x1234n, size: 1n }] : []),
        }),
        read: () => memory,
        write: (_, bytes) => memory.set(bytes),
      });
      return new DataView(memory.buffer).getBigUint64(0, true).toString(16);
    } catch (error) {
      expect(error).toBeInstanceOf(PatchError);
      expect(memory).toEqual(new Uint8Array(8));
      return log.take()[0]?.replace('livepatch: ', '') ?? (error as PatchError).code;
    }
  }
  const BAD = 'has an incorrectly formatted name';
  const long = 'n'.repeat(512);

  test.each([
    ['.klp.rela.vmlinux..text', '.klp.sym.vmlinux.f,0', null, '1234'],
    ['.klp.rela.vmlinux.', '.klp.sym.vmlinux.f,1', null, '1234'],
    ['.klp.rela.vmlinux', '.klp.sym.vmlinux.f, 1', null, '1234'],
    ['.klp.rela.m..text', '.klp.sym.m.f,0', 'm', '1234'],
    ['.klp.rela.m..text', '.klp.sym.other.f,0', 'm', '1234'],
    ['.klp.rela.m..text', '.klp.sym.vmlinux.g,0', null, '0'],
    ['.klp.rela.vmlinux..text', '.klp.sym.vmlinux.f', null, `symbol .klp.sym.vmlinux.f ${BAD}`],
    ['.klp.rela.vmlinux..text', '.klp.sym.vmlinux.f,', null, `symbol .klp.sym.vmlinux.f, ${BAD}`],
    ['.klp.rela.vmlinux..text', '.klp.sym.vmlinux.f,x', null, `symbol .klp.sym.vmlinux.f,x ${BAD}`],
    ['.klp.rela.vmlinux..text', '.klp.sym..f,0', null, `symbol .klp.sym..f,0 ${BAD}`],
    ['.klp.rela.vmlinux..text', '.klp.sym.vmlinux.,0', null, `symbol .klp.sym.vmlinux.,0 ${BAD}`],
    ['.klp.rela.vmlinux..text', 'f', null, `symbol f ${BAD}`],
    ['.klp.rela.vmlinux..text', '', null, `symbol  ${BAD}`],
    ['.klp.rela.vmlinux..text', `.klp.sym.vmlinux.${long},0`, null, `symbol .klp.sym.vmlinux.${long},0 ${BAD}`],
    ['.klp.rela.vmlinux..text', `.klp.sym.${'o'.repeat(56)}.f,0`, null, `symbol .klp.sym.${'o'.repeat(56)}.f,0 ${BAD}`],
    [
      '.klp.rela.vmlinux..text',
      '.klp.sym.vmlinux.f,18446744073709551615',
      null,
      "symbol position 18446744073709551615 for symbol 'f' in object 'vmlinux' not found",
    ],
    ['.klp.rela.', '.klp.sym.vmlinux.f,0', null, `section .klp.rela. ${BAD}`],
    ['.rela.text', '.klp.sym.vmlinux.f,0', null, `section .rela.text ${BAD}`],
    [
      '.klp.rela.m..text',
      '.klp.sym.vmlinux.f,0',
      'm',
      "invalid access to vmlinux symbol 'f' from module-specific livepatch relocation section",
    ],
  ])('%s with %s', (section, symbol, object, expected) => {
    expect(outcome(section, symbol, object)).toBe(expected);
  });

  test('a type that no kernel applies, and a value that does not fit, are ENOEXEC', () => {
    expect(outcome('.klp.rela.vmlinux.', '.klp.sym.vmlinux.f,0', null, { type: 9 })).toBe('ENOEXEC');
    expect(outcome('.klp.rela.vmlinux.', '.klp.sym.vmlinux.f,0', null, { type: 2, addend: -(1n << 40n) })).toBe(
      'ENOEXEC',
    );
    expect(outcome('.klp.rela.vmlinux.', '.klp.sym.vmlinux.f,0', null, { type: 0 })).toBe('0');
  });
});
