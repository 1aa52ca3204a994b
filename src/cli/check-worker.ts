// A worker of `tramp64 check`: judges one case after the other with engines of its own.
import { type CaseResult, judgeCase, type RawCase } from '../check/cases.ts';
import { callJury, type Jury } from '../check/jury.ts';
import type { EngineChoice } from '../engine/confirm.ts';

/** One case, and who judges it. */
export interface CheckTask {
  readonly raw: RawCase;
  readonly engine: EngineChoice;
}

let jury: Jury | undefined;
let chosen: EngineChoice | undefined;

/** Judges a case. An engine that has failed is not used again. */
export default async function judge({ raw, engine }: CheckTask): Promise<CaseResult> {
  if (jury === undefined || chosen !== engine) {
    jury?.dispose();
    jury = callJury(engine);
    chosen = engine;
  }
  try {
    return await jury.ask((engines) => judgeCase(raw, engines));
  } catch (error) {
    const damaged = jury;
    jury = undefined;
    try {
      damaged.dispose();
    } catch {
      // what is broken may not let go of its memory either; the worker ends with the run
    }
    throw error;
  }
}
