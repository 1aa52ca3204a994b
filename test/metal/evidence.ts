// Counts, for each row of the WASM CPU's opcode tables, the cases in which it did what the bare CPU (or, where that
// cannot be asked, the manual) says, and writes src/engine/isa-measured.ts. Run: npx tsx test/metal/evidence.ts

import { writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Code, Decoder, DecoderOptions, Instruction } from 'iced-x86';
import type { RowEvidence } from '../../src/engine/isa-measured.ts';
import { createWasm } from '../../src/engine/wasm.ts';
import { Isa } from '../../src/wasm/isa.ts';
import { MetalBench, type Mismatch } from './compare.ts';
import type { Case, Result } from './layout.ts';
import { loadVectors } from './load.ts';
import { manualCases } from './manual.ts';
import { casesOfSection, holdsPrograms } from './sections.ts';
import { pairsOf } from './vectors.ts';

/** Cases of each instruction that is judged by the manual. */
export const MANUAL_CASES = 64;

/** One vector on the WASM CPU. */
export interface Judged {
  input: Case;
  result: Result;
  /** Undefined where it did what the bare CPU did. */
  mismatch: Mismatch | undefined;
}

/** Evidence by the place of the row, from all vectors; `onCase` is told each one. */
export async function evidence(onCase?: (judged: Judged) => void): Promise<Map<number, RowEvidence>> {
  const isa = await Isa.create();
  const found = new Map<number, { cases: number; manual: boolean; texts: Set<string> }>();
  const add = (bytes: Uint8Array, manual: boolean) => {
    const { kind, place } = isa.decode(bytes);
    if (kind !== 'straight' && kind !== 'branch') return;
    const entry = found.get(place) ?? { cases: 0, manual, texts: new Set() };
    found.set(place, entry);
    entry.cases++;
    entry.texts.add(textOf(bytes));
  };
  const vectors = loadVectors();
  const bench = new MetalBench(await createWasm(), vectors.seed);
  for (const section of vectors.sections.values()) {
    for (const { input, result } of pairsOf(section, casesOfSection(section, vectors.seed))) {
      const mismatch = bench.run(input, result);
      onCase?.({ input, result, mismatch });
      if (mismatch === undefined && !holdsPrograms(section.name)) add(lastOf(input), false);
    }
  }
  for (const { bytes, difference } of manualCases(await createWasm(), MANUAL_CASES, vectors.seed)) {
    if (difference === undefined) add(bytes, true);
  }
  const rows = isa.rows.flatMap(({ place }): [number, RowEvidence][] => {
    const entry = found.get(place);
    if (entry === undefined) return [];
    return [[place, [entry.cases, entry.manual ? 'manual' : 'metal', [...entry.texts].sort().join(' · ')]]];
  });
  return new Map(rows);
}

/** The instruction that a case is about: two of them where MXCSR is loaded first. */
function lastOf(input: Case): Uint8Array {
  return input.instructions === 2 ? input.bytes.subarray(8) : input.bytes;
}

/** The manual's line for an instruction, by iced: `ADD r/m32, r32`. */
function textOf(bytes: Uint8Array): string {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const instruction = new Instruction();
  decoder.decodeOut(instruction);
  const info = instruction.opCode;
  const text = instruction.code === Code.INVALID ? '' : info.instructionString;
  info.free();
  instruction.free();
  decoder.free();
  return text;
}

/** The source text of isa-measured.ts. */
export function evidenceText(rows: ReadonlyMap<number, RowEvidence>, cpu: string): string {
  const lines = [...rows].map(([place, [cases, judge, texts]]) => {
    return `  [0x${place.toString(16).padStart(6, '0')}, [${cases}, '${judge}', '${texts}']],`;
  });
  return `// Made by \`npx tsx test/metal/evidence.ts\`; do not edit. How often each row of the WASM CPU's opcode tables was found to do
// what it should: by the bare CPU (${cpu}), or by the manual.

/** Cases, who judged them, and the instructions that the row stands for. */
export type RowEvidence = readonly [cases: number, judge: 'metal' | 'manual', instructions: string];

/** By the place of the row, see IsaRow. */
// biome-ignore format: one line a row
export const ISA_EVIDENCE: ReadonlyMap<number, RowEvidence> = new Map<number, RowEvidence>([
${lines.join('\n')}
]);
`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const rows = await evidence();
  const path = fileURLToPath(new URL('../../src/engine/isa-measured.ts', import.meta.url));
  writeFileSync(path, evidenceText(rows, loadVectors().host.cpu));
  console.log(`${rows.size} rows: ${path}`);
}
