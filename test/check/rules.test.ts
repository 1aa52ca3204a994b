// The table of checks is complete, and what it does not cover it says.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { RULES, ruleOf } from '../../src/check/rules.ts';

test('there are 53 checks, numbered in order', () => {
  expect(RULES.map((rule) => rule.number)).toEqual(Array.from({ length: 53 }, (_, i) => `C${i + 1}`));
});

test('each check that is not implemented says why', () => {
  for (const rule of RULES.filter((one) => !one.implemented))
    expect(rule.judged, rule.number).toMatch(/^not covered: .{10}/);
});

test('a number outside the table is refused', () => {
  expect(() => ruleOf('C54')).toThrow(RangeError);
});

test('docs/check.md has this very table', () => {
  const text = readFileSync(new URL('../../docs/check.md', import.meta.url), 'utf8');
  const rows = text.split('\n').filter((line) => /^\| C\d+ \|/.test(line));
  const expected = RULES.map(
    ({ number, name, severity, enforcedBy, judged }) =>
      `| ${number} | ${name} | ${severity} | ${enforcedBy} | ${judged} |`,
  );
  expect(rows).toEqual(expected);
});
