// Random and mutated inputs for every judge: `npm run fuzz:check -- --seed S --inputs N --engine wasm`. Each must be answered or refused.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type CaseResult, casesOf, judgeCase, type RawCase } from '../../src/check/cases.ts';
import { keepEngines } from '../../src/check/engines.ts';
import type { EngineMaker } from '../../src/check/execute.ts';
import { judgeFree } from '../../src/check/free.ts';
import { judgePoke } from '../../src/check/poke.ts';
import { PROTOCOLS } from '../../src/check/poke-protocol.ts';
import { Random } from '../../src/check/random.ts';
import { SITE_KINDS } from '../../src/check/site.ts';
import { judgeTrampoline } from '../../src/check/trampoline.ts';
import type { EngineName } from '../../src/engine/engine.ts';
import { TrampolineError } from '../../src/errors.ts';
import { opsTrampoline } from '../../src/ftrace/trampoline.ts';

/** What a campaign saw. */
export interface FuzzResult {
  readonly verdicts: Readonly<Record<string, number>>;
  /** Errors of a type that says what is wrong with the input. */
  readonly refused: number;
  /** Inputs that ended otherwise: a crash, or far too long a time. */
  readonly failures: readonly string[];
  /** Bytes by which the process grew from the first tenth of the inputs to the end. */
  readonly growth: number;
}

/** No input may take longer; the judges are bounded by instructions, not by the clock. */
const LONGEST_MS = 20_000;

const SHARED: readonly RawCase[] = ['hook-cases', 'redirect-cases'].flatMap((name) =>
  casesOf(JSON.parse(readFileSync(new URL(`cases/${name}.json`, import.meta.url), 'utf8')), name),
);
const OURS = (['args', 'regs'] as const).map((kind) =>
  opsTrampoline({
    kind,
    kernel: '6.12',
    address: 0x1000_0000n,
    handler: 0x1001_0000n,
    ops: 5n,
    returnThunk: 0x1002_0000n,
  }),
);

/** Judges `inputs` inputs made from the seed. */
export async function fuzz(
  inputs: number,
  seed: number,
  engines: EngineMaker,
  onInput: (done: number) => void = () => {},
): Promise<FuzzResult> {
  const verdicts: Record<string, number> = {};
  const failures: string[] = [];
  let refused = 0;
  let before = 0;
  for (let i = 0; i < inputs; i++) {
    const random = new Random(seed + i * 7919);
    const start = performance.now();
    try {
      const { verdict } = await judgeOne(random, engines);
      verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
    } catch (error) {
      if (error instanceof TrampolineError || error instanceof RangeError) refused++;
      else
        failures.push(
          `seed ${seed}, input ${i}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
    }
    const took = performance.now() - start;
    if (took > LONGEST_MS) failures.push(`seed ${seed}, input ${i}: ${Math.round(took)} ms`);
    if (i === Math.floor(inputs / 10)) before = memoryNow();
    onInput(i + 1);
  }
  return { verdicts, refused, failures, growth: memoryNow() - before };
}

function memoryNow(): number {
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

async function judgeOne(random: Random, engines: EngineMaker): Promise<Pick<CaseResult, 'verdict'>> {
  const choice = random.next() % 16;
  if (choice < 9) return judgeCase(mutatedCase(random), engines);
  if (choice < 12) return judgeCase(randomCase(random), engines);
  if (choice < 13) return judgeTrampoline(trampoline(random), engines);
  if (choice < 15) return judgePoke(poke(random), engines);
  const stack = Array.from({ length: random.next() % 8 }, () => random.word());
  return judgeFree({ address: random.word(), bytes: random.bytes(8), tasks: [{ ip: random.word(), stack }] });
}

/** A shared case with some of its hex digits or fields changed, or with what no case holds. */
function mutatedCase(random: Random): RawCase {
  const original = SHARED[random.next() % SHARED.length] ?? {};
  return Object.fromEntries(Object.entries(original).map(([name, item]) => [name, changed(item, random)]));
}

const ODD = [
  null,
  -1,
  1e300,
  '',
  '0x',
  '0xffffffffffffffff',
  '0xfffffffffffffff0',
  [],
  {},
  'zz',
  16,
  65_537,
  true,
] as const;

function changed(value: unknown, random: Random): unknown {
  if (typeof value === 'string') {
    if (!/^(0x)?[0-9a-f]{2,}$/.test(value) || random.next() % 2 === 0) return value;
    const digits = [...value];
    for (let n = random.next() % 4; n >= 0; n--) {
      const at = (value.startsWith('0x') ? 2 : 0) + (random.next() % (value.length - (value.startsWith('0x') ? 2 : 0)));
      const kind = random.next() % 8;
      if (kind === 0) digits.splice(at & ~1, 2);
      else if (kind === 1) digits.splice(at & ~1, 0, ...random.pick(['00', 'cc', '66', 'e8', 'e2', 'f0']));
      else digits[at] = (random.next() % 16).toString(16);
    }
    return digits.join('');
  }
  if (random.next() % 40 === 0) return ODD[random.next() % ODD.length];
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => changed(item, random));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, changed(item, random)]));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function randomCase(random: Random): RawCase {
  const address = `0x${random.pick([0x40_1000n, random.word(), 0xffff_ffff_8100_0000n, 0n]).toString(16)}`;
  const input = hexOf(random.bytes(1 + (random.next() % 24)));
  const bitness = random.pick([64, 64, 64, 32, 16]);
  const kind = random.pick(['hook-trampoline', 'relocate-block', ...SITE_KINDS]);
  if (kind === 'hook-trampoline') {
    const trampoline = { address: '0x10004000', bytes: hexOf(random.bytes(1 + (random.next() % 32))) };
    return {
      id: 'r',
      bitness,
      function: { address, bytes: input, padding: 'cc' },
      patchLength: random.next() % 20,
      trampoline,
    };
  }
  const newAddress = `0x${(random.word() >> BigInt(random.next() % 40)).toString(16)}`;
  const expected = {
    newAddress,
    output: hexOf(random.bytes(1 + (random.next() % 32))),
    entryOffset: random.next() % 32,
  };
  return { id: 'r', kind, bitness, address, input, expected };
}

function trampoline(random: Random): Parameters<typeof judgeTrampoline>[0] {
  const kind = random.pick(['args', 'regs'] as const);
  const bytes = (OURS[kind === 'args' ? 0 : 1]?.bytes ?? new Uint8Array(1)).slice();
  for (let n = random.next() % 4; n >= 0; n--) bytes[random.next() % bytes.length] = random.next() & 0xff;
  const address = random.next() % 8 === 0 ? random.word() : 0x1000_0000n;
  return {
    kind,
    address,
    bytes,
    handler: 0x1001_0000n,
    ops: 5n,
    returnThunk: 0x1002_0000n,
    direct: random.next() % 4 === 0,
  };
}

function poke(random: Random): Parameters<typeof judgePoke>[0] {
  const size = 1 + (random.next() % 6);
  const address = random.next() % 4 === 0 ? random.word() : 0xffff_ffff_8100_0000n + BigInt(random.next() % 64);
  const known = ['0f1f440000', 'e8fb0f0000', 'e9fb0f0000', '9090909090', 'c3cccccccc'] as const;
  const bytes = (): Uint8Array =>
    random.next() % 2 === 0
      ? random.bytes(size)
      : Uint8Array.from(Buffer.from(random.pick(known), 'hex').subarray(0, size));
  return { address, oldBytes: bytes(), newBytes: bytes(), protocol: random.pick(PROTOCOLS) };
}

if (process.argv[1]?.endsWith('fuzz.ts')) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '20240613' },
      inputs: { type: 'string', default: '100000' },
      engine: { type: 'string', default: 'wasm' },
    },
  });
  const keeper = keepEngines(values.engine as EngineName);
  const [inputs, seed] = [Number(values.inputs), Number(values.seed)];
  const result = await fuzz(inputs, seed, keeper.engines, (done) => {
    if (done % 5000 === 0) console.error(`${done} inputs`);
  });
  keeper.dispose();
  for (const failure of result.failures) console.log(failure);
  console.log(
    `seed ${seed}, ${inputs} inputs on ${values.engine}: ${JSON.stringify(result.verdicts)}, ${result.refused} refused,`,
  );
  console.log(`${result.failures.length} failures, the process grew by ${(result.growth / 2 ** 20).toFixed(1)} MiB`);
  process.exitCode = result.failures.length === 0 ? 0 : 1;
}
