// Judges generated hooks and asks the bare CPU about the same ones; `tsx test/check/hooks/campaign.ts` runs all of them.
import { hexBytes } from '../../../src/address.ts';
import { keepEngines } from '../../../src/check/engines.ts';
import type { EngineMaker } from '../../../src/check/execute.ts';
import { judgeHook } from '../../../src/check/hook.ts';
import type { EngineName } from '../../../src/engine/engine.ts';
import { askBareCpu, bareHook, buildBareCpu } from '../metal/bare-cpu.ts';
import { PROLOGUES } from './prologues.ts';
import { hookOf, MANNERS, MISTAKES } from './relocate.ts';

/** Which of the hooks: every `nth`, from the `first` on, and from how many states the bare CPU runs each. */
export interface CampaignOptions {
  readonly nth: number;
  readonly first: number;
  readonly states: number;
}

/** What came of it. */
export interface Campaign {
  readonly judged: number;
  readonly notJudged: number;
  readonly unproved: number;
  /** Each with the trampoline, our verdict, and the bare CPU's. */
  readonly disagreements: readonly string[];
  /** Of what was not judged: the names and reasons. */
  readonly open: readonly string[];
}

/**
 * Where the judge may be stricter than a run: the neighbour is no part of the function (C3), a branch that ends no run
 * (C4), a place that is named and never used, and an interrupt whose address a run cannot compare.
 */
const STRICTER = /neighbour is overwritten|overwritten bytes|re-enters the hook/;
/**
 * At an int3 the place itself is the outcome; a misaligned movaps faults on the bare CPU alone; what a jump through random
 * memory leads to is random code, which reads its own surroundings.
 */
const UNLIKE = new Set(['int3 first', 'varargs al', 'rip jmp']);

/** Runs a part of all prologues × manners × mistakes. */
export async function campaign(
  program: { readonly path: string },
  engines: EngineMaker,
  { nth, first, states }: CampaignOptions,
): Promise<Campaign> {
  const all = PROLOGUES.flatMap(([name, hex, text]) =>
    MANNERS.flatMap((manner) =>
      [undefined, ...MISTAKES].flatMap((mistake) => {
        const hook = hookOf(hex, manner, mistake);
        return hook === undefined ? [] : [{ id: `${name} / ${manner.name} / ${mistake ?? 'right'}`, name, text, hook }];
      }),
    ),
  ).filter((_, i) => i % nth === first % nth);
  const answers: string[] = [];
  for (let i = 0; i < all.length; i += 100) {
    answers.push(
      ...askBareCpu(
        program,
        all.slice(i, i + 100).map(({ hook }, j) => bareHook(hook, states, BigInt(i + j))),
      ),
    );
  }
  const result = { judged: 0, notJudged: 0, unproved: 0, disagreements: [] as string[], open: [] as string[] };
  for (const [i, { id, name, text, hook }] of all.entries()) {
    const { verdict, reason } = await judgeHook(hook, engines);
    const answer = answers[i] ?? '';
    if (answer.startsWith('unproved')) result.unproved++;
    if (verdict === 'not-judged') {
      result.notJudged++;
      result.open.push(`${id}: ${reason}; the bare CPU: ${answer}`);
      continue;
    }
    result.judged++;
    const agrees = answer.startsWith('unproved') || answer.startsWith('same') === (verdict === 'equivalent');
    const isStricter = verdict === 'broken' && answer.startsWith('same') && STRICTER.test(reason);
    if (agrees || isStricter || UNLIKE.has(name)) continue;
    const code = hexBytes(hook.trampoline.bytes);
    result.disagreements.push(`${id} [${text}] ${code}: ${verdict} (${reason}), the bare CPU: ${answer}`);
  }
  return result;
}

if (process.argv[1]?.endsWith('campaign.ts')) {
  const [, , engine = 'unicorn', nth = '1', states = '1000'] = process.argv;
  const program = buildBareCpu();
  if (typeof program === 'string') throw new Error(program);
  const keeper = keepEngines(engine as EngineName);
  const result = await campaign(program, keeper.engines, { nth: Number(nth), first: 0, states: Number(states) });
  keeper.dispose();
  for (const line of [...result.open, ...result.disagreements]) console.log(line);
  const { judged, notJudged, unproved, disagreements } = result;
  console.log(`${judged} judged, ${notJudged} not, ${unproved} unproved, ${disagreements.length} disagreements`);
  process.exitCode = disagreements.length === 0 ? 0 : 1;
}
