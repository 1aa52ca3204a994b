// How fast are objects loaded, relocated and their sites found? By size, with the growth from one size to the next.
import { ElfFile } from '../src/image/elf.ts';
import { loadImage } from '../src/image/load.ts';
import { manyFunctions } from '../src/measure/object.ts';
import { type Cases, type Figures, median, timeRound } from './support/rounds.ts';
import type { SuiteOptions, SuiteResult } from './support/suite.ts';

const SIZES = [500, 5_000, 50_000];
const BASE = 0xffff_ffff_8100_0000n;
const ROUNDS = 5;
const SECONDS = 0.4;

/** Loads an object and looks at what came out. @throws {Error} a function has no site */
function load(bytes: Uint8Array, functions: number): void {
  const image = loadImage(ElfFile.parse(bytes, 'many.o'), { base: BASE, resolve: () => undefined });
  const sited = image.functions.filter(({ site }) => site !== undefined).length;
  if (sited !== functions || image.sites.length !== functions) {
    throw new Error(`bench: ${sited} of ${functions} functions have a site`);
  }
}

/** Measures, or with `quick` loads the smaller objects once. */
export async function benchImages({ quick }: SuiteOptions): Promise<SuiteResult> {
  const sizes = quick ? SIZES.slice(0, 2) : SIZES;
  const objects = sizes.map((functions) => ({ functions, bytes: manyFunctions(functions, 1, true) }));
  for (const { bytes, functions } of objects) load(bytes, functions);
  if (quick) return { goals: [] };
  const cases: Cases = Object.fromEntries(
    objects.map(({ functions, bytes }) => [String(functions), () => load(bytes, functions)]),
  );
  const figures: Figures = new Map();
  for (let round = 0; round < ROUNDS; round++) {
    await timeRound(`images, round ${round + 1} of ${ROUNDS}`, cases, round, SECONDS, figures);
  }
  const times = objects.map(({ functions, bytes }) => {
    const seconds = median(figures.get(String(functions)));
    return {
      functions,
      bytes: bytes.length,
      milliseconds: seconds * 1e3,
      mibPerSecond: bytes.length / 2 ** 20 / seconds,
    };
  });
  for (const { functions, milliseconds, mibPerSecond } of times) {
    console.log(`  ${functions} functions: ${milliseconds.toFixed(1)} ms, ${mibPerSecond.toFixed(0)} MiB/s`);
  }
  // bigints are objects: what grows faster than the number of functions is the collector's work
  for (const [i, { functions, milliseconds }] of times.slice(1).entries()) {
    const growth = milliseconds / (times[i]?.milliseconds ?? Number.NaN);
    console.log(`  ${functions} functions take ${growth.toFixed(1)} times as long as ${times[i]?.functions}`);
  }
  return { goals: [], data: { times } };
}
