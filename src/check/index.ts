// The validators as a library: `check.hook({...})`, `check.trampoline({...})`, `check.poke({...})` ….
import type { EngineName } from '../engine/engine.ts';
import { type DispatchQuestion, judgeDispatch, judgePreserves, type PreservesQuestion } from './arrive.ts';
import { keepEngines } from './engines.ts';
import type { EngineMaker } from './execute.ts';
import type { Judgement } from './finding.ts';
import { type FreeQuestion, judgeFree } from './free.ts';
import { type HookQuestion, judgeHook } from './hook.ts';
import { judgePoke, type PokeJudgement, type PokeQuestion } from './poke.ts';
import { judgeRelocation, type RelocationQuestion } from './relocation.ts';
import { judgeSite } from './site.ts';
import { judgeTrampoline, type TrampolineQuestion } from './trampoline.ts';
import { judgeUnwinding, type UnwindQuestion } from './unwinding.ts';

export type { DispatchQuestion, PreservesQuestion, RunQuestion } from './arrive.ts';
export { BUILD_OPTIONS, type BuildOptions } from './build-rules.ts';
export {
  type CaseFinding,
  type CaseResult,
  type CheckDocument,
  casesOf,
  documentOf,
  judgeCase,
  judgeCases,
  type RawCase,
} from './cases.ts';
export type { EngineMaker } from './execute.ts';
export type { Finding, Judgement, Verdict } from './finding.ts';
export type { FreeQuestion, TaskState } from './free.ts';
export type { HookQuestion } from './hook.ts';
export type { PokeJudgement, PokeQuestion, PokeSize } from './poke.ts';
export { type PokeStep, PROTOCOLS, type Protocol, stepsOf } from './poke-protocol.ts';
export type { RelocationQuestion } from './relocation.ts';
export type { Placed, Replay, ReplaySide } from './replay.ts';
export { RULES, type Rule, type RuleNumber, type Severity } from './rules.ts';
export { SITE_KINDS, type SiteAnswer, type SiteKind, type SiteQuestion } from './site.ts';
export type { Segment } from './space.ts';
export type { TrampolineQuestion } from './trampoline.ts';
export type { UnwindQuestion } from './unwinding.ts';

/**
 * The judges. Each call makes its own engines and frees them; to judge many cases use `judgeCases`. Where `engine` names
 * a CPU, code runs on it (default: unicorn).
 *
 * @throws {EngineError} ENODEV the engine is not present on this host
 */
export const check = {
  /** Does the trampoline, with the rest of the function, do what the function did? */
  async hook(question: HookQuestion, engine?: EngineName): Promise<Judgement> {
    return withEngines(engine, (engines) => judgeHook(question, engines));
  },
  /** Does the moved block do what the block did? */
  async relocation(question: RelocationQuestion, engine?: EngineName): Promise<Judgement> {
    return withEngines(engine, (engines) => judgeRelocation(question, engines));
  },
  /** Do the bytes act as an ftrace trampoline? */
  async trampoline(question: TrampolineQuestion, engine?: EngineName): Promise<Judgement> {
    return withEngines(engine, (engines) => judgeTrampoline(question, engines));
  },
  /** Does every CPU run the old code or the new while the site is poked? */
  async poke(question: PokeQuestion, engine?: EngineName): Promise<PokeJudgement> {
    return withEngines(engine, (engines) => judgePoke(question, engines));
  },
  /** Does control leave the bytes for the target, from whatever registers? */
  async dispatch(question: DispatchQuestion, engine?: EngineName): Promise<Judgement> {
    return withEngines(engine, (engines) => judgeDispatch(question, engines));
  },
  /** Are the registers as they were where control leaves the bytes? */
  async preserves(question: PreservesQuestion, engine?: EngineName): Promise<Judgement> {
    return withEngines(engine, (engines) => judgePreserves(question, engines));
  },
  /** May the trampoline be freed while the tasks stand where they do? */
  async free(question: FreeQuestion): Promise<Judgement> {
    return judgeFree(question);
  },
  /** Do the unwind tables find the caller at every instruction of the function? */
  async unwinding(question: UnwindQuestion): Promise<Judgement> {
    return judgeUnwinding(question);
  },
  /** What may stand or be done at a site, by the rules of its kind. */
  site: judgeSite,
};

async function withEngines<Answer extends Judgement>(
  engine: EngineName | undefined,
  judge: (engines: EngineMaker) => Promise<Answer>,
): Promise<Answer> {
  const keeper = keepEngines(engine);
  try {
    return await judge(keeper.engines);
  } finally {
    keeper.dispose();
  }
}
