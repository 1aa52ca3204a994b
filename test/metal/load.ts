// The committed vectors, from the file (Node); elsewhere unzip them and call readVectors.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { readVectors, type Vectors } from './vectors.ts';

export const VECTOR_FILE = fileURLToPath(new URL('vectors/metal.bin.gz', import.meta.url));

/** @throws {Error} the file is missing: `npx tsx test/metal/record.ts` makes it */
export function loadVectors(): Vectors {
  if (!existsSync(VECTOR_FILE)) throw new Error(`${VECTOR_FILE} is missing; run npx tsx test/metal/record.ts`);
  return readVectors(new Uint8Array(gunzipSync(readFileSync(VECTOR_FILE))));
}
