// What `bench` reads and compares: a user's own bytes, and an older result.
import { describe, expect, test } from 'vitest';
import { ScenarioError } from '../../src/errors.ts';
import { type BenchResult, countRow, runBench } from '../../src/measure/bench.ts';
import { compareBench } from '../../src/measure/compare.ts';
import { parseOwn } from '../../src/measure/own.ts';
import { catchError } from '../support/catch-error.ts';

const row = {
  id: 'mine',
  title: 'my jump',
  code: [
    { address: '0x10000040', bytes: 'e9bb0f0000' },
    { address: '0x10001000', bytes: '488d4702c3' },
  ],
  entry: '0x10000040',
  args: [40],
  reaches: '0x10001000',
  returns: 42,
};
const file = (...mechanisms: object[]): string => JSON.stringify({ format: 'tramp64-bench-bytes/1', mechanisms });

describe('a file of own mechanisms', () => {
  test('is counted like the others', async () => {
    const [mine] = parseOwn(file(row));
    if (mine === undefined) throw new Error('no row');
    expect(await countRow(mine)).toMatchObject({
      id: 'mine',
      family: 'own',
      confirmedBy: 'unicorn',
      counts: { instructions: 3 },
    });
  });

  test('may lie in the upper half, and trap', async () => {
    const [mine] = parseOwn(
      file({
        ...row,
        code: [
          { address: '0xffffffff81000000', bytes: 'cc' },
          { address: '0xffffffff81000fff', bytes: '488d4702c3' },
        ],
        entry: '0xffffffff81000000',
        reaches: '0xffffffff81000fff',
        traps: { '0xffffffff81000000': '0xffffffff81000fff' },
      }),
    );
    if (mine === undefined) throw new Error('no row');
    expect(await countRow(mine)).toMatchObject({ confirmedBy: 'unicorn', counts: { instructions: 3, codeLines: 3 } });
  });

  test.each([
    ['not JSON', '{', '$', 'not JSON'],
    ['another format', '{"format":"x","mechanisms":[]}', '$.format', "expected 'tramp64-bench-bytes/1'"],
    ['no rows', file(), '$.mechanisms', 'expected 1 to 1000'],
    ['an unknown key', file({ ...row, speed: 1 }), '$.mechanisms[0].speed', "unknown key 'speed'"],
    ['a missing key', file({ ...row, entry: undefined }), '$.mechanisms[0]', "the key 'entry' is missing"],
    [
      'half a byte',
      file({ ...row, code: [{ address: 1, bytes: 'e' }] }),
      '$.mechanisms[0].code[0].bytes',
      'pairs of hex',
    ],
    [
      'no bytes',
      file({ ...row, code: [{ address: 1, bytes: '' }] }),
      '$.mechanisms[0].code[0].bytes',
      'at least one byte',
    ],
    [
      'bytes past the end',
      file({ ...row, code: [{ address: '0xffffffffffffffff', bytes: 'c3c3' }] }),
      '$.mechanisms[0].code[0]',
      'past the last address',
    ],
    [
      'the measurement’s own memory',
      file({ ...row, code: [{ address: '0x70000000', bytes: 'c3' }] }),
      '$.mechanisms[0].code[0]',
      'its own memory',
    ],
    [
      'parts that overlap',
      file({ ...row, code: [...row.code, { address: '0x10000044', bytes: 'c3' }] }),
      '$.mechanisms[0].code',
      'part 2 overlaps',
    ],
    ['a negative address', file({ ...row, entry: -1 }), '$.mechanisms[0].entry', 'not negative'],
    ['seven arguments', file({ ...row, args: [1, 2, 3, 4, 5, 6, 7] }), '$.mechanisms[0].args', 'at most 6'],
    ['an id twice', file(row, row), '$.mechanisms[1].id', "'mine' is used twice"],
  ])('with %s says where it is wrong', (_, text, path, fact) => {
    const error = catchError(ScenarioError, () => parseOwn(text, 'mine.json'));
    expect(error.jsonPath).toBe(path);
    expect(error.message).toContain(fact);
    expect(error.message).toMatch(/^bench: mine\.json: /);
  });

  test('whose bytes lead nowhere keeps its reason', async () => {
    const [mine] = parseOwn(file({ ...row, code: row.code.slice(0, 1) }));
    if (mine === undefined) throw new Error('no row');
    const counted = await countRow(mine);
    expect(counted.counts).toBeUndefined();
    expect(counted.reason).toContain('unmapped');
  });
});

describe('two results', () => {
  const change = (result: BenchResult, id: string, instructions: number | undefined): BenchResult => ({
    ...result,
    counts: result.counts.map((one) => {
      if (one.id !== id || one.counts === undefined) return one;
      const { counts, ...rest } = one;
      return instructions === undefined ? rest : { ...rest, counts: { ...counts, instructions } };
    }),
  });

  test('that are equal have no changes; one more instruction is one, past a threshold or not', async () => {
    const before = await runBench({ machine: 'test', only: (id) => id === 'jmp', series: false });
    expect(compareBench(before, before, 0)).toEqual([]);
    const after = change(before, 'jmp', 10);
    expect(compareBench(before, after, 0)).toMatchObject([
      { id: 'jmp', what: 'instructions', before: 9, after: 10, worse: true },
    ]);
    expect(compareBench(before, after, 12)).toMatchObject([{ worse: false }]);
    expect(compareBench(after, before, 0)).toMatchObject([{ before: 10, after: 9, worse: false }]);
  });

  test('of which one lacks a row, or could not count it, are worse', async () => {
    const before = await runBench({ machine: 'test', only: (id) => id === 'jmp', series: false });
    const gone = { ...before, counts: before.counts.slice(0, 1) };
    expect(compareBench(before, gone, 1000)).toMatchObject([{ id: 'jmp', after: undefined, worse: true }]);
    expect(compareBench(before, change(before, 'jmp', undefined), 1000)).toMatchObject([{ id: 'jmp', worse: true }]);
    expect(compareBench(gone, before, 0)).toMatchObject([{ id: 'jmp', before: undefined, worse: false }]);
  });

  test('whose times overlap are alike', async () => {
    const times = (low: number, high: number, ratio: number) => [
      {
        engine: 'wasm' as const,
        left: [],
        rows: [{ id: 'jmp', calls: 1, ns: [], ratio, summary: { low, high, median: low } }],
      },
    ];
    const base = await runBench({ machine: 'test', only: () => false, series: false });
    const before = { ...base, times: times(10, 12, 1) };
    expect(compareBench(before, { ...base, times: times(11, 15, 1.3) }, 10)).toEqual([]);
    expect(compareBench(before, { ...base, times: times(13, 15, 1.3) }, 10)).toMatchObject([
      { what: 'ratio on wasm', before: 1, after: 1.3, worse: true },
    ]);
    expect(compareBench(before, { ...base, times: times(13, 15, 1.05) }, 10)).toEqual([]);
  });
});
