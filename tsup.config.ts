// Builds dist/: the library for Node and browsers, the command, their types, and the licences of what is inside.

import { existsSync } from 'node:fs';
import { copyFile, cp, readFile, writeFile } from 'node:fs/promises';
import { defineConfig, type Options } from 'tsup';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

const UNICORN = '@specy/x86/dist/x86/deps/unicorn-x86.min.js';
const UNICORN_FILE = 'unicorn-x86.min.js';

/**
 * unicorn.js stays a file of its own: it is minified already, and only a program that makes such an engine loads it.
 * Its diagnostics (each growth of the heap, "unsupported syscall: mprotect") would go to the user's stderr.
 */
const unicorn: Plugin = {
  name: 'unicorn',
  setup(build) {
    build.onResolve({ filter: /unicorn-x86\.min\.js$/ }, () => ({ path: `./${UNICORN_FILE}`, external: true }));
  },
};

/** iced-x86 is built for Node's require; the same code with its WebAssembly inside runs everywhere. */
const iced: Plugin = {
  name: 'iced-x86',
  setup(build) {
    build.onLoad({ filter: /iced_x86\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const contents = [
        [/^const \{ TextDecoder, TextEncoder \} = require\(`util`\);$/m, ''],
        [/^const path = require\('path'\).*$/m, ''],
        [/^const bytes = require\('fs'\)\.readFileSync\(path\);$/m, "const bytes = require('./iced_x86_bg.wasm');"],
      ].reduce((text, [from, to]) => replaceOnce(text, from as RegExp, to as string), source);
      return { contents, loader: 'js' };
    });
  },
};

/**
 * Node's own modules, required by a bundled CommonJS package: ESM has no require, so they come through an import, by
 * way of two small modules that turn its default export into module.exports.
 */
const nodeModules: Plugin = {
  name: 'node-modules',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path, kind, namespace }) => {
      if (kind !== 'require-call') return { path, external: true };
      return { path, namespace: namespace === 'node-exports' ? 'node-default' : 'node-exports' };
    });
    build.onLoad({ filter: /.*/, namespace: 'node-exports' }, ({ path }) => ({
      contents: `module.exports = require('${path}').default;`,
    }));
    build.onLoad({ filter: /.*/, namespace: 'node-default' }, ({ path }) => ({
      contents: `export { default } from '${path}';`,
    }));
  },
};

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    vitest: 'src/vitest.ts',
    cli: 'src/cli/main.ts',
    'check-worker': 'src/cli/check-worker.ts',
  },
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  dts: { entry: { index: 'src/index.ts', vitest: 'src/vitest.ts' } },
  clean: true,
  removeNodeProtocol: false,
  splitting: true,
  loader: { '.wasm': 'binary' },
  esbuildPlugins: [unicorn, iced, nodeModules],
  // names stay, for traces of the stack; blanks and comments are a tenth of what is installed
  esbuildOptions: (options) => {
    options.minifyWhitespace = true;
  },
  async onSuccess() {
    const source = await readFile(`node_modules/${UNICORN}`, 'utf8');
    const quiet = replaceOnce(source, /console\.error\.bind\(console\)/, '(()=>{})');
    await writeFile(`dist/${UNICORN_FILE}`, `// Unicorn 1.0.3, GPL-2.0; see THIRD-PARTY.md.\n${quiet}`);
    await writeFile('dist/THIRD-PARTY.md', await licences());
    if (existsSync('src/examples')) await cp('src/examples', 'dist/examples', { recursive: true, filter: notCode });
    await copyFile('LICENSE', 'dist/LICENSE');
  },
});

function notCode(path: string): boolean {
  return !path.endsWith('.ts');
}

/** Replaces what must be there exactly once, so that a newer version of the file does not slip through. */
function replaceOnce(text: string, from: RegExp, to: string): string {
  const found = text.match(new RegExp(from.source, `${from.flags}g`))?.length ?? 0;
  if (found !== 1) throw new Error(`build: expected ${from} once, found it ${found} times`);
  return text.replace(from, () => to);
}

async function licences(): Promise<string> {
  const parts = [
    {
      title: `Unicorn 1.0.3 (${UNICORN_FILE})`,
      says: [
        'GPL-2.0. The JavaScript build of the CPU emulator Unicorn, from the npm package @specy/x86 1.1.0, with one change:',
        'its diagnostics are not printed.',
        'Source: https://github.com/unicorn-engine/unicorn (1.0.3), https://github.com/AlexAltea/unicorn.js,',
        'https://github.com/Specy/x86-js.',
      ],
      file: 'node_modules/@specy/x86/LICENSE',
    },
    {
      title: 'iced-x86 1.21.0 (inside the JavaScript files)',
      says: ['MIT. The x86 decoder. Source: https://github.com/icedland/iced.'],
      file: 'node_modules/iced-x86/LICENSE.txt',
    },
    {
      title: 'Commander (inside cli.js)',
      says: ['MIT. Reads the command line. Source: https://github.com/tj/commander.js.'],
      file: 'node_modules/commander/LICENSE',
    },
  ].filter(({ file }) => existsSync(file));
  const texts = await Promise.all(
    parts.map(
      async ({ title, says, file }) =>
        `## ${title}\n\n${says.join('\n')}\n\n\`\`\`\n${(await readFile(file, 'utf8')).trim()}\n\`\`\`\n`,
    ),
  );
  return `# What others wrote and this package carries\n\n${texts.join('\n')}`;
}
