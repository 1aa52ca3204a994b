// struct klp_patch in guest memory: decoded as its module wrote it, and every hostile one refused with its address (L1–L5).
import { describe, expect, test } from 'vitest';
import { PatchError } from '../../src/errors.ts';
import { ElfFile } from '../../src/image/elf.ts';
import { loadImageBytes } from '../../src/image/load.ts';
import { GuestMemory } from '../../src/livepatch/guest-memory.ts';
import { decodePatch, type GuestPatch } from '../../src/livepatch/guest-patch.ts';
import { Machine } from '../../src/machine.ts';
import { inspectJson, inspectText } from '../../src/report/inspect.ts';
import { fixture } from '../fixtures/manifest.ts';
import { object as example } from '../scenario/world.ts';
import { catchError } from '../support/catch-error.ts';

const BASE = 0x10000n;

/** Memory of a few pages at BASE, written by offset; what is not there is not mapped. */
class Sheet {
  readonly bytes = new Uint8Array(0x4000);
  readonly view = new DataView(this.bytes.buffer);

  quad(offset: number, value: bigint): this {
    this.view.setBigUint64(offset, value, true);
    return this;
  }

  text(offset: number, text: string): this {
    this.bytes.set(new TextEncoder().encode(`${text}\0`), offset);
    return this;
  }

  decode(offset = 0): GuestPatch {
    const memory = new GuestMemory(
      (address, size) => {
        const at = Number(address - BASE);
        return at < 0 || at + size > this.bytes.length ? undefined : this.bytes.subarray(at, at + size);
      },
      { operation: 'test' },
    );
    return decodePatch(memory, BASE + BigInt(offset));
  }

  /** The error of decoding: code and address below BASE. */
  refused(): [string, number] {
    const { code, address } = catchError(PatchError, () => this.decode());
    return [code, Number((address ?? 0n) - BASE)];
  }
}

const at = (offset: number): bigint => BASE + BigInt(offset);
const OBJS = 0x200;
const FUNCS = 0x1000;
const STATES = 0x3000;
const NAMES = 0x3800;

/** A patch with one func of vmlinux and one state. */
function small(): Sheet {
  return new Sheet()
    .quad(0, 1n)
    .quad(8, at(OBJS))
    .quad(0x10, at(STATES))
    .quad(OBJS + 8, at(FUNCS))
    .quad(FUNCS, at(NAMES))
    .quad(FUNCS + 8, 0x1234n)
    .quad(FUNCS + 0x10, 2n)
    .quad(STATES, 5n)
    .quad(STATES + 8, 9n)
    .text(NAMES, 'old');
}

describe('a struct klp_patch', () => {
  test('gives patch, object and func, up to the terminator of each array (L5)', () => {
    const sheet = small();
    sheet
      .quad(0x18, 1n)
      .quad(OBJS + 0xa8, at(NAMES + 0x10))
      .quad(OBJS + 0xa8 + 8, at(FUNCS + 0x98))
      .text(NAMES + 0x10, 'mod');
    sheet.quad(OBJS + 0x10, 0x1111n).quad(OBJS + 0x28, 0x4444n);
    expect(sheet.decode()).toEqual({
      address: BASE,
      mod: 1n,
      replace: true,
      states: [{ address: at(STATES), id: 5n, version: 9 }],
      objects: [
        {
          address: at(OBJS),
          name: null,
          callbacks: { prePatch: 0x1111n, postPatch: 0n, preUnpatch: 0n, postUnpatch: 0x4444n },
          funcs: [{ address: at(FUNCS), oldName: 'old', newFunc: 0x1234n, oldSympos: 2n }],
        },
        {
          address: at(OBJS + 0xa8),
          name: 'mod',
          callbacks: { prePatch: 0n, postPatch: 0n, preUnpatch: 0n, postUnpatch: 0n },
          funcs: [],
        },
      ],
    });
  });

  test.each<[string, (sheet: Sheet) => Sheet, [string, number]]>([
    ['without objects (L9)', (sheet) => sheet.quad(8, 0n), ['EINVAL', 8]],
    [
      'whose object has a name and no funcs (L10)',
      (sheet) => sheet.quad(OBJS, at(NAMES)).quad(OBJS + 8, 0n),
      ['EINVAL', OBJS + 8],
    ],
    ['whose objs lead outside memory', (sheet) => sheet.quad(8, 0xdead0000n), ['EFAULT', 0xdead0000 - Number(BASE)]],
    [
      'whose funcs lead outside memory',
      (sheet) => sheet.quad(OBJS + 8, 0xdead0000n),
      ['EFAULT', 0xdead0000 - Number(BASE)],
    ],
    ['whose funcs end beyond memory', (sheet) => sheet.quad(OBJS + 8, at(0x3ff0)), ['EFAULT', 0x3ff0]],
    [
      'whose func has a name outside memory',
      (sheet) => sheet.quad(FUNCS, 0xdead0000n),
      ['EFAULT', 0xdead0000 - Number(BASE)],
    ],
    [
      'whose states lead outside memory',
      (sheet) => sheet.quad(0x10, 0xdead0000n),
      ['EFAULT', 0xdead0000 - Number(BASE)],
    ],
    [
      'whose name runs to the end of memory',
      (sheet) => {
        sheet.bytes.fill(0x41, NAMES);
        return sheet.quad(FUNCS, at(0x3ff0));
      },
      ['EFAULT', 0x4000],
    ],
    ['whose objects are its funcs', (sheet) => sheet.quad(8, at(FUNCS)), ['EFAULT', 0x1234 - Number(BASE)]],
    [
      'whose funcs are its objects: a cycle',
      (sheet) => sheet.quad(OBJS, at(NAMES)).quad(OBJS + 8, at(OBJS)),
      ['EINVAL', OBJS],
    ],
    [
      'whose two objects have one array of funcs',
      (sheet) => sheet.quad(OBJS + 0xa8, at(NAMES)).quad(OBJS + 0xa8 + 8, at(FUNCS)),
      ['EINVAL', FUNCS],
    ],
  ])('%s is refused with the address', (_, change, expected) => {
    expect(change(small()).refused()).toEqual(expected);
  });

  test('whose array has no terminator ends at the end of memory', () => {
    const sheet = small();
    for (let func = FUNCS; func + 0x98 <= 0x4000; func += 0x98) sheet.quad(func + 8, 1n);
    expect(sheet.refused()[0]).toBe('EFAULT');
  });

  test('whose array never ends is refused at its limit', () => {
    const endless = new GuestMemory((_, size) => new Uint8Array(size).fill(0x11), { operation: 'test' });
    const { code, message } = catchError(PatchError, () => decodePatch(endless, BASE));
    expect([code, message]).toEqual([
      'EINVAL',
      expect.stringContaining('no terminator among 4097 of struct klp_object'),
    ]);
  });

  test('of random bytes is decoded or refused, and nothing else', () => {
    let seed = 0x2f6e2b1;
    const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0);
    for (let round = 0; round < 2000; round++) {
      const sheet = small();
      for (let i = 0; i < 8; i++) sheet.quad((random() % 0x7e0) * 8, at(random() % 0x4400));
      for (let i = 0; i < 4; i++)
        sheet.quad([0, 8, 0x10, OBJS, OBJS + 8, FUNCS][random() % 6] ?? 0, at(random() % 0x4400));
      try {
        sheet.decode();
      } catch (error) {
        expect(error, `seed ${seed}`).toBeInstanceOf(PatchError);
      }
    }
  });
});

const IMPORTS = { klp_enable_patch: 'ret', _printk: 'ret' };

describe('a livepatch module', () => {
  test('is enabled from its struct: functions, position, states and replace are those of the module', async () => {
    const machine = await Machine.create();
    machine.load(example('target.o'), { name: 'vmlinux' });
    machine.load(fixture('duplicates.o'), { name: 'odd', kind: 'module' });
    machine.load(fixture('lp_fix.ko'), { name: 'lp_fix', kind: 'livepatch', symbols: IMPORTS });
    const spec = machine.patchStruct('lp_fix');
    expect(spec).toMatchObject({
      name: 'lp_fix',
      replace: true,
      states: [
        { id: 7, version: 3 },
        { id: 8, version: 1 },
      ],
    });
    machine.livepatch.enable(spec);
    expect(machine.call('checksum', ['hello', 5n])).toMatchObject({ runs: { name: 'lp_fix:livepatch_checksum' } });
    // the second `helper` of the module, as its old_sympos says (L23)
    expect(machine.call('odd:call_helper', [1n]).returns).toBe(8n);
    expect(machine.call('odd:call_other_helper', [1n]).returns).toBe(5003n);
    machine.livepatch.disable('lp_fix');
    expect(machine.call('odd:call_other_helper', [1n]).returns).toBe(15n);
    machine.dispose();
  });

  test('sees in its structs what the kernel would have written there', async () => {
    const machine = await Machine.create();
    machine.load(example('target.o'), { name: 'vmlinux' });
    machine.load(fixture('lp_fix.ko'), { name: 'lp_fix', kind: 'livepatch', symbols: IMPORTS });
    const read = (address: bigint) => new DataView(machine.read(address, 8).buffer).getBigUint64(0, true);
    const spec = machine.patchStruct('lp_fix');
    const [kernel, module] = spec.objects;
    const func = kernel?.funcs[0]?.struct ?? 0n;
    const seen = () => ({
      enabled: Number(read((spec.struct ?? 0n) + 0x80n) & 0xffn),
      patched: Number((read((kernel?.struct ?? 0n) + 0xa0n) >> 8n) & 0xffn),
      mod: read((module?.struct ?? 0n) + 0x98n),
      oldFunc: read(func + 0x18n),
      bits: machine.read(func + 0x90n, 3).join(),
    });
    const original = machine.address('vmlinux:checksum');
    machine.livepatch.enable(spec);
    expect(seen()).toEqual({ enabled: 1, patched: 1, mod: 0n, oldFunc: original, bits: '0,1,0' });
    machine.load(fixture('duplicates.o'), { name: 'odd', kind: 'module' });
    machine.livepatch.disable('lp_fix');
    expect(seen()).toMatchObject({ enabled: 0, patched: 0, bits: '0,0,0' });
    machine.dispose();
  });

  test('that is not marked as a livepatch is refused, as is one without a struct (L11)', async () => {
    const machine = await Machine.create();
    machine.load(example('target.o'), { name: 'vmlinux' });
    const bytes = fixture('lp_fix.ko').slice();
    const marked = new TextDecoder('latin1').decode(bytes).indexOf('livepatch=Y');
    bytes[marked + 10] = 'N'.charCodeAt(0);
    machine.load(bytes, { name: 'lp_fix', kind: 'livepatch', symbols: IMPORTS });
    expect(catchError(PatchError, () => machine.patchStruct('lp_fix')).code).toBe('EINVAL');
    expect(machine.log.take()).toEqual(['livepatch: module lp_fix is not marked as a livepatch module']);
    expect(catchError(PatchError, () => machine.patchStruct('vmlinux')).code).toBe('ENOENT');
    expect(catchError(PatchError, () => machine.patchStruct('nothing')).code).toBe('ENOENT');
    machine.dispose();
  });
});

describe('inspect', () => {
  const image = (file: string) =>
    loadImageBytes(fixture(file), file, { base: 0xffffffffa0000000n, unresolved: 'leave' });

  test('prints patch, object and func, with sympos, callbacks and states', () => {
    expect(inspectText(image('lp_fix.ko')).split('\n')).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^patch patch at 0x[0-9a-f]+, replaces all others$/),
        '  state 7 version 3',
        '  object vmlinux',
        '    func checksum -> livepatch_checksum',
        '  object odd',
        '    func helper,2 -> livepatch_helper',
      ]),
    );
    expect(inspectText(image('lp_demo.ko'))).toContain('    callback prePatch: pre_patch\n');
    expect(inspectJson(image('lp_fix.ko'))).toMatchObject({
      livepatch: true,
      patches: [
        {
          replace: true,
          states: [{ id: '0x7', version: 3 }, { id: '0x8' }],
          objects: [{ name: null }, { name: 'odd' }],
        },
      ],
    });
  });

  test('says of a struct that cannot be read why and where', () => {
    const bytes = fixture('lp_fix.ko').slice();
    const relocation = ElfFile.parse(bytes, 'lp_fix.ko')
      .relocations()
      .find(({ target, offset }) => target?.name === '.data' && offset === 8n);
    // the addend of patch.objs, 16 bytes into the entry
    new DataView(bytes.buffer).setBigUint64((relocation?.fileOffset ?? 0) + 16, 0x7000_0000n, true);
    const broken = loadImageBytes(bytes, 'broken.ko', { base: 0xffffffffa0000000n, unresolved: 'leave' });
    expect(inspectText(broken)).toMatch(
      /^patch patch at 0x[0-9a-f]+: inspect: .* not in memory, at 0x[0-9a-f]+ \(EFAULT\)$/m,
    );
    expect(inspectJson(broken)).toMatchObject({
      patches: [{ symbol: 'patch', error: expect.stringContaining('EFAULT') }],
    });
  });

  test('shows no patches of an object that has none', () => {
    expect(inspectJson(image('target-kernel-O2.o'))).toMatchObject({ livepatch: false, patches: [] });
  });
});
