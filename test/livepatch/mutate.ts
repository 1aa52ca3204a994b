// `npm run mutate:livepatch [-- NUMBER…]`: seeds each defect in a copy of the sources, and shows which tests find it.
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MUTATIONS, type Mutation } from './mutations.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** What the tests need of the repository. */
const COPIED = [
  'src',
  'assembly',
  'test',
  'bench',
  'build',
  'docs',
  'package.json',
  'tsconfig.json',
  'asconfig.json',
  'vitest.config.ts',
];
const SEQUENCES = 600;
/** The tests that are run where random sequences find nothing. */
const TESTS = ['test/livepatch', 'test/core', 'test/scenario/livepatch-'];
const NOT_TESTS = ['test/livepatch/model.test.ts', 'test/livepatch/growth.test.ts', 'test/livepatch/mutations.test.ts'];

const run = promisify(execFile);

/** A copy of the repository in which one file at a time is changed. */
export class Mutant {
  readonly folder = mkdtempSync(join(tmpdir(), 'tramp64-mutant-'));

  constructor() {
    for (const name of COPIED) cpSync(join(ROOT, name), join(this.folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(this.folder, 'node_modules'));
  }

  /** Which tests find a defect: `sequences`, `tests`, or undefined where none does. @throws {Error} it does not apply */
  async findsBy(mutation: Mutation): Promise<string | undefined> {
    const path = join(this.folder, mutation.file);
    const original = readFileSync(path, 'utf8');
    writeFileSync(path, mutated(original, mutation));
    const inCore = mutation.file.startsWith('assembly/');
    try {
      if (inCore) await this.#build();
      const sequences = ['test/livepatch/fuzz.ts', '--sequences', String(SEQUENCES), '--cpu-every', '3', '--as-found'];
      if (await this.#fails('tsx', sequences)) return 'sequences';
      const excluded = NOT_TESTS.flatMap((name) => ['--exclude', name]);
      return (await this.#fails('vitest', ['run', '--bail', '1', ...excluded, ...TESTS])) ? 'tests' : undefined;
    } finally {
      writeFileSync(path, original);
      if (inCore) cpSync(join(ROOT, 'src/wasm/core.generated.ts'), join(this.folder, 'src/wasm/core.generated.ts'));
    }
  }

  /** Removes the copy. */
  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #build(): Promise<void> {
    await this.#run('asc', ['assembly/index.ts', '--target', 'release']);
    await this.#run('tsx', ['src/wasm/embed.ts']);
  }

  async #fails(command: string, args: readonly string[]): Promise<boolean> {
    return this.#run(command, args).then(
      () => false,
      () => true,
    );
  }

  async #run(command: string, args: readonly string[]): Promise<void> {
    await run(join(this.folder, 'node_modules/.bin', command), args, { cwd: this.folder, maxBuffer: 1 << 26 });
  }
}

/** The text with the defect in it. @throws {Error} the place is not there exactly once */
export function mutated(text: string, { file, from, to, defect }: Mutation): string {
  const found = text.split(from).length - 1;
  if (found !== 1) throw new Error(`the mutation '${defect}' does not apply: its text is ${found} times in ${file}`);
  return text.replace(from, () => to);
}

/** Runs the mutations of these numbers, all by default, and prints a table; true where each is found. */
export async function mutate(numbers: readonly number[]): Promise<boolean> {
  const mutant = new Mutant();
  let missed = 0;
  try {
    for (const [i, mutation] of MUTATIONS.entries()) {
      if (numbers.length > 0 && !numbers.includes(i + 1)) continue;
      const finder = await mutant.findsBy(mutation);
      if (finder === undefined) missed++;
      const verdict = finder === undefined ? 'MISSED' : `found by ${finder}`;
      console.log(
        `${String(i + 1).padStart(3)}  ${verdict.padEnd(18)}  ${mutation.file.padEnd(28)}  ${mutation.defect}`,
      );
    }
  } finally {
    mutant.dispose();
  }
  console.log(missed === 0 ? 'all defects are found' : `${missed} defects are not found`);
  return missed === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const numbers = process.argv.slice(2).map(Number);
  for (const mutation of MUTATIONS) mutated(readFileSync(join(ROOT, mutation.file), 'utf8'), mutation);
  if (!(await mutate(numbers))) process.exitCode = 1;
}
