// Runs the suites: `npm run bench [-- NAME…]`; with `-- --quick` only the results are checked, as in CI.
import { mkdirSync, writeFileSync } from 'node:fs';
import { benchBoundary } from './boundary.ts';
import { benchDispatch } from './dispatch.ts';
import { benchForks } from './forks.ts';
import { benchImages } from './images.ts';
import { benchLivepatch } from './livepatch.ts';
import { benchMechanisms } from './mechanisms.ts';
import { benchPatchedCall } from './patched-call.ts';
import { isMet, machineLine, printGoals } from './support/report.ts';
import type { Suite } from './support/suite.ts';
import { benchValidate } from './validate.ts';

const SUITES: readonly Suite[] = [
  {
    name: 'dispatch',
    question: 'How much faster than Map<bigint> is the core’s look-up?',
    checks: 'all answers equal those of Map<bigint>',
    run: async (options) => ({ goals: await benchDispatch(options) }),
  },
  {
    name: 'boundary',
    question: 'In what form do addresses cross from JavaScript to WASM fastest?',
    checks: 'all forms give the same answers',
    run: benchBoundary,
  },
  {
    name: 'patched-call',
    question: 'What does a redirected call cost through the library?',
    checks: 'every call runs the patched function and returns its result',
    run: benchPatchedCall,
  },
  {
    name: 'mechanisms',
    question: 'What does each way to redirect a call cost, counted, emulated and on the bare CPU?',
    checks: 'every row is counted twice with the same figures, and runs on the bare CPU',
    run: benchMechanisms,
  },
  {
    name: 'images',
    question: 'How fast are objects loaded and their sites found?',
    checks: 'every function has its site',
    run: benchImages,
  },
  {
    name: 'forks',
    question: 'What does a fork of a loaded machine cost, and going from one side to the other?',
    checks: 'each side has its own memory and patches',
    run: benchForks,
  },
  {
    name: 'validate',
    question: 'How many hook cases a second does `check --cases` judge on two cores?',
    checks: 'every verdict is the recorded one',
    run: benchValidate,
  },
  {
    name: 'livepatch',
    question: 'How long do large patches and large transitions take?',
    checks: 'every patch comes, reaches all tasks, and leaves',
    run: benchLivepatch,
  },
];

const RESULTS = new URL('results/', import.meta.url);
const quick = process.argv.includes('--quick');
const names = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const unknown = names.find((name) => !SUITES.some((suite) => suite.name === name));
if (unknown !== undefined)
  throw new Error(`no suite '${unknown}'; there are ${SUITES.map(({ name }) => name).join(', ')}`);

for (const { name, question, checks, run } of SUITES) {
  if (names.length > 0 && !names.includes(name)) continue;
  const { goals, data } = await run({ quick });
  if (quick) {
    console.log(`${name}: ${checks}`);
    continue;
  }
  if (goals.length > 0) printGoals(question, goals);
  if (!goals.every(isMet)) process.exitCode = 1;
  mkdirSync(RESULTS, { recursive: true });
  const result = { suite: name, question, machine: machineLine(), goals, data };
  writeFileSync(new URL(`${name}.json`, RESULTS), `${JSON.stringify(result, null, 1)}\n`);
}
if (!quick) console.log(machineLine());
