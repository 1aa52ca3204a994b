// The funcs that stand for originals in a patch that replaces others (klp_add_nops).
import type { Faults } from '../faults.ts';
import { DETACHED, FRESH, identityOf, type Patch, type PatchObject } from './patch.ts';

/**
 * The objects of a patch with a nop for each func of a listed patch that it lacks (L55).
 * @throws {PatchError} ENOMEM where that was asked for
 */
export function addNops(patch: Patch, listed: readonly Patch[], faults: Faults): PatchObject[] {
  const present = new Map(
    patch.objects.map((object) => [object.name, { object, funcs: new Set(object.funcs.map(identityOf)) }]),
  );
  for (const { name, funcs } of listed.flatMap((one) => one.objects)) {
    let here = present.get(name);
    if (here === undefined) {
      faults.pass('nop-allocation');
      const object: PatchObject = {
        name,
        funcs: [],
        callbacks: {},
        dynamic: true,
        struct: undefined,
        image: undefined,
        ...FRESH,
      };
      here = { object, funcs: new Set() };
      present.set(name, here);
    }
    for (const func of funcs) {
      const identity = identityOf(func);
      if (here.funcs.has(identity)) continue;
      faults.pass('nop-allocation');
      here.funcs.add(identity);
      const { oldName, oldSympos } = func;
      here.object.funcs.push({
        ...{ patch: patch.name, object: name, oldName, oldSympos, nop: true, newName: oldName, struct: undefined },
        ...{ newFunc: 0n, newSize: 0n, ...DETACHED },
      });
    }
  }
  return [...present.values()].map(({ object }) => object);
}
