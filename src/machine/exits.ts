// What the end of a run means to whoever wanted another one: the typed error for it.
import { hex } from '../address.ts';
import type { Exit } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import type { Images } from './images.ts';

/**
 * Turns any other end of a run than the wanted one into an error.
 *
 * @throws {EngineError} EFAULT the guest touched memory it may not · EIO any other fault · ETIMEDOUT the budget is
 * spent · EOPNOTSUPP an instruction that the engine is not trusted with
 */
export function expectExit(
  images: Images,
  exit: Exit,
  wanted: Exit['reason'],
  operation: string,
  target: string,
): void {
  if (exit.reason === wanted) return;
  const { address: rip, name, offset } = images.locate(exit.rip);
  const at = `${name}+${hex(offset)}`;
  const of = `'${target}'`;
  if (exit.reason === 'budget') throw budgetSpent(operation, exit.instructions, rip);
  if (exit.reason === 'not-judged') {
    throw new EngineError('EOPNOTSUPP', `${of} is not judged at ${at}: ${exit.why}`, {
      operation,
      engineCode: 'not-judged',
      rip,
    });
  }
  const { fault } = exit;
  if (fault === undefined) {
    throw new EngineError('EIO', `${of} ended at ${at} (${exit.reason})`, {
      operation,
      engineCode: exit.reason,
      rip,
    });
  }
  const memory = fault.kind === 'unmapped' || fault.kind === 'protected';
  const what = memory ? `${fault.access} of ${fault.kind} ${hex(fault.address ?? 0n)}` : fault.kind;
  throw new EngineError(memory ? 'EFAULT' : 'EIO', `${of}: ${what} at ${at}`, {
    operation,
    engineCode: fault.kind,
    rip,
  });
}

/** What is thrown where a run has taken all the instructions it may. */
export function budgetSpent(operation: string, count: number, rip: bigint): EngineError {
  return new EngineError('ETIMEDOUT', `the budget is spent after ${count} instructions, at ${hex(rip)}`, {
    operation,
    engineCode: 'budget',
    rip,
  });
}

/** A function as its caller named it. */
export function nameOf(target: string | bigint): string {
  return typeof target === 'string' ? target : hex(target);
}
