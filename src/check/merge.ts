// Reads `tramp64-check/1` documents back, and joins those of shards into the document of one run.
import { ScenarioError } from '../errors.ts';
import { type CaseFinding, type CaseResult, type CheckDocument, documentOf } from './cases.ts';
import { RULES, type RuleNumber } from './rules.ts';

/** A document with the name it was read by. */
export interface NamedDocument {
  readonly file: string;
  readonly document: CheckDocument;
}

const RULE_NUMBERS = new Set<unknown>(RULES.map(({ number }): RuleNumber => number));

/**
 * Checks that parsed JSON is a result of `check`.
 *
 * @throws {ScenarioError} EINVAL it is not; the JSON path says where
 */
export function checkDocumentOf(value: unknown, file: string): CheckDocument {
  const root = record(value);
  if (root?.format !== 'tramp64-check/1') throw wrong(file, '$.format', 'expected "tramp64-check/1"');
  if (!Array.isArray(root.cases)) throw wrong(file, '$.cases', 'expected a list');
  for (const [i, item] of (root.cases as unknown[]).entries()) checkCase(item, file, `$.cases[${i}]`);
  const shard = record(root.shard);
  if (root.shard !== undefined && !(isCount(shard?.index) && isCount(shard?.of) && shard.index <= shard.of)) {
    throw wrong(file, '$.shard', 'expected { "index": i, "of": n } with i from 1 to n');
  }
  return value as CheckDocument;
}

function checkCase(value: unknown, file: string, path: string): asserts value is CaseResult {
  const item = record(value);
  if (item === undefined) throw wrong(file, path, 'expected an object');
  for (const name of ['id', 'kind', 'verdict', 'reason']) {
    if (typeof item[name] !== 'string') throw wrong(file, `${path}.${name}`, 'expected a text');
  }
  if (item.expected !== null && typeof item.expected !== 'string') {
    throw wrong(file, `${path}.expected`, 'expected a text or null');
  }
  if (typeof item.agrees !== 'boolean') throw wrong(file, `${path}.agrees`, 'expected true or false');
  if (item.file !== undefined && typeof item.file !== 'string') throw wrong(file, `${path}.file`, 'expected a text');
  for (const name of ['unconfirmed', 'differences', 'engines']) {
    if (item[name] !== undefined && !isConfirmation(name, item[name])) {
      throw wrong(file, `${path}.${name}`, 'expected what several engines said, as `check` prints it');
    }
  }
  if (!Array.isArray(item.findings)) throw wrong(file, `${path}.findings`, 'expected a list');
  for (const [j, one] of (item.findings as unknown[]).entries()) checkFinding(one, file, `${path}.findings[${j}]`);
}

function checkFinding(value: unknown, file: string, path: string): asserts value is CaseFinding {
  const finding = record(value);
  if (finding === undefined) throw wrong(file, path, 'expected an object');
  if (!RULE_NUMBERS.has(finding.rule)) throw wrong(file, `${path}.rule`, 'expected C1 to C53');
  if (!['error', 'warning', 'note'].includes(String(finding.level))) {
    throw wrong(file, `${path}.level`, 'expected "error", "warning" or "note"');
  }
  for (const name of ['id', 'name', 'message']) {
    if (typeof finding[name] !== 'string') throw wrong(file, `${path}.${name}`, 'expected a text');
  }
  for (const name of ['address', 'bytes', 'disassembly']) {
    const text = finding[name];
    if (text !== undefined && typeof text !== 'string') throw wrong(file, `${path}.${name}`, 'expected a text');
  }
}

/**
 * Joins documents. Shards give the cases in the order of the whole, so that the result is byte for byte that of one run;
 * documents that are no shards are put one after the other.
 *
 * @throws {ScenarioError} EINVAL a shard is missing, given twice, or not of the same run; or shards among others
 */
export function mergeDocuments(parts: readonly NamedDocument[]): CheckDocument {
  const [first] = parts;
  if (first === undefined || parts.every(({ document }) => document.shard === undefined)) {
    return documentOf(parts.flatMap(({ document }) => document.cases));
  }
  const of = parts.find(({ document }) => document.shard !== undefined)?.document.shard?.of ?? 1;
  const shards = new Map<number, NamedDocument>();
  for (const part of parts) {
    const { shard } = part.document;
    if (shard === undefined) throw wrong(part.file, '$.shard', 'is no shard, but others are');
    if (shard.of !== of) throw wrong(part.file, '$.shard', `is one of ${shard.of} shards, others are of ${of}`);
    const other = shards.get(shard.index);
    if (other !== undefined) throw wrong(part.file, '$.shard', `is shard ${shard.index}/${of}, as ${other.file} is`);
    shards.set(shard.index, part);
  }
  const inOrder = Array.from({ length: of }, (_, i) => {
    const part = shards.get(i + 1);
    if (part === undefined) throw wrong(first.file, '$.shard', `shard ${i + 1}/${of} is missing`);
    return part;
  });
  return documentOf(interleaved(inOrder));
}

/** Case k of shard i was case k * n + i - 1 of the whole. */
function interleaved(shards: readonly NamedDocument[]): CaseResult[] {
  const total = shards.reduce((sum, { document }) => sum + document.cases.length, 0);
  return Array.from({ length: total }, (_, index) => {
    const shard = shards[index % shards.length];
    const item = shard?.document.cases[Math.floor(index / shards.length)];
    if (shard === undefined || item === undefined) {
      throw wrong(shard?.file ?? '', '$.cases', 'has fewer cases than the other shards: they are not of one run');
    }
    return item;
  });
}

function isConfirmation(name: string, value: unknown): boolean {
  const isText = (one: unknown): boolean => typeof one === 'string';
  if (name === 'unconfirmed') return isText(value);
  if (name === 'differences') return Array.isArray(value) && value.every(isText);
  return Object.values(record(value) ?? { none: undefined }).every(isText);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 9999;
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

function wrong(file: string, jsonPath: string, fact: string): ScenarioError {
  return new ScenarioError('EINVAL', `${file} ${jsonPath}: ${fact}`, { operation: 'merge', file, jsonPath });
}
