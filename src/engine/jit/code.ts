// Writes WebAssembly: the instructions of a function, and the module around it (WebAssembly core specification, 5).

/** Value types. */
export const I32 = 0x7f;
export const I64 = 0x7e;
export type ValueType = typeof I32 | typeof I64;

/** The instructions without immediates that traces need. */
const PLAIN = {
  else: 0x05,
  end: 0x0b,
  return: 0x0f,
  select: 0x1b,
  'i32.eqz': 0x45,
  'i32.eq': 0x46,
  'i32.ne': 0x47,
  'i32.ge_s': 0x4e,
  'i64.eqz': 0x50,
  'i64.eq': 0x51,
  'i64.ne': 0x52,
  'i64.lt_s': 0x53,
  'i64.lt_u': 0x54,
  'i64.le_s': 0x57,
  'i64.le_u': 0x58,
  'i32.popcnt': 0x69,
  'i32.add': 0x6a,
  'i32.sub': 0x6b,
  'i32.and': 0x71,
  'i32.or': 0x72,
  'i32.xor': 0x73,
  'i32.shr_u': 0x76,
  'i64.add': 0x7c,
  'i64.sub': 0x7d,
  'i64.mul': 0x7e,
  'i64.and': 0x83,
  'i64.or': 0x84,
  'i64.xor': 0x85,
  'i64.shl': 0x86,
  'i64.shr_s': 0x87,
  'i64.shr_u': 0x88,
  'i32.wrap_i64': 0xa7,
  'i64.extend_i32_u': 0xad,
  'i64.extend8_s': 0xc2,
  'i64.extend16_s': 0xc3,
  'i64.extend32_s': 0xc4,
} as const;

/** Loads and stores by width in bytes; loads extend with zeros. */
const LOAD_I64: Readonly<Record<number, number>> = { 1: 0x31, 2: 0x33, 4: 0x35, 8: 0x29 };
const STORE_I64: Readonly<Record<number, number>> = { 1: 0x3c, 2: 0x3d, 4: 0x3e, 8: 0x37 };
const LOAD_I32 = 0x28;
const STORE_I32 = 0x36;

/** The body of a function, an instruction per call. */
export class Code {
  readonly #bytes: number[] = [];
  readonly #locals: ValueType[] = [];
  readonly #parameters: number;

  /** @param parameters how many locals are the function's parameters */
  constructor(parameters: number) {
    this.#parameters = parameters;
  }

  /** A new local. */
  local(type: ValueType): number {
    this.#locals.push(type);
    return this.#parameters + this.#locals.length - 1;
  }

  op(name: keyof typeof PLAIN): this {
    return this.#put(PLAIN[name]);
  }

  i32(value: number): this {
    return this.#put(0x41).#signed(BigInt(value));
  }

  i64(value: bigint): this {
    return this.#put(0x42).#signed(BigInt.asIntN(64, value));
  }

  get(local: number): this {
    return this.#put(0x20).#unsigned(local);
  }

  set(local: number): this {
    return this.#put(0x21).#unsigned(local);
  }

  tee(local: number): this {
    return this.#put(0x22).#unsigned(local);
  }

  call(target: number): this {
    return this.#put(0x10).#unsigned(target);
  }

  loop(): this {
    return this.#put(0x03, 0x40);
  }

  /** Opens an `if`; `result` is what both arms leave. */
  if(result?: ValueType): this {
    return this.#put(0x04, result ?? 0x40);
  }

  /** Branches to the `depth`th enclosing block where the i32 on the stack is not 0. */
  brIf(depth: number): this {
    return this.#put(0x0d).#unsigned(depth);
  }

  /** Loads `size` bytes as an i64 from the i32 on the stack plus `offset`. */
  load(size: number, offset = 0): this {
    return this.#put(LOAD_I64[size] ?? 0, 0).#unsigned(offset);
  }

  /** Stores the low `size` bytes of the i64 on the stack. */
  store(size: number, offset = 0): this {
    return this.#put(STORE_I64[size] ?? 0, 0).#unsigned(offset);
  }

  loadI32(offset: number): this {
    return this.#put(LOAD_I32, 0).#unsigned(offset);
  }

  storeI32(offset: number): this {
    return this.#put(STORE_I32, 0).#unsigned(offset);
  }

  /** The function's entry in the code section. */
  finish(): number[] {
    const locals = this.#locals.flatMap((type) => [1, type]);
    const body = [...unsigned(this.#locals.length), ...locals, ...this.#bytes, PLAIN.end];
    return [...unsigned(body.length), ...body];
  }

  #put(...bytes: number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  #unsigned(value: number): this {
    return this.#put(...unsigned(value));
  }

  #signed(value: bigint): this {
    let rest = value;
    for (;;) {
      const byte = Number(rest & 0x7fn);
      rest >>= 7n;
      const last = (rest === 0n && byte < 0x40) || (rest === -1n && byte >= 0x40);
      this.#bytes.push(last ? byte : byte | 0x80);
      if (last) return this;
    }
  }
}

/** A function type. */
export interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A function that the module imports from `core`. */
export interface Import {
  readonly name: string;
  readonly signature: Signature;
}

/** A module over the memory `core.memory`, whose functions have one signature; the first is exported as `trace`. */
export function moduleOf(
  imports: readonly Import[],
  signature: Signature,
  functions: readonly number[][],
): Uint8Array<ArrayBuffer> {
  const types = [signature, ...imports.map((one) => one.signature)];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic, version
    ...section(1, vector(types.map(functionType))),
    ...section(
      2,
      vector([
        [...name('core'), ...name('memory'), 0x02, 0x00, 0x00], // memory, at least 0 pages
        ...imports.map((one, i) => [...name('core'), ...name(one.name), 0x00, ...unsigned(i + 1)]),
      ]),
    ),
    ...section(3, vector(functions.map(() => [0]))),
    ...section(7, vector([[...name('trace'), 0x00, ...unsigned(imports.length)]])),
    ...section(10, vector(functions)),
  ]);
}

function functionType({ parameters, results }: Signature): number[] {
  return [0x60, ...unsigned(parameters.length), ...parameters, ...unsigned(results.length), ...results];
}

function section(id: number, body: readonly number[]): number[] {
  return [id, ...unsigned(body.length), ...body];
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function name(text: string): number[] {
  return [...unsigned(text.length), ...Array.from(text, (char) => char.charCodeAt(0))];
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}
