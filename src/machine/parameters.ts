// Module parameters: the text of each is stored where the module's struct kernel_param says (kernel/params.c).
import type { Engine } from '../engine/engine.ts';
import { type ErrnoName, errnoName, PatchError } from '../errors.ts';
import type { LoadedImage } from '../image/image.ts';
import { GuestMemory } from '../livepatch/guest-memory.ts';
import { parseBool } from '../livepatch/sysfs.ts';
import type { Argument } from './arguments.ts';
import type { GuestHeap } from './guest-heap.ts';
import type { ParameterKind } from './kernel-data.ts';
import { readGuest } from './patch-struct.ts';

/** Parameters as insmod gets them: a text, or a number or truth value that stands for one. */
export type Parameters = Readonly<Record<string, string | bigint | boolean>>;

/** What setting takes. */
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
const KERNEL_PARAM = { size: 0x28, name: 0, ops: 0x10, arg: 0x20 };
const PARAM_OPS_SET = 8;
/** A charp is no longer than this (param_set_charp), a name than a page. */
const MAX_CHARP = 1024;
const MAX_NAME = 256;

interface Parameter {
  readonly address: bigint;
  readonly name: string;
  readonly ops: bigint;
  readonly arg: bigint;
}

/** Sets the parameters of modules. */
export class ModuleParameters {
  readonly #parts: ParameterParts;
  /** Texts that were allocated, by the pointer that holds them. */
  readonly #texts = new Map<string, Map<bigint, bigint>>();

  /** @param from those of the machine that this one is a fork of */
  constructor(parts: ParameterParts, from?: ModuleParameters) {
    this.#parts = parts;
    if (from !== undefined) for (const [module, texts] of from.#texts) this.#texts.set(module, new Map(texts));
  }

  /**
   * parse_args of a module that is loading. A parameter that the module does not have is ignored with a line in the log.
   *
   * @throws {PatchError} EINVAL a text is no value of the parameter's type · ERANGE it does not fit · ENOSPC it is too
   * long · EFAULT the module's table leads outside memory · what a setter of the module's own returned
   */
  set(image: LoadedImage, parameters: Parameters): void {
    const entries = Object.entries(parameters);
    if (entries.length === 0) return;
    const known = this.#table(image);
    for (const [name, value] of entries) {
      const text = typeof value === 'boolean' ? (value ? 'Y' : 'N') : String(value);
      const parameter = known.find((one) => dashed(one.name) === dashed(name));
      if (parameter === undefined) this.#parts.say(`${image.name}: unknown parameter '${name}' ignored`);
      else this.#setOne(image.name, parameter, text);
    }
  }

  /** destroy_params: frees what the parameters of a module that goes have allocated. */
  forget(module: string): void {
    for (const place of this.#texts.get(module)?.values() ?? []) this.#parts.heap.free(place);
    this.#texts.delete(module);
  }

  #table(image: LoadedImage): Parameter[] {
    const { engine } = this.#parts;
    const memory = new GuestMemory((at, size) => readGuest(engine, at, size), { operation: 'load', patch: image.name });
    return image.sections
      .filter((section) => section.name === '__param')
      .flatMap(({ address, size }) =>
        Array.from({ length: Math.floor(size / KERNEL_PARAM.size) }, (_, i) => {
          const at = address + BigInt(i * KERNEL_PARAM.size);
          const view = memory.view(at, KERNEL_PARAM.size, 'struct kernel_param');
          return {
            address: at,
            name: memory.text(view.getBigUint64(KERNEL_PARAM.name, true), "a parameter's name", MAX_NAME),
            ops: view.getBigUint64(KERNEL_PARAM.ops, true),
            arg: view.getBigUint64(KERNEL_PARAM.arg, true),
          };
        }),
      );
  }

  #setOne(module: string, parameter: Parameter, text: string): void {
    const code = this.#store(module, parameter, text);
    if (code === undefined) return;
    const fact =
      code === 'ENOSPC'
        ? `${module}: \`${text}' too large for parameter \`${parameter.name}'`
        : `${module}: \`${text}' invalid for parameter \`${parameter.name}'`;
    this.#parts.say(fact);
    throw new PatchError(code, fact, { operation: 'load' });
  }

  /** The errno of a text that cannot be stored; undefined where it was. */
  #store(module: string, parameter: Parameter, text: string): ErrnoName | undefined {
    const { kinds, engine, runGuest } = this.#parts;
    const type = kinds.get(parameter.ops);
    if (type === undefined) {
      const [set] = quads(readGuest(engine, parameter.ops + BigInt(PARAM_OPS_SET), 8));
      if (set === undefined) return 'EFAULT';
      const result = Number(BigInt.asIntN(32, runGuest(set, [text, parameter.address])));
      return result === 0 ? undefined : (errnoName(result) ?? 'EINVAL');
    }
    if (type.kind === 'charp') return this.#storeCharp(module, parameter.arg, text);
    if (type.kind === 'string') return this.#storeString(parameter.arg, text);
    if (type.kind === 'bool') {
      const value = parseBool(text);
      if (value === undefined) return 'EINVAL';
      return this.#write(parameter.arg, value === type.inverted ? 0n : 1n, type.bytes);
    }
    const value = parseInteger(text, type.signed, type.bytes);
    return typeof value === 'string' ? value : this.#write(parameter.arg, value, type.bytes);
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

  #write(place: bigint, value: bigint, bytes: number): ErrnoName | undefined {
    if (readGuest(this.#parts.engine, place, bytes) === undefined) return 'EFAULT';
    const quad = new Uint8Array(8);
    new DataView(quad.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.#parts.engine.write(place, quad.subarray(0, bytes));
    return undefined;
  }
}

/** Names are the same with `-` and `_` (parameq). */
function dashed(name: string): string {
  return name.replaceAll('-', '_');
}

const NUMBER = /^([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)\n?$/i;

/** kstrtoll and its kin, base 0. */
function parseInteger(text: string, signed: boolean, bytes: number): bigint | 'EINVAL' | 'ERANGE' {
  const match = NUMBER.exec(text);
  const [, sign = '', digits = ''] = match ?? [];
  if (match === null || (sign === '-' && !signed)) return 'EINVAL';
  const octal = /^0[0-7]+$/.test(digits);
  const magnitude = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  const value = sign === '-' ? -magnitude : magnitude;
  const fits = signed ? BigInt.asIntN(8 * bytes, value) === value : BigInt.asUintN(8 * bytes, value) === value;
  return fits ? value : 'ERANGE';
}

function quads(bytes: Uint8Array | undefined): bigint[] {
  return bytes === undefined ? [] : [...new BigUint64Array(bytes.slice().buffer)];
}
