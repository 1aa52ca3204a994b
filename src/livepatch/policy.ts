// What differs between the kernels before and after 5.1: the calls there are, and the order they keep (L52, L53).
import { PatchError } from '../errors.ts';
import type { Patch } from './patch.ts';
import type { PatchList } from './patch-list.ts';

/**
 * The rules of which kernel.
 *
 * | policy         | kernel                      | calls                                | order                              | replace         |
 * |----------------|-----------------------------|--------------------------------------|------------------------------------|-----------------|
 * | `independent`  | 5.1 and later               | enable, disable                      | any (L52)                          | replaced: freed |
 * | `strict-stack` | 5.0 and earlier             | register, enable, disable, unregister | last enabled first (L52)           | refused         |
 * | `v10`          | the series that led to 5.1  | the same four                        | the same, a replacing patch exempt | replaced: kept on a list of their own (L53) |
 */
export type Policy = 'independent' | 'strict-stack' | 'v10';

/** True where patches are registered before they are enabled, and stay until they are unregistered. */
export function registers(policy: Policy): boolean {
  return policy !== 'independent';
}

/**
 * Only the first disabled patch may be enabled (L52); one that replaces all before it need not wait (L53).
 * @throws {PatchError} EBUSY the one before it is disabled
 */
export function refuseToSkip(patch: Patch, patches: PatchList): void {
  if (patch.spec.replace === true) return;
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
  if (registers(policy)) return;
  const fact = "the policy 'independent' registers no patches: enable and disable them";
  throw new PatchError('ENOTSUPP', fact, { operation, patch });
}

/** @throws {PatchError} ENOTSUPP the policy has no atomic replace */
export function refuseReplace(policy: Policy, patch: string): void {
  if (policy !== 'strict-stack') return;
  throw new PatchError('ENOTSUPP', `patch '${patch}' replaces, which kernels before 5.1 cannot`, {
    operation: 'register',
    patch,
  });
}
