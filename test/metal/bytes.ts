// Little-endian reading and writing of growing byte buffers.

/** Appends numbers and bytes to a buffer that grows. */
export class Writer {
  private buffer = new Uint8Array(1 << 10);
  private view = new DataView(this.buffer.buffer);
  private length = 0;

  u8(value: number): void {
    this.room(1);
    this.view.setUint8(this.length++, value);
  }
  u16(value: number): void {
    this.room(2);
    this.view.setUint16(this.length, value, true);
    this.length += 2;
  }
  u32(value: number): void {
    this.room(4);
    this.view.setUint32(this.length, value, true);
    this.length += 4;
  }
  u64(value: bigint): void {
    this.room(8);
    this.view.setBigUint64(this.length, value, true);
    this.length += 8;
  }
  bytes(value: Uint8Array): void {
    this.room(value.length);
    this.buffer.set(value, this.length);
    this.length += value.length;
  }
  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }

  private room(size: number): void {
    if (this.length + size <= this.buffer.length) return;
    const bigger = new Uint8Array(Math.max(2 * this.buffer.length, this.length + size));
    bigger.set(this.buffer);
    this.buffer = bigger;
    this.view = new DataView(bigger.buffer);
  }
}

/** Reads numbers and bytes in order; past the end a RangeError is thrown. */
export class Reader {
  private readonly view: DataView;
  private readonly data: Uint8Array;
  at = 0;

  constructor(data: Uint8Array) {
    this.data = data;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  u8(): number {
    return this.view.getUint8(this.at++);
  }
  u16(): number {
    this.at += 2;
    return this.view.getUint16(this.at - 2, true);
  }
  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }
  u64(): bigint {
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }
  bytes(length: number): Uint8Array {
    if (this.at + length > this.data.length)
      throw new RangeError(`byte ${this.at}: ${length} bytes wanted past the end`);
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }
}
