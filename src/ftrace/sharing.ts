// Who may share a site with whom: ops that change ip, and direct ones (F40, F41, F45).
import { hex } from '../address.ts';
import { type ErrnoName, errnoName, SiteError } from '../errors.ts';
import type { FtraceHash, Ops } from './ops.ts';
import type { Registration } from './record.ts';

/** The users of a site, newest first. */
export type UsersOf = (site: bigint) => readonly Registration[];

/**
 * Checks what an ops that changes ip, or a direct one, may have as its hashes.
 *
 * @throws {SiteError} EINVAL its filter is empty, which means all functions (F40, F45) · EINVAL it changes ip and has a
 * notrace (F40)
 */
export function checkHashes(operation: string, ops: Ops, filter: FtraceHash, notrace: FtraceHash): void {
  const address = [...filter][0] ?? 0n;
  const wrong = (fact: string): SiteError => new SiteError('EINVAL', fact, { operation, address });
  const special = ops.has('DIRECT') ? 'is direct' : ops.has('IPMODIFY') ? 'changes ip' : undefined;
  if (special === undefined) return;
  if (filter.size === 0) throw wrong(`'${ops.name}' ${special} and has no filter`);
  if (ops.has('IPMODIFY') && notrace.size > 0) throw wrong(`'${ops.name}' changes ip and has a notrace`);
}

/**
 * Asks whether an ops may join sites, and has the direct ops that it shares one with agree
 * (__ftrace_hash_update_ipmodify, prepare_direct_functions_for_ipmodify).
 *
 * @returns takes back what direct ops agreed to
 * @throws {SiteError} EBUSY both change ip (F40), both are direct (F45), or the direct one has no ops_func (F41) · what
 * an ops_func answered. Nothing is agreed then.
 */
export function enterSites(operation: string, ops: Ops, sites: readonly bigint[], usersOf: UsersOf): () => void {
  if (!ops.has('IPMODIFY') && !ops.has('DIRECT')) return () => undefined;
  for (const site of sites) {
    for (const { ops: other } of usersOf(site)) {
      for (const flag of ['IPMODIFY', 'DIRECT'] as const) {
        if (!ops.has(flag) || !other.has(flag)) continue;
        const what = flag === 'DIRECT' ? 'is direct' : 'changes ip';
        throw refusal(operation, 'EBUSY', ops, site, `is used by '${other.name}', which ${what} as well`);
      }
    }
  }
  const peers = new Set<Ops>();
  const undo = (): void => {
    for (const peer of peers) peer.opsFunc?.('DISABLE_SHARE_IPMODIFY_PEER');
  };
  try {
    for (const site of sites) {
      for (const { ops: other } of usersOf(site)) {
        if (ops.has('DIRECT') && other.has('IPMODIFY')) {
          agree(operation, ops, site, ops, 'ENABLE_SHARE_IPMODIFY_SELF');
        } else if (ops.has('IPMODIFY') && other.has('DIRECT') && !peers.has(other)) {
          agree(operation, ops, site, other, 'ENABLE_SHARE_IPMODIFY_PEER');
          peers.add(other);
        }
      }
    }
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

/** Tells the direct ops of sites that an ops which changes ip has left (cleanup_direct_functions_after_ipmodify). */
export function leaveSites(ops: Ops, sites: readonly bigint[], usersOf: UsersOf): void {
  if (!ops.has('IPMODIFY')) return;
  const peers = new Set(sites.flatMap((site) => usersOf(site).map((user) => user.ops)));
  for (const peer of peers) if (peer.has('DIRECT')) peer.opsFunc?.('DISABLE_SHARE_IPMODIFY_PEER');
}

function agree(
  operation: string,
  ops: Ops,
  site: bigint,
  direct: Ops,
  command: 'ENABLE_SHARE_IPMODIFY_SELF' | 'ENABLE_SHARE_IPMODIFY_PEER',
): void {
  const answer = direct.opsFunc?.(command) ?? -16;
  if (answer === 0) return;
  const why =
    direct.opsFunc === undefined ? 'has no ops_func' : `answered ${answer} to ${command.replace('ENABLE_', '')}`;
  const fact = `is direct, and '${direct.name}' ${why}`;
  throw refusal(operation, errnoName(answer) ?? 'EBUSY', ops, site, fact);
}

function refusal(operation: string, code: ErrnoName, ops: Ops, address: bigint, fact: string): SiteError {
  return new SiteError(code, `'${ops.name}' cannot use site ${hex(address)}: it ${fact}`, { operation, address });
}
