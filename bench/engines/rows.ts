// The goals of the engines: each a ratio of two figures, met or missed.
import type { Figures } from './measure.ts';

type Place = readonly [subject: string, program: string];

/** One goal. */
export interface Row {
  readonly what: string;
  /** The ratio is `slower` / `faster`. */
  readonly slower: Place;
  readonly faster: Place;
  readonly goal: number;
  readonly better: 'more' | 'less';
}

const atLeast = (what: string, goal: number, slower: Place, faster: Place): Row => ({
  what,
  slower,
  faster,
  goal,
  better: 'more',
});
const atMost = (what: string, goal: number, slower: Place, faster: Place): Row => ({
  what,
  slower,
  faster,
  goal,
  better: 'less',
});

/** Names of subjects. */
export const INTERPRETER = 'wasm interpreter';
export const JIT = 'wasm with JIT';
export const NATIVE = 'native Unicorn';
export const UNICORN_JS = 'unicorn.js';
export const QEMU = 'qemu-user';
export const BARE = 'bare CPU';
export const MACHINE_WASM = 'machine, wasm';
export const MACHINE_UNICORN = 'machine, unicorn.js';

export const ROWS: readonly Row[] = [
  atLeast('wasm interpreter against native Unicorn', 10, [NATIVE, 'one'], [INTERPRETER, 'one']),
  atLeast('wasm interpreter against unicorn.js', 30, [UNICORN_JS, 'one'], [INTERPRETER, 'one']),
  atLeast('wasm with JIT against native Unicorn', 30, [NATIVE, 'one'], [JIT, 'one']),
  atLeast('wasm with JIT against unicorn.js', 100, [UNICORN_JS, 'one'], [JIT, 'one']),
  atLeast('wasm with JIT against the interpreter', 2.5, [INTERPRETER, 'one'], [JIT, 'one']),
  atLeast('… of that, a trampoline of other bytes keeps', 0.8, [JIT, 'one'], [JIT, 'variant']),
  atLeast('wasm with JIT against qemu-user (TCG)', 1, [QEMU, 'one'], [JIT, 'one']),
  atMost('wasm with JIT against the bare CPU, 1 function', 4, [JIT, 'one'], [BARE, 'one']),
  atMost('wasm with JIT against the bare CPU, 1,000 random', 6, [JIT, 'thousand'], [BARE, 'thousand']),
  atLeast('interpreter on a hot loop against unicorn.js', 15, [UNICORN_JS, 'loop'], [INTERPRETER, 'loop']),
  atMost('50,000 patched functions against 1, interpreter', 2, [INTERPRETER, 'all'], [INTERPRETER, 'same']),
  atMost('50,000 patched functions against 1, with JIT', 2, [JIT, 'all'], [JIT, 'same']),
  atMost('cold: import to first verified redirected call', 0.5, [MACHINE_WASM, 'cold'], [MACHINE_UNICORN, 'cold']),
  atLeast('patch + call + unpatch, warm, against unicorn.js', 20, [MACHINE_UNICORN, 'patch'], [MACHINE_WASM, 'patch']),
];

/** A row with its figure; undefined where one side is absent. */
export interface Judged extends Row {
  readonly figure: number | undefined;
  readonly met: boolean | undefined;
}

export function judge(figures: Figures): Judged[] {
  return ROWS.map((row) => {
    const figure = figures.ratio(row.slower, row.faster);
    if (figure === undefined) return { ...row, figure, met: undefined };
    return { ...row, figure, met: row.better === 'more' ? figure >= row.goal : figure <= row.goal };
  });
}

/** Prints the rows; `absent` says why a subject is not there. */
export function print(rows: readonly Judged[], absent: ReadonlyMap<string, string>): void {
  console.log('redirected calls through the full pt_regs trampoline, every result checked');
  for (const { what, figure, goal, better, met, slower, faster } of rows) {
    const ratio = figure === undefined ? '' : `${figure.toFixed(2)}x`;
    const wanted = `goal ${better === 'more' ? '≥' : '≤'} ${goal}x`;
    const why = [slower[0], faster[0]].map((name) => absent.get(name)).find((reason) => reason !== undefined);
    const verdict = met === undefined ? `not measured: ${why ?? 'no figure'}` : met ? 'met' : 'missed';
    console.log(`  ${what.padEnd(50)} ${ratio.padStart(9)}  ${wanted.padEnd(13)} ${verdict}`);
  }
}

/** Prints what one call takes on each subject. */
export function printTimes(figures: Figures): void {
  console.log('median times, nanoseconds per call or turn (machine rows: patch in microseconds, cold in milliseconds)');
  for (const [name, figure] of Object.entries(figures.all())) {
    console.log(`  ${name.padEnd(50)} ${figure.toFixed(1).padStart(9)}`);
  }
}

/** Prints what a redirected call is made of, by the difference between programs. */
export function printParts(figures: Figures, dispatch: number): void {
  console.log('where the time of a redirected call goes, nanoseconds');
  for (const name of [INTERPRETER, JIT]) {
    const [one, plain, same] = ['one', 'plain', 'same'].map((program) => figures.of(name, program) ?? Number.NaN);
    if (one === undefined || plain === undefined || same === undefined) continue;
    const parts = [
      ['the call, the function and its return', plain],
      ['look-up of the site in the core', dispatch],
      ['trampoline, gate and return', one - plain - dispatch],
      ['block look-up, where the caller calls by pointer', same - one],
    ] as const;
    for (const [part, time] of parts) console.log(`  ${`${name}: ${part}`.padEnd(66)} ${time.toFixed(1).padStart(7)}`);
  }
}
