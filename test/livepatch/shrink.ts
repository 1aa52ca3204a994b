// Makes a failing sequence small: fewer operations (ddmin), then plainer patches, as long as it still fails.
import type { PatchPlan } from './model.ts';
import type { Sequence } from './sequence.ts';

/** True where a sequence fails. */
export type Fails = (sequence: Sequence) => Promise<boolean>;

/** A sequence that fails, and of which nothing single can be left out. */
export async function shrink(sequence: Sequence, fails: Fails): Promise<Sequence> {
  let smallest = sequence;
  for (let before = ''; before !== JSON.stringify(smallest); ) {
    before = JSON.stringify(smallest);
    smallest = await shrinkOperations(smallest, fails);
    smallest = await shrinkPatches(smallest, fails);
  }
  return smallest;
}

/** Zeller and Hildebrandt's ddmin, by complements. */
async function shrinkOperations(sequence: Sequence, fails: Fails): Promise<Sequence> {
  let { operations } = sequence;
  for (let parts = 2; operations.length > 0; ) {
    const size = Math.ceil(operations.length / parts);
    let smaller: typeof operations | undefined;
    for (let at = 0; at < operations.length && smaller === undefined; at += size) {
      const rest = [...operations.slice(0, at), ...operations.slice(at + size)];
      if (await fails({ ...sequence, operations: rest })) smaller = rest;
    }
    if (smaller !== undefined) {
      operations = smaller;
      parts = Math.max(parts - 1, 2);
    } else if (size === 1) break;
    else parts = Math.min(parts * 2, operations.length);
  }
  return { ...sequence, operations };
}

async function shrinkPatches(sequence: Sequence, fails: Fails): Promise<Sequence> {
  let smallest = sequence;
  for (const number of sequence.patches.keys()) {
    for (const plainer of PLAINER) {
      for (let again = true; again; ) {
        again = false;
        for (const plan of plainer(smallest.patches[number] as PatchPlan)) {
          const candidate = { ...smallest, patches: smallest.patches.map((one, i) => (i === number ? plan : one)) };
          if (!(await fails(candidate))) continue;
          smallest = candidate;
          again = true;
          break;
        }
      }
    }
  }
  return smallest;
}

/** Ways of making a patch plainer; each gives the plans that are one step plainer, none where it is plain. */
const PLAINER: readonly ((plan: PatchPlan) => PatchPlan[])[] = [
  (plan) => (plan.mod === undefined ? [] : [{ ...plan, mod: undefined }]),
  (plan) => (plan.replace ? [{ ...plan, replace: false }] : []),
  (plan) => (plan.refuses === undefined ? [] : [{ ...plan, refuses: undefined }]),
  (plan) => (plan.version === undefined ? [] : [{ ...plan, version: undefined }]),
  (plan) => plan.vmlinux.map((func) => ({ ...plan, vmlinux: plan.vmlinux.filter((one) => one !== func) })),
  (plan) => (plan.mod ?? []).map((func) => ({ ...plan, mod: plan.mod?.filter((one) => one !== func) })),
];
