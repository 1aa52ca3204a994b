// Tables for exceptions: which addresses they name, what `check` makes of them, and tables that are wrong.
import { describe, expect, test } from 'vitest';
import { judgeCases } from '../../src/check/cases.ts';
import { loadObject, objectCases } from '../../src/cli/object-cases.ts';
import { ImageError } from '../../src/errors.ts';
import { landingPads } from '../../src/image/unwind/landing-pads.ts';
import { fixture } from '../fixtures/manifest.ts';
import { catchError } from '../support/catch-error.ts';

/** `function+offset` of each address that is named. */
function named(file: string): string[] {
  const image = loadObject(fixture(file), file);
  return landingPads(image).map((at) => {
    const info = image.functionAt(at);
    return `${info?.name}+${at - (info?.address ?? 0n)}`;
  });
}

test('each region with a landing pad is named by its start, and the pad is', () => {
  // early calls clean as well, whose exception finds no pad; plain has no table
  expect(named('cleanup-exceptions.o')).toEqual(['guarded+14', 'guarded+47', 'early+10', 'early+36']);
  expect(named('landing.o')).toEqual(['at_once+0', 'at_once+6']);
  expect(named('target-kernel-O2.o')).toEqual([]);
  expect(named('blind.o')).toEqual([]);
});

test('C6: a function whose first bytes may throw cannot be hooked, one that throws behind them can', async () => {
  const outcome = async (file: string, name: string): Promise<string | undefined> => {
    const cases = objectCases(fixture(file), file).map(({ raw }) => raw);
    const { cases: results } = await judgeCases(cases.filter(({ id }) => id === `${name}:hook`));
    const [result] = results;
    return `${result?.verdict} ${result?.findings.map(({ rule }) => rule).join()}`;
  };
  expect(await outcome('landing.o', 'at_once')).toMatch(/^refused C6/);
  expect(await outcome('cleanup-exceptions.o', 'guarded')).toBe('hookable ');
});

describe('a table that is wrong is an error that names its section', () => {
  const image = loadObject(fixture('landing.o'), 'landing.o');
  const place = image.sections.find(({ name }) => name === '.gcc_except_table')?.address ?? 0n;
  const withTable = (...bytes: number[]) => ({
    ...image,
    segments: image.segments.map((segment) => {
      const at = Number(place - segment.address);
      if (at < 0 || at >= segment.bytes.length) return segment;
      const changed = segment.bytes.slice();
      changed.set(bytes, at);
      return { ...segment, bytes: changed };
    }),
  });

  test.each([
    ['a base in an encoding that is not known', [0x55]],
    ['call sites in an encoding that is not known', [0xff, 0xff, 0x07]],
    ['more call sites than bytes', [0xff, 0xff, 0x01, 0xff, 0xff, 0x7f]],
    ['a call site that ends in the middle', [0xff, 0xff, 0x01, 0x03, 0x00, 0x05, 0x06]],
    ['a number without end', [0xff, 0xff, 0x01, 0x0b, ...new Array<number>(11).fill(0x80)]],
  ])('%s', (_what, bytes) => {
    const error = catchError(ImageError, () => landingPads(withTable(...bytes)));
    expect(error).toMatchObject({ code: 'ENOEXEC', section: '.gcc_except_table' });
  });

  test('and so is one outside of the image', () => {
    const error = catchError(ImageError, () => landingPads({ ...image, segments: [] }));
    expect(error).toMatchObject({ code: 'ENOEXEC', section: '.gcc_except_table' });
  });

  test('a base of its own counts', () => {
    // absolute base 0x1000, types in a table behind, the site at +0 with a pad at +2
    const base = [0x00, 0, 0x10, 0, 0, 0, 0, 0, 0, 0x9b, 0x10, 0x01, 0x04, 0, 5, 2, 1];
    expect(landingPads(withTable(...base))).toEqual([image.functionNamed('at_once')?.address, 0x1002n]);
  });
});
