// Plain-text tables and marks; colour is the caller's choice.

/** Words of a report that may be coloured. */
export type Paint = (style: 'good' | 'bad' | 'dim' | 'bold', text: string) => string;

/** Leaves every text as it is. */
export const plain: Paint = (_style, text) => text;

/**
 * Rows under their headings, columns as wide as their widest cell. The last column is not padded.
 * @param right columns, counted from 0, that hold numbers
 */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
  paint: Paint = plain,
): string[] {
  const widths = headings.map((heading, i) =>
    rows.reduce((widest, row) => Math.max(widest, row[i]?.length ?? 0), heading.length),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => {
        if (right.includes(i)) return cell.padStart(widths[i] ?? 0);
        return i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0);
      })
      .join('  ')
      .trimEnd();
  return [paint('dim', line(headings)), ...rows.map(line)];
}

/** `1 function`, `2 functions`. */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`;
}
