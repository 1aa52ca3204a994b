// The patterns that name functions to trace: set_ftrace_filter's, as ftrace_match and glob_match read them (F39).

/** A function that can be traced. */
export interface Traceable {
  /** The image it is in. */
  readonly image: string;
  /** True where the image is a module, which `:mod:` asks for. */
  readonly module: boolean;
  /** Its names: the first one is what patterns are compared with, the others must be given in full. */
  readonly names: readonly string[];
  readonly site: bigint;
}

/** A filter that is read. */
export interface Pattern {
  readonly text: string;
  /** `!`: takes out what it matches. */
  readonly not: boolean;
  /** Behind `:mod:`: only functions of modules of this name. */
  readonly module: string | undefined;
  matches(func: Traceable): boolean;
}

/**
 * Reads a pattern: a name, or a glob with `*`, `?`, `[a-z]`, `[!a-z]` and `\`; `!` before it takes out; `:mod:NAME` after
 * it keeps to a module; `IMAGE:` before it keeps to an image.
 */
export function readPattern(text: string): Pattern {
  const not = text.startsWith('!');
  const [body = '', module] = (not ? text.slice(1) : text).split(':mod:');
  const colon = body.indexOf(':');
  const image = colon < 0 ? undefined : body.slice(0, colon);
  const glob = colon < 0 ? body : body.slice(colon + 1);
  // an empty pattern before :mod: stands for all
  const wanted = glob === '' && module !== undefined ? '*' : glob;
  const plain = !/[*?[\\]/.test(wanted);
  return {
    text,
    not,
    module,
    matches: (func) => {
      if (image !== undefined && func.image !== image) return false;
      if (module !== undefined && !(func.module && globMatch(module, func.image))) return false;
      return plain ? func.names.includes(wanted) : globMatch(wanted, func.names[0] ?? '');
    },
  };
}

/** glob_match of lib/glob.c: the whole of `text`; a bracket that is never closed stands for itself. */
export function globMatch(pattern: string, text: string): boolean {
  let [p, t] = [0, 0];
  // where the last star was, and how much of the text it has taken
  let [star, taken] = [-1, 0];
  while (t < text.length) {
    const one = matchOne(pattern, p, text[t] ?? '');
    if (pattern[p] === '*') {
      star = p++;
      taken = t;
    } else if (one !== undefined) {
      p = one;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Matches one character; returns the place in the pattern after it, or undefined. */
function matchOne(pattern: string, at: number, char: string): number | undefined {
  const meta = pattern[at];
  if (meta === undefined) return undefined;
  if (meta === '?') return at + 1;
  if (meta === '[') {
    const set = matchClass(pattern, at, char);
    if (set !== undefined) return set.matches ? set.end : undefined;
  }
  if (meta === '\\' && at + 1 < pattern.length) return pattern[at + 1] === char ? at + 2 : undefined;
  return meta === char ? at + 1 : undefined;
}

/** A character class; undefined where it is not closed. A `]` that comes first is one of its characters. */
function matchClass(pattern: string, at: number, char: string): { matches: boolean; end: number } | undefined {
  const inverted = pattern[at + 1] === '!';
  let i = at + (inverted ? 2 : 1);
  let found = false;
  do {
    const low = pattern[i++];
    if (low === undefined) return undefined;
    let high = low;
    if (pattern[i] === '-' && pattern[i + 1] !== ']' && pattern[i + 1] !== undefined) {
      high = pattern[i + 1] ?? low;
      i += 2;
    }
    if (low <= char && char <= high) found = true;
  } while (pattern[i] !== ']');
  return { matches: found !== inverted, end: i + 1 };
}
