// Our verdicts against recorded ones: hooks that five libraries built, and byte sequences of public test suites.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CaseResult, casesOf, judgeCases, type RawCase } from '../../src/check/cases.ts';
import { keepEngines } from '../../src/check/engines.ts';
import { ScenarioError } from '../../src/errors.ts';

interface Disagreement {
  id: string;
  expected: string;
  verdict: string;
  evidence: string;
}

const known: Record<string, Disagreement[]> = read('disagreements/known.json');
const keeper = keepEngines();
afterAll(() => keeper.dispose());

function read<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as T;
}

describe.each(['hook-cases', 'redirect-cases'])('%s', (name) => {
  const raw = casesOf(read(`cases/${name}.json`), name);
  let results: readonly CaseResult[] = [];
  beforeAll(async () => {
    results = (await judgeCases(raw, keeper.engines)).cases;
  });

  test('every case that is recorded as broken is called broken', () => {
    const missed = results.filter((item) => item.expected === 'broken' && item.verdict !== 'broken');
    expect(missed.map(({ id, reason }) => `${id}: ${reason}`)).toEqual([]);
  });

  test('every disagreement is one that is known, with its evidence', () => {
    const explained = new Map((known[name] ?? []).map((item) => [item.id, item]));
    const surprising = results.filter((item) => {
      if (item.agrees || item.verdict === 'not-judged') return false;
      return explained.get(item.id)?.verdict !== item.verdict;
    });
    expect(surprising.map(({ id, verdict, expected, reason }) => ({ id, verdict, expected, reason }))).toEqual([]);
    for (const item of explained.values()) expect(item.evidence.length, item.id).toBeGreaterThan(40);
  });

  test('only 16-bit code is not judged, and the reason says so', () => {
    const bits = new Map(raw.map((item) => [item.id, item.bitness]));
    const notJudged = results.filter((item) => item.verdict === 'not-judged');
    expect(notJudged.filter((item) => bits.get(item.id) !== 16)).toEqual([]);
    for (const item of notJudged) expect(item.reason).toContain('16-bit');
  });

  test('everything broken names a rule and what shows it', () => {
    for (const item of results.filter((one) => one.verdict === 'broken')) {
      expect(
        item.findings.some((finding) => finding.level === 'error' && /^C\d+$/.test(finding.rule)),
        item.id,
      ).toBe(true);
    }
  });

  test('the verdicts stay the same when the answers are taken out of the file', async () => {
    const blind = (await judgeCases(raw.map(withoutAnswers), keeper.engines)).cases;
    expect(blind.map((item) => [item.id, item.verdict, item.reason])).toEqual(
      results.map((item) => [item.id, item.verdict, item.reason]),
    );
  });
});

const ANSWERS = ['outcome', 'error', 'reason', 'instructionOffsets', 'scratchRegister', 'abi', 'returns', 'strategy'];

function withoutAnswers(raw: RawCase): RawCase {
  const {
    verdict: _v,
    engine: _e,
    note: _n,
    problems: _p,
    upstreamDefect: _u,
    source: _s,
    provenance: _r,
    ...rest
  } = raw;
  if (typeof rest.expected !== 'object' || rest.expected === null) return rest;
  const asked = Object.entries(rest.expected).filter(([key]) => !ANSWERS.includes(key));
  return { ...rest, expected: Object.fromEntries(asked) };
}

describe('a hostile case file', () => {
  test.each([
    ['no object', 7],
    ['another format', { format: 'x', cases: [] }],
    ['cases that are no list', { format: 'hook-cases/1', cases: {} }],
    ['a case that is no object', { format: 'hook-cases/1', cases: [null] }],
  ])('with %s is refused with a typed error', (_what, document) => {
    expect(() => casesOf(document, 'f.json')).toThrow(ScenarioError);
  });

  test('gives "not judged" for one malformed case and judges the others', async () => {
    const nop = { id: 'good', kind: 'nop', bitness: 64, address: null, input: '90', expected: { outcome: 'nop' } };
    const bad = [
      { id: 'odd', kind: 'nop', input: '9' },
      { id: 'none' },
      { id: 'far', kind: 'nop', input: 'zz'.repeat(70_000) },
    ];
    const { cases, summary } = await judgeCases([...bad, nop]);
    expect(cases.map((item) => item.verdict)).toEqual(['not-judged', 'not-judged', 'not-judged', 'nop']);
    expect(summary.notJudged).toBe(3);
  });
});
