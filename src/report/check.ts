// The judges' verdicts as text.
import { type CaseResult, type CheckDocument, isFailure } from '../check/cases.ts';
import type { Paint } from './table.ts';

/**
 * One line for each case that is worth reading, its findings below it, and the counts by kind; at the end which engines
 * judged, where several were to. Where the file says what to expect, only disagreements and what was not judged or not
 * confirmed are listed.
 */
export function checkText(document: CheckDocument, paint: Paint): string {
  const lines: string[] = [];
  for (const item of document.cases) {
    if (item.expected !== null && item.agrees && !isFailure(item) && item.unconfirmed === undefined) continue;
    lines.push(...caseLines(item, paint));
  }
  if (lines.length > 0) lines.push('');
  for (const kind of Object.keys(document.summary.byKind)) {
    lines.push(`${kind}: ${countsOf(document.cases.filter((item) => item.kind === kind))}`);
  }
  lines.push(`${document.cases.length} judged or tried: ${countsOf(document.cases)}`);
  const engines = new Set(document.cases.flatMap((item) => Object.keys(item.engines ?? {})));
  if (engines.size > 0) lines.push(`judged by ${[...engines].join(', ')}`);
  return lines.join('\n');
}

/** Against what the file expects or, where it says nothing, what holds and what does not. */
function countsOf(items: readonly CaseResult[]): string {
  const notJudged = items.filter(({ verdict }) => verdict === 'not-judged').length;
  const failed = items.filter(isFailure).length;
  const good = items.length - notJudged - failed;
  const [is, isNot] = items.some(({ expected }) => expected !== null) ? ['as expected', 'not'] : ['hold', 'do not'];
  const alone = items.filter(({ unconfirmed }) => unconfirmed !== undefined).length;
  const together = items.some(({ engines }) => engines !== undefined) ? `, ${alone} unconfirmed` : '';
  return `${good} ${is}, ${failed} ${isNot}, ${notJudged} not judged${together}`;
}

function caseLines(item: CaseResult, paint: Paint): string[] {
  const isGood = item.verdict === 'equivalent' || item.findings.every((finding) => finding.level !== 'error');
  const good = isGood && item.differences === undefined;
  const expected = item.expected === null || item.agrees ? '' : ` (the file says ${item.expected})`;
  const head = `${item.id}: ${paint(good ? 'good' : 'bad', item.verdict)}${expected}: ${item.reason}`;
  const rest = item.findings.map(({ rule, name, level, message, address, bytes, disassembly }) => {
    const where = address === undefined ? '' : ` at ${address} (${bytes ?? ''} ${disassembly ?? ''})`;
    return `  ${rule} ${name}, ${level}${where}: ${message}`;
  });
  const differences = (item.differences ?? []).map((fact) => `  the engines differ: ${fact}`);
  const unconfirmed = item.unconfirmed === undefined ? [] : [`  unconfirmed: ${item.unconfirmed}`];
  return [head, ...differences, ...unconfirmed, ...rest];
}
