// What the bare CPU answered, kept as a file: only results, and of them only what changed; inputs come from the seed.
//
// The file is gzip of: "T64M" · u32 version · u32 seed · u16 + UTF-8 JSON about the host · u32 sections, and per
// section (one instruction code, or `program`): u8 + name · u32 cases · u32 hash of the inputs · u32 + results.
// A result: u8 kind (bits FAULT 1, RIP 2, GPRS 4, RFLAGS 8, XMM 16, RAM 32), then for each bit that is set, in order:
//   FAULT   u8 exception vector; for 14 also u64 CR2, u8 error code
//   RIP     u64, where it is not the byte after the case (FAULT: not its first byte)
//   GPRS    u16 mask of changed registers, u64 each
//   RFLAGS  u16, the bits of layout's FLAGS
//   XMM     u16 mask of changed registers, 16 bytes each
//   RAM     u8 count, each u16 offset into the data page, u8 length, bytes
// All numbers are little-endian.

import { Reader, Writer } from './bytes.ts';
import { type Case, CODE, type Result } from './layout.ts';
import { hash } from './random.ts';

const MAGIC = 0x4d34_3654;
const VERSION = 1;
const FAULT = 1;
const RIP = 2;
const GPRS = 4;
const RFLAGS = 8;
const XMM = 16;
const RAM = 32;

/** The CPU that answered. */
export interface Host {
  cpu: string;
  /** iced's names of its CPUID features, as far as cases depend on them. */
  features: string[];
}

export interface Section {
  name: string;
  count: number;
  /** inputHash of the cases in order. */
  inputs: number;
  results: Uint8Array;
}

export interface Vectors {
  seed: number;
  host: Host;
  sections: Map<string, Section>;
}

/** Reads an uncompressed vector file. @throws {RangeError} not one, or cut short */
export function readVectors(data: Uint8Array): Vectors {
  const reader = new Reader(data);
  if (reader.u32() !== MAGIC) throw new RangeError('byte 0: no metal vectors');
  const version = reader.u32();
  if (version !== VERSION) throw new RangeError(`byte 4: vectors of version ${version}, expected ${VERSION}`);
  const seed = reader.u32();
  const host = JSON.parse(text(reader, reader.u16())) as Host;
  const sections = new Map<string, Section>();
  for (let i = reader.u32(); i > 0; i--) {
    const name = text(reader, reader.u8());
    const count = reader.u32();
    const inputs = reader.u32();
    sections.set(name, { name, count, inputs, results: reader.bytes(reader.u32()) });
  }
  return { seed, host, sections };
}

/** The uncompressed vector file. */
export function writeVectors(vectors: Vectors): Uint8Array {
  const writer = new Writer();
  writer.u32(MAGIC);
  writer.u32(VERSION);
  writer.u32(vectors.seed);
  const host = new TextEncoder().encode(JSON.stringify(vectors.host));
  writer.u16(host.length);
  writer.bytes(host);
  writer.u32(vectors.sections.size);
  for (const section of vectors.sections.values()) {
    const name = new TextEncoder().encode(section.name);
    writer.u8(name.length);
    writer.bytes(name);
    writer.u32(section.count);
    writer.u32(section.inputs);
    writer.u32(section.results.length);
    writer.bytes(section.results);
  }
  return writer.finish();
}

/** Reads the next result of a section. */
export function readResult(reader: Reader, input: Case): Result {
  const kind = reader.u8();
  const result: Result = { rip: CODE, gprs: new Map(), flags: input.flags, xmm: new Map(), memory: [] };
  if ((kind & FAULT) !== 0) {
    result.vector = reader.u8();
    if (result.vector === 14) {
      result.address = reader.u64();
      result.error = reader.u8();
    }
  } else {
    result.rip = CODE + BigInt(input.bytes.length);
  }
  if ((kind & RIP) !== 0) result.rip = reader.u64();
  if ((kind & GPRS) !== 0) for (const i of bitsOf(reader.u16())) result.gprs.set(i, reader.u64());
  if ((kind & RFLAGS) !== 0) result.flags = reader.u16();
  if ((kind & XMM) !== 0) for (const i of bitsOf(reader.u16())) result.xmm.set(i, reader.bytes(16));
  if ((kind & RAM) !== 0) {
    for (let i = reader.u8(); i > 0; i--) {
      const offset = reader.u16();
      result.memory.push({ offset, bytes: reader.bytes(reader.u8()) });
    }
  }
  return result;
}

/** All results of a section, with the cases they answer. @throws {RangeError} these are not the cases it was made from */
export function* pairsOf(section: Section, cases: Iterable<Case>): Generator<{ input: Case; result: Result }> {
  const reader = new Reader(section.results);
  let count = 0;
  let inputs = HASH_START;
  for (const input of cases) {
    count++;
    inputs = inputHash(input, inputs);
    yield { input, result: readResult(reader, input) };
  }
  if (count !== section.count || inputs !== section.inputs) {
    throw new RangeError(
      `${section.name}: the generator changed since the vectors were made; run test/metal/record.ts`,
    );
  }
}

export const HASH_START = 0x811c9dc5;

/** A case's input, hashed on to those before it. */
export function inputHash(input: Case, before: number): number {
  return hash(encodeCase(input), before);
}

/** A case as the runner reads it: u16 + code, 16 × u64, u32 flags, 256 bytes xmm, u8 patches of u16, u8 + bytes. */
export function encodeCase(input: Case): Uint8Array {
  const writer = new Writer();
  writer.u16(input.bytes.length);
  writer.bytes(input.bytes);
  for (const value of input.gprs) writer.u64(value);
  writer.u32(input.flags);
  writer.bytes(input.xmm);
  writer.u8(input.patches.length);
  for (const patch of input.patches) {
    writer.u16(patch.offset);
    writer.u8(patch.bytes.length);
    writer.bytes(patch.bytes);
  }
  return writer.finish();
}

function bitsOf(mask: number): number[] {
  return Array.from({ length: 16 }, (_, i) => i).filter((i) => (mask >> i) & 1);
}

function text(reader: Reader, length: number): string {
  return new TextDecoder().decode(reader.bytes(length));
}
