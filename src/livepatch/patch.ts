// What a patch is: patch → object → func, as the caller writes it (L1–L3) and as it stands once it is resolved.
import type { FuncHandle } from '../core/core.ts';

/** One function to replace (L1). */
export interface FuncSpec {
  /** Name of the original function. */
  oldName: string;
  /** The new function: a symbol of the patch's image. */
  newFunc: string;
  /** Which of several symbols of that name, counted from 1; 0 = the name must be unique (L22, L23). */
  oldSympos?: number;
}

/** The functions of one object (L2). */
export interface ObjectSpec {
  /** A module's name; null = vmlinux. */
  name: string | null;
  funcs: readonly FuncSpec[];
}

/** A patch, as `klp_enable_patch` gets it (L3). */
export interface PatchSpec {
  name: string;
  /** The image in which new functions are looked up; by default the image that has the patch's name. */
  image?: string;
  /** Atomic replace (L55–L62). */
  replace?: boolean;
  objects: readonly ObjectSpec[];
}

/** A func of an enabled patch. */
export interface Func {
  readonly patch: string;
  readonly object: string | null;
  readonly oldName: string;
  readonly newName: string;
  /** Entry of the original function. */
  readonly oldFunc: bigint;
  /** Entry of the new function. */
  readonly newFunc: bigint;
  /** The original's site: the key of its func stack. */
  readonly site: bigint;
  /** Its entry in the core's func stack. */
  readonly handle: FuncHandle;
}

/** A patch while it is enabled. */
export interface Patch {
  readonly name: string;
  readonly spec: PatchSpec;
  readonly funcs: readonly Func[];
}
