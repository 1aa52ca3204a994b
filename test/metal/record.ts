// Asks the bare CPU all cases and writes vectors/metal.bin.gz. Run: npx tsx test/metal/record.ts

import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { BRANCHING } from './branching.ts';
import { SEED } from './generate.ts';
import { VECTOR_FILE } from './load.ts';
import { buildNative, runNative } from './native.ts';
import { PROGRAM } from './programs.ts';
import { allRows, casesOfSection } from './sections.ts';
import { type Section, writeVectors } from './vectors.ts';

const native = buildNative();
if (typeof native === 'string') {
  console.error(`record: ${native}`);
  process.exit(3);
}
const sections = new Map<string, Section>();
for (const row of allRows()) {
  const missing = row.features.filter((feature) => !native.host.features.includes(feature));
  if (missing.length > 0) console.log(`left out: ${row.name}, this CPU has no ${missing.join(', ')}`);
  else record(row.name);
}
record(PROGRAM);
record(BRANCHING);
const file = gzipSync(writeVectors({ seed: SEED, host: native.host, sections }), { level: 9 });
writeFileSync(VECTOR_FILE, file);
const cases = [...sections.values()].reduce((sum, section) => sum + section.count, 0);
console.log(`${sections.size} sections, ${cases} cases, ${file.length} bytes: ${VECTOR_FILE}`);

function record(name: string): void {
  if (typeof native === 'string') return;
  sections.set(name, runNative(native, name, [...casesOfSection({ name }, SEED)], SEED));
}
