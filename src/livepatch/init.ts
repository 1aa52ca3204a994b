// Making a patch of its specification: names and symbols resolved; nothing is attached (klp_init_patch).
import { hex } from '../address.ts';
import { PatchError } from '../errors.ts';
import type { FaultRefusal, Faults } from '../faults.ts';
import type { Log } from './log.ts';
import { addNops } from './nops.ts';
import {
  DETACHED,
  FRESH,
  type Func,
  type FuncSpec,
  identityOf,
  type ObjectSpec,
  objectTitle,
  type Patch,
  type PatchObject,
  type PatchSpec,
} from './patch.ts';
import { findSymbol, type KernelSymbol, type Refusal, type SymbolScope } from './symbols.ts';

/** Bytes of a module's name and of a symbol's, terminators included (L16, L17). */
const MODULE_NAME_LEN = 56;
const KSYM_NAME_LEN = 512;

/** What initialising takes. */
export interface InitParts {
  log: Log;
  faults: Faults;
  /** The symbols of vmlinux (null) or of a module; undefined while it is not loaded (L6, L21). */
  object(name: string | null): SymbolScope | undefined;
  /** The symbols of the image that holds new functions. */
  image(name: string): SymbolScope | undefined;
  /** The function of any image that holds an address (kallsyms_lookup_size_offset). */
  holder(address: bigint): KernelSymbol | undefined;
  /** ftrace_location: the site of the function that starts at an address (F9). */
  location(address: bigint): bigint | undefined;
  /**
   * Applies the klp relocations that an image has for a module that is loaded now (L18, L25).
   * @throws {PatchError} as applyRelocations
   */
  relocate(image: string, module: string): void;
  /** Makes the places of those relocations zero again. */
  clearRelocations(image: string, module: string): void;
}

/**
 * klp_init_patch.
 *
 * @param listed the patches there are, for nops (L55)
 * @throws {PatchError} EINVAL L9, L16, L17, L22, L23 · EEXIST an object or a func is named twice (L15, L24) · ENOENT a
 * size is unknown (L18)
 */
export function initPatch(spec: PatchSpec, listed: readonly Patch[], parts: InitParts): Patch {
  const imageName = spec.image ?? spec.name;
  const image = parts.image(imageName);
  if (image === undefined) {
    throw refusal(spec.name, 'EINVAL', `patch '${spec.name}' has no image '${imageName}'; load it first`);
  }
  // a caller without types may leave them out, as a module may (L9, L10)
  if (!Array.isArray(spec.objects)) throw refusal(spec.name, 'EINVAL', `patch '${spec.name}' has no objects`);
  const objects = spec.objects.map((object: ObjectSpec) => linkObject(spec.name, object, imageName, image, parts));
  const patch: Patch = { name: spec.name, spec, objects, enabled: false, forced: false };
  parts.faults.pass('sysfs-patch');
  if (spec.replace === true) patch.objects = addNops(patch, listed, parts.faults);
  const titles = new Set<string>();
  for (const object of patch.objects) initObject(patch.name, object, titles, parts);
  return patch;
}

/** An object as the patch's module brings it, its own symbols resolved by the linker. */
function linkObject(
  patch: string,
  object: ObjectSpec,
  imageName: string,
  image: SymbolScope,
  parts: InitParts,
): PatchObject {
  const { name, callbacks = {}, struct } = object;
  for (const callback of Object.values(callbacks)) {
    if (typeof callback === 'string') newSymbol(patch, callback, image);
  }
  if (!Array.isArray(object.funcs)) {
    throw refusal(patch, 'EINVAL', `object '${objectTitle(name)}' of patch '${patch}' has no funcs`);
  }
  const funcs = object.funcs.map((func: FuncSpec) => {
    if (func.newFunc === 0n) throw refusal(patch, 'EINVAL', `func '${func.oldName}' has no new function`, func.oldName);
    return makeFunc(patch, name, func, image, parts);
  });
  // an image that stays mapped between two enables stands for one that was inserted anew
  if (name !== null) parts.clearRelocations(imageName, name);
  return { name, funcs, callbacks, dynamic: false, struct, image: imageName, ...FRESH };
}

/**
 * klp_init_object: its directory, then those of its funcs, then its symbols where it is loaded.
 * @param titles the objects of the patch so far
 */
function initObject(patch: string, object: PatchObject, titles: Set<string>, parts: InitParts): void {
  const title = objectTitle(object.name);
  if (title.length >= MODULE_NAME_LEN) throw refusal(patch, 'EINVAL', `the object name '${title}' is too long`); // L16
  parts.faults.call('sysfs-object', () => makeDirectory(titles, title, patch, title));
  const directories = new Set<string>();
  for (const func of object.funcs) {
    const { oldName } = func;
    if (oldName === '') throw refusal(patch, 'EINVAL', 'a func has no old name'); // L17
    if (oldName.length >= KSYM_NAME_LEN) throw refusal(patch, 'EINVAL', `'${oldName}' is too long`, oldName);
    const directory = identityOf(func);
    parts.faults.call('sysfs-func', () =>
      makeDirectory(directories, directory, patch, `${title}/${directory}`, oldName),
    );
  }
  const scope = parts.object(object.name);
  if (scope !== undefined) initLoadedObject(object, scope, parts);
}

/** kobject_add: no directory exists twice (L15, L24). */
function makeDirectory(names: Set<string>, name: string, patch: string, title: string, func?: string): void {
  if (names.has(name)) throw refusal(patch, 'EEXIST', `patch '${patch}' names '${title}' twice`, func);
  names.add(name);
}

function refusal(patch: string, code: 'EINVAL' | 'EEXIST', fact: string, func?: string): PatchError {
  return new PatchError(code, fact, { operation: 'enable', patch, ...(func === undefined ? {} : { func }) });
}

/**
 * klp_init_object_loaded: resolves the originals of an object that is loaded now. Of an error nothing is left behind.
 * @throws {PatchError} EINVAL (L22, L23) · ENOENT (L18)
 */
export function initLoadedObject(object: PatchObject, scope: SymbolScope, parts: InitParts): void {
  const { faults, log } = parts;
  try {
    relocateObject(object, parts);
    for (const func of object.funcs) {
      const name = func.oldName;
      const sympos = BigInt(func.oldSympos);
      const about = { operation: 'enable', patch: func.patch, func: name };
      const refuse: Refusal = (code, event) => log.refuse(code, event, about);
      const found = faults.call(
        'symbol',
        () => findSymbol(scope, { name, sympos }, refuse),
        (code) => refuse(code, { kind: 'symbolNotFound', symbol: name }),
      );
      const { address, size } = found;
      needSize('size', size, (code) => refuse(code, { kind: 'sizeUnknown', func: name }), faults);
      func.old = { address, size, site: parts.location(address) };
      if (func.nop) {
        func.newFunc = address;
        func.newSize = size;
      }
      needSize('new-size', func.newSize, (code) => refuse(code, { kind: 'newSizeUnknown', func: name }), faults);
    }
  } catch (error) {
    forgetObject(object, parts);
    throw error;
  }
  object.loaded = true;
}

/** klp_apply_object_relocs (L18); those of vmlinux are applied when the patch's module is loaded. */
function relocateObject({ name, image }: PatchObject, { faults, relocate }: InitParts): void {
  if (name !== null) faults.call('relocations', () => image !== undefined && relocate(image, name));
}

/** kallsyms_lookup_size_offset (L18). */
function needSize(point: 'size' | 'new-size', size: bigint, refuse: FaultRefusal, faults: Faults): void {
  faults.pass(point, refuse);
  if (size === 0n) throw refuse('ENOENT');
}

/**
 * klp_clear_object_relocs and klp_free_object_loaded: what was resolved for an object that is gone.
 * @param parts undefined leaves its relocations as they are, as kernels before 6.3 do (L25)
 */
export function forgetObject(object: PatchObject, parts: Pick<InitParts, 'clearRelocations'> | undefined): void {
  const { name, image } = object;
  if (name !== null && image !== undefined) parts?.clearRelocations(image, name);
  object.loaded = false;
  for (const func of object.funcs) func.old = undefined;
}

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
