// `npm run fuzz:livepatch -- --seed S --sequences N --engine wasm`: random lives of patches against the plain model; a failure becomes a scenario file.
import { mkdirSync, writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { EngineName } from '../../src/engine/engine.ts';
import { campaign, coverageText } from './campaign.ts';
import { describeOperation } from './sequence.ts';
import { scenarioOf } from './to-scenario.ts';

const ENGINES: readonly EngineName[] = ['wasm', 'unicorn', 'unicorn-native'];
const EXAMPLES = fileURLToPath(new URL('../../src/examples', import.meta.url));

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '20240613' },
    sequences: { type: 'string', default: '200000' },
    engine: { type: 'string', default: 'wasm' },
    'cpu-every': { type: 'string', default: '10' },
    out: { type: 'string', default: 'build/fuzz' },
    /** A failure is told as it was found, not made small. */
    'as-found': { type: 'boolean', default: false },
  },
});
const [seed, sequences, cpuEvery] = [values.seed, values.sequences, values['cpu-every']].map(Number) as [
  number,
  number,
  number,
];
const engine = ENGINES.find((name) => name === values.engine);
if (![seed, sequences, cpuEvery].every(Number.isSafeInteger) || sequences < 1 || cpuEvery < 1 || engine === undefined) {
  console.error(
    'usage: fuzz:livepatch [--seed N] [--sequences N] [--engine wasm|unicorn|unicorn-native] [--cpu-every N] [--out DIR]',
  );
  process.exit(2);
}

const hits = new Map<string, number>();
const onSequence = (done: number): void => {
  if (done % 20_000 === 0) console.error(`${done} sequences`);
};
const failure = await campaign({ engine, seed, sequences, cpuEvery, hits, onSequence, shrinks: !values['as-found'] });
if (failure === undefined) {
  const onCpu = Math.ceil(sequences / cpuEvery);
  console.log(`${sequences} sequences from seed ${seed} agree with the model, ${onCpu} of them on the CPU (${engine})`);
  console.log(coverageText(hits));
} else {
  mkdirSync(values.out, { recursive: true });
  const file = resolve(values.out, `livepatch-${failure.seed}.json`);
  writeFileSync(file, `${JSON.stringify(scenarioOf(failure.smallest, relative(values.out, EXAMPLES)), null, 2)}\n`);
  console.log(`seed ${failure.seed}: ${failure.message}`);
  console.log(failure.smallest.operations.map(describeOperation).join('\n'));
  console.log(`tramp64 verify ${file}`);
  process.exitCode = 1;
}
