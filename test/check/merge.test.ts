// Joining the results of shards, and reading results that somebody else may have written.
import { describe, expect, test } from 'vitest';
import { type CaseResult, type CheckDocument, casesOf, documentOf, judgeCase } from '../../src/check/cases.ts';
import { checkDocumentOf, mergeDocuments } from '../../src/check/merge.ts';
import { ScenarioError } from '../../src/errors.ts';

const item = (id: string, verdict = 'equivalent', kind = 'hook'): CaseResult => ({
  id,
  kind,
  verdict,
  expected: null,
  agrees: true,
  reason: '',
  findings: [],
});

const ITEMS = Array.from({ length: 7 }, (_, i) => item(`c${i}`, i % 3 === 0 ? 'broken' : 'equivalent', `kind${i % 2}`));

function shards(of: number): { file: string; document: CheckDocument }[] {
  return Array.from({ length: of }, (_, s) => ({
    file: `${s + 1}.json`,
    document: documentOf(
      ITEMS.filter((_, i) => i % of === s),
      { index: s + 1, of },
    ),
  }));
}

test('shards in any order give the document of one run, byte for byte', () => {
  const whole = JSON.stringify(documentOf(ITEMS));
  for (const of of [1, 2, 3, 9]) expect(JSON.stringify(mergeDocuments(shards(of).reverse())), `${of}`).toBe(whole);
});

test('documents that are no shards are put one after the other', () => {
  const [a, b] = [documentOf(ITEMS.slice(0, 2)), documentOf(ITEMS.slice(2))];
  const merged = mergeDocuments([
    { file: 'a', document: a },
    { file: 'b', document: b },
  ]);
  expect(merged).toEqual(documentOf(ITEMS));
});

describe('is refused:', () => {
  const [one, two, three] = shards(3);
  if (one === undefined || two === undefined || three === undefined) throw new Error('three shards');
  const short = { file: 's', document: { ...two.document, cases: two.document.cases.slice(0, 1) } };
  for (const [name, parts, message] of [
    ['a shard that is missing', [one, three], 'shard 2/3 is missing'],
    ['a shard that is given twice', [one, two, two], 'is shard 2/3, as 2.json is'],
    ['shards of two runs', [one, ...shards(2)], 'is one of 2 shards, others are of 3'],
    ['a shard with fewer cases than it must have', [one, short, three], 'has fewer cases'],
    ['a whole run among shards', [one, { file: 'w', document: documentOf(ITEMS) }], 'is no shard, but others are'],
  ] as const) {
    test(name, () => expect(() => mergeDocuments(parts)).toThrow(message));
  }

  const good = documentOf([item('a')]);
  for (const [name, document, path] of [
    ['another format', { ...good, format: 'x' }, '$.format'],
    ['no list of cases', { ...good, cases: {} }, '$.cases'],
    ['a case without an id', { ...good, cases: [{ ...item('a'), id: 1 }] }, '$.cases[0].id'],
    [
      'a finding with no rule',
      { ...good, cases: [{ ...item('a'), findings: [{ rule: 'C99' }] }] },
      '$.cases[0].findings[0].rule',
    ],
    ['a shard beyond the last', { ...good, shard: { index: 3, of: 2 } }, '$.shard'],
  ] as const) {
    test(`${name}, with its JSON path`, () => {
      expect(() => checkDocumentOf(JSON.parse(JSON.stringify(document)), 'r.json')).toThrow(ScenarioError);
      expect(() => checkDocumentOf(JSON.parse(JSON.stringify(document)), 'r.json')).toThrow(`r.json ${path}:`);
    });
  }
});

describe('a hostile file of cases', () => {
  test('may call its kind anything', async () => {
    const raw = JSON.parse('{"id": "p", "kind": "__proto__", "input": "90"}');
    const document = documentOf([await judgeCase(raw)]);
    expect(Object.keys(document.summary.byKind)).toEqual(['__proto__']);
    expect(Object.hasOwn(Object.prototype, 'cases')).toBe(false);
  });

  test('cannot make each finding repeat an id without end', () => {
    const cases = [{ id: 'x'.repeat(10_000), kind: 'nop', input: '90' }];
    expect(() => casesOf({ format: 'redirect-cases/1', cases }, 'c.json')).toThrow('c.json $.cases[0].id: longer than');
  });

  test('has its bytes bounded, case by case', async () => {
    const { verdict, reason } = await judgeCase({ id: 'l', kind: 'nop', input: '90'.repeat(70_000) });
    expect(verdict).toBe('not-judged');
    expect(reason).toContain('longer than 65536 bytes');
  });
});
