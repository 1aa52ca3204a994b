// Makes a patch's specification of a struct klp_patch in the guest.
import type { GuestCallbacks, GuestPatch } from './guest-patch.ts';
import type { Callbacks, PatchSpec } from './patch.ts';

/** Larger positions, ids and versions are as good as these: no table has so many symbols. */
const LARGEST = 0xffff_ffffn;

/** @param image the image that holds the struct */
export function specOfStruct(name: string, image: string, patch: GuestPatch): PatchSpec {
  return {
    name,
    image,
    replace: patch.replace,
    struct: patch.address,
    states: patch.states.map(({ id, version, address }) => ({ id: count(id), version, struct: address })),
    objects: patch.objects.map((object) => ({
      name: object.name,
      struct: object.address,
      callbacks: callbacksOf(object.callbacks),
      funcs: object.funcs.map(({ oldName, newFunc, oldSympos, address }) => {
        return { oldName, newFunc, oldSympos: count(oldSympos), struct: address };
      }),
    })),
  };
}

/** A NULL pointer is no callback. */
function callbacksOf(addresses: GuestCallbacks): Callbacks {
  return Object.fromEntries(Object.entries(addresses).filter(([, address]) => address !== 0n));
}

function count(value: bigint): number {
  return Number(value > LARGEST ? LARGEST : value);
}
