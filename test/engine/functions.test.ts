// Whole compiled functions: every variant of the fixtures on every engine gives what the same C gave on the bare CPU.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { bytesOfHex, hexBytes } from '../../src/address.ts';
import type { Argument } from '../../src/machine/arguments.ts';
import { Machine } from '../../src/machine.ts';
import { compiledFixtures } from '../cpu/coverage.ts';
import { OBJECTS, readManifest } from '../fixtures/manifest.ts';
import { Random } from '../metal/random.ts';
import { ENGINES } from '../support/engines.ts';

const SEED = 0x66_756e_63;
const scratch = mkdtempSync(join(tmpdir(), 'tramp64-functions-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const noGcc = spawnSync('gcc', ['--version']).error === undefined ? '' : ' (skipped: gcc is missing)';
const committed = readdirSync(OBJECTS)
  .filter((name) => /^target-.*\.o$/.test(name))
  .map((name) => join(OBJECTS, name));

/** A call and what it gives. */
interface Call {
  function: string;
  /** A function stands for the address of that function. */
  args: (Argument | (() => string))[];
}

type Answer = readonly [returns: bigint, rdx: bigint | undefined, buffers: readonly string[]];

const native = readManifest().expected.filter(({ image }) => image === 'target');

/** A recorded case as a call, with the indices of its named buffers. */
function callOf({ function: name, args }: (typeof native)[number]): Call & { named: number[] } {
  const named: number[] = [];
  const values = args.map((arg, i): Call['args'][number] => {
    if (typeof arg === 'number' || typeof arg === 'string') return BigInt(arg);
    if ('symbol' in arg) return () => arg.symbol;
    if ('text' in arg) return new TextEncoder().encode(`${arg.text}\0`);
    named.push(i);
    return bytesOfHex(arg.data);
  });
  return { function: name, args: values, named };
}

/** Seeded calls of what takes numbers only, and of what works on a buffer. */
function randomCalls(count: number): Call[] {
  const random = new Random(SEED, 'functions');
  const text = (size: number) =>
    Uint8Array.from({ length: size + 1 }, (_, i) => (i < size ? 0x61 + random.below(3) : 0));
  const makers: (() => Call)[] = [
    () => ({ function: 'operate', args: [BigInt(random.below(11)), random.u64(), random.u64()] }),
    () => ({ function: 'divide', args: [random.u64(), random.u64()] }),
    () => ({ function: 'sum_eight', args: Array.from({ length: 8 }, () => random.u64()) }),
    () => ({ function: 'compare_up', args: [random.u64(), random.u64()] }),
    () => ({ function: 'tail_call', args: [random.u64()] }),
    () => ({ function: 'checksum', args: [text(random.below(40)), BigInt(random.below(48))] }),
    () => ({ function: 'find_text', args: [text(24), text(1 + random.below(4))] }),
    () => ({ function: 'reverse_text', args: [text(random.below(60)), 64n] }),
  ];
  return Array.from({ length: count }, () => random.pick(makers)());
}

async function answers(object: string, engine: (typeof ENGINES)[number], calls: readonly Call[]): Promise<Answer[]> {
  const machine = await Machine.create({ engine });
  machine.load(new Uint8Array(readFileSync(object)), { name: 'vmlinux' });
  const given = calls.map(({ function: name, args }): Answer => {
    const values = args.map((arg) => (typeof arg === 'function' ? machine.address(arg()) : arg));
    const { returns, rdx, buffers } = machine.call(name, values);
    const bytes = buffers.map((at, i) => {
      const arg = args[i];
      return at === undefined || !(arg instanceof Uint8Array) ? '' : hexBytes(machine.read(at, arg.length));
    });
    return [returns, name === 'divide' ? rdx : undefined, bytes];
  });
  machine.dispose();
  return given;
}

const random = randomCalls(120);
/** What the first variant gives on the WASM CPU; every other one must give the same. */
const reference = answers(join(OBJECTS, 'target-kernel-O2.o'), 'wasm', random);

async function check(object: string, engine: (typeof ENGINES)[number]): Promise<void> {
  expect(await answers(object, engine, random), `seed ${SEED}`).toEqual(await reference);
  const calls = native.map(callOf);
  const given = await answers(object, engine, calls);
  for (const [i, one] of native.entries()) {
    const [returns, rdx, buffers] = given[i] ?? [];
    const title = `${one.function} ${JSON.stringify(one.args)}`;
    expect(returns, title).toBe(BigInt(one.returns));
    if (one.rdx !== undefined) expect(rdx, title).toBe(BigInt(one.rdx));
    const wanted = Object.values(one.memory ?? {});
    expect(calls[i]?.named.map((index) => buffers?.[index]?.replaceAll(' ', '')) ?? [], title).toEqual(wanted);
  }
}

describe.each(ENGINES)('on %s', (engine) => {
  test.each(committed.map((object) => basename(object)))('each function of %s', (name) =>
    check(join(OBJECTS, name), engine),
  );
});

test.skipIf(noGcc !== '')(`on wasm, each function compiled at -O1 and -O3${noGcc}`, async () => {
  const objects = compiledFixtures(scratch, ['-O1', '-O3']).filter((path) => basename(path).startsWith('target-'));
  expect(objects.length).toBeGreaterThan(10);
  for (const object of objects) await check(object, 'wasm');
});
