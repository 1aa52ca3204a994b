// Build script, run by `npm run fixtures`: writes the object that the benches redirect as a module.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const object = readFileSync(at('../../test/fixtures/objects/hot-kernel-O0.o'));

writeFileSync(
  at('mechanisms/hot-object.generated.ts'),
  `// Written by src/measure/embed.ts from the fixture hot-kernel-O0.o; changes here are lost.

/** The object, base64. */
export const HOT_OBJECT_BASE64 =
  '${object.toString('base64')}';
`,
);
