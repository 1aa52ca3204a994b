// Call frame information: hand-made tables give the rows that DWARF says, and hostile ones a typed error or nothing.
import { describe, expect, test } from 'vitest';
import { ImageError } from '../../src/errors.ts';
import { loadImageBytes } from '../../src/image/load.ts';
import { CallFrames } from '../../src/image/unwind/call-frames.ts';
import { callerOf } from '../../src/image/unwind/caller.ts';
import { RETURN_ADDRESS, RSP } from '../../src/image/unwind/frame-row.ts';
import { randomIntegers } from '../core/random.ts';
import { fixture, readManifest } from '../fixtures/manifest.ts';
import { catchError } from '../support/catch-error.ts';

/** High, so that sums pass 2^63. */
const SECTION = 0xffffffff81002000n;
const CODE = 0xffffffff81000000n;

const uleb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...uleb(value >>> 7)]);
const u32 = (value: number): number[] => [value, value >>> 8, value >>> 16, value >>> 24].map((byte) => byte & 255);
const u64 = (value: bigint): number[] => [...u32(Number(value & 0xffffffffn)), ...u32(Number(value >> 32n))];
const entry = (...body: number[]): number[] => {
  while (body.length % 4 !== 0) body.push(0);
  return [...u32(body.length), ...body];
};

interface CieOptions {
  letters?: string;
  data?: readonly number[];
  version?: number;
  codeAlign?: number;
  column?: number;
  code?: readonly number[];
}

/** cfa = rsp + 8, rip at cfa - 8, unless it says otherwise. */
function cie(options: CieOptions = {}): number[] {
  const { letters = 'zR', data = [0x1b], version = 1, codeAlign = 1, column = 16 } = options;
  const { code = [0x0c, 7, 8, 0x90, 1] } = options;
  const augmentation = letters.startsWith('z') ? [...uleb(data.length), ...data] : [];
  const text = [...letters].map((letter) => letter.charCodeAt(0));
  return entry(...u32(0), version, ...text, 0, ...uleb(codeAlign), 0x78, column, ...augmentation, ...code);
}

/** Code of 0x40 bytes from CODE + start, described by the CIE at 0; pcrel sdata4. */
function fde(at: number, code: readonly number[], start = 0, size = 0x40): number[] {
  const place = SECTION + BigInt(at + 8);
  return entry(
    ...u32(at + 4),
    ...u32(Number(BigInt.asIntN(32, CODE + BigInt(start) - place))),
    ...u32(size),
    0,
    ...code,
  );
}

const read = (bytes: readonly number[]): CallFrames =>
  CallFrames.read({ image: 'made', address: SECTION, bytes: Uint8Array.from(bytes) });

function made(code: readonly number[], options: CieOptions = {}): CallFrames {
  const head = cie(options);
  return read([...head, ...fde(head.length, code)]);
}

const rspAt = 0xffffc90000001000n;
const memory = (at: bigint): bigint | undefined => (at % 8n === 0n ? at + 1n : undefined);
/** Registers that hold 1000 times their number, but rsp and rip. */
const registers = Array.from({ length: 17 }, (_, i) =>
  i === RSP ? rspAt : i === RETURN_ADDRESS ? CODE + 0x10n : BigInt(1000 * i),
);
const changed = (column: number, value: bigint | undefined) => registers.map((old, i) => (i === column ? value : old));
const callerAt = (frames: CallFrames, offset = 0x10n) => {
  const row = frames.rowAt(CODE + offset);
  return row && callerOf(row, registers, memory);
};

describe('a row', () => {
  test('holds from its own instruction to the next, to the byte', () => {
    // advance 1, cfa +16; advance1 2, cfa +24; advance2 4, cfa +32; advance4 8, cfa +40
    const frames = made([0x41, 0x0e, 16, 0x02, 2, 0x0e, 24, 0x03, 4, 0, 0x0e, 32, 0x04, 8, 0, 0, 0, 0x0e, 40]);
    const depth = (at: bigint) => (callerAt(frames, at)?.cfa ?? 0n) - rspAt;
    expect([0n, 1n, 2n, 3n, 6n, 7n, 14n, 15n, 63n].map(depth)).toEqual([8n, 16n, 16n, 24n, 24n, 32n, 32n, 40n, 40n]);
    expect(frames.rowAt(CODE + 64n)).toBeUndefined();
    expect(frames.rowAt(CODE - 1n)).toBeUndefined();
  });

  test('counts in units of the code alignment', () => {
    const frames = made([0x41, 0x0e, 16], { codeAlign: 4 });
    expect([3n, 4n].map((at) => (callerAt(frames, at)?.cfa ?? 0n) - rspAt)).toEqual([8n, 16n]);
  });

  test('remembers and restores states, nested, with the frame address', () => {
    const frames = made([0x0a, 0x0e, 16, 0x83, 2, 0x0a, 0x0e, 24, 0x86, 3, 0x41, 0x0b, 0x41, 0x0b, 0x41]);
    expect(frames.rowAt(CODE)?.rules[6]).toEqual({ kind: 'offset', offset: -24n });
    expect(frames.rowAt(CODE + 1n)).toMatchObject({ cfa: { offset: 16n } });
    expect(frames.rowAt(CODE + 1n)?.rules[6]).toBeUndefined();
    expect(frames.rowAt(CODE + 2n)).toMatchObject({ cfa: { offset: 8n } });
    expect(frames.rowAt(CODE + 2n)?.rules[3]).toBeUndefined();
  });

  test.each([
    ['at an offset', [0x83, 2], 3, rspAt + 8n - 16n + 1n],
    ['at an extended offset', [0x05, 3, 2], 3, rspAt + 8n - 16n + 1n],
    ['at a signed offset', [0x11, 3, 0x7e], 3, rspAt + 8n + 16n + 1n],
    ['at a negative offset of GNU', [0x2f, 3, 2], 3, rspAt + 8n + 16n + 1n],
    ['that is an offset', [0x14, 3, 2], 3, rspAt + 8n - 16n],
    ['that is a signed offset', [0x15, 3, 0x7e], 3, rspAt + 8n + 16n],
    ['in another register', [0x09, 3, 12], 3, 12000n],
    ['undefined', [0x07, 3], 3, undefined],
    ['the same, of a register that is lost otherwise', [0x08, 10], 10, 10000n],
    ['without a rule, preserved', [], 3, 3000n],
    ['without a rule, lost', [], 10, undefined],
    ['restored', [0x83, 2, 0xc3], 3, 3000n],
    ['restored, extended', [0x83, 2, 0x06, 3], 3, 3000n],
    // breg3 8: the memory at 3008
    ['where an expression says', [0x10, 3, 2, 0x73, 8], 3, 3009n],
    // breg3 8; deref: 3009 is no multiple of eight, which this memory does not have
    ['where there is nothing', [0x10, 3, 3, 0x73, 8, 0x06], 3, undefined],
    // cfa; lit8; minus
    ['what an expression gives', [0x16, 3, 2, 0x38, 0x1c], 3, rspAt],
    ['rsp by a rule', [0x14, 7, 0], RSP, rspAt + 8n],
  ] as const)('gives a register %s', (_, code, column, value) => {
    const frames = made([...code, 0x2e, 8]); // DW_CFA_GNU_args_size is skipped
    expect(callerAt(frames)?.registers[column]).toBe(value);
  });

  test('finds the frame address by the expression of a PLT', () => {
    // rsp + 8 + ((rip & 15) >= 11) << 3, as ld writes it
    const plt = [0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
    const frames = made(plt);
    const row = frames.rowAt(CODE);
    const at = (rip: bigint) => row && callerOf(row, changed(RETURN_ADDRESS, CODE + rip), memory)?.cfa;
    expect([0n, 10n, 11n, 15n].map(at)).toEqual([8n, 8n, 16n, 16n].map((depth) => rspAt + depth));
  });

  test('of a signal frame keeps all registers', () => {
    const frames = made([], { letters: 'zRS' });
    expect(frames.rowAt(CODE)?.signal).toBe(true);
    expect(callerAt(frames)?.registers[10]).toBe(10000n);
  });

  test('is found by every pointer encoding that objects have', () => {
    const at = cie({ data: [0] }).length;
    const absolute = entry(...u32(at + 4), ...u64(CODE), ...u64(64n), 0);
    expect(read([...cie({ data: [0] }), ...absolute]).rowAt(CODE + 63n)).toBeDefined();
    const short = entry(...u32(at + 4), 0x34, 0x12, 0x10, 0, 0);
    expect(read([...cie({ data: [0x02] }), ...short]).rowAt(0x1243n)).toBeDefined();
    const leb = entry(...u32(at + 4), ...uleb(0x1234), ...uleb(16), 0);
    expect(read([...cie({ data: [0x01] }), ...leb]).rowAt(0x1243n)).toBeDefined();
    const old = cie({ letters: '', version: 3 });
    expect(read([...old, ...entry(...u32(old.length + 4), ...u64(CODE), ...u64(64n))]).rowAt(CODE)).toBeDefined();
    const personality = cie({ letters: 'zPLR', data: [0x9b, 1, 2, 3, 4, 0x1b, 0x1b] });
    expect(read([...personality, ...fde(personality.length, [])]).rowAt(CODE)).toBeDefined();
  });

  test('is found among many, whatever their order in the file', () => {
    const head = cie();
    const bytes = [...head];
    for (let i = 99; i >= 0; i--) bytes.push(...fde(bytes.length, [0x0e, ...uleb(8 * (i + 1))], 0x40 * i));
    const frames = read([...bytes, ...u32(0)]);
    expect(frames.size).toBe(100);
    for (let i = 0; i < 100; i++) {
      expect(frames.rowAt(CODE + BigInt(0x40 * i + 0x3f))).toMatchObject({ cfa: { offset: BigInt(8 * (i + 1)) } });
    }
  });
});

describe('a section that is wrong is refused, with the place', () => {
  const head = cie();
  const cases: [string, readonly number[]][] = [
    ['an entry longer than the section', [...u32(100), 0, 0, 0, 0]],
    ['a length of 64 bits past the end', [...u32(0xffffffff), ...u64(1n << 60n), 0, 0, 0, 0]],
    ['three bytes', [1, 2, 3]],
    ['an FDE before any CIE', fde(0, [])],
    ['an FDE of itself', [...head, ...entry(...u32(4), 0, 0, 0, 0)]],
    ['an FDE that points out of the section', [...head, ...entry(...u32(0x7fffffff), 0, 0, 0, 0)]],
    ['a version that is not known', cie({ version: 4 })],
    ['an augmentation that is not known', cie({ letters: 'zX' })],
    ['an augmentation without a length', cie({ letters: 'eh' })],
    ['augmentation data past the entry', entry(...u32(0), 1, 0x7a, 0, 1, 0x78, 16, 0xff, 1)],
    ['a return address in another column', cie({ column: 3 })],
    ['an aligned pointer', [...cie({ data: [0x50] }), ...fde(cie({ data: [0x50] }).length, [])]],
    ['an indirect pointer', [...cie({ data: [0x9b] }), ...fde(cie({ data: [0x9b] }).length, [])]],
    ['a LEB128 number of 20 bytes', entry(...u32(0), 1, 0, ...new Array(20).fill(0x80))],
    ['an augmentation without an end', [...u32(6), ...u32(0), 1, 0x7a]],
    ['two descriptions of the same code', [...head, ...fde(head.length, []), ...fde(head.length + 20, [], 0x3f)]],
  ];
  test.each(cases)('%s', (_, bytes) => {
    const error = catchError(ImageError, () => read(bytes));
    expect(['ENOEXEC', 'EINVAL']).toContain(error.code);
    expect(error.message).toMatch(/'made' section '\.eh_frame'/);
  });

  const programs: [string, readonly number[]][] = [
    ['an instruction that is not known', [0x3f]],
    ['nothing to restore', [0x0b]],
    ['a register that there is not', [0x07, 0xff, 0xff, 3]],
    ['an offset without a register', [0x0f, 1, 0x30, 0x0e, 8]],
    ['an expression past the entry', [0x0f, 0x7f, 0x30]],
    ['an operand that is cut off', [0, 0, 0x0c]],
    ['states without end', new Array(100).fill(0x0a)],
  ];
  test.each(programs)('instructions with %s', (_, code) => {
    const frames = made(code);
    expect(catchError(ImageError, () => frames.rowAt(CODE + 63n)).code).toBe('ENOEXEC');
  });

  const expressions: [string, readonly number[]][] = [
    ['an empty stack', [0x22]],
    ['nothing', []],
    ['a branch', [0x2f, 0, 0]],
    ['a stack without end', [0x30, ...new Array(100).fill(0x12)]],
    ['a copy of what is not there', [0x30, 0x15, 9]],
  ];
  test.each(expressions)('an expression with %s', (_, code) => {
    const frames = made([0x0f, ...uleb(code.length), ...code]);
    expect(catchError(ImageError, () => callerAt(frames)).code).toBe('ENOEXEC');
  });

  test.each([
    ['divides by nothing', [0x30, 0x30, 0x1b]],
    ['takes a remainder of nothing', [0x30, 0x30, 0x1d]],
    ['reads what is not mapped', [0x31, 0x06]],
    ['needs a lost register', [0x7a, 0]],
  ])('an expression that %s gives nothing', (_, code) => {
    const row = made([0x0f, code.length, ...code]).rowAt(CODE);
    expect(row && callerOf(row, changed(10, undefined), memory)).toBeUndefined();
  });
});

describe('.eh_frame of real objects', () => {
  const files = readManifest().objects.filter(({ file }) => /^(target|frames|fix_a)-.*\.o$/.test(file));

  test('describes every function, relocated to where it is loaded', () => {
    for (const { file } of files) {
      const image = loadImageBytes(fixture(file), file, { base: 0xffffffffa0000000n, unresolved: 'leave' });
      expect(image.ehFrame, file).toBeDefined();
      if (image.ehFrame === undefined) continue;
      const frames = CallFrames.read({ image: file, ...image.ehFrame });
      for (const { address, size, symbol } of image.functions) {
        // a cold part begins in the middle of its function
        const offset = symbol.name.endsWith('.cold') ? expect.any(BigInt) : 8n;
        expect(frames.rowAt(address), `${file} ${symbol.name}`).toMatchObject({ cfa: { register: RSP, offset } });
        expect(frames.rowAt(address + BigInt(size) - 1n), `${file} ${symbol.name}`).toBeDefined();
      }
    }
  });

  test('with bytes changed at random gives an error, a row or nothing, and always ends (seed 20261125)', () => {
    const random = randomIntegers(20261125);
    const image = loadImageBytes(fixture('frames-kernel-Os.o'), 'frames', { base: CODE, unresolved: 'leave' });
    const source = image.ehFrame;
    if (source === undefined) throw new Error('frames.o has no .eh_frame');
    const seen = { refused: 0, rows: 0, bad: 0, none: 0 };
    for (let round = 0; round < 3000; round++) {
      const bytes = source.bytes.slice(0, round % 3 === 0 ? random(source.bytes.length + 1) : undefined);
      for (let i = random(6); i >= 0 && bytes.length > 0; i--) bytes[random(bytes.length)] = random(256);
      let frames: CallFrames;
      try {
        frames = CallFrames.read({ image: 'changed', address: source.address, bytes });
      } catch (error) {
        expect(error).toBeInstanceOf(ImageError);
        seen.refused++;
        continue;
      }
      for (let i = 0; i < 8; i++) {
        const ip = CODE + BigInt(random(0x400));
        try {
          const row = frames.rowAt(ip);
          if (row === undefined) seen.none++;
          else {
            callerOf(row, registers, memory);
            seen.rows++;
          }
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError);
          seen.bad++;
        }
      }
    }
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(50);
  });
});
