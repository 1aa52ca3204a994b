// Compares an engine with the bare CPU over all vectors, in child processes that may abort or hang.
//
// Run: npx tsx test/metal/survey.ts ENGINE [CODE-REGEX]; prints each code that differs, with one example per kind.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Mismatch } from './compare.ts';
import { loadVectors } from './load.ts';

/** What a survey says about one code. */
export interface CodeReport {
  code: string;
  cases: number;
  mismatches: Mismatch[];
}

const WORKER = fileURLToPath(new URL('survey-worker.ts', import.meta.url));
const CODES_PER_CHILD = 40;
const CHILDREN = 2;
const SILENCE = 8_000;

/**
 * Surveys `codes` on `engine`. A case that kills or hangs the process is a mismatch of kind `broken`.
 *
 * @throws {Error} the engine cannot be made, with what it said
 */
export async function survey(engine: string, codes: readonly string[]): Promise<CodeReport[]> {
  const reports = new Map(codes.map((code) => [code, { code, cases: 0, mismatches: [] as Mismatch[] }]));
  const skip: string[] = [];
  const chunks = Array.from({ length: Math.ceil(codes.length / CODES_PER_CHILD) }, (_, i) =>
    codes.slice(i * CODES_PER_CHILD, (i + 1) * CODES_PER_CHILD),
  );
  await Promise.all(
    Array.from({ length: CHILDREN }, async () => {
      for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) await surveyChunk(chunk);
    }),
  );
  return [...reports.values()];

  async function surveyChunk(chunk: readonly string[]): Promise<void> {
    let left = chunk;
    while (left.length > 0) {
      for (const code of left)
        reports.set(code, { code, cases: 0, mismatches: reports.get(code)?.mismatches.filter(isFatal) ?? [] });
      const fatal = await runChild(engine, skip, left, reports);
      if (fatal === undefined) break;
      const [code = '', form = ''] = fatal.id.split('/');
      reports.get(code)?.mismatches.push({ ...fatal, code, form, bytes: '', kind: 'broken' });
      // one that breaks on its first cases breaks on all of them
      const fatals = reports.get(code)?.mismatches.filter(isFatal).length ?? 0;
      left = left.slice(left.indexOf(code) + (fatals > 2 ? 1 : 0));
      skip.push(fatal.id);
    }
  }
}

function isFatal(mismatch: Mismatch): boolean {
  return mismatch.bytes === '';
}

/** One child over `codes`; the case at which it died or fell silent, or undefined where it came to its end. */
function runChild(
  engine: string,
  skip: readonly string[],
  codes: readonly string[],
  reports: Map<string, CodeReport>,
): Promise<{ id: string; detail: string } | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', WORKER, engine, skip.join(), ...codes], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let at = `${codes[0]}/start`;
    let silent = false;
    let complaint = '';
    child.stderr.on('data', (data) => {
      complaint = `${complaint}${data}`.slice(-2000);
    });
    const giveUp = () => {
      silent = true;
      child.kill('SIGKILL');
    };
    let timer = setTimeout(giveUp, 3 * SILENCE);
    createInterface({ input: child.stdout }).on('line', (text) => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, SILENCE);
      if (!text.startsWith('{')) return;
      const line = JSON.parse(text) as { at?: string; mismatch?: Mismatch; done?: string; cases?: number };
      if (line.at !== undefined) at = line.at;
      if (line.mismatch !== undefined) reports.get(line.mismatch.code)?.mismatches.push(line.mismatch);
      const report = line.done === undefined ? undefined : reports.get(line.done);
      if (report !== undefined) report.cases = line.cases ?? 0;
    });
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      if (status === 0) resolve(undefined);
      else if (at.endsWith('/start')) reject(new Error(`the survey of '${engine}' does not start:\n${complaint}`));
      else resolve({ id: at, detail: silent ? 'does not come back' : `the process ends (${status ?? signal})` });
    });
  });
}

/** How often each kind occurs, with its first example. */
export function summary(report: CodeReport): Map<string, { count: number; example: Mismatch }> {
  const kinds = new Map<string, { count: number; example: Mismatch }>();
  for (const mismatch of report.mismatches) {
    const known = kinds.get(mismatch.kind);
    if (known === undefined) kinds.set(mismatch.kind, { count: 1, example: mismatch });
    else known.count++;
  }
  return kinds;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [engine = 'unicorn', pattern = '.'] = process.argv.slice(2);
  const wanted = new RegExp(pattern);
  const reports = await survey(
    engine,
    [...loadVectors().sections.keys()].filter((code) => wanted.test(code)),
  );
  for (const report of reports) {
    for (const [kind, { count, example }] of summary(report)) {
      console.log(
        `${report.code}: ${count} of ${report.cases} ${kind}, ${example.form} ${example.bytes}: ${example.detail}`,
      );
    }
  }
  const cases = reports.reduce((sum, report) => sum + report.cases, 0);
  const right = reports.filter((report) => report.mismatches.length === 0).length;
  console.log(`${engine}: ${cases} cases, ${right} of ${reports.length} codes without a difference`);
}
