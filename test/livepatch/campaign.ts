// Many sequences, one seed after another: what rules they met, and the first one that fails, made small.
import type { EngineName } from '../../src/engine/engine.ts';
import { Difference, type Judge, Player } from './play.ts';
import { type Sequence, sequenceOf } from './sequence.ts';
import { shrink } from './shrink.ts';

/** What to play. */
export interface CampaignOptions {
  readonly engine: EngineName;
  readonly seed: number;
  readonly sequences: number;
  /** Of so many, one is judged on the CPU as well; 1: each. */
  readonly cpuEvery: number;
  /** Counts how often each rule decided something. */
  readonly hits: Map<string, number>;
  /** Whether a failure is made small; true by default. */
  readonly shrinks?: boolean;
  readonly onSequence?: (done: number) => void;
}

/** A sequence that failed. */
export interface Failure {
  readonly seed: number;
  readonly message: string;
  readonly sequence: Sequence;
  readonly smallest: Sequence;
}

/** Plays sequences; returns the first failure, or undefined. */
export async function campaign(options: CampaignOptions): Promise<Failure | undefined> {
  const { engine, seed, sequences, cpuEvery, hits, shrinks = true } = options;
  const players = new Map<string, Player>();
  try {
    for (let i = 0; i < sequences; i++) {
      const sequence = sequenceOf(seed + i);
      const key = `${sequence.policy} ${sequence.auto}`;
      const player = players.get(key) ?? (await Player.create(engine, sequence));
      players.set(key, player);
      const judge = i % cpuEvery === 0 ? 'cpu' : 'core';
      const message = differenceOf(player, sequence, judge, hits);
      if (message !== undefined) {
        const smallest = shrinks ? await shrink(sequence, (one) => fails(engine, one, judge)) : sequence;
        return { seed: seed + i, message, sequence, smallest };
      }
      options.onSequence?.(i + 1);
    }
    return undefined;
  } finally {
    for (const player of players.values()) player.dispose();
  }
}

/** Plays a sequence on a machine of its own. */
async function fails(engine: EngineName, sequence: Sequence, judge: Judge): Promise<boolean> {
  const player = await Player.create(engine, sequence);
  try {
    return differenceOf(player, sequence, judge, new Map()) !== undefined;
  } finally {
    player.dispose();
  }
}

/** How machine and model differ; an error of the machine that no rule gives counts as well. */
function differenceOf(player: Player, sequence: Sequence, judge: Judge, hits: Map<string, number>): string | undefined {
  try {
    player.play(sequence, judge, hits);
    return undefined;
  } catch (error) {
    if (error instanceof Difference) return error.message;
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

/** The rules L36 to L68 and how often each was met, as lines of text. */
export function coverageText(hits: ReadonlyMap<string, number>): string {
  const rows = RULES.map((rule) => `${rule} ${(hits.get(rule) ?? 0).toLocaleString('en-US').padStart(12)}`);
  const columns = 3;
  const height = Math.ceil(rows.length / columns);
  return Array.from({ length: height }, (_, i) =>
    Array.from({ length: columns }, (_, column) => rows[column * height + i] ?? '').join('    '),
  ).join('\n');
}

/** The rules that a campaign must meet. */
export const RULES = Array.from({ length: 68 - 36 + 1 }, (_, i) => `L${36 + i}`);
