// Runs every vector of the bare CPU on the WASM CPU and prints what differs and what is not judged, by code.
//
// Run: npx tsx test/cpu/metal-report.ts [CODE-REGEX]

import { createWasm } from '../../src/engine/wasm.ts';
import { MetalBench, type Mismatch } from '../metal/compare.ts';
import { loadVectors } from '../metal/load.ts';
import { casesOfSection } from '../metal/sections.ts';
import { pairsOf } from '../metal/vectors.ts';

const wanted = new RegExp(process.argv[2] ?? '');
const vectors = loadVectors();
const bench = new MetalBench(await createWasm(), vectors.seed);
let cases = 0;
const wrong = new Map<string, { count: number; kinds: Map<string, Mismatch> }>();
const unjudged = new Map<string, number>();
for (const [code, section] of vectors.sections) {
  if (!wanted.test(code)) continue;
  for (const { input, result } of pairsOf(section, casesOfSection(section, vectors.seed))) {
    cases++;
    const mismatch = bench.run(input, result);
    if (mismatch === undefined) continue;
    if (mismatch.detail.includes('not-judged') || mismatch.detail.includes('outside the instruction set')) {
      unjudged.set(code, (unjudged.get(code) ?? 0) + 1);
      continue;
    }
    const entry = wrong.get(code) ?? { count: 0, kinds: new Map() };
    entry.count++;
    if (!entry.kinds.has(mismatch.kind)) entry.kinds.set(mismatch.kind, mismatch);
    wrong.set(code, entry);
  }
}
for (const [code, { count, kinds }] of wrong) {
  console.log(`${code}: ${count} differ`);
  for (const m of kinds.values()) console.log(`   ${m.kind} ${m.bytes} ${m.detail}`);
}
const sum = (counts: Iterable<number>) => [...counts].reduce((a, b) => a + b, 0);
console.log(`not judged: ${[...unjudged.keys()].join(' ')}`);
console.log(
  `${cases} cases, ${sum([...wrong.values()].map((w) => w.count))} differ in ${wrong.size} codes, ${sum(unjudged.values())} not judged in ${unjudged.size} codes`,
);
