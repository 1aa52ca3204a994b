// Structs in guest memory: little-endian fields, written in one go or one by one.
import type { Engine } from '../../engine/engine.ts';

/** A struct that is being put together. */
export class Struct {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u64(offset: number, value: bigint): this {
    this.#view.setBigUint64(offset, BigInt.asUintN(64, value), true);
    return this;
  }

  i32(offset: number, value: number): this {
    this.#view.setInt32(offset, value, true);
    return this;
  }

  u8(offset: number, value: number): this {
    this.#view.setUint8(offset, value);
    return this;
  }
}

/** Writes a u64 field. */
export function writeU64(engine: Engine, at: bigint, value: bigint): void {
  engine.write(at, new Struct(8).u64(0, value).bytes);
}

/** Reads a u64 field. */
export function readU64(engine: Engine, at: bigint): bigint {
  return new DataView(engine.read(at, 8).buffer).getBigUint64(0, true);
}
