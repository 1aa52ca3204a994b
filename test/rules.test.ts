// Every rule of the specification is named by a test, or docs/modelled.md says why it is not modelled.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Families whose every rule must be accounted for, and how many rules each has. */
const FAMILIES = { F: 50, L: 85, I: 6 } as const;
type Letter = keyof typeof FAMILIES;

/** A rule, or the last one of a span: `F11`, `F20–F25`. */
const CITATION = /\b([A-Z])([1-9]\d?)(?:–([A-Z])([1-9]\d?))?\b/g;

function rulesIn(text: string): string[] {
  return [...text.matchAll(CITATION)].flatMap(([, letter, first, , last]) => {
    const from = Number(first);
    return Array.from({ length: Number(last ?? first) - from + 1 }, (_, i) => `${letter}${from + i}`);
  });
}

/** Titles of `test`, `describe` and their tables, and the notes of scenarios. */
function titlesIn(source: string): string[] {
  const calls = /\b(?:test|describe|it)(?:\.\w+\((?:[^()]|\([^()]*\))*\))?\(\s*(['"`])((?:(?!\1)[^\\]|\\.)*)\1/g;
  const tables = /^\s*(?:as const\))?\]\s*(?:as const)?\)\(\s*(['"`])((?:(?!\1)[^\\]|\\.)*)\1/gm;
  return [calls, tables].flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[2] ?? ''));
}

function notesIn(json: string): string[] {
  return [...json.matchAll(/"note":\s*"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1] ?? '');
}

function sources(folder: string, ending: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path, ending);
    return entry.name.endsWith(ending) ? [readFileSync(path, 'utf8')] : [];
  });
}

const tested = new Set(
  [
    ...sources(join(ROOT, 'test'), '.ts').flatMap(titlesIn),
    ...sources(join(ROOT, 'test/scenario'), '.json').flatMap(notesIn),
  ].flatMap(rulesIn),
);

/** The rows of the table of rules that are not modelled: rule → reason. */
const refused = new Map(
  readFileSync(join(ROOT, 'docs/modelled.md'), 'utf8')
    .split('\n')
    .map((line) => /^\|\s*([A-Z]\d[A-Z\d–, ]*?)\s*\|\s*(.*?)\s*\|\s*$/.exec(line))
    .flatMap((row) => (row === null ? [] : rulesIn(row[1] ?? '').map((rule) => [rule, row[2] ?? ''] as const))),
);

describe.each(Object.entries(FAMILIES) as [Letter, number][])('the rules %s1 to %s', (letter, count) => {
  const rules = Array.from({ length: count }, (_, i) => `${letter}${i + 1}`);

  test('are each named by a test, or refused with a reason', () => {
    expect(rules.filter((rule) => !tested.has(rule) && !refused.has(rule))).toEqual([]);
  });

  test('that are refused have a reason of more than a word', () => {
    expect(rules.filter((rule) => (refused.get(rule) ?? 'a long reason').split(' ').length < 3)).toEqual([]);
  });
});

test('the table refuses no rule that a test names', () => {
  expect([...refused.keys()].filter((rule) => tested.has(rule))).toEqual([]);
});

test('titles, spans and tables are read as they are meant', () => {
  const source = "test('a (Z1, Z2)', x); test.each(ROWS(1))('b (Z4–Z6)', x);\n  ] as const)('c (Z9)', x); // Z50";
  expect(titlesIn(source).flatMap(rulesIn)).toEqual(['Z1', 'Z2', 'Z4', 'Z5', 'Z6', 'Z9']);
});
