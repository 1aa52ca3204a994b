// Keeps the guest's structs of a patch as the kernel would: what callbacks and others read in them is true.
import { KLP_FUNC, KLP_OBJECT, KLP_PATCH } from './guest-patch.ts';
import type { Func, Patch, PatchObject } from './patch.ts';

/** What the mirror writes with. */
export interface MirrorParts {
  write(address: bigint, bytes: Uint8Array): void;
  /** The struct module of a loaded module; 0 where it has none. */
  moduleStruct(name: string): bigint;
}

/** Writes the state of a patch into its structs; nothing for a patch that was not made from one. */
export function mirrorPatch(patch: Patch, parts: MirrorParts): void {
  const { struct } = patch.spec;
  if (struct === undefined) return;
  parts.write(struct + BigInt(KLP_PATCH.enabled), Uint8Array.of(bit(patch.enabled), bit(patch.forced)));
  for (const object of patch.objects) mirrorObject(object, parts);
}

function mirrorObject({ name, loaded, patched, struct, funcs }: PatchObject, parts: MirrorParts): void {
  if (struct === undefined) return;
  const mod = name === null || !loaded ? 0n : parts.moduleStruct(name);
  parts.write(struct + BigInt(KLP_OBJECT.mod), quads(mod));
  parts.write(struct + BigInt(KLP_OBJECT.patched), Uint8Array.of(bit(patched)));
  for (const func of funcs) mirrorFunc(func, parts);
}

function mirrorFunc({ old, newSize, handle, transition, struct }: Func, parts: MirrorParts): void {
  if (struct === undefined) return;
  parts.write(struct + BigInt(KLP_FUNC.oldFunc), quads(old?.address ?? 0n));
  parts.write(struct + BigInt(KLP_FUNC.oldSize), quads(old?.size ?? 0n, newSize));
  parts.write(struct + BigInt(KLP_FUNC.patched), Uint8Array.of(bit(handle !== undefined), bit(transition)));
}

function bit(value: boolean): number {
  return value ? 1 : 0;
}

function quads(...values: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}
