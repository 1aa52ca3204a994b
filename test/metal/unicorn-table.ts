// Writes what a Unicorn executes rightly, as measured. Run: npx tsx test/metal/unicorn-table.ts [unicorn|unicorn-native]

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bytesOfHex } from '../../src/address.ts';
import { CIRCUMSTANCES, type Circumstance, circumstanceHolds } from '../../src/engine/judge.ts';
import { loadLibUnicorn } from '../../src/engine/libunicorn.ts';
import { decodeOne } from '../../src/x86/decode.ts';
import { type CodeRow, classify } from './codes.ts';
import type { Mismatch } from './compare.ts';
import { shapeOf } from './encode.ts';
import { CODE } from './layout.ts';
import { loadVectors } from './load.ts';
import { casesOfSection, holdsPrograms } from './sections.ts';
import { type CodeReport, survey } from './survey.ts';

/** The builds of Unicorn: how the header calls them, and where their tables go. */
const BUILDS: Readonly<Record<string, { title: () => Promise<string>; file: string }>> = {
  unicorn: { title: async () => 'Unicorn 1.0.3 (unicorn.js)', file: 'unicorn-measured.ts' },
  'unicorn-native': {
    title: async () => `Unicorn ${(await loadLibUnicorn()).version} (libunicorn)`,
    file: 'unicorn-native-measured.ts',
  },
};

/** Where few cases have the circumstance, and it goes wrong for all codes of the kind. */
const KIN = 'as its kin';

/** Differences that hold for the engine as a whole, not for one instruction; see the header of the table. */
const TOLERATED = new Set(['nan', 'alignment', 'fault-detail']);

const [engine = 'unicorn'] = process.argv.slice(2);
const build = BUILDS[engine];
if (build === undefined) throw new RangeError(`"${engine}" is no build of Unicorn: ${Object.keys(BUILDS).join(', ')}`);
const title = await build.title();
const table = fileURLToPath(new URL(`../../src/engine/${build.file}`, import.meta.url));
const vectors = loadVectors();
const { rows, excluded } = classify();
const privileged = rows.filter((row) => row.privileged).map((row) => row.name);
const codes = [...vectors.sections.keys()].filter((code) => !holdsPrograms(code) && !privileged.includes(code));
const reports: CodeReport[] = await survey(engine, codes);
const byCode = new Map(reports.map((report) => [report.code, report]));

const right = new Set<string>();
const wrong = new Map<string, string>();
const limited = new Map<string, [Circumstance, string]>();
const nan: string[] = [];
const uncompared: string[] = [];
for (const row of rows) {
  if (row.privileged) continue;
  const report = byCode.get(row.name);
  if (report === undefined) {
    uncompared.push(row.name);
    continue;
  }
  if (report.mismatches.some((mismatch) => mismatch.kind === 'nan')) nan.push(row.name);
  const bad = report.mismatches.filter((mismatch) => !TOLERATED.has(mismatch.kind) && !refusedInPart(report, mismatch));
  const [first] = bad;
  if (first === undefined) {
    right.add(row.mnemonic.toLowerCase());
    if (readsPrefixesOtherwise(row)) limited.set(row.name, ['two of the prefixes 66, f2 and f3', KIN]);
    continue;
  }
  const circumstance = circumstanceOf(row.name, bad);
  if (circumstance === undefined) {
    wrong.set(row.name, reasonOf(first));
    continue;
  }
  right.add(row.mnemonic.toLowerCase());
  limited.set(row.name, [circumstance, `${first.bytes} ${first.detail}`]);
}
// codes that were not run but share a mnemonic with one that was: mov to a segment register, movq of mmx …
for (const name of [...excluded.keys(), ...privileged]) {
  if (right.has(mnemonicOf(name))) uncompared.push(name);
}
for (const row of rows)
  if (!row.privileged && !right.has(row.mnemonic.toLowerCase())) collapse(row.mnemonic.toLowerCase());

writeFileSync(table, tableText());
spawnSync('npx', ['biome', 'format', '--write', table], { stdio: 'inherit' });
console.log(
  `${right.size} mnemonics; ${wrong.size} wrong, ${uncompared.length} not compared, ${limited.size} limited, ${nan.length} with other NaNs`,
);

/** A refusal is seen when it happens, so only what is always refused needs a row. */
function refusedInPart(report: CodeReport, mismatch: Mismatch): boolean {
  const refused = report.mismatches.filter((one) => one.kind === 'refused').length;
  return mismatch.kind === 'refused' && refused < 0.8 * report.cases;
}

/** The narrowest circumstance that all differences share and some case without a difference has not. */
function circumstanceOf(code: string, bad: readonly Mismatch[]): Circumstance | undefined {
  const cases = [...casesOfSection({ name: code }, vectors.seed)].map((input) => decodeOne(input.bytes, CODE));
  if (bad.some((mismatch) => mismatch.bytes === '')) return undefined;
  const decoded = bad.map((mismatch) => decodeOne(bytesOfHex(mismatch.bytes), CODE));
  return CIRCUMSTANCES.find(
    (circumstance) =>
      // most codes that fail do so with REX, which most cases have; it is the reason only where it fails nearly always
      (circumstance !== 'a REX prefix' ||
        0.5 * cases.filter((one) => circumstanceHolds(circumstance, one)).length < bad.length) &&
      decoded.every((instruction) => circumstanceHolds(circumstance, instruction)) &&
      cases.filter((instruction) => !circumstanceHolds(circumstance, instruction)).length >= 20,
  );
}

/** Codes with a mandatory f2 or f3; Unicorn takes the first prefix for it, the CPU the last. */
function readsPrefixesOtherwise(row: CodeRow): boolean {
  const { mandatory } = shapeOf(row);
  if (row.mnemonic === 'Adox') return true;
  return (mandatory === 0xf2 || mandatory === 0xf3) && row.features.some((feature) => feature.startsWith('SSE'));
}

function reasonOf(mismatch: Mismatch): string {
  if (mismatch.kind === 'refused') return 'refused as an invalid instruction';
  if (mismatch.kind === 'broken') return 'ends the emulator';
  const what = { value: 'gives another value', flags: 'gives other flags', fault: 'faults otherwise' };
  const verb = what[mismatch.kind as keyof typeof what];
  return `${verb} than the bare CPU, without an error (${mismatch.bytes}: ${mismatch.detail})`;
}

function mnemonicOf(name: string): string {
  return (name.split('_')[0] ?? '').toLowerCase();
}

/** A mnemonic of which nothing is right needs no row per code, unless its codes go wrong in different ways. */
function collapse(mnemonic: string): void {
  const names = rows.filter((row) => row.mnemonic.toLowerCase() === mnemonic).map((row) => row.name);
  const reasons = new Set(names.map((name) => wrong.get(name)?.replace(/ \(.*/, '')));
  const [reason] = names.map((name) => wrong.get(name));
  if (reasons.size !== 1 || reason === undefined) return;
  for (const name of names) wrong.delete(name);
  wrong.set(mnemonic, reason);
}

function tableText(): string {
  const cases = reports.reduce((sum, report) => sum + (holdsPrograms(report.code) ? 0 : report.cases), 0);
  const lines = (entries: Iterable<readonly unknown[]>) =>
    [...entries].map((entry) => `  ${JSON.stringify(entry)},\n`).join('');
  return `// Made by \`npx tsx test/metal/unicorn-table.ts ${engine}\`; do not edit. What ${title} executes as the bare CPU does:
// ${cases} cases over ${byCode.size} encodings, against ${vectors.host.cpu}.
//
// These differences hold for the engine as a whole and keep no instruction out: a misaligned 16-byte SSE operand is not
// refused; where both fault, kind (#GP or page fault), access (a read-modify-write is reported as a read), address of an
// access that crosses pages, and registers or flags may differ; of two NaNs another one may come through
// (${nan.length} encodings: ${nan.join(' ')}).
import type { Circumstance } from './judge.ts';

/** Mnemonics of which at least one encoding is executed rightly. */
export const MNEMONICS = \`
${wrapped([...right].sort())}\`;

/** Encodings of these mnemonics that were not compared, for user mode or the engine interface does not reach them. */
export const UNCOMPARED = \`
${wrapped(uncompared)}\`;

/** Encodings, or whole mnemonics, that are not. */
export const WRONG: readonly (readonly [name: string, why: string])[] = [
${lines([...wrong].sort())}];

/** Encodings that are, but for one circumstance; with an example. */
export const WRONG_WITH: readonly (readonly [code: string, circumstance: Circumstance, example: string])[] = [
${lines([...limited].map(([code, [circumstance, example]]) => [code, circumstance, example] as const).sort())}];
`;
}

/** Words in lines of at most 118 characters. */
function wrapped(words: readonly string[]): string {
  let text = '';
  let line = ' ';
  for (const word of words) {
    if (line.length + word.length > 116) {
      text += `${line}\n`;
      line = ' ';
    }
    line += ` ${word}`;
  }
  return text + line;
}
