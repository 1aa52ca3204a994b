// Verdicts as JUnit XML, which CI services show as tests: one suite for each kind, one test for each case.
import { type CaseResult, type CheckDocument, isFailure } from '../check/cases.ts';

/** The document as XML 1.0. A case that was not judged is a skipped test; times are left out, so that runs compare. */
export function checkJunit(document: CheckDocument): string {
  const suites = new Map<string, CaseResult[]>();
  for (const item of document.cases) {
    const suite = suites.get(item.kind);
    if (suite === undefined) suites.set(item.kind, [item]);
    else suite.push(item);
  }
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="tramp64 check" ${counts(document.cases)}>`,
  ];
  for (const [kind, items] of suites) {
    lines.push(`  <testsuite name="${escaped(kind)}" ${counts(items)}>`);
    for (const item of items) lines.push(...testOf(item));
    lines.push('  </testsuite>');
  }
  return [...lines, '</testsuites>'].join('\n');
}

function counts(items: readonly CaseResult[]): string {
  const failures = items.filter(isFailure).length;
  const skipped = items.filter(({ verdict }) => verdict === 'not-judged').length;
  return `tests="${items.length}" failures="${failures}" errors="0" skipped="${skipped}"`;
}

function testOf(item: CaseResult): string[] {
  const file = item.file === undefined ? '' : ` file="${escaped(item.file)}"`;
  const head = `    <testcase classname="${escaped(`tramp64.${item.kind}`)}" name="${escaped(item.id)}"${file}`;
  if (item.verdict === 'not-judged' && !isFailure(item)) {
    return [`${head}>`, `      <skipped message="${escaped(item.reason)}"/>`, '    </testcase>'];
  }
  if (!isFailure(item)) return [`${head}/>`];
  const expected = item.expected === null ? '' : ` instead of ${item.expected}`;
  const differ = item.differences?.join('; ');
  const rule = item.findings.find(({ level }) => level === 'error')?.rule ?? item.verdict;
  const type = differ === undefined ? rule : 'engines-differ';
  const message = escaped(differ ?? `${item.verdict}${expected}: ${item.reason}`);
  return [
    `${head}>`,
    `      <failure type="${escaped(type)}" message="${message}">${escaped(details(item))}</failure>`,
    '    </testcase>',
  ];
}

function details({ findings }: CaseResult): string {
  return findings
    .map(({ id, rule, name, level, address = '', bytes = '', disassembly = '', message }) =>
      [`${id} ${rule} ${name}, ${level}: ${message}`, `  ${address}: ${bytes} ${disassembly}`].join('\n'),
    )
    .join('\n');
}

/** What XML 1.0 cannot hold at all: most control characters, lone surrogates, and two that are no characters. */
const FORBIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not stand in XML
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  // a reader of attributes would turn these into spaces
  '\n': '&#10;',
  '\r': '&#13;',
  '\t': '&#9;',
};

/** Text for an attribute or an element; what XML cannot hold becomes U+FFFD. */
export function escaped(text: string): string {
  return text.replace(FORBIDDEN, '\ufffd').replace(/[&<>"'\n\r\t]/g, (character) => ENTITIES[character] ?? character);
}
