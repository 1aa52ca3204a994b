// The objects that the series patch, the timed loop, and calls captured for the bare CPU.
import { describe, expect, test } from 'vitest';
import { EngineError } from '../../src/errors.ts';
import { ElfFile } from '../../src/image/elf.ts';
import { loadImage } from '../../src/image/load.ts';
import { Machine } from '../../src/machine.ts';
import { mechanisms } from '../../src/measure/bench.ts';
import { capture, captureFile } from '../../src/measure/capture.ts';
import { driverTable, installDriver, timeCalls } from '../../src/measure/driver.ts';
import { makeProgram } from '../../src/measure/mechanism.ts';
import { at, body, HOT, kept, redirected } from '../../src/measure/mechanisms/hot.ts';
import { manyFunctions } from '../../src/measure/object.ts';
import { placeTexts } from '../../src/measure/subject.ts';
import { int3, nop } from '../../src/x86/encode.ts';
import { catchError } from '../support/catch-error.ts';

describe('an object of many functions', () => {
  test.each([1, 2, 1000])('has %i functions, each with its site', (count) => {
    const image = loadImage(ElfFile.parse(manyFunctions(count, 1, true), 'many.o'), {
      base: 0xffffffff81000000n,
      resolve: () => undefined,
    });
    expect(image.functions.map(({ name }) => name)).toEqual(Array.from({ length: count }, (_, i) => `f${i}`));
    expect(image.functions.every(({ address, site }) => site?.address === address)).toBe(true);
  });

  test('runs, the last function too', async () => {
    const machine = await Machine.create({ engine: 'wasm' });
    machine.load(manyFunctions(300, 7, false), { name: 'vmlinux' });
    expect(machine.call('f299', [35n]).returns).toBe(42n);
    machine.dispose();
  });

  test.each([0, -1, 1.5, 1_000_001])('of %d functions is refused', (count) => {
    expect(() => manyFunctions(count, 1, true)).toThrow(RangeError);
  });
});

describe('the timed loop', () => {
  test('calls the functions of its table in turn, and adds their results up', async () => {
    const other = HOT + 0x100n;
    const program = kept([at(HOT, [nop(5), ...body(1)]), at(other, [nop(5), ...body(1)])], HOT);
    const subject = await makeProgram('wasm', program);
    const two = { ...subject, entries: [HOT, other] };
    installDriver(two);
    expect(timeCalls(two, 1000)).toBeGreaterThan(0);
    subject.engine.write(other, at(other, [nop(5), ...body(2)]).bytes);
    expect(catchError(EngineError, () => timeCalls(two, 1000)).message).toContain('do not add up');
    subject.dispose();
  });

  test('goes on behind each trap', async () => {
    const program = redirected([at(HOT, [int3(), nop(5)])], 0x10001000n, { traps: new Map([[HOT, 0x10001000n]]) });
    for (const engine of ['wasm', 'unicorn'] as const) {
      const subject = await makeProgram(engine, program);
      installDriver(subject);
      expect(timeCalls(subject, 5), engine).toBeGreaterThan(0);
      subject.dispose();
    }
  });

  test('wants a power of two of functions, and a number of calls that makes sense', async () => {
    expect(() => driverTable({ entry: 1n, entries: [1n, 2n, 3n] })).toThrow(RangeError);
    expect(() => driverTable({ entry: 1n, entries: Array.from({ length: 1 << 17 }, () => 1n) })).toThrow(RangeError);
    const subject = await makeProgram('wasm', kept([at(HOT, [nop(5), ...body(1)])], HOT));
    for (const calls of [0, -1, 0.5, 2 ** 40]) expect(() => timeCalls(subject, calls)).toThrow(RangeError);
    subject.dispose();
  });
});

describe('texts of a call', () => {
  test('lie one after another, each with its NUL', () => {
    const { values, texts } = placeTexts(['ab', 5n, '']);
    expect(texts.map(({ bytes }) => [...bytes])).toEqual([[97, 98, 0], [0]]);
    expect(values).toEqual([texts[0]?.at, 5n, texts[1]?.at]);
    expect((values[2] ?? 0n) - (values[0] ?? 0n)).toBe(16n);
  });

  test('that are too long are refused', () => {
    expect(catchError(EngineError, () => placeTexts(['x'.repeat(0x10000)])).code).toBe('ENOMEM');
  });
});

describe('a captured call', () => {
  test('holds the pages of code, data, loop and stack, and says where they belong', async () => {
    const row = mechanisms('6.1').find(({ id }) => id === 'livepatch-args');
    const subject = await row?.make('wasm');
    if (subject === undefined) throw new Error('no row');
    const { pages, gsBase, ...rest } = capture(subject);
    expect(gsBase).toBe(0x500000000n);
    for (const needed of [subject.entry, subject.reaches, gsBase, rest.entry, rest.table, rest.stackTop - 8n]) {
      expect(pages.has(needed & ~0xfffn), needed.toString(16)).toBe(true);
    }
    const file = captureFile({ pages, gsBase, ...rest });
    expect(file.length).toBe(64 + pages.size * (8 + 4096));
    subject.dispose();
  });

  test('is refused where the host answers', async () => {
    const row = mechanisms('6.1').find(({ id }) => id === 'livepatch-args-core');
    const subject = await row?.make('wasm');
    if (subject === undefined) throw new Error('no row');
    expect(catchError(EngineError, () => capture(subject)).code).toBe('EOPNOTSUPP');
    subject.dispose();
  });
});
