// One way to redirect or visit a call, as something that can be set up on any engine and measured.
import { createEngine } from '../engine/create.ts';
import type { EngineName } from '../engine/engine.ts';
import { type Placed, place, prepare, type Subject } from './subject.ts';

/** Where a mechanism is used. */
export type Family = 'plain' | 'ftrace' | 'livepatch' | 'entry patch' | 'inline hook' | 'call site' | 'own';

/** What becomes of the call. `visit`: other code runs, then the function itself. `redirect`: another function runs. */
export type Effect = 'none' | 'visit' | 'redirect';

/** One row of the table. */
export interface Mechanism {
  readonly id: string;
  readonly title: string;
  readonly family: Family;
  readonly effect: Effect;
  /** What a reader must know to read the figures. */
  readonly note?: string;
  /** The row that its times are compared with; the unpatched call by default. */
  readonly baseline?: string;
  /** Sets the call up on a new engine. @throws {EngineError} ENODEV the engine is not present on this host */
  make(engine: EngineName): Promise<Subject>;
}

/** A call that is nothing but bytes. */
export interface Program extends Pick<Subject, 'entry' | 'args' | 'reaches' | 'returns' | 'traps'> {
  readonly code: readonly Placed[];
}

/** Sets a program of bytes up on a new engine. */
export async function makeProgram(name: EngineName, program: Program): Promise<Subject> {
  const engine = await createEngine(name);
  try {
    prepare(engine);
    place(engine, program.code);
  } catch (error) {
    engine.dispose();
    throw error;
  }
  const { entry, args, reaches, returns, traps } = program;
  return {
    engine,
    entry,
    args,
    reaches,
    returns,
    portable: true,
    ...(traps === undefined ? {} : { traps }),
    dispose: () => engine.dispose(),
  };
}
