// The step `state`: the system state of a patch, or of those before the patch in transition (L80).
import type { Verb } from '../verb.ts';
import { patchName } from './patch.ts';

/** `{"state":1,"of":"A","version":1}` and `{"state":1,"previous":true,"version":1}`; version null: there is none. */
export const state: Verb = {
  keys: ['of', 'previous', 'version'],
  expects: ['version'],
  read(step, names) {
    const id = step.need('state').count(1, 0x7fffffff);
    const previous = step.get('previous')?.boolean() ?? false;
    const of = step.get('of');
    if (previous === (of !== undefined)) throw step.error('EINVAL', 'a state is "of" a patch, or "previous": true');
    const patch = of && patchName(of, names);
    const node = step.need('version');
    const wanted = node.value === null ? undefined : node.count(0, 0xffffffff);
    return ({ machine: { livepatch } }) => {
      const found = patch === undefined ? livepatch.previousState(id) : livepatch.state(patch, id);
      const seen = `version ${found?.version ?? 'none'}`;
      const broken = found?.version === wanted ? [] : [`expected version ${wanted ?? 'none'}, got ${seen}`];
      return { seen, broken };
    };
  },
};
