// The steps `say` and `log`: a line of the script's own, and the exact lines since the last `log`.
import type { Verb } from '../verb.ts';

/** `{"say":"% insmod mod.ko"}`. */
export const say: Verb = {
  keys: [],
  expects: [],
  read(step) {
    const line = step.need('say').string();
    return ({ machine }) => {
      machine.log.say(line);
      return { broken: [] };
    };
  },
};

/** `{"log":["livepatch: enabling patch 'A'", …]}`. */
export const log: Verb = {
  keys: [],
  expects: ['log'],
  read(step) {
    const wanted = step
      .need('log')
      .array()
      .map((node) => node.string());
    return ({ machine }) => {
      const got = machine.log.take();
      const at = Math.max(got.length, wanted.length) === 0 ? -1 : firstDifference(wanted, got);
      if (at < 0) return { seen: `${got.length} lines`, broken: [] };
      const quote = (line: string | undefined): string => (line === undefined ? 'the end' : `"${line}"`);
      return { broken: [`line ${at + 1} of the log: expected ${quote(wanted[at])}, got ${quote(got[at])}`] };
    };
  },
};

/** Index of the first line that differs, or -1. */
function firstDifference(wanted: readonly string[], got: readonly string[]): number {
  const length = Math.max(wanted.length, got.length);
  for (let i = 0; i < length; i++) if (wanted[i] !== got[i]) return i;
  return -1;
}
