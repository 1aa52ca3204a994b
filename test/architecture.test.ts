// The structure of the sources: imports run one way, rules that are cited exist, and one module alone imports iced-x86.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SRC = join(ROOT, 'src');

/** Layers from the bottom up; what stands in one row never imports each other. */
const LAYERS: readonly (readonly string[])[] = [
  ['address', 'errors', 'faults', 'json', 'twins'],
  ['x86', 'wasm'],
  ['engine', 'core', 'image'],
  ['ftrace'],
  ['livepatch'],
  ['machine'],
  ['scenario', 'check', 'measure'],
  ['report'],
  ['cli', 'examples', 'index', 'vitest'],
];

/** What every module may know. */
const BOTTOM = LAYERS[0] ?? [];

function files(folder: string, ending = '.ts'): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'node_modules' || entry.name.endsWith('.generated.ts')) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return files(path, ending);
    return entry.name.endsWith(ending) ? [path] : [];
  });
}

function partOf(path: string): string {
  return (relative(SRC, path).split('/')[0] ?? '').replace(/\.ts$/, '');
}

function layerOf(part: string): number {
  const layer = LAYERS.findIndex((row) => row.includes(part));
  expect(layer, `'${part}' has a place in the order of imports`).toBeGreaterThanOrEqual(0);
  return layer;
}

function importsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '');
}

const sources = files(SRC);

describe('imports', () => {
  test('run from the upper layers to the lower ones only', () => {
    const wrong = sources.flatMap((path) =>
      importsOf(path)
        .filter((name) => name.startsWith('.'))
        .map((name) => resolve(dirname(path), name))
        .filter((target) => target.startsWith(SRC))
        .filter((target) => {
          const [from, to] = [partOf(path), partOf(target)];
          if (from === to || BOTTOM.includes(to)) return false;
          return layerOf(to) >= layerOf(from);
        })
        .map((target) => `${relative(ROOT, path)} imports ${relative(ROOT, target)}`),
    );
    expect(wrong).toEqual([]);
  });

  test('Unicorn is known to engine/ alone, and iced-x86 to x86/ alone', () => {
    for (const path of sources) {
      for (const name of importsOf(path)) {
        if (name.includes('unicorn-x86.min')) expect(partOf(path)).toBe('engine');
        if (name === 'iced-x86') expect(partOf(path)).toBe('x86');
        expect(name, relative(ROOT, path)).not.toBe('@specy/x86');
      }
    }
  });

  test('Node’s own modules are used by the command alone, and by what builds', () => {
    for (const path of sources) {
      if (partOf(path) === 'cli' || path.endsWith('embed.ts') || path.includes('native')) continue;
      for (const name of importsOf(path)) expect(name, relative(ROOT, path)).not.toMatch(/^node:/);
    }
  });

  test('where a call arrived is computed without the core and without livepatch', () => {
    expect(importsOf(join(SRC, 'ftrace/arrival.ts')).filter((name) => /core|livepatch/.test(name))).toEqual([]);
    const inWasm = importsOf(join(ROOT, 'assembly/cpu/arrival.ts'));
    expect(inWasm.filter((name) => name.startsWith('../'))).toEqual([]);
  });
});

describe('citations', () => {
  const LAST = { L: 85, F: 50, C: 53, I: 6 } as const;
  const cited = (text: string) =>
    [...text.matchAll(/\b([LFCI])([1-9]\d?)\b/g)].map(
      (match) => [match[1] as keyof typeof LAST, Number(match[2])] as const,
    );

  test('name rules that exist', () => {
    const wrong: string[] = [];
    for (const path of [...sources, ...files(join(ROOT, 'assembly')), ...files(join(ROOT, 'test'))]) {
      const comments = readFileSync(path, 'utf8').match(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|(?<=test\()'[^']*'/g) ?? [];
      for (const [letter, number] of comments.flatMap(cited)) {
        if (number > LAST[letter]) wrong.push(`${relative(ROOT, path)}: ${letter}${number}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('a rule that does not exist would be found', () => {
    expect(cited('as L99 says, and F22').filter(([letter, number]) => number > LAST[letter])).toEqual([['L', 99]]);
  });
});

test('every source file says its purpose in its first line', () => {
  for (const path of [...sources, ...files(join(ROOT, 'assembly'))]) {
    const [first = '', second = ''] = readFileSync(path, 'utf8').split('\n');
    expect(first.startsWith('#!') ? second : first, relative(ROOT, path)).toMatch(/^\/\/ \S/);
  }
});

test('no type error is ignored', () => {
  for (const path of [...sources, ...files(join(ROOT, 'assembly'))]) {
    expect(/@ts-(ignore|nocheck|expect-error)/.test(readFileSync(path, 'utf8')), relative(ROOT, path)).toBe(false);
  }
});
