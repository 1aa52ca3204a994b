// Two engines for the judges, made when they are first needed and kept from one judgement to the next.
import { createEngine } from '../engine/create.ts';
import type { Engine, EngineName } from '../engine/engine.ts';
import type { EngineMaker } from './hook.ts';

/** A pair of engines, and how to be rid of it. */
export interface EngineKeeper {
  readonly engines: EngineMaker;
  /** Frees both; twice is harmless. */
  dispose(): void;
}

/** Keeps a pair of the named engine. */
export function keepEngines(name: EngineName = 'unicorn'): EngineKeeper {
  let pair: Promise<readonly [Engine, Engine]> | undefined;
  let made: Engine[] = [];
  return {
    engines: () => {
      pair ??= makePair(name, made);
      return pair;
    },
    dispose: () => {
      for (const engine of made) engine.dispose();
      made = [];
      pair = undefined;
    },
  };
}

async function makePair(name: EngineName, made: Engine[]): Promise<readonly [Engine, Engine]> {
  const first = await createEngine(name);
  made.push(first);
  const second = await createEngine(name);
  made.push(second);
  return [first, second];
}
