// Scenario files that are wrong in any way: a typed error with file, JSON path and reason, and nothing else.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EngineError, ScenarioError } from '../../src/errors.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { type FileReader, ScenarioRun } from '../../src/scenario/run.ts';
import { fixture } from '../fixtures/manifest.ts';
import { random } from '../livepatch/sequence.ts';
import { EXAMPLES, object } from './world.ts';

const SEED = Number(process.env.SCENARIO_SEED ?? 64);
const MUTANTS = 3000;
/** Of so many files that are read without an error, one is run as well. */
const RUN_EVERY = 16;
const FOLDERS = [EXAMPLES, join(EXAMPLES, 'debate')];
const TEXTS = FOLDERS.flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => readFileSync(join(folder, name), 'utf8')),
);
const read: FileReader = async (path) =>
  path.startsWith('fix_d') ? fixture(path) : object(path.replace(/^\.\.\//, ''));

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What no author means, and a fuzzer writes. */
const ODD: readonly Json[] = [
  ...[null, true, false, 0, -1, 1.5, 2 ** 53, '', '\0', 'ret', 'x:y', '0x', '0xffffffffffffffff'],
  ...[[], {}, [[]], ['vmlinux'], { text: 'a' }, { log: 1 }, '-9223372036854775809', '__proto__', 'constructor'],
  'a'.repeat(10_000),
];
const KEYS = [
  'name',
  'fails',
  'note',
  'steps',
  '__proto__',
  'constructor',
  'toString',
  '',
  'enable',
  'object',
  'nth',
  'until',
];

/** Every object and array of a document, with its members' keys. */
function places(value: Json): { holder: { [key: string]: Json }; key: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as { [key: string]: Json };
  return Object.keys(holder).flatMap((key) => [{ holder, key }, ...places(holder[key] ?? null)]);
}

const copy = (value: Json): Json => JSON.parse(JSON.stringify(value)) as Json;

/** A document with one to three places changed: another value, no value, a new key, or what stands elsewhere. */
function mutant(text: string, pick: (below: number) => number): string {
  const document = JSON.parse(text) as Json;
  for (let i = 1 + pick(3); i > 0; i--) {
    const all = places(document);
    const { holder, key } = all[pick(all.length)] ?? { holder: {}, key: '' };
    const other = all[pick(all.length)];
    const kind = pick(4);
    if (kind === 0) holder[key] = copy(ODD[pick(ODD.length)] ?? null);
    else if (kind === 1) delete holder[key];
    else if (kind === 2)
      Object.defineProperty(holder, KEYS[pick(KEYS.length)] ?? '', {
        value: copy(ODD[pick(ODD.length)] ?? null),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else if (other !== undefined) holder[key] = copy(other.holder[other.key] ?? null);
  }
  return JSON.stringify(document);
}

function expectPlain(error: unknown, text: string): void {
  expect(error, text).toBeInstanceOf(ScenarioError);
  const { file, jsonPath, message } = error as ScenarioError;
  expect(file).toBe('file.json');
  expect(jsonPath, text).toMatch(/^\$/);
  expect(message).toContain(`file.json: ${jsonPath}: `);
}

test(`files that are changed at random are read or refused with file, JSON path and reason (seed ${SEED})`, async () => {
  const pick = random(SEED);
  const seen = { refused: 0, ran: 0 };
  for (let i = 0; i < MUTANTS; i++) {
    const text = mutant(TEXTS[pick(TEXTS.length)] ?? '', pick);
    let scenario: ReturnType<typeof parseScenario>;
    try {
      scenario = parseScenario(text, 'file.json');
    } catch (error) {
      expectPlain(error, text);
      seen.refused++;
      continue;
    }
    if (pick(RUN_EVERY) > 0) continue;
    seen.ran++;
    try {
      const run = await ScenarioRun.create(
        { ...scenario, machine: { ...scenario.machine, budget: 10_000 } },
        { read, engine: 'wasm' },
      );
      try {
        for (let step = run.next(); step !== undefined; step = run.next()) expect(step.message).toBeTypeOf('string');
      } finally {
        run.dispose();
      }
    } catch (error) {
      // a step that names what no image defines is a mistake of the file as well
      if (!(error instanceof EngineError)) expectPlain(error, text);
    }
  }
  expect(seen.refused).toBeGreaterThan(MUTANTS / 4);
  expect(seen.ran).toBeGreaterThan(10);
});

describe('references', () => {
  const file = (images: readonly object[]): string =>
    JSON.stringify({ format: 'tramp64-scenario/1', images, steps: [] });
  const image = (name: string, symbols: object = {}, more: object = {}): object => ({
    ...{ name, file: 'target.o', symbols },
    ...more,
  });
  const errorOf = async (text: string): Promise<ScenarioError> => {
    try {
      const run = await ScenarioRun.create(parseScenario(text, 'file.json'), { read, engine: 'wasm' });
      run.dispose();
    } catch (error) {
      if (error instanceof ScenarioError) return error;
      throw error;
    }
    throw new Error('nothing was refused');
  };

  test.each<[string, object[], string, string]>([
    ['of an image to itself', [image('a', { x: 'a:y' })], 'EINVAL', '$.images[0].symbols.x'],
    [
      'of three images in a circle',
      [image('a', { x: 'b:y' }), image('b', { y: 'c:z' }), image('c', { z: 'a:x' })],
      'EINVAL',
      '$.images[2].symbols.z',
    ],
    ['to an image that is not there', [image('a', { x: 'b:y' })], 'ENOENT', '$.images[0].symbols.x'],
    [
      'to an image that is loaded later',
      [image('a', { checksum: 'b:checksum' }, { file: 'fix_d-kernel-O2.o' }), image('b')],
      'ENOENT',
      '$.images[0]',
    ],
    ['to a file that is not there', [{ name: 'a', file: 'nowhere.o' }], 'ENOENT', '$.images[0].file'],
    ['to a file that is no object', [{ name: 'a', file: '1-patch-and-unpatch.json' }], 'ENOEXEC', '$.images[0]'],
  ])('%s are refused with the path', async (_what, images, code, path) => {
    const error = await errorOf(file(images));
    expect({ code: error.code, path: error.jsonPath, file: error.file }).toEqual({ code, path, file: 'file.json' });
  });

  test('that share an image without a circle are read', () => {
    const images = [image('a'), image('b', { x: 'a:y' }), image('c', { x: 'a:y', z: 'b:x' })];
    expect(parseScenario(file(images)).images).toHaveLength(3);
  });
});
