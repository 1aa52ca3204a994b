// The values of module parameters in guest memory: stored from text and shown as text, by their types (kernel/params.c).
import type { Engine } from '../engine/engine.ts';
import { type ErrnoName, errnoName, PatchError } from '../errors.ts';
import { parseBool } from '../livepatch/sysfs.ts';
import type { Argument } from './arguments.ts';
import type { GuestHeap } from './guest-heap.ts';
import type { ParameterKind } from './kernel-data.ts';
import { parseInteger, shownNumber } from './parameter-text.ts';
import { readGuest } from './patch-struct.ts';

/** What storing and showing take. */
export interface ParameterParts {
  readonly engine: Engine;
  readonly heap: GuestHeap;
  /** By the address of the kernel's own kernel_param_ops. */
  readonly kinds: ReadonlyMap<bigint, ParameterKind>;
  /** Writes a line into the kernel log. */
  say(line: string): void;
  /** Calls a guest function; its rax. */
  runGuest(target: bigint, args: readonly Argument[]): bigint;
}

/** struct kernel_param (6.1 and 6.12). */
export const KERNEL_PARAM = { size: 0x28, name: 0, ops: 0x10, perm: 0x18, arg: 0x20 };
/** struct kernel_param_ops. */
const OPS = { set: 8, get: 0x10 };
/** struct kparam_array: max, elemsize, num, ops, elem. */
const ARRAY_SIZE = 0x20;
/** A charp is no longer than this (param_set_charp). */
const MAX_CHARP = 1024;
/** What a get writes into, and the most that is shown. */
const PAGE = 4096;

/** A parameter, or an element of one. */
export interface Parameter {
  /** The struct kernel_param. */
  readonly address: bigint;
  readonly name: string;
  readonly ops: bigint;
  readonly arg: bigint;
  /** Mode bits of its file; 0: it has none. */
  readonly perm: number;
}

/** An array's struct kparam_array. */
interface ArrayOf {
  readonly max: number;
  readonly elementSize: bigint;
  /** Where the count of elements is kept; 0: nowhere. */
  readonly num: bigint;
  readonly ops: bigint;
  readonly element: bigint;
}

/** A text, or why there is none. */
export type Shown = { readonly text: string } | { readonly errno: ErrnoName };

/** Stores and shows. */
export class ParameterValues {
  readonly #parts: ParameterParts;
  /** Texts that were allocated, by the pointer that holds them. */
  readonly #texts = new Map<string, Map<bigint, bigint>>();

  /** @param from those of the machine that this one is a fork of */
  constructor(parts: ParameterParts, from?: ParameterValues) {
    this.#parts = parts;
    if (from !== undefined) for (const [module, texts] of from.#texts) this.#texts.set(module, new Map(texts));
  }

  /** Frees what the parameters of a module have allocated. */
  forget(module: string): void {
    for (const place of this.#texts.get(module)?.values() ?? []) this.#parts.heap.free(place);
    this.#texts.delete(module);
  }

  /** The errno of a text that cannot be stored; undefined where it was. */
  store(module: string, parameter: Parameter, text: string): ErrnoName | undefined {
    const { kinds } = this.#parts;
    const { ops, arg } = parameter;
    const type = kinds.get(ops);
    switch (type?.kind) {
      case undefined:
        return this.#storeByGuest(parameter, text);
      case 'array':
        return this.#storeArray(module, parameter, text);
      case 'charp':
        return this.#storeCharp(module, arg, text);
      case 'string':
        return this.#storeString(arg, text);
      case 'bool': {
        const value = parseBool(text);
        if (value === undefined) return 'EINVAL';
        return this.#write(arg, value === type.inverted ? 0n : 1n, type.bytes);
      }
      case 'integer': {
        const value = parseInteger(text, type.signed, type.bytes);
        return typeof value === 'string' ? value : this.#write(arg, value, type.bytes);
      }
    }
  }

  /** What its file reads, without the newline. */
  show(parameter: Parameter): Shown {
    const { kinds, engine } = this.#parts;
    const { ops, arg } = parameter;
    const type = kinds.get(ops);
    switch (type?.kind) {
      case undefined:
        return this.#showByGuest(parameter);
      case 'array':
        return this.#showArray(parameter);
      case 'charp': {
        const [place] = quads(readGuest(engine, arg, 8));
        return place === 0n ? { text: '(null)' } : this.#textAt(place);
      }
      case 'string':
        return this.#textAt(quads(readGuest(engine, arg, 16))[1]);
      case 'bool':
      case 'integer': {
        const bytes = readGuest(engine, arg, type.bytes);
        if (bytes === undefined) return { errno: 'EFAULT' };
        const value = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
        return { text: shownNumber(type, value) };
      }
    }
  }

  /** A setter of the module's own. */
  #storeByGuest({ address, ops }: Parameter, text: string): ErrnoName | undefined {
    const [set] = quads(readGuest(this.#parts.engine, ops + BigInt(OPS.set), 8));
    if (set === undefined) return 'EFAULT';
    if (set === 0n) return 'EPERM';
    const result = Number(BigInt.asIntN(32, this.#parts.runGuest(set, [text, address])));
    return result === 0 ? undefined : (errnoName(result) ?? 'EINVAL');
  }

  #showByGuest({ address, ops }: Parameter): Shown {
    const { engine, heap, runGuest } = this.#parts;
    const [get] = quads(readGuest(engine, ops + BigInt(OPS.get), 8));
    if (get === undefined) return { errno: 'EFAULT' };
    if (get === 0n) return { errno: 'EPERM' };
    const buffer = heap.allocate(BigInt(PAGE), true);
    if (buffer === 0n) return { errno: 'ENOMEM' };
    try {
      const result = Number(BigInt.asIntN(32, runGuest(get, [buffer, address])));
      if (result < 0) return { errno: errnoName(result) ?? 'EINVAL' };
      return { text: textOf(engine.read(buffer, Math.min(result, PAGE))) };
    } finally {
      heap.free(buffer);
    }
  }

  /** param_array: the elements before the one that is wrong stay, and so does their count. */
  #storeArray(module: string, parameter: Parameter, text: string): ErrnoName | undefined {
    const array = this.#arrayOf(parameter);
    if (typeof array === 'string') return array;
    const pieces = text.split(',');
    for (const [i, piece] of pieces.entries()) {
      const failed = this.#count(array, i) ?? this.#storeElement(module, parameter, array, i, piece);
      if (failed !== undefined) return failed;
    }
    return this.#count(array, pieces.length);
  }

  #count({ num }: ArrayOf, count: number): ErrnoName | undefined {
    return num === 0n ? undefined : this.#write(num, BigInt(count), 4);
  }

  #storeElement(module: string, parameter: Parameter, array: ArrayOf, i: number, text: string): ErrnoName | undefined {
    if (i >= array.max) {
      this.#parts.say(`${parameter.name}: can only take ${array.max} arguments`);
      return 'EINVAL';
    }
    return this.#asElement(parameter, array, i, (element) => this.store(module, element, text)) ?? undefined;
  }

  #showArray(parameter: Parameter): Shown {
    const array = this.#arrayOf(parameter);
    if (typeof array === 'string') return { errno: array };
    const { engine } = this.#parts;
    const counted = array.num === 0n ? undefined : readGuest(engine, array.num, 4);
    if (array.num !== 0n && counted === undefined) return { errno: 'EFAULT' };
    const count = counted === undefined ? array.max : new DataView(counted.slice().buffer).getUint32(0, true);
    let text = '';
    for (let i = 0; i < count && text.length < PAGE; i++) {
      const shown = this.#asElement(parameter, array, i, (element) => this.show(element));
      if ('errno' in shown) return shown;
      text += i === 0 ? shown.text : `,${shown.text}`;
    }
    return { text };
  }

  /**
   * Where the module brings the type of the elements, its functions get a struct kernel_param of each.
   * @throws {PatchError} ENOMEM no room for one
   */
  #asElement<Answer>(parameter: Parameter, array: ArrayOf, i: number, use: (element: Parameter) => Answer): Answer {
    const { kinds, heap, engine } = this.#parts;
    const element = { ...parameter, ops: array.ops, arg: array.element + BigInt(i) * array.elementSize };
    if (kinds.has(array.ops)) return use(element);
    const address = heap.allocate(BigInt(KERNEL_PARAM.size), true);
    if (address === 0n) {
      throw new PatchError('ENOMEM', `no memory for an element of '${parameter.name}'`, { operation: 'parameter' });
    }
    try {
      const bytes = engine.read(parameter.address, KERNEL_PARAM.size).slice();
      new DataView(bytes.buffer).setBigUint64(KERNEL_PARAM.arg, BigInt.asUintN(64, element.arg), true);
      engine.write(address, bytes);
      return use({ ...element, address });
    } finally {
      heap.free(address);
    }
  }

  #arrayOf({ arg }: Parameter): ArrayOf | ErrnoName {
    const bytes = readGuest(this.#parts.engine, arg, ARRAY_SIZE);
    if (bytes === undefined) return 'EFAULT';
    const view = new DataView(bytes.slice().buffer);
    const ops = view.getBigUint64(0x10, true);
    // an array of arrays has no text
    if (this.#parts.kinds.get(ops)?.kind === 'array') return 'EINVAL';
    return {
      max: view.getUint32(0, true),
      elementSize: BigInt(view.getUint32(4, true)),
      num: view.getBigUint64(8, true),
      ops,
      element: view.getBigUint64(0x18, true),
    };
  }

  #storeCharp(module: string, arg: bigint, text: string): ErrnoName | undefined {
    const bytes = new TextEncoder().encode(`${text}\0`);
    if (bytes.length - 1 > MAX_CHARP) return 'ENOSPC';
    const { heap, engine } = this.#parts;
    const place = heap.allocate(BigInt(bytes.length), false);
    if (place === 0n) return 'ENOMEM';
    const failed = this.#write(arg, place, 8);
    if (failed !== undefined) {
      heap.free(place);
      return failed;
    }
    engine.write(place, bytes);
    const texts = this.#texts.get(module) ?? new Map<bigint, bigint>();
    this.#texts.set(module, texts);
    heap.free(texts.get(arg) ?? 0n);
    texts.set(arg, place);
    return undefined;
  }

  /** struct kparam_string: the room with its terminator, and where it lies. */
  #storeString(arg: bigint, text: string): ErrnoName | undefined {
    const [room = 0n, place] = quads(readGuest(this.#parts.engine, arg, 16));
    if (place === undefined) return 'EFAULT';
    const bytes = new TextEncoder().encode(`${text}\0`);
    if (bytes.length > Number(BigInt.asUintN(32, room))) return 'ENOSPC';
    if (readGuest(this.#parts.engine, place, bytes.length) === undefined) return 'EFAULT';
    this.#parts.engine.write(place, bytes);
    return undefined;
  }

  /** A text with its NUL, at most a page of it. */
  #textAt(place: bigint | undefined): Shown {
    const bytes: number[] = [];
    for (let at = place; at !== undefined && bytes.length < PAGE; at = BigInt.asUintN(64, at + 1n)) {
      const byte = readGuest(this.#parts.engine, at, 1)?.[0];
      if (byte === undefined) return { errno: 'EFAULT' };
      if (byte === 0) break;
      bytes.push(byte);
    }
    return place === undefined ? { errno: 'EFAULT' } : { text: textOf(Uint8Array.from(bytes)) };
  }

  #write(place: bigint, value: bigint, bytes: number): ErrnoName | undefined {
    if (readGuest(this.#parts.engine, place, bytes) === undefined) return 'EFAULT';
    const quad = new Uint8Array(8);
    new DataView(quad.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.#parts.engine.write(place, quad.subarray(0, bytes));
    return undefined;
  }
}

/** Up to the newline with which every get ends. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/\n$/, '');
}

function quads(bytes: Uint8Array | undefined): bigint[] {
  return bytes === undefined ? [] : [...new BigUint64Array(bytes.slice().buffer)];
}
