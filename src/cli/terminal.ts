// What the commands write: reports on stdout, progress on stderr, colour on a terminal only.
import type { Paint } from '../report/table.ts';
import { plain } from '../report/table.ts';

const STYLES = { good: 32, bad: 31, dim: 2, bold: 1 } as const;
/** Milliseconds between two updates of the progress line. */
const PROGRESS_EVERY = 100;

/** Colours where stdout is a terminal and NO_COLOR is not set. */
export const paint: Paint =
  process.stdout.isTTY && !process.env.NO_COLOR ? (style, text) => `\x1b[${STYLES[style]}m${text}\x1b[0m` : plain;

/** Writes lines to stdout. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Writes one JSON document to stdout. */
export function printJson(value: object): void {
  print(JSON.stringify(value, null, 2));
}

/** A progress line on stderr that is gone when the work is done; nothing where stderr is no terminal. */
export function progress(
  what: string,
  unit = 'functions',
): { update(done: number, total: number, now?: string): void; end(): void } {
  if (!process.stderr.isTTY) return { update: () => {}, end: () => {} };
  let next = 0;
  return {
    update(done, total, now = what) {
      if (Date.now() < next) return;
      next = Date.now() + PROGRESS_EVERY;
      process.stderr.write(`\r\x1b[K${now}: ${done} of ${total} ${unit}`);
    },
    end: () => void process.stderr.write('\r\x1b[K'),
  };
}
