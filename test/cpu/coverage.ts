// Which instructions of real programs the WASM CPU knows: `objdump -d` of them, each instruction asked of the decoder.
//
// Run: npm run isa:coverage -- [--modules FOLDER] [FILE…]. Without FILEs: the fixtures, also compiled at -O1 and -O3,
// libc.so.6, and the 20 largest modules of FOLDER; without FOLDER those of Debian's kernel, which apt-get downloads.
// Exit 1 where an integer or SSE to SSE4.2 instruction is unknown, 3 where one of the sources cannot be had.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Code, Decoder, DecoderOptions, Instruction } from 'iced-x86';
import { count, table } from '../../src/report/table.ts';
import { Isa } from '../../src/wasm/isa.ts';
import { FIXTURES, OBJECTS } from '../fixtures/manifest.ts';
import { recipes } from '../fixtures/variants.ts';
import { type Part, partOf } from './supported.ts';

/** Where Debian keeps the C library. */
export const LIBC = '/lib/x86_64-linux-gnu/libc.so.6';
const MODULES = 20;

/** What is known about one mnemonic in one part of x86. */
export interface MnemonicUse {
  part: Part | 'no instruction';
  /** objdump's, without prefixes. */
  mnemonic: string;
  known: number;
  unknown: number;
  /** File, address and bytes of the first unknown one. */
  example: string | undefined;
}

/** Instructions of one or more files, by part and mnemonic. */
export class Coverage {
  readonly #isa: Isa;
  readonly #instruction = new Instruction();
  readonly #uses = new Map<string, MnemonicUse>();
  instructions = 0;

  constructor(isa: Isa) {
    this.#isa = isa;
  }

  /** Reads a file's code. @throws {Error} objdump is missing or fails */
  add(file: string): void {
    const text = execFileSync('objdump', ['-d', '-w', '--show-raw-insn', '--prefix-addresses', file], {
      encoding: 'utf8',
      maxBuffer: 1 << 30,
    });
    for (const line of text.split('\n')) this.#addLine(file, line);
  }

  /** Every mnemonic, by part, the most used first. */
  uses(): MnemonicUse[] {
    return [...this.#uses.values()].sort(
      (a, b) => a.part.localeCompare(b.part) || b.known + b.unknown - a.known - a.unknown,
    );
  }

  /** Mnemonics of the set with an instruction that the decoder does not know. */
  missing(): MnemonicUse[] {
    return this.uses().filter(({ part, unknown }) => unknown > 0 && (part === 'integer' || part === 'SSE to SSE4.2'));
  }

  #addLine(file: string, line: string): void {
    // `0000000000000008 <compare_up+0x8> 48 39 f7             	cmp    %rsi,%rdi`
    const match = /^[0-9a-f]{8,} (<.*?>) ((?:[0-9a-f]{2} )+)\s*\t?(.*)$/.exec(line);
    if (match === null) return;
    const [, where = '', hex = '', text = ''] = match;
    const bytes = Uint8Array.from(hex.trim().split(' '), (byte) => Number.parseInt(byte, 16));
    const mnemonic = mnemonicOf(text);
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    decoder.decodeOut(this.#instruction);
    decoder.free();
    const { code } = this.#instruction;
    const part = code === Code.INVALID || text.includes('(bad)') ? 'no instruction' : partOf(code);
    const { kind, length } = this.#isa.decode(bytes);
    const known = (kind === 'straight' || kind === 'branch') && length === bytes.length;
    this.instructions++;
    const key = `${part} ${mnemonic}`;
    const use = this.#uses.get(key) ?? { part, mnemonic, known: 0, unknown: 0, example: undefined };
    this.#uses.set(key, use);
    if (known) use.known++;
    else {
      use.unknown++;
      use.example ??= `${basename(file)} ${where} ${hex.trim()}`;
    }
  }
}

const PREFIX = /^(lock|repn?[ze]?|notrack|bnd|data16|addr32|[cdefgs]s|rex(\.\w+)?|xacquire|xrelease)\s+/;

function mnemonicOf(text: string): string {
  let rest = text.trim();
  while (PREFIX.test(rest)) rest = rest.replace(PREFIX, '');
  return rest.split(/[\s,]/)[0] ?? '';
}

/** The committed fixtures. */
export function fixtureFiles(): string[] {
  return readdirSync(OBJECTS)
    .filter((name) => /\.(o|ko|elf|so)$/.test(name))
    .map((name) => join(OBJECTS, name));
}

/** Compiles the fixtures at levels that are not committed. @throws {Error} gcc is missing or fails */
export function compiledFixtures(folder: string, levels: readonly string[]): string[] {
  return recipes()
    .filter(({ tool, file }) => tool === 'gcc' && /^(target|fix_\w).*-O2\.o$/.test(file))
    .flatMap((recipe) =>
      levels.map((level) => {
        const path = join(folder, recipe.file.replace('-O2', level));
        const flags = recipe.flags.map((flag) => (flag === '-O2' ? level : flag));
        const sources = recipe.inputs.map((input) => join(FIXTURES, 'src', input));
        execFileSync('gcc', [...flags, '-o', path, ...sources], { stdio: ['ignore', 'ignore', 'inherit'] });
        return path;
      }),
    );
}

/** The largest modules below a folder. */
function largestModules(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ko'))
    .map((name) => join(folder, name))
    .sort((a, b) => statSync(b).size - statSync(a).size)
    .slice(0, MODULES);
}

/** Downloads and unpacks Debian's kernel for clouds; the folder with its modules, or why it cannot be had. */
function downloadModules(folder: string): string | undefined {
  const found = spawnSync('apt-cache', ['search', '--names-only', '^linux-image-[0-9].*-cloud-amd64$'], {
    encoding: 'utf8',
  });
  // a version is in the name; the meta-packages hold no files
  const name = (found.stdout ?? '')
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((each) => /\d-cloud/.test(each))
    .at(-1);
  if (name === undefined || name === '') return undefined;
  const got = spawnSync('apt-get', ['download', '-qq', name], { cwd: folder, encoding: 'utf8' });
  const archive = readdirSync(folder).find((file) => file.endsWith('.deb'));
  if (got.status !== 0 || archive === undefined) return undefined;
  execFileSync('dpkg-deb', ['-x', join(folder, archive), join(folder, 'kernel')]);
  return join(folder, 'kernel');
}

/** The report, and the exit status. */
function print(coverage: Coverage, files: number): void {
  const parts = new Map<string, MnemonicUse[]>();
  for (const use of coverage.uses()) parts.set(use.part, [...(parts.get(use.part) ?? []), use]);
  for (const [part, uses] of parts) {
    console.log(`\n${part}: ${count(uses.length, 'mnemonic')}`);
    console.log(
      wrapped(
        uses.map(
          ({ mnemonic, known, unknown }) => `${mnemonic} ${known}${unknown > 0 ? ` (and ${unknown} unknown)` : ''}`,
        ),
      ),
    );
  }
  const rows = [...parts].map(([part, uses]) => {
    const sum = (pick: (use: MnemonicUse) => number) => uses.reduce((total, use) => total + pick(use), 0);
    const unknownMnemonics = uses.filter(({ unknown }) => unknown > 0).length;
    return [part, uses.length, sum((use) => use.known), unknownMnemonics, sum((use) => use.unknown)].map(String);
  });
  console.log(`\n${count(coverage.instructions, 'instruction')} in ${count(files, 'file')}`);
  console.log(
    table(['part', 'mnemonics', 'known', 'mnemonics with unknown', 'unknown'], rows, [1, 2, 3, 4]).join('\n'),
  );
  const missing = coverage.missing();
  for (const { mnemonic, example } of missing) console.log(`unknown: ${mnemonic}, first in ${example}`);
  console.log(`${missing.length} unknown mnemonics among integer and SSE to SSE4.2 instructions`);
}

function wrapped(words: readonly string[]): string {
  let line = ' ';
  const lines: string[] = [];
  for (const word of words) {
    if (line.length + word.length > 115) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${word},`;
  }
  return [...lines, line.replace(/,$/, '')].join('\n');
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { modules: { type: 'string' } } });
  const scratch = mkdtempSync(join(tmpdir(), 'tramp64-coverage-'));
  try {
    const lacking: string[] = [];
    let files = positionals;
    if (files.length === 0) {
      files = [...fixtureFiles(), ...compiledFixtures(scratch, ['-O1', '-O3'])];
      if (existsSync(LIBC)) files.push(LIBC);
      else lacking.push(LIBC);
      const folder = values.modules ?? downloadModules(scratch);
      const modules = folder === undefined ? [] : largestModules(folder);
      files.push(...modules);
      if (modules.length < MODULES) lacking.push(`${MODULES} kernel modules (there are ${modules.length})`);
    }
    const coverage = new Coverage(await Isa.create());
    for (const file of files) coverage.add(file);
    console.log(wrapped(files.map((file) => basename(file))));
    print(coverage, files.length);
    for (const what of lacking) console.log(`not looked at: ${what}`);
    return coverage.missing().length > 0 ? 1 : lacking.length > 0 ? 3 : 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main();
}
