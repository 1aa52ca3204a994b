// A worker of `tramp64 check`: judges one case after the other with engines of its own.
import { type CaseResult, judgeCase, type RawCase } from '../check/cases.ts';
import { type EngineKeeper, keepEngines } from '../check/engines.ts';
import type { EngineName } from '../engine/engine.ts';

/** One case, and the engine to judge it on. */
export interface CheckTask {
  readonly raw: RawCase;
  readonly engine: EngineName;
}

let keeper: EngineKeeper | undefined;
let keeps: EngineName | undefined;

/** Judges a case. An engine that has failed is not used again. */
export default async function judge({ raw, engine }: CheckTask): Promise<CaseResult> {
  if (keeper === undefined || keeps !== engine) {
    keeper?.dispose();
    keeper = keepEngines(engine);
    keeps = engine;
  }
  try {
    return await judgeCase(raw, keeper.engines);
  } catch (error) {
    const damaged = keeper;
    keeper = undefined;
    try {
      damaged.dispose();
    } catch {
      // what is broken may not let go of its memory either; the worker ends with the run
    }
    throw error;
  }
}
