// Build script, run after asc: writes the release module's bytes, the types of its exports and the names of the decoded
// ops that traces are made of as one TypeScript module.
import { readFileSync, writeFileSync } from 'node:fs';

const wasm = readFileSync('build/core.release.wasm');
const declarations = readFileSync('build/core.release.d.ts', 'utf8');

/**
 * Turns asc's declarations into an interface of the raw exports. A raw u64 or u32 arrives signed, so each docstring
 * keeps asc's own types.
 */
function interfaceOf(text: string): string {
  const start = text.indexOf('{') + 1;
  const body = text.slice(start, text.indexOf('\n}', start));
  return body
    .replace(
      /export const (\w+): \{\s*\/\*\* (@type `\w+`) \*\/\s*get value\(\): (\w+)\s*\};?/g,
      'readonly $1: { readonly value: $3 };',
    )
    .replace(/export const (\w+): /g, 'readonly $1: ')
    .replace(/export function (\w+)/g, '$1')
    .replace(/\): boolean;/g, '): number;');
}

/** The members of an enum, which count from 0. */
function membersOf(name: string, file: string): string[] {
  const body = new RegExp(`export enum ${name} \\{([^}]*)\\}`).exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  return [...body.replace(/\/\*.*?\*\/|\/\/.*/gs, '').matchAll(/\w+/g)].map(([name]) => name);
}

writeFileSync(
  'src/wasm/core.generated.ts',
  `// Written by src/wasm/embed.ts from build/core.release.wasm; changes here are lost.

/** The release module, base64. */
export const CORE_BASE64 =
  '${wasm.toString('base64')}';

/** The codes of decoded ops, by number (Hot of assembly/cpu/hot.ts). */
export const HOT_NAMES = ${JSON.stringify(membersOf('Hot', 'assembly/cpu/hot.ts'))} as const;
export type HotName = (typeof HOT_NAMES)[number];

/** The mnemonics of all other ops, by number behind COLD (Mnemonic of assembly/cpu/mnemonics.ts). */
export const COLD_NAMES = ${JSON.stringify(membersOf('Mnemonic', 'assembly/cpu/mnemonics.ts'))} as const;
export type ColdName = (typeof COLD_NAMES)[number];

/** What the module exports, as WebAssembly gives it: u32 and u64 arrive signed. */
export interface CoreExports {${interfaceOf(declarations)}
}
`,
);
