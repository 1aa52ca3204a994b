// The judges' verdicts as text.
import type { CaseResult, CheckDocument } from '../check/cases.ts';
import type { Paint } from './table.ts';

/**
 * One line for each case that is worth reading, its findings below it, and the counts by kind. Where the file says what
 * to expect, only disagreements and what was not judged are listed.
 */
export function checkText(document: CheckDocument, paint: Paint): string {
  const lines: string[] = [];
  for (const item of document.cases) {
    if (item.expected !== null && item.agrees) continue;
    lines.push(...caseLines(item, paint));
  }
  if (lines.length > 0) lines.push('');
  for (const [kind, row] of Object.entries(document.summary.byKind)) {
    lines.push(`${kind}: ${row.agree} of ${row.cases} as expected, ${row.notJudged} not judged`);
  }
  const { cases, agree, disagree, notJudged } = document.summary;
  lines.push(`${cases} judged or tried: ${agree} as expected, ${disagree} not, ${notJudged} not judged`);
  return lines.join('\n');
}

function caseLines(item: CaseResult, paint: Paint): string[] {
  const good = item.verdict === 'equivalent' || item.findings.every((finding) => finding.level !== 'error');
  const expected = item.expected === null || item.agrees ? '' : ` (the file says ${item.expected})`;
  const head = `${item.id}: ${paint(good ? 'good' : 'bad', item.verdict)}${expected}: ${item.reason}`;
  const rest = item.findings.map(({ rule, name, level, message, address, bytes, disassembly }) => {
    const where = address === undefined ? '' : ` at ${address} (${bytes ?? ''} ${disassembly ?? ''})`;
    return `  ${rule} ${name}, ${level}${where}: ${message}`;
  });
  return [head, ...rest];
}
