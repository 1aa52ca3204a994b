// Pairs of engines for the judges, made when they are first needed and kept from one judgement to the next.
import { createEngine } from '../engine/create.ts';
import type { Engine, EngineName } from '../engine/engine.ts';
import type { EngineMaker, EnginePair } from './execute.ts';

/** Engines, and how to be rid of them. */
export interface EngineKeeper {
  readonly engines: EngineMaker;
  /** Frees all; twice is harmless. */
  dispose(): void;
}

/** Who is asked about what an engine does not execute rightly: the tables of the two families differ. */
const OTHER: Readonly<Record<EngineName, EngineName>> = {
  unicorn: 'wasm',
  'unicorn-native': 'wasm',
  wasm: 'unicorn',
};

/**
 * Keeps a pair of the named engine, and one of another kind once it is asked for.
 * @param others `alone`: the other kind is the same pair, so that this engine answers for itself
 */
export function keepEngines(name: EngineName = 'unicorn', others: 'alone' | 'asked' = 'asked'): EngineKeeper {
  const pairs = new Map<EngineName, Promise<EnginePair>>();
  let made: Engine[] = [];
  return {
    engines: (which) => {
      const wanted = which === 'other' && others === 'asked' ? OTHER[name] : name;
      const pair = pairs.get(wanted) ?? makePair(wanted, made);
      pairs.set(wanted, pair);
      return pair;
    },
    dispose: () => {
      for (const engine of made) engine.dispose();
      made = [];
      pairs.clear();
    },
  };
}

async function makePair(name: EngineName, made: Engine[]): Promise<EnginePair> {
  const first = await createEngine(name);
  made.push(first);
  const second = await createEngine(name);
  made.push(second);
  return [first, second];
}
