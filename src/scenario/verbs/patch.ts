// The steps `enable` and `disable`: insmod + klp_enable_patch, and writing 0 to `enabled`.
import type { JsonNode } from '../json.ts';
import type { Guest, Outcome } from '../scenario.ts';
import type { FileNames, Verb } from '../verb.ts';

/** `{"enable":"A"}`. */
export const enable: Verb = patchVerb('enable', ({ machine, patches }, name) => {
  const spec = patches.get(name);
  if (spec !== undefined) machine.livepatch.enable(spec);
});

/** `{"disable":"A"}`. */
export const disable: Verb = patchVerb('disable', ({ machine }, name) => machine.livepatch.disable(name));

function patchVerb(word: string, act: (guest: Guest, patch: string) => void): Verb {
  return {
    keys: [],
    expects: [],
    read(step: JsonNode, names: FileNames) {
      const node = step.need(word);
      const name = node.name();
      if (!names.patches.has(name)) throw node.error('ENOENT', `no patch '${name}' in $.patches`);
      return (guest): Outcome => {
        act(guest, name);
        return { broken: [] };
      };
    },
  };
}
