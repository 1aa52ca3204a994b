// The validators as a library: `check.hook({...})`, `check.relocation({...})`, `check.site(kind, {...})`.
import { keepEngines } from './engines.ts';
import type { Judgement } from './finding.ts';
import { type HookQuestion, judgeHook } from './hook.ts';
import { judgeRelocation, type RelocationQuestion } from './relocation.ts';
import { judgeSite } from './site.ts';

export { type CaseResult, type CheckDocument, casesOf, judgeCase, judgeCases } from './cases.ts';
export type { Finding, Judgement, Verdict } from './finding.ts';
export type { HookQuestion } from './hook.ts';
export type { RelocationQuestion } from './relocation.ts';
export { RULES, type Rule, type RuleNumber, type Severity } from './rules.ts';
export { SITE_KINDS, type SiteAnswer, type SiteKind, type SiteQuestion } from './site.ts';

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
  /** What may stand or be done at a site, by the rules of its kind. */
  site: judgeSite,
};

async function withEngines(judge: (engines: ReturnType<typeof keepEngines>['engines']) => Promise<Judgement>) {
  const keeper = keepEngines();
  try {
    return await judge(keeper.engines);
  } finally {
    keeper.dispose();
  }
}
