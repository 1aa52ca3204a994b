// The same call many times: by the engine alone where it can, one by one elsewhere; each must end like the first.
import { EngineError } from '../errors.ts';
import type { CallResult, ManyCalls } from './call.ts';
import type { GuestRun } from './guest-run.ts';

/** How the machine makes one call. */
export interface CallManyParts {
  /** Makes it ready. */
  begin(): GuestRun;
  /** Runs it to its end. */
  finish(run: GuestRun): CallResult;
  /** See Runner.repeat. */
  repeat(run: GuestRun, times: number, like: GuestRun, ended: CallResult): number | undefined;
}

/** See Machine.callMany. */
export function callMany(times: number, target: string, { begin, finish, repeat }: CallManyParts): ManyCalls {
  if (!Number.isSafeInteger(times) || times < 1 || times > 0xffff_ffff) {
    throw new RangeError(`"times" expected a count from 1 to 2^32-1, got ${times}`);
  }
  const run = begin();
  const first = finish(run);
  const all: ManyCalls = { first, calls: times, instructions: first.instructions * times };
  if (times === 1) return all;
  const done = repeat(begin(), times - 1, run, first);
  if (done === times - 1) return all;
  if (done !== undefined) throw otherwise(done + 1);
  for (let made = 1; made < times; made++) if (!alike(first, finish(begin()))) throw otherwise(made);
  return all;

  function otherwise(made: number): EngineError {
    const fact = `'${target}': call ${made + 1} of ${times} ended otherwise than the first`;
    return new EngineError('EIO', fact, { operation: 'call' });
  }
}

function alike(a: CallResult, b: CallResult): boolean {
  const [one, other] = [facts(a), facts(b)];
  return one.length === other.length && one.every((fact, i) => fact === other[i]);
}

function facts({ returns, rdx, instructions, runs, visits }: CallResult): (bigint | number)[] {
  return [returns, rdx, instructions, runs.address, ...visits.map(({ address }) => address)];
}
