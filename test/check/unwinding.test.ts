// Unwind tables of compiled code: they hold, and a function that is not what its table describes does not.
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { check } from '../../src/check/index.ts';
import { loadObject, objectBytes } from '../../src/cli/object-cases.ts';
import { ImageError } from '../../src/errors.ts';

const OBJECTS = new URL('../fixtures/objects/', import.meta.url);

function load(file: string) {
  return loadObject(readFileSync(new URL(file, OBJECTS)), file);
}

test('the tables of every compiled function find the caller at every instruction (C48)', async () => {
  const count = { equivalent: 0, broken: 0, refused: 0, 'not-judged': 0 };
  const open: string[] = [];
  for (const file of readdirSync(OBJECTS).filter((name) => /^(target|fix_a).*O2\.o$/.test(name))) {
    const image = load(file);
    const { ehFrame } = image;
    if (ehFrame === undefined) continue;
    for (const { name, address, size, aliasOf } of image.functions) {
      if (aliasOf !== undefined || size === 0) continue;
      const { verdict } = await check.unwinding({ address, bytes: objectBytes(image, address, size), ehFrame });
      count[verdict]++;
      if (verdict === 'not-judged') open.push(name);
    }
  }
  expect(count).toMatchObject({ broken: 0, refused: 0 });
  expect(count.equivalent).toBeGreaterThan(50);
  // what is jumped to, not called
  for (const name of open) expect(name).toMatch(/\.cold/);
});

test('a section that is malformed is a typed error (C48)', async () => {
  const ehFrame = { address: 0x1000n, bytes: Uint8Array.of(0xff, 0xff, 0, 0, 1) };
  await expect(check.unwinding({ address: 0x2000n, bytes: Uint8Array.of(0xc3), ehFrame })).rejects.toThrow(ImageError);
});
