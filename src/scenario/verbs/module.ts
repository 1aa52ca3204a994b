// The steps `load` and `unload`: insmod of a target module, rmmod of it or of a patch's module.
import { readParams } from '../params.ts';
import type { Verb } from '../verb.ts';

/**
 * `{"load":"mod","params":{}}`: insmod. The patches are applied before the module's init runs (L64), which may enable a
 * patch of its own (L20).
 */
export const load: Verb = {
  keys: ['params'],
  expects: [],
  read(step, names) {
    const node = step.need('load');
    const name = node.name();
    if (!names.modules.has(name)) throw node.error('ENOENT', `no image '${name}' of kind module in $.images`);
    const params = readParams(step.get('params'));
    return (guest) => {
      guest.load(name, params);
      return { broken: [] };
    };
  },
};

/** `{"unload":"mod or patch"}`. */
export const unload: Verb = {
  keys: [],
  expects: [],
  read(step, names) {
    const node = step.need('unload');
    const name = node.name();
    const isModule = names.modules.has(name);
    if (!isModule && !names.patches.has(name)) throw node.error('ENOENT', `no module or patch '${name}' in the file`);
    return ({ machine }) => {
      if (isModule) machine.unload(name);
      else machine.livepatch.unload(name);
      return { broken: [] };
    };
  },
};
