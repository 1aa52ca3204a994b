// In which order patches may be enabled and disabled: what differs between the kernels before and after 5.1 (L52).
import { PatchError } from '../errors.ts';
import type { Patch } from './patch.ts';
import type { PatchList } from './patch-list.ts';

/**
 * The rules of which kernel: `independent` (5.1 and later) disables patches in any order; `strict-stack` (5.0 and
 * earlier) registers, enables, disables and unregisters them, the last enabled one first (L52).
 */
export type Policy = 'independent' | 'strict-stack';

/**
 * Only the first disabled patch may be enabled (L52).
 * @throws {PatchError} EBUSY the one before it is disabled
 */
export function refuseToSkip(patch: Patch, patches: PatchList): void {
  const { before } = patches.neighbours(patch);
  if (before?.enabled !== false) return;
  throw new PatchError('EBUSY', `patch '${patch.name}' must wait until '${before.name}' is enabled`, {
    operation: 'enable',
    patch: patch.name,
  });
}

/**
 * Only the last enabled patch may be disabled (L52).
 * @throws {PatchError} EBUSY the one after it is enabled
 */
export function refuseToUndercut(patch: Patch, patches: PatchList): void {
  const { after } = patches.neighbours(patch);
  if (after?.enabled !== true) return;
  throw new PatchError('EBUSY', `patch '${patch.name}' must wait until '${after.name}' is disabled`, {
    operation: 'disable',
    patch: patch.name,
  });
}

/** @throws {PatchError} ENOTSUPP the policy has no such call */
export function needRegistration(policy: Policy, operation: string, patch: string): void {
  if (policy === 'strict-stack') return;
  throw new PatchError('ENOTSUPP', "only the policy 'strict-stack' registers patches", { operation, patch });
}
