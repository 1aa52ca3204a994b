// The validators as a library: `check.hook({...})`, `check.trampoline({...})`, `check.poke({...})` ….
import { keepEngines } from './engines.ts';
import type { Judgement } from './finding.ts';
import { type EngineMaker, type HookQuestion, judgeHook } from './hook.ts';
import { judgePoke, type PokeJudgement, type PokeQuestion } from './poke.ts';
import { judgeRelocation, type RelocationQuestion } from './relocation.ts';
import { judgeSite } from './site.ts';
import { judgeTrampoline, type TrampolineQuestion } from './trampoline.ts';

export { type CaseResult, type CheckDocument, casesOf, judgeCase, judgeCases } from './cases.ts';
export type { Finding, Judgement, Verdict } from './finding.ts';
export type { HookQuestion } from './hook.ts';
export type { PokeJudgement, PokeQuestion, PokeSize } from './poke.ts';
export { type PokeStep, PROTOCOLS, type Protocol, stepsOf } from './poke-protocol.ts';
export type { RelocationQuestion } from './relocation.ts';
export { RULES, type Rule, type RuleNumber, type Severity } from './rules.ts';
export { SITE_KINDS, type SiteAnswer, type SiteKind, type SiteQuestion } from './site.ts';
export type { TrampolineQuestion } from './trampoline.ts';

/** The judges. Each call makes its own engines and frees them; to judge many cases use `judgeCases`. */
export const check = {
  /** Does the trampoline, with the rest of the function, do what the function did? */
  async hook(question: HookQuestion): Promise<Judgement> {
    return withEngines((engines) => judgeHook(question, engines));
  },
  /** Does the moved block do what the block did? */
  async relocation(question: RelocationQuestion): Promise<Judgement> {
    return withEngines((engines) => judgeRelocation(question, engines));
  },
  /** Do the bytes act as an ftrace trampoline? */
  async trampoline(question: TrampolineQuestion): Promise<Judgement> {
    return withEngines((engines) => judgeTrampoline(question, engines));
  },
  /** Does every CPU run the old code or the new while the site is poked? */
  async poke(question: PokeQuestion): Promise<PokeJudgement> {
    return withEngines((engines) => judgePoke(question, engines));
  },
  /** What may stand or be done at a site, by the rules of its kind. */
  site: judgeSite,
};

async function withEngines<Answer extends Judgement>(
  judge: (engines: EngineMaker) => Promise<Answer>,
): Promise<Answer> {
  const keeper = keepEngines();
  try {
    return await judge(keeper.engines);
  } finally {
    keeper.dispose();
  }
}
