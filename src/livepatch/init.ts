// Making a patch of its specification: names and symbols resolved, nops added; nothing is attached (klp_init_patch).
import { hex } from '../address.ts';
import { PatchError } from '../errors.ts';
import type { Log } from './log.ts';
import { type Func, type FuncSpec, objectTitle, type Patch, type PatchObject, type PatchSpec } from './patch.ts';
import { findSymbol, type KernelSymbol, type SymbolScope } from './symbols.ts';

/** Bytes of a module's name and of a symbol's, terminators included (L16, L17). */
const MODULE_NAME_LEN = 56;
const KSYM_NAME_LEN = 512;

/** What initialising takes. */
export interface InitParts {
  log: Log;
  /** The symbols of vmlinux (null) or of a module; undefined while it is not loaded (L6, L21). */
  object(name: string | null): SymbolScope | undefined;
  /** The symbols of the image that holds new functions. */
  image(name: string): SymbolScope | undefined;
  /** The function of any image that holds an address (kallsyms_lookup_size_offset). */
  holder(address: bigint): KernelSymbol | undefined;
  /** ftrace_location: the site of the function that starts at an address (F9). */
  location(address: bigint): bigint | undefined;
}

/**
 * klp_init_patch.
 *
 * @param listed the patches there are, for nops (L55)
 * @throws {PatchError} EINVAL L9, L16, L17, L22, L23 · EEXIST an object or a func is named twice (L15, L24) · ENOENT a
 * size is unknown (L18)
 */
export function initPatch(spec: PatchSpec, listed: readonly Patch[], parts: InitParts): Patch {
  const fail = (code: 'EINVAL' | 'EEXIST', fact: string, func?: string): PatchError =>
    new PatchError(code, fact, { operation: 'enable', patch: spec.name, ...(func === undefined ? {} : { func }) });
  const imageName = spec.image ?? spec.name;
  const image = parts.image(imageName);
  if (image === undefined) throw fail('EINVAL', `patch '${spec.name}' has no image '${imageName}'; load it first`);
  const names = new Set<string>();
  const objects = spec.objects.map((object): PatchObject => {
    const title = objectTitle(object.name);
    if ((object.name?.length ?? 0) >= MODULE_NAME_LEN) throw fail('EINVAL', `the object name '${title}' is too long`);
    if (names.has(title)) throw fail('EEXIST', `patch '${spec.name}' names object '${title}' twice`);
    names.add(title);
    const seen = new Set<string>();
    const funcs = object.funcs.map((func) => {
      if (func.newFunc === 0n) throw fail('EINVAL', `func '${func.oldName}' has no new function`, func.oldName);
      if (func.oldName === '') throw fail('EINVAL', 'a func has no old name');
      if (func.oldName.length >= KSYM_NAME_LEN) throw fail('EINVAL', `'${func.oldName}' is too long`, func.oldName);
      // the name of the func's sysfs directory, which cannot exist twice (L24)
      const directory = identity(func.oldName, func.oldSympos ?? 0);
      if (seen.has(directory)) {
        throw fail('EEXIST', `patch '${spec.name}' names '${title}/${directory}' twice`, func.oldName);
      }
      seen.add(directory);
      return makeFunc(spec.name, object.name, func, image, parts);
    });
    const { callbacks = {} } = object;
    for (const callback of Object.values(callbacks)) {
      if (typeof callback === 'string') newSymbol(spec.name, callback, image);
    }
    return { name: object.name, funcs, callbacks, dynamic: false, struct: object.struct, ...FRESH };
  });
  const patch: Patch = { name: spec.name, spec, objects, enabled: false, forced: false };
  if (spec.replace === true) patch.objects = addNops(patch, listed);
  for (const object of patch.objects) {
    const scope = parts.object(object.name);
    if (scope !== undefined) initLoadedObject(object, scope, parts);
  }
  return patch;
}

/**
 * klp_init_object_loaded: resolves the originals of an object that is loaded now. Of an error nothing is left behind.
 * @throws {PatchError} EINVAL (L22, L23) · ENOENT (L18)
 */
export function initLoadedObject(object: PatchObject, scope: SymbolScope, parts: InitParts): void {
  try {
    for (const func of object.funcs) {
      const about = { operation: 'enable', patch: func.patch, func: func.oldName };
      const found = findSymbol(scope, { name: func.oldName, sympos: func.oldSympos }, (code, event) =>
        parts.log.refuse(code, event, about),
      );
      if (found.size === 0n) throw parts.log.refuse('ENOENT', { kind: 'sizeUnknown', func: func.oldName }, about);
      func.old = { address: found.address, size: found.size, site: parts.location(found.address) };
      if (func.nop) {
        func.newFunc = found.address;
        func.newSize = found.size;
      } else if (func.newSize === 0n) {
        throw parts.log.refuse('ENOENT', { kind: 'newSizeUnknown', func: func.oldName }, about);
      }
    }
  } catch (error) {
    forgetObject(object);
    throw error;
  }
  object.loaded = true;
}

/** klp_free_object_loaded: the addresses of an object that is gone. */
export function forgetObject(object: PatchObject): void {
  object.loaded = false;
  for (const func of object.funcs) func.old = undefined;
}

/** klp_add_nops: a nop for each func of a listed patch that the new one lacks (L55). */
function addNops(patch: Patch, listed: readonly Patch[]): PatchObject[] {
  const objects = [...patch.objects];
  const present = new Map(objects.map((object) => [object.name, new Set(object.funcs.map(identityOf))]));
  for (const old of listed.flatMap((one) => one.objects)) {
    let object = objects.find((one) => one.name === old.name);
    if (object === undefined) {
      object = { name: old.name, funcs: [], callbacks: {}, dynamic: true, struct: undefined, ...FRESH };
      objects.push(object);
      present.set(old.name, new Set());
    }
    const known = present.get(old.name);
    for (const func of old.funcs) {
      if (known === undefined || known.has(identityOf(func))) continue;
      known.add(identityOf(func));
      const { oldName, oldSympos } = func;
      const nop = {
        patch: patch.name,
        object: old.name,
        oldName,
        oldSympos,
        nop: true,
        newName: oldName,
        struct: undefined,
      };
      object.funcs.push({ ...nop, newFunc: 0n, newSize: 0n, ...DETACHED });
    }
  }
  return objects;
}

const FRESH = { loaded: false, patched: false, postUnpatchEnabled: false };
const DETACHED = { old: undefined, transition: false, handle: undefined };

function makeFunc(patch: string, object: string | null, func: FuncSpec, image: SymbolScope, parts: InitParts): Func {
  const { newFunc } = func;
  const replacement =
    typeof newFunc === 'string'
      ? newSymbol(patch, newFunc, image, func.oldName)
      : // its size stays 0 where nothing holds it, which is refused once the object is loaded (L18)
        { name: hex(newFunc), size: 0n, ...parts.holder(newFunc), address: newFunc };
  return {
    patch,
    object,
    oldName: func.oldName,
    oldSympos: func.oldSympos ?? 0,
    nop: false,
    newName: replacement.name,
    struct: func.struct,
    newFunc: replacement.address,
    newSize: replacement.size,
    ...DETACHED,
  };
}

/** A symbol of the patch's own image, which the kernel's linker would have resolved: its absence makes no log line. */
function newSymbol(patch: string, name: string, image: SymbolScope, func?: string) {
  const [found, another] = image.named(name);
  const about = { operation: 'enable', patch, ...(func === undefined ? {} : { func }) };
  if (found === undefined) {
    throw new PatchError('EINVAL', `symbol '${name}' not found in image '${image.name ?? 'vmlinux'}'`, about);
  }
  if (another !== undefined) {
    throw new PatchError('EINVAL', `image '${image.name ?? 'vmlinux'}' has '${name}' more than once`, about);
  }
  return found;
}

function identityOf(func: Func): string {
  return identity(func.oldName, func.oldSympos);
}

/** Name and position, where 0 and 1 are the same (L24). */
export function identity(name: string, sympos: number): string {
  return `${name},${sympos || 1}`;
}
