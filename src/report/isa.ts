// The instruction set of the WASM CPU as a table and as JSON: each row with the evidence that it is right.
import { ISA_EVIDENCE } from '../engine/isa-measured.ts';
import type { IsaRow } from '../wasm/isa.ts';
import { count, type Paint, table } from './table.ts';

/** Cases that each row must have. */
export const LEAST_CASES = 50;

/** A row of the opcode tables with its evidence. */
export interface IsaEntry {
  opcode: string;
  /** As the manual writes them, such as `ADD r/m32, r32`. */
  instructions: string[];
  /** Cases in which the CPU did what `judge` says. */
  cases: number;
  /** The bare CPU, or the manual where that cannot be asked. */
  judge: 'metal' | 'manual';
}

/** The rows with their evidence, in the order of the tables. */
export function isaEntries(rows: readonly IsaRow[]): IsaEntry[] {
  return rows.map(({ opcode, place }) => {
    const [cases, judge, instructions] = ISA_EVIDENCE.get(place) ?? [0, 'metal', ''];
    return { opcode, instructions: instructions === '' ? [] : instructions.split(' · '), cases, judge };
  });
}

/** Rows with fewer than LEAST_CASES. */
export function thinEntries(entries: readonly IsaEntry[]): IsaEntry[] {
  return entries.filter((entry) => entry.cases < LEAST_CASES);
}

/** The list for people. */
export function isaText(entries: readonly IsaEntry[], paint: Paint): string {
  const thin = thinEntries(entries);
  const cells = entries.map((entry) => [
    entry.opcode,
    String(entry.cases),
    entry.judge,
    entry.instructions.join(' · ') || '(never tried)',
  ]);
  const lines = table(['opcode', 'cases', 'judge', 'instructions'], cells, [1], paint);
  const sum = (judge: IsaEntry['judge']) =>
    entries.reduce((total, entry) => total + (entry.judge === judge ? entry.cases : 0), 0).toLocaleString('en-US');
  lines.push(
    '',
    `${count(entries.length, 'row')}; ${sum('metal')} cases judged by the bare CPU, ${sum('manual')} by the manual`,
  );
  if (thin.length > 0) {
    lines.push(
      paint('bad', `fewer than ${LEAST_CASES} cases: ${thin.map((entry) => entry.opcode).join(', ')}`),
      'add cases in test/metal and run npx tsx test/metal/evidence.ts',
    );
  }
  return lines.join('\n');
}

/** The list as one document. */
export function isaJson(entries: readonly IsaEntry[]): object {
  return { leastCases: LEAST_CASES, thin: thinEntries(entries).map((entry) => entry.opcode), rows: entries };
}
