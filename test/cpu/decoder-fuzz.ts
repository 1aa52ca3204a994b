// Random bytes through the WASM CPU's decoder and through iced-x86: they agree on what is an instruction and how long.
//
// Run: npx tsx test/cpu/decoder-fuzz.ts [COUNT] [SEED]; 10,000,000 take some minutes.

import { pathToFileURL } from 'node:url';
import { Code, Decoder, DecoderError, DecoderOptions, EncodingKind, Instruction } from 'iced-x86';
import { hexBytes } from '../../src/address.ts';
import { Isa } from '../../src/wasm/isa.ts';
import { Random } from '../metal/random.ts';
import { explain, isOfTheSet } from './supported.ts';

/** What a fuzz run found. */
export interface FuzzReport {
  seed: number;
  tried: number;
  /** Instructions of the set on which both agree, in length too. */
  instructions: number;
  /** Bytes that both call invalid, too long or cut short. */
  refused: number;
  /** Outside the set, and known to iced; and outside the set, of which iced says that they are invalid. */
  outside: number;
  unclaimed: number;
  /** Disagreements that a rule in supported.ts explains, by rule. */
  explained: Map<string, number>;
  /** Those that none explains, with the bytes; the first of each iced code. */
  disagreements: string[];
}

/** Bytes of one try; 16 apart in a chunk, so that iced never lacks any. */
const STRIDE = 16;
const CHUNK = 4096;

/** Fuzzes `count` byte strings. */
export async function fuzz(count: number, seed: number): Promise<FuzzReport> {
  const isa = await Isa.create();
  const random = new Random(seed, 'decoder');
  const report: FuzzReport = {
    seed,
    tried: 0,
    instructions: 0,
    refused: 0,
    outside: 0,
    unclaimed: 0,
    explained: new Map(),
    disagreements: [],
  };
  const seen = new Set<string>();
  const instruction = new Instruction();
  const chunk = new Uint8Array(CHUNK * STRIDE);
  while (report.tried < count) {
    fill(chunk, random);
    const decoder = new Decoder(64, chunk, DecoderOptions.None);
    for (let at = 0; at < chunk.length && report.tried < count; at += STRIDE) {
      const length = random.oneIn(12) ? 1 + random.below(14) : 15;
      const bytes = chunk.subarray(at, at + length);
      report.tried++;
      let error: DecoderError;
      if (length === 15) {
        decoder.position = at;
        decoder.decodeOut(instruction);
        error = decoder.lastError;
      } else {
        const cut = new Decoder(64, bytes, DecoderOptions.None);
        cut.decodeOut(instruction);
        error = cut.lastError;
        cut.free();
      }
      const found = compare(isa, bytes, instruction, error, report);
      if (found === undefined || seen.has(found.key)) continue;
      seen.add(found.key);
      report.disagreements.push(found.text);
    }
    decoder.free();
  }
  instruction.free();
  return report;
}

/** Half of the tries random bytes, half an opcode map after random prefixes: the maps behind 0f and VEX are rare else. */
function fill(chunk: Uint8Array, random: Random): void {
  const words = new DataView(chunk.buffer);
  for (let at = 0; at < chunk.length; at += 4) words.setUint32(at, random.next(), true);
  for (let at = 0; at < chunk.length; at += STRIDE) {
    if (random.oneIn(2)) continue;
    let next = at;
    for (let prefixes = random.below(4); prefixes > 0; prefixes--) chunk[next++] = random.pick(PREFIXES);
    if (random.oneIn(3)) chunk[next++] = 0x40 | random.below(16);
    for (const byte of random.pick(MAPS)) chunk[next++] = byte;
  }
}

const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65] as const;
const MAPS: readonly (readonly number[])[] = [
  [],
  [0x0f],
  [0x0f, 0x38],
  [0x0f, 0x3a],
  [0xc4, 0xe2],
  [0x0f, 0xae],
  [0x0f, 1],
];

function compare(
  isa: Isa,
  bytes: Uint8Array,
  instruction: Instruction,
  error: DecoderError,
  report: FuzzReport,
): { key: string; text: string } | undefined {
  const { kind, length } = isa.decode(bytes);
  const { code } = instruction;
  const valid = code !== Code.INVALID;
  if (kind === 'straight' || kind === 'branch') {
    if (valid && instruction.length === length) {
      report.instructions++;
      return undefined;
    }
  } else if (kind === 'outside') {
    if (!valid) {
      report.unclaimed++;
      return undefined;
    }
    if (!isOfTheSet(code)) {
      report.outside++;
      return undefined;
    }
  } else if (kind === 'short' ? error === DecoderError.NoMoreBytes : error === DecoderError.InvalidInstruction) {
    report.refused++;
    return undefined;
  }
  const rule = explain(bytes, kind, instruction);
  if (rule !== undefined) {
    report.explained.set(rule, (report.explained.get(rule) ?? 0) + 1);
    return undefined;
  }
  const name = Code[code] ?? '?';
  return {
    key: `${kind} ${name}`,
    text: `${hexBytes(bytes)}: ${kind}, ${length} bytes; iced-x86: ${name}, ${instruction.length} bytes, ${DecoderError[error]}, ${EncodingKind[instruction.encoding]}`,
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [count = '1000000', seed = String(Date.now() % 2 ** 32)] = process.argv.slice(2);
  const report = await fuzz(Number(count), Number(seed));
  const { explained, disagreements, ...numbers } = report;
  console.log(JSON.stringify({ ...numbers, explained: Object.fromEntries(explained) }, null, 2));
  for (const line of disagreements) console.log(line);
  console.log(`${disagreements.length} unexplained disagreements`);
  process.exitCode = disagreements.length > 0 ? 1 : 0;
}
