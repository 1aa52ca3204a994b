// Who judges: one engine, which may ask the other for what it does not execute rightly, or several that are compared.
import { agree, type EngineChoice, isTogether, presentEngines } from '../engine/confirm.ts';
import type { EngineName } from '../engine/engine.ts';
import { type EngineKeeper, keepEngines } from './engines.ts';
import type { EngineMaker } from './execute.ts';

/** What several engines make of one question. */
export interface Confirmation {
  /** What each of them says alone. */
  readonly engines?: Readonly<Partial<Record<EngineName, string>>>;
  /** Why one engine alone stands for the verdict. */
  readonly unconfirmed?: string;
  /** In what two of them differ, as sentences: a defect of one of them, and no verdict to build on. */
  readonly differences?: readonly string[];
}

/** What a judge answers. */
export interface Answer {
  readonly verdict: string;
  readonly reason: string;
}

/** Keeps engines from one question to the next. */
export interface Jury {
  /** Asks each engine; the answer is that of the first one that judges. */
  ask<Given extends Answer>(judge: (engines: EngineMaker) => Promise<Given>): Promise<Given & Confirmation>;
  /** Frees all; twice is harmless. */
  dispose(): void;
}

/**
 * Makes the judges of a choice; engines are made when the first question needs them.
 * @throws {EngineError} ENODEV from `ask`: the engine that was named is not on this host
 */
export function callJury(choice: EngineChoice): Jury {
  if (!isTogether(choice)) {
    const keeper = keepEngines(choice);
    return { ask: (judge) => judge(keeper.engines), dispose: () => keeper.dispose() };
  }
  const keepers = new Map<EngineName, EngineKeeper>();
  let present: Promise<readonly EngineName[]> | undefined;
  return {
    async ask<Given extends Answer>(judge: (engines: EngineMaker) => Promise<Given>) {
      present ??= presentEngines(choice).then(({ engines }) => engines);
      const answers: [EngineName, Given][] = [];
      for (const name of await present) {
        const keeper = keepers.get(name) ?? keepEngines(name, 'alone');
        keepers.set(name, keeper);
        answers.push([name, await judge(keeper.engines)]);
      }
      return weigh(answers);
    },
    dispose() {
      for (const keeper of keepers.values()) keeper.dispose();
      keepers.clear();
    },
  };
}

function weigh<Given extends Answer>(answers: readonly (readonly [EngineName, Given])[]): Given & Confirmation {
  const { leader, differences, unconfirmed } = agree(
    answers.map(([engine, { verdict, reason }]) => ({
      engine,
      verdict: verdict === 'not-judged' ? 'not judged' : verdict,
      // findings are the leader's: an engine that does not run some instruction finds by decoding what another one ran into
      facts: {},
      reason,
      doubtful: false,
    })),
  );
  const [, leading] = answers[leader] ?? [];
  if (leading === undefined) throw new RangeError('no engine was asked');
  return {
    ...leading,
    engines: Object.fromEntries(answers.map(([name, { verdict }]) => [name, verdict])),
    ...(unconfirmed === undefined ? {} : { unconfirmed }),
    ...(differences.length === 0 ? {} : { differences }),
  };
}
