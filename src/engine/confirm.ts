// Verdicts of several engines made one: a difference is broken, and what only one engine could judge is unconfirmed.
import { EngineError } from '../errors.ts';
import { createEngine } from './create.ts';
import type { EngineName } from './engine.ts';

/**
 * Which engine judges: one of them; `all` that are present, a difference between them being broken; or `auto`, the
 * WASM CPU confirmed by Unicorn as far as Unicorn is trusted.
 */
export type EngineChoice = EngineName | 'all' | 'auto';

/** The engines that judge together, the one that leads first. */
const TOGETHER: Readonly<Record<'all' | 'auto', readonly EngineName[]>> = {
  all: ['wasm', 'unicorn', 'unicorn-native'],
  auto: ['wasm', 'unicorn'],
};

/** An engine that was to judge and is not on this host. */
export interface AbsentEngine {
  readonly name: EngineName;
  /** What to do about it. */
  readonly why: string;
}

/** Who judged together. */
export interface Jury {
  readonly engines: readonly EngineName[];
  readonly absent: readonly AbsentEngine[];
}

/** Whether this choice is more than one engine. */
export function isTogether(choice: EngineChoice | undefined): choice is 'all' | 'auto' {
  return choice === 'all' || choice === 'auto';
}

/** The engines of a choice that are on this host. */
export async function presentEngines(choice: 'all' | 'auto'): Promise<Jury> {
  const engines: EngineName[] = [];
  const absent: AbsentEngine[] = [];
  for (const name of TOGETHER[choice]) {
    try {
      (await createEngine(name)).dispose();
      engines.push(name);
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== 'ENODEV') throw error;
      absent.push({ name, why: error.message });
    }
  }
  return { engines, absent };
}

/** What one engine said of one thing. */
export interface Testimony {
  readonly engine: EngineName;
  /** What it found, or `not judged`. */
  readonly verdict: string;
  /** All that must be equal on every engine that judged, and its words for the message. */
  readonly facts: Readonly<Record<string, string | number | undefined>>;
  /** Why it is not judged. */
  readonly reason: string;
  /** It could not judge something before, so that its guest may not be as the others' are. */
  readonly doubtful: boolean;
}

/** What several testimonies come to. */
export interface Agreement {
  /** Index of the testimony that is given out. */
  readonly leader: number;
  /** Each pair that differs, as sentences; empty where all agree. */
  readonly differences: readonly string[];
  /** Why one engine alone stands for it; undefined where two or more agree. */
  readonly unconfirmed: string | undefined;
}

/** Weighs what the engines said of one thing; the first is the one that leads. */
export function agree(testimonies: readonly Testimony[]): Agreement {
  const judged = testimonies.filter((one) => one.verdict !== 'not judged');
  const [first, ...others] = judged;
  if (first === undefined) return { leader: 0, differences: [], unconfirmed: undefined };
  const differences: string[] = [];
  const doubts: string[] = testimonies
    .filter((one) => one.verdict === 'not judged')
    .map(({ engine, reason }) => `${engine} does not judge it: ${reason}`);
  let confirmed = false;
  for (const other of others) {
    const found = differing(first, other);
    if (found.length === 0) confirmed = true;
    else if (first.doubtful || other.doubtful) {
      doubts.push(`${other.engine} differs after a step that not both judged: ${found.join('; ')}`);
    } else differences.push(...found);
  }
  const alone = `${first.engine} alone judged it`;
  return {
    leader: testimonies.indexOf(first),
    differences,
    unconfirmed: confirmed || differences.length > 0 ? undefined : doubts.length > 0 ? doubts.join('; ') : alone,
  };
}

function differing(a: Testimony, b: Testimony): string[] {
  const facts = { verdict: a.verdict, ...a.facts };
  const others: Record<string, string | number | undefined> = { verdict: b.verdict, ...b.facts };
  return Object.entries(facts)
    .filter(([name, value]) => others[name] !== value)
    .map(([name, value]) => `${name} is ${value ?? 'none'} on ${a.engine}, ${others[name] ?? 'none'} on ${b.engine}`);
}
