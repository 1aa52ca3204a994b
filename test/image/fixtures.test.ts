// The committed objects are what the manifest says, and together they hold what the loader must understand.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ElfFile } from '../../src/image/elf.ts';
import { R, relocationName } from '../../src/image/elf-format.ts';
import { CASES } from '../fixtures/cases.ts';
import { EXAMPLES_FOLDER, fixture, OBJECTS, readManifest } from '../fixtures/manifest.ts';
import { recipes } from '../fixtures/variants.ts';

const manifest = readManifest();

test('every committed object is the one in the manifest, and no other lies beside it', () => {
  expect(readdirSync(OBJECTS).sort()).toEqual(manifest.objects.map(({ file }) => file).sort());
  for (const { file, sha256, size } of manifest.objects) {
    const bytes = fixture(file);
    expect([file, bytes.length, createHash('sha256').update(bytes).digest('hex')]).toEqual([file, size, sha256]);
  }
});

test('the manifest holds the flags and inputs that the build script has now', () => {
  const kept = recipes().filter((recipe) => recipe.kept);
  expect(manifest.objects.map(({ file, inputs, flags }) => ({ file, inputs, flags }))).toEqual(
    kept.map(({ file, inputs, flags }) => ({ file, inputs, flags })),
  );
});

test('every case has a native result', () => {
  expect(manifest.expected).toMatchObject(CASES as object[]);
  for (const { returns } of manifest.expected) expect(returns).toMatch(/^0x[0-9a-f]+$/);
});

test('every relocation type that the loader applies occurs in some object', () => {
  const occurring = new Set(
    manifest.objects.flatMap(({ file, relocations }) => {
      const types = new Set(
        ElfFile.parse(fixture(file), file)
          .relocations()
          .map(({ type }) => type),
      );
      expect(relocations).toEqual([...types].sort((a, b) => a - b).map(relocationName));
      return relocations;
    }),
  );
  expect([...occurring].sort()).toEqual(Object.values(R).map(relocationName).sort());
});

describe('the shipped examples', () => {
  test('are fixtures, byte for byte', () => {
    for (const [example, file] of Object.entries(manifest.examples)) {
      expect(readFileSync(join(EXAMPLES_FOLDER, example)).equals(fixture(file))).toBe(true);
    }
  });

  test('take at most 150 KB', () => {
    const sizes = Object.keys(manifest.examples).map((example) => statSync(join(EXAMPLES_FOLDER, example)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(150_000);
  });
});

test('no object holds a path of the machine that built it', () => {
  for (const { file } of manifest.objects) {
    const text = new TextDecoder('latin1').decode(fixture(file));
    expect([file, /\/(tmp|home|work|root|usr)\//.exec(text)?.[0]]).toEqual([file, undefined]);
  }
});
