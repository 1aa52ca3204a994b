// Decodes struct klp_patch from guest memory: patch → object → func, with callbacks and states (L1–L5).
import { hex } from '../address.ts';
import type { GuestMemory } from './guest-memory.ts';

/** Sizes and offsets in bytes, as 6.1 and 6.12 have them without debug options. */
export const KLP_PATCH = { size: 0xc8, mod: 0, objs: 8, states: 0x10, replace: 0x18, enabled: 0x80, forced: 0x81 };
export const KLP_OBJECT = { size: 0xa8, name: 0, funcs: 8, callbacks: 0x10, mod: 0x98, patched: 0xa1 };
export const KLP_FUNC = {
  ...{ size: 0x98, oldName: 0, newFunc: 8, oldSympos: 0x10, oldFunc: 0x18, oldSize: 0x80, newSize: 0x88 },
  ...{ patched: 0x91, transition: 0x92 },
};
export const KLP_STATE = { size: 0x18, id: 0, version: 8 };

/** Names are cut where they are too long for the kernel, which then refuses them (L16, L17). */
const NAME_ROOM = 600;
/** More than these no patch has; an array without a terminator ends in an error. */
const MAX_OBJECTS = 4096;
const MAX_FUNCS = 200_000;
const MAX_STATES = 4096;

/** One function to replace. */
export interface GuestFunc {
  /** Where the struct lies. */
  readonly address: bigint;
  /** Empty where old_name is NULL. */
  readonly oldName: string;
  readonly newFunc: bigint;
  readonly oldSympos: bigint;
}

/** Addresses of the callbacks; 0 = none. */
export interface GuestCallbacks {
  readonly prePatch: bigint;
  readonly postPatch: bigint;
  readonly preUnpatch: bigint;
  readonly postUnpatch: bigint;
}

export interface GuestObject {
  readonly address: bigint;
  /** Null = vmlinux. */
  readonly name: string | null;
  readonly funcs: readonly GuestFunc[];
  readonly callbacks: GuestCallbacks;
}

export interface GuestState {
  readonly address: bigint;
  readonly id: bigint;
  readonly version: number;
}

/** A patch as its module wrote it. */
export interface GuestPatch {
  readonly address: bigint;
  /** THIS_MODULE, or 0. */
  readonly mod: bigint;
  readonly replace: boolean;
  readonly objects: readonly GuestObject[];
  readonly states: readonly GuestState[];
}

/**
 * Decodes a patch. Everything it points to is bounded: an array ends at its terminator (L5), at the end of memory or at
 * a limit, and no struct belongs to two arrays.
 *
 * @throws {PatchError} EINVAL the patch or its objs is NULL (L9), an object has no funcs array (L10), an array
 * has no terminator, or two arrays share a struct · EFAULT a pointer leads outside memory. `address` says where.
 */
export function decodePatch(memory: GuestMemory, address: bigint): GuestPatch {
  if (address === 0n) throw memory.error('EINVAL', 'the patch is NULL,', address);
  const view = memory.view(address, KLP_PATCH.size, 'struct klp_patch');
  const mod = view.getBigUint64(KLP_PATCH.mod, true);
  const objs = view.getBigUint64(KLP_PATCH.objs, true);
  const states = view.getBigUint64(KLP_PATCH.states, true);
  if (objs === 0n) throw memory.error('EINVAL', 'the patch has no objs (NULL),', address + BigInt(KLP_PATCH.objs));
  const arrays = new Arrays(memory);
  return {
    address,
    mod,
    replace: view.getUint8(KLP_PATCH.replace) !== 0,
    objects: arrays.read(objs, OBJECTS).map(([one, at]) => decodeObject(memory, arrays, one, at)),
    states: (states === 0n ? [] : arrays.read(states, STATES)).map(([one, at]) => {
      return { address: at, id: quad(one, KLP_STATE.id), version: one.getUint32(KLP_STATE.version, true) };
    }),
  };
}

/**
 * klp_get_state: the address of the state with this id of a patch, or 0 (L80).
 * @throws {PatchError} EFAULT, EINVAL as decodePatch
 */
export function findState(memory: GuestMemory, patch: bigint, id: bigint): bigint {
  const states = quad(memory.view(patch, KLP_PATCH.size, 'struct klp_patch'), KLP_PATCH.states);
  if (states === 0n) return 0n;
  const found = new Arrays(memory).read(states, STATES).find(([state]) => quad(state, KLP_STATE.id) === id);
  return found?.[1] ?? 0n;
}

function decodeObject(memory: GuestMemory, arrays: Arrays, view: DataView, address: bigint): GuestObject {
  const name = quad(view, KLP_OBJECT.name);
  const funcs = quad(view, KLP_OBJECT.funcs);
  if (funcs === 0n) throw memory.error('EINVAL', 'an object has no funcs (NULL),', address + BigInt(KLP_OBJECT.funcs));
  const callback = (index: number): bigint => quad(view, KLP_OBJECT.callbacks + 8 * index);
  return {
    address,
    name: name === 0n ? null : memory.text(name, "an object's name", NAME_ROOM),
    funcs: arrays.read(funcs, FUNCS).map(([one, at]) => decodeFunc(memory, one, at)),
    callbacks: {
      prePatch: callback(0),
      postPatch: callback(1),
      preUnpatch: callback(2),
      postUnpatch: callback(3),
    },
  };
}

function decodeFunc(memory: GuestMemory, view: DataView, address: bigint): GuestFunc {
  const oldName = quad(view, KLP_FUNC.oldName);
  return {
    address,
    oldName: oldName === 0n ? '' : memory.text(oldName, "a func's old_name", NAME_ROOM),
    newFunc: quad(view, KLP_FUNC.newFunc),
    oldSympos: quad(view, KLP_FUNC.oldSympos),
  };
}

function quad(view: DataView, offset: number): bigint {
  return view.getBigUint64(offset, true);
}

/** A kind of array: its structs, how many there may be, and which one ends it (L5). */
interface ArrayKind {
  readonly title: string;
  readonly size: number;
  readonly most: number;
  readonly isEnd: (view: DataView) => boolean;
}

const OBJECTS: ArrayKind = {
  ...{ title: 'struct klp_object', size: KLP_OBJECT.size, most: MAX_OBJECTS },
  isEnd: (view) => quad(view, KLP_OBJECT.name) === 0n && quad(view, KLP_OBJECT.funcs) === 0n,
};
const FUNCS: ArrayKind = {
  ...{ title: 'struct klp_func', size: KLP_FUNC.size, most: MAX_FUNCS },
  isEnd: (view) => [KLP_FUNC.oldName, KLP_FUNC.newFunc, KLP_FUNC.oldSympos].every((at) => quad(view, at) === 0n),
};
const STATES: ArrayKind = {
  ...{ title: 'struct klp_state', size: KLP_STATE.size, most: MAX_STATES },
  isEnd: (view) => quad(view, KLP_STATE.id) === 0n,
};

/** Reads the arrays of one patch; what they hold together is bounded, and no struct is part of two. */
class Arrays {
  readonly #memory: GuestMemory;
  readonly #starts = new Set<bigint>();

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** The structs before the terminator, with their addresses. */
  read(start: bigint, { title, size, most, isEnd }: ArrayKind): [DataView, bigint][] {
    const found: [DataView, bigint][] = [];
    for (let at = start; ; at += BigInt(size)) {
      const view = this.#memory.view(at, size, `${title} of the array at ${hex(start)}`);
      // arrays may share a terminator, as that says nothing about either
      if (isEnd(view)) return found;
      if (this.#starts.has(at)) throw this.#memory.error('EINVAL', `${title} is part of another array too,`, at);
      this.#starts.add(at);
      found.push([view, at]);
      if (found.length > most || this.#starts.size > MAX_FUNCS) {
        throw this.#memory.error('EINVAL', `no terminator among ${found.length} of ${title} in the array`, start);
      }
    }
  }
}
