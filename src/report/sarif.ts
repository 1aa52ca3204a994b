// Findings as SARIF 2.1.0, which code-scanning services and editors read.
import type { CaseFinding, CaseResult, CheckDocument } from '../check/cases.ts';
import { RULES, type Severity } from '../check/rules.ts';

/** What the run was. */
export interface SarifOptions {
  readonly version: string;
  /** The file judged, where the cases do not name theirs. */
  readonly file?: string;
}

/** The rule of a case that could not be judged: SARIF has no other place for what is neither good nor bad. */
const NOT_JUDGED = 'not-judged';

/** The rule of a case in which engines differ. */
const DIFFER = 'engines-differ';

const LEVELS: Readonly<Record<Severity, 'error' | 'warning' | 'note'>> = {
  C: 'error',
  W: 'warning',
  P: 'note',
  I: 'note',
};

/** One run with one result for each finding, and one of kind `open` for each case that was not judged. */
export function checkSarif(document: CheckDocument, options: SarifOptions): object {
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'tramp64', semanticVersion: options.version, rules: rules() } },
        results: document.cases.flatMap((item) => resultsOf(item, options)),
        properties: { summary: document.summary },
      },
    ],
  };
}

function rules(): object[] {
  const checks = RULES.map(({ number, name, severity, enforcedBy, judged }) => ({
    id: number,
    shortDescription: { text: name },
    defaultConfiguration: { level: LEVELS[severity] },
    properties: { severity, enforcedBy, judged },
  }));
  const open = {
    id: NOT_JUDGED,
    shortDescription: { text: 'nothing was proved either way' },
    defaultConfiguration: { level: 'note' },
  };
  const differ = {
    id: DIFFER,
    shortDescription: { text: 'engines differ, so that one of them is wrong' },
    defaultConfiguration: { level: 'error' },
  };
  return [...checks, open, differ];
}

const RULE_INDEX = new Map<string, number>([
  ...RULES.map(({ number }, i): [string, number] => [number, i]),
  [NOT_JUDGED, RULES.length],
  [DIFFER, RULES.length + 1],
]);

function resultsOf(item: CaseResult, options: SarifOptions): object[] {
  const results: object[] = item.findings.map((finding) => ({
    ...ruled(finding.rule),
    kind: 'fail',
    level: finding.level,
    message: { text: messageOf(item, finding) },
    locations: [locationOf(item, options, finding)],
    partialFingerprints: { 'finding/v1': `${item.file ?? options.file ?? ''} ${finding.id}` },
    properties: {
      verdict: item.verdict,
      kind: item.kind,
      ...(item.unconfirmed === undefined ? {} : { unconfirmed: item.unconfirmed }),
      ...given(finding, ['bytes', 'disassembly', 'address', 'offset', 'state', 'replay']),
    },
  }));
  for (const fact of item.differences ?? []) {
    results.push({
      ...ruled(DIFFER),
      kind: 'fail',
      level: 'error',
      message: { text: `${item.id}: ${fact}` },
      locations: [locationOf(item, options)],
      partialFingerprints: { 'finding/v1': `${item.file ?? options.file ?? ''} ${item.id} ${DIFFER}` },
      properties: { verdict: item.verdict, kind: item.kind },
    });
  }
  if (item.verdict !== NOT_JUDGED) return results;
  const open = {
    ...ruled(NOT_JUDGED),
    kind: 'open',
    level: 'none',
    message: { text: `${item.id}: not judged: ${item.reason}` },
    locations: [locationOf(item, options)],
    properties: { verdict: item.verdict, kind: item.kind },
  };
  return [open, ...results];
}

function ruled(id: string): object {
  const index = RULE_INDEX.get(id);
  return { ruleId: id, ...(index === undefined ? {} : { ruleIndex: index }) };
}

function messageOf(item: CaseResult, { message, bytes, disassembly }: CaseFinding): string {
  const code = bytes === undefined || bytes === '' ? '' : ` (${bytes} ${disassembly ?? ''})`;
  return `${item.id}: ${message}${code}`;
}

function given(finding: CaseFinding, names: readonly (keyof CaseFinding)[]): object {
  return Object.fromEntries(names.flatMap((name) => (finding[name] === undefined ? [] : [[name, finding[name]]])));
}

function locationOf(item: CaseResult, options: SarifOptions, finding?: CaseFinding): object {
  const file = item.file ?? options.file;
  const physical = {
    ...(file === undefined ? {} : { artifactLocation: { uri: uriOf(file) } }),
    ...(finding?.address === undefined ? {} : { address: addressOf(finding, finding.address) }),
  };
  return {
    ...(Object.keys(physical).length === 0 ? {} : { physicalLocation: physical }),
    logicalLocations: [{ name: item.id, fullyQualifiedName: `${item.kind}/${item.id}`, kind: 'member' }],
  };
}

/** SARIF's addresses are JSON numbers: one that does not fit stands in the name alone. */
function addressOf({ bytes = '' }: CaseFinding, address: string): object {
  const exact = Number(address);
  return {
    kind: 'instruction',
    name: address,
    ...(Number.isSafeInteger(exact) ? { absoluteAddress: exact } : {}),
    ...(bytes === '' ? {} : { length: bytes.length / 2 }),
  };
}

/** A URI reference; an absolute path becomes a file URI. */
function uriOf(file: string): string {
  const path = file.split('/').map(encodeURIComponent).join('/');
  return path.startsWith('/') ? `file://${path}` : path;
}
