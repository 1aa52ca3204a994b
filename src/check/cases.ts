// Reads case files (`redirect-cases/1`, `hook-cases/1`) and judges each case without looking at its expected outcome.
import { bytesOfHex } from '../address.ts';
import { ScenarioError, TrampolineError } from '../errors.ts';
import { BUILD_OPTIONS, type BuildOptions } from './build-rules.ts';
import type { EngineMaker } from './execute.ts';
import type { Finding } from './finding.ts';
import { judgeHook } from './hook.ts';
import type { Confirmation } from './jury.ts';
import { judgeRelocation } from './relocation.ts';
import { judgeSite, SITE_KINDS, type SiteKind } from './site.ts';

/** The verdict on one case, in the form that `--json` prints. */
export interface CaseResult extends Confirmation {
  readonly id: string;
  /** The file it comes from, where several were judged. */
  readonly file?: string;
  readonly kind: string;
  readonly verdict: string;
  /** What the file says, or null where it says nothing. */
  readonly expected: string | null;
  readonly agrees: boolean;
  readonly reason: string;
  readonly findings: readonly CaseFinding[];
}

/** A finding with a name by which `tramp64 trace --finding FILE#ID` finds it. */
export interface CaseFinding extends Finding {
  /** The case's id, a colon, and the finding's number from 1. */
  readonly id: string;
}

/** Gives the findings of a case their ids. */
export function named(caseId: string, findings: readonly Finding[]): CaseFinding[] {
  return findings.map((one, i) => ({ id: `${caseId}:${i + 1}`, ...one }));
}

/** `tramp64-check/1`. */
export interface CheckDocument {
  readonly format: 'tramp64-check/1';
  /** Which part of a run this is: every `of`-th case, from the `index`-th on. */
  readonly shard?: { readonly index: number; readonly of: number };
  readonly cases: readonly CaseResult[];
  readonly summary: {
    readonly cases: number;
    readonly agree: number;
    readonly disagree: number;
    readonly notJudged: number;
    readonly broken: number;
    /** Where several engines judged: cases that one alone stands for, and those in which they differ. */
    readonly unconfirmed?: number;
    readonly differ?: number;
    readonly byKind: Readonly<
      Record<string, { readonly cases: number; readonly agree: number; readonly notJudged: number }>
    >;
  };
}

/** A case as the file holds it; nothing in it is trusted. */
export type RawCase = Readonly<Record<string, unknown>>;

/** Hostile files must not make us allocate: more cases or bytes than these are refused. */
export const MAX_CASES = 100_000;
export const MAX_CASE_BYTES = 65_536;
/** Characters of an id; each finding repeats it. */
export const MAX_ID = 256;

/**
 * The cases of a parsed file.
 *
 * @throws {ScenarioError} EINVAL not one of the two formats, or too many cases
 */
export function casesOf(document: unknown, file: string): readonly RawCase[] {
  const root = record(document);
  const format = root?.format;
  if (format !== 'redirect-cases/1' && format !== 'hook-cases/1') {
    throw wrong(file, '$.format', 'expected "redirect-cases/1" or "hook-cases/1"');
  }
  const cases = root?.cases;
  if (!Array.isArray(cases)) throw wrong(file, '$.cases', 'expected a list');
  if (cases.length > MAX_CASES) throw wrong(file, '$.cases', `${cases.length} cases, at most ${MAX_CASES} are read`);
  return cases.map((item: unknown, i) => {
    const one = record(item);
    if (one === undefined) throw wrong(file, `$.cases[${i}]`, 'expected an object');
    for (const name of ['id', 'kind']) {
      const text = one[name];
      if (typeof text === 'string' && text.length > MAX_ID) {
        throw wrong(file, `$.cases[${i}].${name}`, `longer than ${MAX_ID} characters`);
      }
    }
    return one;
  });
}

/**
 * Judges one case. A case that is malformed is `not-judged` with the reason, so that one bad case does not hide the rest.
 *
 * What is asked stands in the case's own fields, and for some kinds inside `expected` (the new address, the tool's
 * output, whether the site is a tail call …); what is answered there is never passed on.
 */
export async function judgeCase(raw: RawCase, engines?: EngineMaker): Promise<CaseResult> {
  const { id, kind, expected } = headOf(raw);
  let verdict = 'not-judged';
  let reason = '';
  let findings: readonly Finding[] = [];
  try {
    ({ verdict, reason, findings } = await judge(raw, kind, engines));
  } catch (error) {
    if (!(error instanceof TrampolineError) && !(error instanceof RangeError)) throw error;
    reason = error.message;
  }
  const agrees = expected === null || verdict === expected;
  return { id, kind, verdict, expected, agrees, reason, findings: named(id, findings) };
}

function headOf(raw: RawCase): Pick<CaseResult, 'id' | 'kind' | 'expected'> {
  const id = typeof raw.id === 'string' ? raw.id : '';
  const kind = 'trampoline' in raw ? 'hook-trampoline' : typeof raw.kind === 'string' ? raw.kind : '';
  return { id, kind, expected: expectedOutcome(raw, kind) };
}

/** A case that nobody could judge, and why. */
export function notJudged(raw: RawCase, reason: string): CaseResult {
  const { id, kind, expected } = headOf(raw);
  const verdict = 'not-judged';
  return { id, kind, verdict, expected, agrees: expected === null || expected === verdict, reason, findings: [] };
}

/**
 * Whether a case fails a run: engines differ, or it is not what the file expects or, where the file says nothing, something
 * is wrong.
 */
export function isFailure(item: CaseResult): boolean {
  if (item.differences !== undefined) return true;
  if (item.verdict === 'not-judged') return false;
  if (item.expected !== null) return !item.agrees;
  return item.verdict === 'broken' || item.findings.some(({ level }) => level === 'error');
}

/** Judges all cases in order. `onCase` is told of each. */
export async function judgeCases(
  cases: readonly RawCase[],
  engines?: EngineMaker,
  onCase?: (result: CaseResult, index: number) => void,
): Promise<CheckDocument> {
  const results: CaseResult[] = [];
  for (const [i, raw] of cases.entries()) {
    const result = await judgeCase(raw, engines);
    results.push(result);
    onCase?.(result, i);
  }
  return documentOf(results);
}

/** Joins results into the document that `--json` prints. */
export function documentOf(results: readonly CaseResult[], shard?: CheckDocument['shard']): CheckDocument {
  // kinds come from the file: one may be called __proto__
  const byKind = new Map<string, { cases: number; agree: number; notJudged: number }>();
  for (const result of results) {
    const row = byKind.get(result.kind) ?? { cases: 0, agree: 0, notJudged: 0 };
    byKind.set(result.kind, row);
    row.cases++;
    if (result.agrees) row.agree++;
    if (result.verdict === 'not-judged') row.notJudged++;
  }
  const agree = results.filter((result) => result.agrees).length;
  const together = results.some(({ engines }) => engines !== undefined);
  return {
    format: 'tramp64-check/1',
    ...(shard === undefined ? {} : { shard }),
    cases: results,
    summary: {
      cases: results.length,
      agree,
      disagree: results.length - agree,
      notJudged: results.filter((result) => result.verdict === 'not-judged').length,
      broken: results.filter((result) => result.verdict === 'broken').length,
      ...(together
        ? {
            unconfirmed: results.filter(({ unconfirmed }) => unconfirmed !== undefined).length,
            differ: results.filter(({ differences }) => differences !== undefined).length,
          }
        : {}),
      byKind: Object.fromEntries(byKind),
    },
  };
}

/** What the file expects, in our words: a relocated block is `equivalent`, a defect of the source is `broken`. */
function expectedOutcome(raw: RawCase, kind: string): string | null {
  if (typeof raw.verdict === 'string') return raw.verdict;
  const outcome = record(raw.expected)?.outcome;
  if (typeof outcome !== 'string') return null;
  if (kind !== 'relocate-block') return outcome;
  if (raw.upstreamDefect !== undefined) return 'broken';
  return outcome === 'relocated' ? 'equivalent' : outcome;
}

async function judge(
  raw: RawCase,
  kind: string,
  engines: EngineMaker | undefined,
): Promise<{ verdict: string; reason: string; findings: readonly Finding[] }> {
  const asked = record(raw.expected) ?? {};
  const bitness = bitnessOf(raw.bitness);
  if (kind === 'hook-trampoline') {
    const body = record(raw.function) ?? {};
    const trampoline = record(raw.trampoline) ?? {};
    const padding = optionalBytes(body.padding, 'function.padding')?.[0];
    const patch = optionalBytes(raw.patch, 'patch');
    const restored = optionalBytes(raw.restored, 'restored');
    const build = buildOf(raw.build);
    const replacement = record(raw.replacement);
    return judgeHook(
      {
        function: {
          address: addressOf(body.address, 'function.address'),
          bytes: bytesOf(body.bytes, 'function.bytes'),
          ...(padding === undefined ? {} : { padding }),
        },
        patchLength: countOf(raw.patchLength, 'patchLength') ?? 5,
        trampoline: {
          address: addressOf(trampoline.address, 'trampoline.address'),
          bytes: bytesOf(trampoline.bytes, 'trampoline.bytes'),
        },
        ...(bitness === 32 ? { bitness } : {}),
        ...(patch === undefined ? {} : { patch }),
        ...(restored === undefined ? {} : { restored }),
        ...(build === undefined ? {} : { build }),
        ...(raw.exceptions === undefined ? {} : { exceptions: addressesOf(raw.exceptions, 'exceptions') }),
        ...(replacement === undefined
          ? {}
          : {
              replacement: {
                address: addressOf(replacement.address, 'replacement.address'),
                bytes: bytesOf(replacement.bytes, 'replacement.bytes'),
              },
            }),
      },
      engines,
    );
  }
  const bytes = bytesOf(raw.input, 'input');
  if (kind === 'relocate-block') {
    const output = optionalBytes(asked.output, 'expected.output');
    const context = optionalBytes(asked.context, 'expected.context');
    const inserted = record(asked.insertedBefore);
    const options = Array.isArray(raw.options) ? raw.options : [];
    return judgeRelocation(
      {
        address: addressOf(raw.address, 'address'),
        bytes,
        newAddress: addressOf(asked.newAddress, 'expected.newAddress'),
        bitness,
        amd: options.includes('DECODER_AMD'),
        exact: options.includes('EXACT'),
        ...(output === undefined ? {} : { output }),
        ...(context === undefined ? {} : { context }),
        ...(inserted === undefined
          ? {}
          : {
              inserted: {
                offset: countOf(inserted.offset, 'expected.insertedBefore.offset') ?? 0,
                bytes: bytesOf(inserted.bytes, 'expected.insertedBefore.bytes'),
              },
            }),
      },
      engines,
    );
  }
  if (!isSiteKind(kind))
    return { verdict: 'not-judged', reason: `the kind "${kind.slice(0, 40)}" is not known`, findings: [] };
  const offset = countOf(asked.entryOffset ?? asked.siteOffset, 'expected.entryOffset');
  const target =
    typeof asked.target === 'string' && asked.target.startsWith('0x') ? addressOf(asked.target, 'target') : undefined;
  const site = judgeSite(kind, {
    bytes,
    address: raw.address === null || raw.address === undefined ? 0x401000n : addressOf(raw.address, 'address'),
    bitness,
    ...(offset === undefined ? {} : { offset }),
    ...(typeof asked.tail === 'boolean' ? { tail: asked.tail } : {}),
    ...(typeof asked.tramp === 'boolean' ? { trampoline: asked.tramp } : {}),
    ...(typeof asked.expectedOld === 'string' ? { expectedOld: asked.expectedOld } : {}),
    ...(target === undefined ? {} : { target }),
    ...(raw.access === 'r' || raw.access === 'rw' || raw.access === 'rx' || raw.access === 'rwx'
      ? { access: raw.access }
      : {}),
    ...(raw.exceptions === undefined ? {} : { exceptions: addressesOf(raw.exceptions, 'exceptions') }),
  });
  return { verdict: site.outcome, reason: site.reason, findings: site.findings };
}

function isSiteKind(kind: string): kind is SiteKind {
  return (SITE_KINDS as readonly string[]).includes(kind);
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

function bitnessOf(value: unknown): 16 | 32 | 64 {
  if (value === undefined || value === 64) return 64;
  if (value === 32 || value === 16) return value;
  throw new RangeError('"bitness" expected 16, 32 or 64');
}

function addressOf(value: unknown, name: string): bigint {
  if (typeof value !== 'string' || !/^0x[0-9a-fA-F]{1,16}$/.test(value)) {
    throw new RangeError(`"${name}" expected an address such as "0x401000"`);
  }
  return BigInt(value);
}

const MAX_ADDRESSES = 1024;

function addressesOf(value: unknown, name: string): bigint[] {
  if (!Array.isArray(value) || value.length > MAX_ADDRESSES) {
    throw new RangeError(`"${name}" expected a list of at most ${MAX_ADDRESSES} addresses`);
  }
  return value.map((item) => addressOf(item, name));
}

/** `{ "ibt": true, … }`. */
function buildOf(value: unknown): BuildOptions | undefined {
  if (value === undefined) return undefined;
  const given = Object.entries(record(value) ?? { build: value });
  for (const [name, on] of given) {
    if (!(BUILD_OPTIONS as readonly string[]).includes(name) || typeof on !== 'boolean') {
      throw new RangeError(`"build" expected true or false for ${BUILD_OPTIONS.join(', ')}`);
    }
  }
  return Object.fromEntries(given);
}

function countOf(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_CASE_BYTES) {
    throw new RangeError(`"${name}" expected a count of bytes`);
  }
  return value;
}

function bytesOf(value: unknown, name: string): Uint8Array {
  if (typeof value !== 'string' || value.length === 0) throw new RangeError(`"${name}" expected hex digits`);
  if (value.length > 2 * MAX_CASE_BYTES) throw new RangeError(`"${name}" is longer than ${MAX_CASE_BYTES} bytes`);
  return bytesOfHex(value);
}

function optionalBytes(value: unknown, name: string): Uint8Array | undefined {
  return value === undefined || value === null || value === '' ? undefined : bytesOf(value, name);
}

function wrong(file: string, jsonPath: string, fact: string): ScenarioError {
  return new ScenarioError('EINVAL', `${file} ${jsonPath}: ${fact}`, { operation: 'check', file, jsonPath });
}
