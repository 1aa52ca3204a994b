// The 25 cases of the kernel's livepatch selftests (6.12), with modules of our own: the exact log, and what runs.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { failures, openScenario, scenarioFiles, titleOf } from './scenario-files.ts';

const FILES = scenarioFiles('selftests');

test('there are 25, and each states the exact log, and what runs or a func stack', () => {
  expect(FILES.map((file) => Number(titleOf(file).slice(0, 2)))).toEqual(Array.from({ length: 25 }, (_, i) => i + 1));
  for (const file of FILES) {
    const { steps } = JSON.parse(readFileSync(file, 'utf8')) as { steps: Record<string, unknown>[] };
    const has = (key: string): boolean => steps.some((step) => key in step);
    expect({ file, log: has('log'), seen: has('runs') || has('stack') }).toEqual({ file, log: true, seen: true });
  }
});

describe.each(['core', 'guest'] as const)('with the handler %s, selftest', (handler) => {
  test.each(FILES.map((file) => [titleOf(file), file]))('%s', async (_, file) => {
    expect(failures(await openScenario(file, { handler }))).toEqual([]);
  });
});
