// The report of `plan`: after each step a table of functions, and what a reviewer should know.
import type { PlanEntry, PlanResult, PlanStep } from '../scenario/plan.ts';
import { scenarioJson } from './json.ts';
import { type Paint, plain, table } from './table.ts';
import { stepText } from './text.ts';

/** A step, its table and its warnings. */
export function planText({ result, rows, warnings }: PlanStep, paint: Paint = plain): string {
  const cells = rows.map(({ original, reason, stack, patched, unpatched }) =>
    reason === ''
      ? [original, stack.length === 0 ? '-' : stack.map(entryText).join(' > '), patched, unpatched]
      : [original, `- (${reason})`, '-', '-'],
  );
  const headings = ['original', 'func stack, top first', 'a patched task runs', 'an unpatched task runs'];
  return [
    stepText(result, paint),
    ...table(headings, cells, [], paint).map((line) => `       ${line}`),
    ...warnings.map(({ kind, text }) => `       ${paint('bad', 'warning')} (${kind}): ${text}`),
  ].join('\n');
}

/** `B*`: the asterisk says that only patched tasks see it. */
function entryText({ patch, nop, transition }: PlanEntry): string {
  return `${nop ? 'nop:' : ''}${patch}${transition ? '*' : ''}`;
}

/** What the marks in the tables mean. */
export const PLAN_LEGEND = 'nop:P stands for the original; P* is seen by patched tasks only';

/** The same as JSON, format `tramp64-plan/1`: the result of `verify` with rows and warnings in each step. */
export function planJson({ result, steps }: PlanResult): object {
  const verified = scenarioJson(result) as { steps: object[] };
  return {
    ...verified,
    format: 'tramp64-plan/1',
    steps: verified.steps.map((step, i) => ({
      ...step,
      rows: steps[i]?.rows ?? [],
      warnings: steps[i]?.warnings ?? [],
    })),
  };
}
