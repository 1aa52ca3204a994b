// The cases behind a section of the vectors.

import { BRANCHING, branchingPrograms } from './branching.ts';
import { type CodeRow, classify } from './codes.ts';
import { casesOf, countFor } from './generate.ts';
import type { Case } from './layout.ts';
import { PROGRAM, programRows, programs } from './programs.ts';
import type { Section } from './vectors.ts';

/** Programs in the committed vectors. */
export const PROGRAMS = 4000;
/** … and of those, with control flow. */
export const BRANCHING_PROGRAMS = 2000;

const { rows } = classify();
const byName = new Map<string, CodeRow>(rows.map((row) => [row.name, row]));

/** Whether a section holds programs, and not the cases of one code. */
export function holdsPrograms(name: string): boolean {
  return name === PROGRAM || name === BRANCHING;
}

/** Every generated code. */
export function allRows(): readonly CodeRow[] {
  return rows;
}

/** The cases a section answers, made again from the seed. @throws {RangeError} an unknown section */
export function casesOfSection(section: Pick<Section, 'name'>, seed: number): Generator<Case> {
  if (section.name === PROGRAM) return programs(programRows(rows), PROGRAMS, seed);
  if (section.name === BRANCHING) return branchingPrograms(programRows(rows), BRANCHING_PROGRAMS, seed);
  const row = byName.get(section.name);
  if (row === undefined) throw new RangeError(`"${section.name}" is no generated code`);
  return casesOf(row, countFor(row), seed);
}
