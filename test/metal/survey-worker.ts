// Child process of the survey: runs the cases of the codes it is told on one engine, and prints a JSON line per event.
//
// Lines: {"at": id} before each code and after a mismatch that breaks the engine, {"mismatch": …}, {"done": code, "cases": n}.

import { createEngine } from '../../src/engine/create.ts';
import type { Engine, EngineName } from '../../src/engine/engine.ts';
import { createUnicorn } from '../../src/engine/unicorn.ts';
import { createUnicornNative } from '../../src/engine/unicorn-native.ts';
import { MetalBench } from './compare.ts';
import { loadVectors } from './load.ts';
import { casesOfSection } from './sections.ts';
import { EVERYTHING } from './unjudged.ts';
import { pairsOf } from './vectors.ts';

const [name = 'unicorn', skipText = '', ...codes] = process.argv.slice(2);
const skip = new Set(skipText.split(',').filter((id) => id !== ''));

async function open(): Promise<Engine> {
  if (name === 'unicorn') return createUnicorn(EVERYTHING);
  if (name === 'unicorn-native') return createUnicornNative(EVERYTHING);
  return createEngine(name as EngineName);
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const vectors = loadVectors();
let engine = await open();
let bench = new MetalBench(engine, vectors.seed);
for (const code of codes) {
  const section = vectors.sections.get(code);
  if (section === undefined) throw new Error(`no vectors of "${code}"`);
  let cases = 0;
  for (const { input, result } of pairsOf(section, casesOfSection(section, vectors.seed))) {
    cases++;
    if (skip.has(input.id)) continue;
    say({ at: input.id });
    const mismatch = bench.run(input, result);
    if (mismatch !== undefined) say({ mismatch });
    // Unicorn keeps an exception that it has raised, and makes a double fault of the next one
    const raised = result.vector !== undefined && result.vector !== 14;
    if (mismatch?.kind === 'broken' || mismatch?.kind === 'fault' || raised) {
      engine.dispose();
      engine = await open();
      bench = new MetalBench(engine, vectors.seed);
    }
  }
  say({ done: code, cases });
}
engine.dispose();
