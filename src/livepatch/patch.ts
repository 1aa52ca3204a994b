// What a patch is: patch → object → func, as the caller writes it (L1–L4) and as it stands in the machine.
import type { FuncHandle } from '../core/core.ts';
import type { Twins } from '../twins.ts';

/** One function to replace (L1). */
export interface FuncSpec {
  /** Name of the original function. */
  oldName: string;
  /** The new function: a symbol of the patch's image, or an address. */
  newFunc: string | bigint;
  /** Which of several symbols of that name, counted from 1; 0 = the name must be unique (L22, L23). */
  oldSympos?: number;
  /** Where its struct klp_func lies in the guest, if it was made from one. */
  struct?: bigint;
}

/** What a host callback is told. */
export interface CallbackCall {
  patch: string;
  /** The object's name; `vmlinux` for the kernel. */
  object: string;
  /** The module's state; undefined for vmlinux. */
  moduleState: ModuleState | undefined;
  /** Writes a line into the log. */
  say(line: string): void;
}

/**
 * A callback: a symbol of the patch's image, the address of a guest function, or a host function. A guest function gets
 * the address of its struct klp_object, 0 where there is none. Of pre_patch the result counts: 0 or -errno.
 */
export type Callback = string | bigint | ((call: CallbackCall) => number);

/** The four callbacks of an object (L2, L75). */
export interface Callbacks {
  prePatch?: Callback;
  postPatch?: Callback;
  preUnpatch?: Callback;
  postUnpatch?: Callback;
}

/** Where a module stands, as in the kernel's enum module_state. */
export type ModuleState = 'LIVE' | 'COMING' | 'GOING';

/** The functions of one object (L2). */
export interface ObjectSpec {
  /** A module's name; null = vmlinux. A module need not be loaded yet (L6). */
  name: string | null;
  funcs: readonly FuncSpec[];
  callbacks?: Callbacks;
  /** Where its struct klp_object lies in the guest, if it was made from one. */
  struct?: bigint;
}

/** A system state that a patch changes (L4). */
export interface StateSpec {
  /** Not 0. */
  id: number;
  version: number;
  /** Where its struct klp_state lies in the guest, if it was made from one. */
  struct?: bigint;
}

/** A patch, as `klp_enable_patch` gets it (L3). */
export interface PatchSpec {
  name: string;
  /** The image in which new functions are looked up; by default the image that has the patch's name. */
  image?: string;
  /** Atomic replace (L55–L62). */
  replace?: boolean;
  states?: readonly StateSpec[];
  objects: readonly ObjectSpec[];
  /** Where its struct klp_patch lies in the guest, if it was made from one. */
  struct?: bigint;
}

/**
 * A func of a patch (klp_func). While its object is not loaded it has no old function.
 *
 * | handle | transition | life (L7)                        |
 * |--------|------------|----------------------------------|
 * | no     | false      | neither patched nor visible      |
 * | no     | true       | about to be pushed, or popped    |
 * | yes    | true       | visible to patched tasks         |
 * | yes    | false      | visible to all tasks             |
 */
export interface Func {
  readonly patch: string;
  readonly object: string | null;
  readonly oldName: string;
  readonly oldSympos: number;
  /** Stands for the original (L56). */
  readonly nop: boolean;
  /** Symbol of the new function; of a nop the original's. */
  readonly newName: string;
  /** Its struct klp_func in the guest, or undefined. */
  readonly struct: bigint | undefined;
  newFunc: bigint;
  newSize: bigint;
  /** Entry of the original, and the key of its func stack; undefined while the object is not loaded. */
  old: { readonly address: bigint; readonly size: bigint; readonly site: bigint | undefined } | undefined;
  transition: boolean;
  /** Its entry in the core's func stack, while it is patched. */
  handle: FuncHandle | undefined;
}

/** An object of a patch (klp_object). */
export interface PatchObject {
  readonly name: string | null;
  readonly funcs: Func[];
  readonly callbacks: Callbacks;
  /** Made for nops alone (klp_object.dynamic). */
  readonly dynamic: boolean;
  /** Its struct klp_object in the guest, or undefined. */
  readonly struct: bigint | undefined;
  /** The image that brings it, with its klp relocations; undefined where it was made for nops alone. */
  readonly image: string | undefined;
  /** klp_is_object_loaded (L6). */
  loaded: boolean;
  patched: boolean;
  /** pre_patch succeeded, so post_unpatch is due (L76). */
  postUnpatchEnabled: boolean;
}

/** A patch that the machine has (klp_patch). */
export interface Patch {
  readonly name: string;
  readonly spec: PatchSpec;
  objects: readonly PatchObject[];
  enabled: boolean;
  /** Its module can never be removed (L74). */
  forced: boolean;
}

/** An object's name as the kernel prints it. */
export function objectTitle(name: string | null): string {
  return name ?? 'vmlinux';
}

/** All funcs of a patch, nops included. */
export function* funcsOf(patch: Patch): Generator<Func> {
  for (const object of patch.objects) yield* object.funcs;
}

/** An object before it is looked up. */
export const FRESH = { loaded: false, patched: false, postUnpatchEnabled: false };

/** A func before its object is looked up. */
export const DETACHED = { old: undefined, transition: false, handle: undefined };

/** A func's sysfs directory, and what makes it the same func in two patches (L24). */
export function identityOf({ oldName, oldSympos }: Pick<Func, 'oldName' | 'oldSympos'>): string {
  return identity(oldName, oldSympos);
}

/** Name and position, where 0 and 1 are the same (L24). */
export function identity(name: string, sympos: number): string {
  return `${name},${sympos || 1}`;
}

/** The func of a fork that stands for one of its parent. */
export function twinOfFunc(func: Func, twins: Twins): Func {
  return twins.of(func, (one) => ({ ...one }));
}

/** The patch of a fork that stands for one of its parent. What the caller wrote of it is common. */
export function twinOfPatch(patch: Patch, twins: Twins): Patch {
  return twins.of(patch, (one) => {
    const objects = one.objects.map((object) => ({
      ...object,
      funcs: object.funcs.map((func) => twinOfFunc(func, twins)),
    }));
    return { ...one, objects };
  });
}
