// Turns the core's -errno into errors.
import { ERRNO, errnoName, PatchError } from '../errors.ts';

/** -ENOMEM, which callers tell apart to name the pool. */
export const NO_MEMORY = -ERRNO.ENOMEM;

/**
 * Returns a result that is not negative.
 *
 * @param fact the sentence of the error, made only on failure
 * @throws {PatchError} the result is -errno
 */
export function check(result: number, operation: string, fact: () => string): number {
  if (result >= 0) return result;
  throw new PatchError(errnoName(result) ?? 'EINVAL', fact(), { operation });
}
