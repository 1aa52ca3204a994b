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
  const random = new Random(seed, 'decoder');
  let left = count;
  return run(seed, {
    fill(chunk) {
      fill(chunk, random);
      const tries = Math.min(left, CHUNK);
      left -= tries;
      return tries;
    },
    length: () => (random.oneIn(12) ? 1 + random.below(14) : 15),
  });
}

/** Every opcode of every map with every ModRM byte, under each mandatory prefix or VEX payload; the rest is fixed. */
export async function sweep(): Promise<FuzzReport> {
  const heads = [
    ...[[], [0x66], [0xf2], [0xf3], [0x48], [0xf0]].flatMap((prefix) =>
      [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]].map((map) => [...prefix, ...map]),
    ),
    ...[0xe1, 0xe2, 0xe3].flatMap((map) =>
      [0, 1, 2, 3].flatMap((pp) => [0x78, 0xf8, 0x60].map((w) => [0xc4, map, w | pp])),
    ),
  ];
  let next = 0;
  return run(0, {
    fill(chunk) {
      let tries = 0;
      for (; tries < CHUNK && next < heads.length << 16; tries++, next++) {
        const head = heads[next >> 16] ?? [];
        chunk.set([...head, (next >> 8) & 0xff, next & 0xff, ...TAIL].slice(0, STRIDE), tries * STRIDE);
      }
      return tries;
    },
    length: () => 15,
  });
}

const TAIL = [0x24, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd];

/** Where the byte strings come from. */
interface Source {
  /** Puts strings into the chunk, STRIDE apart, and says how many; 0 ends the run. */
  fill(chunk: Uint8Array): number;
  /** How many bytes of the next one there are. */
  length(): number;
}

async function run(seed: number, source: Source): Promise<FuzzReport> {
  const isa = await Isa.create();
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
  for (let tries = source.fill(chunk); tries > 0; tries = source.fill(chunk)) {
    const decoder = new Decoder(64, chunk, DecoderOptions.None);
    for (let at = 0; at < tries * STRIDE; at += STRIDE) {
      const length = source.length();
      const bytes = chunk.subarray(at, at + length);
      report.tried++;
      const error = length === 15 ? decodeAt(decoder, at, instruction) : decodeCut(bytes, instruction);
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

function decodeAt(decoder: Decoder, at: number, instruction: Instruction): DecoderError {
  decoder.position = at;
  decoder.decodeOut(instruction);
  return decoder.lastError;
}

function decodeCut(bytes: Uint8Array, instruction: Instruction): DecoderError {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const error = decodeAt(decoder, 0, instruction);
  decoder.free();
  return error;
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
