// The instruction set of the CPU in the module: the rows of its opcode tables, and its decoder for single instructions.
import { Instance } from './instance.ts';

/** One row of the opcode tables. */
export interface IsaRow {
  /** As the manual writes it: `01`, `80 /0`, `50+r`, `66 0f 6f`, `vex f2 0f38 f6`. */
  readonly opcode: string;
  /** Table, opcode and digit (8: none) as one number; names the row. */
  readonly place: number;
}

/** What bytes are to the decoder. The order is that of `Decoded` in assembly/cpu/decode.ts. */
export const DECODED = ['straight', 'branch', 'invalid', 'outside', 'short', 'too-long'] as const;

/** An instruction as the decoder sees it. */
export interface DecodedBytes {
  /**
   * `straight` and `branch`: an instruction of the set. `invalid`: none that a CPU knows (#UD). `outside`: perhaps one,
   * but not of the set. `short`: more bytes are needed. `too-long`: more than 15 bytes (#GP).
   */
  readonly kind: (typeof DECODED)[number];
  /** Bytes; 0 where it is no instruction of the set. */
  readonly length: number;
  /** The place of its row. */
  readonly place: number;
}

// The order of `Table` in assembly/cpu/rows.ts.
const PREFIXES = ['', '66 ', 'f3 ', 'f2 '];
const TABLES: readonly string[] = [
  '',
  ...PREFIXES.map((prefix) => `${prefix}0f `),
  ...PREFIXES.map((prefix) => `${prefix}0f38 `),
  ...PREFIXES.map((prefix) => `${prefix}0f3a `),
  ...PREFIXES.map((prefix) => `vex ${prefix}0f38 `),
  'vex f2 0f3a ',
  '0f 01 ',
];
const ROW_BYTES = 8;
const NO_DIGIT = 8;
/** Bytes for decoded blocks; nothing is run here. */
const POOL = 1 << 20;

/** Opcode tables and decoder of an instance of their own. */
export class Isa {
  readonly #instance: Instance;
  /** Every row, in the order of the tables. */
  readonly rows: readonly IsaRow[];
  /** The rows that stand for eight opcodes, by the place of each of these. */
  readonly #spans = new Map<number, number>();

  /** @throws {Error} no memory for the CPU's tables */
  static async create(): Promise<Isa> {
    return new Isa(await Instance.create());
  }

  private constructor(instance: Instance) {
    const { exports } = instance;
    if (exports.initCpu(exports.used(), POOL) === 0) throw new Error('no memory for the tables of the CPU');
    this.#instance = instance;
    const list = exports.isaList() >>> 0;
    this.rows = Array.from({ length: exports.isaRows() }, (_, i) => this.#row(list + i * ROW_BYTES));
  }

  /** Decodes the instruction that `bytes` begin with; at most 15 bytes count. */
  decode(bytes: Uint8Array): DecodedBytes {
    const { exports, u8 } = this.#instance;
    const count = Math.min(bytes.length, 15);
    u8.set(count < bytes.length ? bytes.subarray(0, count) : bytes, exports.DECODE_AT.value);
    const answer = exports.decodeBytes(count);
    const place = exports.decodedPlace();
    return {
      kind: DECODED[answer & 0xff] ?? 'invalid',
      length: answer >>> 8,
      place: this.#spans.get(place) ?? place,
    };
  }

  #row(at: number): IsaRow {
    const [table = 0, opcode = 0, digit = 0, span = 0] = this.#instance.u8.subarray(at, at + 4);
    const place = (table << 16) | (opcode << 8) | digit;
    for (let i = 1; i < span; i++) this.#spans.set(place + (i << 8), place);
    const suffix = digit === NO_DIGIT ? (span > 1 ? '+r' : '') : ` /${digit}`;
    return { opcode: `${TABLES[table] ?? ''}${opcode.toString(16).padStart(2, '0')}${suffix}`, place };
  }
}
