// What a reviewer of patches should know of a step: the surprises that the kernel's rules hold.
import type { PlanPatch, Snapshot } from './plan.ts';

/** The kinds of warnings. */
export type PlanWarningKind = 'shared' | 'downgrade' | 'middle' | 'aliases' | 'on-stack';

/** A warning. */
export interface PlanWarning {
  readonly kind: PlanWarningKind;
  /** A sentence with patches and functions quoted. */
  readonly text: string;
}

/**
 * The warnings of a step.
 *
 * | kind | when |
 * |---|---|
 * | shared | a patch came that shares a function with an older one and does not replace it (L30, L35) |
 * | downgrade | a patch came with replace that lacks what an older one fixed (L54, L58) |
 * | middle | a patch was disabled below a newer one that shares a function (L32, L35) |
 * | aliases | a patch came with replace that names a function otherwise than an older one (L26, L55) |
 * | on-stack | a transition began to wait for a task that sleeps in a function (L69, L70) |
 */
export function warningsOf(before: Snapshot, after: Snapshot): PlanWarning[] {
  const came = after.patches.filter((patch) => isEnabled(patch) && !before.patches.some((one) => isSame(one, patch)));
  return [
    ...came.flatMap((patch) => (patch.replace ? replaceWarnings(patch, before.patches) : shared(patch, after.patches))),
    ...before.patches.filter(isEnabled).flatMap((patch) => middle(patch, before, after)),
    ...after.blocked
      .filter(({ task, on }) => !before.blocked.some((one) => one.task === task && one.on === on))
      .map(({ task, on }): PlanWarning => {
        return { kind: 'on-stack', text: `task '${task}' sleeps in '${on}': the transition waits for it` };
      }),
  ];
}

const isEnabled = (patch: PlanPatch): boolean => patch.enabled;
const isSame = (one: PlanPatch, patch: PlanPatch): boolean => one.name === patch.name && one.enabled === patch.enabled;

function replaceWarnings(patch: PlanPatch, listed: readonly PlanPatch[]): PlanWarning[] {
  const own = new Set(patch.funcs.map(({ title }) => title));
  return listed
    .filter((old) => old.enabled && old.name !== patch.name)
    .flatMap((old) => {
      const alias = old.funcs.flatMap((func) => {
        const mine = patch.funcs.find((one) => one.address !== undefined && one.address === func.address);
        return mine === undefined || mine.title === func.title ? [] : [{ func, mine }];
      });
      const aliased = new Set(alias.map(({ func }) => func.title));
      const lost = old.funcs.map(({ title }) => title).filter((title) => !own.has(title) && !aliased.has(title));
      const downgrade: PlanWarning[] =
        lost.length === 0
          ? []
          : [
              {
                kind: 'downgrade',
                text: `'${patch.name}' replaces '${old.name}' and has no ${quoted(lost)}: the original runs again`,
              },
            ];
      return [
        ...downgrade,
        ...alias.map(({ func, mine }): PlanWarning => {
          const text = `'${mine.title}' of '${patch.name}' and '${func.title}' of '${old.name}' are one function: until the transition ends patched tasks run the original`;
          return { kind: 'aliases', text };
        }),
      ];
    });
}

function shared(patch: PlanPatch, listed: readonly PlanPatch[]): PlanWarning[] {
  const at = listed.findIndex(({ name }) => name === patch.name);
  return listed.slice(0, at).flatMap((old) => {
    const both = sharedFuncs(patch, old);
    if (both.length === 0 || !old.enabled) return [];
    const text = `${quoted(both)} ${both.length === 1 ? 'is' : 'are'} shared by '${patch.name}' and '${old.name}', and '${patch.name}' does not replace: '${old.name}' stays below it on the stack`;
    return [{ kind: 'shared', text }];
  });
}

/** A patch that was enabled and is no longer, below newer ones that stay; one that replaced it is no such one. */
function middle(patch: PlanPatch, before: Snapshot, after: Snapshot): PlanWarning[] {
  if (after.patches.some(({ name, enabled }) => name === patch.name && enabled)) return [];
  const newer = before.patches
    .slice(before.patches.indexOf(patch) + 1)
    .filter((one) => !one.replace && after.patches.some(({ name, enabled }) => name === one.name && enabled));
  return newer.flatMap((one) => {
    const both = sharedFuncs(patch, one);
    if (both.length === 0) return [];
    const text = `'${patch.name}' was disabled below '${one.name}': calls of ${quoted(both)} do not change, and disabling '${one.name}' now uncovers what was below '${patch.name}'`;
    return [{ kind: 'middle', text }];
  });
}

/** What of `one` stands on the same func stacks as `other`: these are keyed by address, so another name is no other stack (L26). */
function sharedFuncs(one: PlanPatch, other: PlanPatch): string[] {
  const titles = new Set(other.funcs.map(({ title }) => title));
  const addresses = new Set(other.funcs.flatMap(({ address }) => address ?? []));
  return one.funcs
    .filter(({ title, address }) => titles.has(title) || (address !== undefined && addresses.has(address)))
    .map(({ title }) => title);
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}
