// Prints goals with their figures, and the machine they were measured on.
import { cpus } from 'node:os';

/** One row: a figure, the goal it has to meet, and whether more or less is better. */
export interface Goal {
  what: string;
  figure: number;
  goal: number;
  better: 'more' | 'less';
  /** What is counted; `x`, a ratio, unless told. */
  unit?: string;
}

export function isMet({ figure, goal, better }: Goal): boolean {
  return better === 'more' ? figure >= goal : figure <= goal;
}

export function printGoals(title: string, rows: readonly Goal[]): void {
  console.log(title);
  for (const row of rows) {
    const sign = row.better === 'more' ? '≥' : '≤';
    const { unit = 'x' } = row;
    const goal = `goal ${sign} ${row.goal}${unit}`;
    console.log(
      `  ${row.what.padEnd(44)} ${`${row.figure.toFixed(2)}${unit}`.padStart(8)}  ${goal.padEnd(13)} ${isMet(row) ? 'met' : 'missed'}`,
    );
  }
}

/** Processor, count and Node: figures mean nothing without them. */
export function machineLine(): string {
  const all = cpus();
  return `machine: ${all[0]?.model.trim() ?? 'unknown processor'}, ${all.length} processors, Node ${process.versions.node}, ${process.platform}`;
}
