// The steps that act on one patch, `enable`, `disable`, `reverse` and `force`, and `patches`, which lists them.
import { PatchError } from '../../errors.ts';
import type { JsonNode } from '../../json.ts';
import type { PatchSpec } from '../../livepatch/patch.ts';
import type { Machine } from '../../machine.ts';
import { readParams } from '../params.ts';
import type { Guest, Outcome, ScenarioPatch } from '../scenario.ts';
import type { FileNames, Verb } from '../verb.ts';

/** `{"enable":"A","params":{}}`: insmod + klp_enable_patch. A module that is no patch of the file enables itself. */
export const enable: Verb = {
  keys: ['params'],
  expects: [],
  read(step, names) {
    const name = patchName(step.need('enable'), names);
    const params = step.get('params');
    if (params !== undefined && names.patches.has(name)) {
      throw params.error(
        'EINVAL',
        `'params' go with a module that enables itself, and '${name}' is a patch of the file`,
      );
    }
    const values = readParams(params);
    return (guest) => {
      const spec = guest.patches.get(name);
      if (spec === undefined) guest.load(name, values);
      else guest.machine.livepatch.enable(specOf(guest.machine, spec));
      return { broken: [] };
    };
  },
};

/** `{"register":"A"}` and `{"unregister":"A"}`: the policies `strict-stack` and `v10` only (L52, L53). */
export const register: Verb = patchVerb('register', ({ machine, patches }, name) => {
  const spec = patches.get(name);
  if (spec === undefined)
    throw new PatchError('EINVAL', `'${name}' is no patch of the file`, { operation: 'register' });
  machine.livepatch.register(specOf(machine, spec));
});
export const unregister: Verb = patchVerb('unregister', ({ machine }, name) => machine.livepatch.unregister(name));

/** `{"disable":"A"}`: writes 0 to `enabled`; in its own transition the patch turns round. */
export const disable: Verb = patchVerb('disable', ({ machine }, name) => machine.livepatch.disable(name));

/** `{"reverse":"A"}`: writes the other value to `enabled` of a patch in transition (L50). */
export const reverse: Verb = patchVerb('reverse', ({ machine }, name) => machine.livepatch.reverse(name));

/** `{"force":"A"}`: writes 1 to `force` (L74). */
export const force: Verb = patchVerb('force', ({ machine }, name) => machine.livepatch.force(name));

/** `{"patches":[{"name":"A","enabled":true,"forced":false}]}`: the patches there are, in the order of enabling. */
export const patches: Verb = {
  keys: [],
  expects: ['patches'],
  read(step, names) {
    const wanted = step
      .need('patches')
      .array()
      .map((node) => {
        node.keys(['name', 'enabled', 'forced']);
        const name = patchName(node.need('name'), names);
        return { name, enabled: node.get('enabled')?.boolean(), forced: node.get('forced')?.boolean() };
      });
    return ({ machine }) => {
      const got = machine.livepatch.patches;
      const title = (list: readonly { name: string }[]): string => list.map(({ name }) => name).join(', ') || 'none';
      if (title(got) !== title(wanted)) return { broken: [`expected patches ${title(wanted)}, got ${title(got)}`] };
      const broken = got.flatMap((patch, i) =>
        (['enabled', 'forced'] as const).flatMap((key) => {
          const expected = wanted[i]?.[key];
          return expected === undefined || expected === patch[key]
            ? []
            : [`expected ${key} of '${patch.name}' to be ${expected}, got ${patch[key]}`];
        }),
      );
      return { seen: title(got), broken };
    };
  },
};

/** The name of a patch of the file, or of a module that may enable itself. @throws {ScenarioError} ENOENT neither */
export function patchName(node: JsonNode, names: FileNames): string {
  const name = node.name();
  if (names.patches.has(name) || names.modules.has(name)) return name;
  throw node.error('ENOENT', `no patch '${name}' in $.patches, nor a module of that name in $.images`);
}

/** The patch as the machine gets it: a struct is decoded now, as its module may have changed it. */
function specOf(machine: Machine, spec: ScenarioPatch): PatchSpec {
  if (spec.from === undefined) return spec;
  const { name, image = name } = spec;
  return { ...machine.patchStruct(image, spec.from.symbol), name };
}

function patchVerb(word: string, act: (guest: Guest, patch: string) => void): Verb {
  return {
    keys: [],
    expects: [],
    read(step: JsonNode, names: FileNames) {
      const name = patchName(step.need(word), names);
      return (guest): Outcome => {
        act(guest, name);
        return { broken: [] };
      };
    },
  };
}
