// The step `shadow`: makes, finds and frees shadow variables as a patch's code does (L81).
import { hexBytes, wrap } from '../../address.ts';
import type { JsonNode } from '../../json.ts';
import type { Machine } from '../../machine.ts';
import { needFunction } from '../names.ts';
import type { Verb } from '../verb.ts';

const MAKING = ['alloc', 'getOrAlloc'];
const FREEING = ['free', 'freeAll'];

/**
 * `{"shadow":"alloc","obj":"0x…","id":1,"size":8,"ctor":"image:symbol","ctorData":0,"is":"hex"}`, also `get`, `getOrAlloc`,
 * and `free` and `freeAll` with `dtor`. `is` is what the data hold from their start; null: there are none.
 */
export const shadow: Verb = {
  keys: ['obj', 'id', 'size', 'ctor', 'ctorData', 'dtor', 'is'],
  expects: ['is'],
  read(step) {
    const word = step.need('shadow').oneOf(['alloc', 'get', 'getOrAlloc', 'free', 'freeAll']);
    const allowed = [
      ...(word === 'freeAll' ? [] : ['obj']),
      ...(MAKING.includes(word) ? ['size', 'ctor', 'ctorData'] : []),
      ...(FREEING.includes(word) ? ['dtor'] : ['is']),
    ];
    for (const key of ['obj', 'size', 'ctor', 'ctorData', 'dtor', 'is']) {
      const node = step.get(key);
      if (node !== undefined && !allowed.includes(key))
        throw node.error('EINVAL', `'${key}' does not go with '${word}'`);
    }
    const id = wrap(step.need('id').integer());
    const object = allowed.includes('obj') ? wrap(step.need('obj').integer()) : 0n;
    const size = MAKING.includes(word) ? BigInt(step.need('size').count(0, 0x7fffffff)) : 0n;
    const [ctor, dtor] = [step.get('ctor'), step.get('dtor')];
    ctor?.name();
    dtor?.name();
    const ctorData = wrap(step.get('ctorData')?.integer() ?? 0n);
    const is = step.get('is');
    const wanted = is === undefined || is.value === null ? undefined : is.hex();
    return ({ machine }) => {
      const variables = machine.shadow;
      const request = { object, id, size, ctor: ctor && guestCtor(machine, ctor, ctorData) };
      if (word === 'free') variables.free(object, id, dtor && guestDtor(machine, dtor));
      if (word === 'freeAll') variables.freeAll(id, dtor && guestDtor(machine, dtor));
      if (FREEING.includes(word)) return { seen: `${variables.size} left`, broken: [] };
      const data =
        word === 'get'
          ? variables.get(object, id)
          : word === 'alloc'
            ? variables.allocate(request)
            : variables.getOrAllocate(request);
      if (is === undefined) return { seen: data === undefined ? 'none' : 'there', broken: [] };
      const got = data === undefined ? 'none' : hexBytes(machine.read(data, wanted?.length ?? 0));
      const expected = wanted === undefined ? 'none' : hexBytes(wanted);
      const same = (data === undefined) === (wanted === undefined) && got === expected;
      return { seen: got, broken: same ? [] : [`expected the shadow variable ${expected}, got ${got}`] };
    };
  },
};

function guestCtor(machine: Machine, node: JsonNode, ctorData: bigint) {
  const { address } = needFunction(machine, node.name(), node).info;
  return (object: bigint, data: bigint): number =>
    Number(BigInt.asIntN(32, machine.call(address, [object, data, ctorData]).returns));
}

function guestDtor(machine: Machine, node: JsonNode) {
  const { address } = needFunction(machine, node.name(), node).info;
  return (object: bigint, data: bigint): void => void machine.call(address, [object, data]);
}
