// The step `set`: writes a variable of the guest, as a module parameter is written.
import { wrap } from '../../address.ts';
import type { Verb } from '../verb.ts';

/** `{"set":"mod:variable","value":-19}`: in the variable's own size. */
export const set: Verb = {
  keys: ['value'],
  expects: [],
  read(step) {
    const node = step.need('set');
    const name = node.name();
    const colon = name.indexOf(':');
    if (colon < 1) throw node.error('EINVAL', `expected 'image:variable', got '${name}'`);
    const value = step.need('value').integer();
    return ({ machine }) => {
      const [symbol] = machine.images.get(name.slice(0, colon))?.symbolsNamed(name.slice(colon + 1)) ?? [];
      if (symbol === undefined) throw node.error('ENOENT', `no loaded image defines '${name}'`);
      const size = Number(symbol.size);
      if (![1, 2, 4, 8].includes(size)) throw node.error('EINVAL', `'${name}' has ${size} bytes, not 1, 2, 4 or 8`);
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, wrap(value), true);
      machine.engine.write(symbol.address, bytes.subarray(0, size));
      return { broken: [] };
    };
  },
};
