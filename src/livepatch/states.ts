// System states: which patch may follow which, and who had a state before (klp/state.c, L79, L80).
import type { Patch, PatchSpec, StateSpec } from './patch.ts';

/** The state of a patch with this id (klp_get_state), or undefined. */
export function stateOf({ states }: PatchSpec, id: number): StateSpec | undefined {
  return states?.find((state) => state.id === id);
}

/** True where a new patch can deal with every state of every listed patch (L79). */
export function isCompatible(spec: PatchSpec, listed: readonly Patch[]): boolean {
  return listed.every((old) =>
    (old.spec.states ?? []).every(({ id, version }) => {
      const state = stateOf(spec, id);
      return state === undefined ? spec.replace !== true : state.version >= version;
    }),
  );
}

/** The state with this id of the last of some patches that has it (klp_get_prev_state), or undefined. */
export function lastState(patches: readonly Patch[], id: number): StateSpec | undefined {
  for (const patch of [...patches].reverse()) {
    const state = stateOf(patch.spec, id);
    if (state !== undefined) return state;
  }
  return undefined;
}
