// The table of checks is complete, and what it does not cover it says.
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
