// Build script, run by `npm run fixtures`: compiles the guest's handlers and writes object and layout as one module.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** As Debian's 6.1 kernel is built, where it matters for the number of instructions. */
const FLAGS = [
  ...['-std=gnu11', '-O2', '-ffreestanding', '-fno-stack-protector', '-Wall', '-Wextra', '-Werror'],
  ...['-fno-pie', '-mcmodel=kernel', '-mno-red-zone', '-mgeneral-regs-only', '-fcf-protection=none'],
  ...['-fasynchronous-unwind-tables', '-fomit-frame-pointer', '-fno-strict-aliasing', '-fno-jump-tables'],
  ...['-fno-delete-null-pointer-checks', '-mindirect-branch=thunk-extern', '-mindirect-branch-register'],
  '-mfunction-return=thunk-extern',
];

/** What the object is made of; a test compares their hash with the one in the generated module. */
const SOURCES = ['handler.h', 'handler.c', 'layout.c'];

const scratch = mkdtempSync(join(tmpdir(), 'tramp64-handler-'));
try {
  const object = join(scratch, 'handler.o');
  gcc('-c', ...FLAGS, 'handler.c', '-o', object);
  const assembly = gcc('-S', ...FLAGS, 'layout.c', '-o', '-');
  const fields = [...assembly.matchAll(/^->(\w+) (-?\d+)$/gm)].map(([, name, value]) => `  ${name}: ${value},\n`);
  const hash = createHash('sha256');
  for (const file of SOURCES) hash.update(readFileSync(join(HERE, file)));
  writeFileSync(
    join(HERE, 'handler.generated.ts'),
    `// Written by src/ftrace/guest/embed.ts from handler.c with gcc; changes here are lost.

/** Of the sources it was made from. */
export const SOURCE_SHA256 = '${hash.digest('hex')}';

/** The object, base64. */
export const HANDLER_BASE64 =
  '${readFileSync(object).toString('base64')}';

/** Offsets, sizes and values of the structs in handler.h. */
export const LAYOUT = {
${fields.join('')}} as const;
`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function gcc(...args: string[]): string {
  return execFileSync('gcc', args, { cwd: HERE, encoding: 'utf8' });
}
