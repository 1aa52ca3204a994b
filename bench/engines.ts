// How fast is a redirected call on each CPU? `npm run bench:engines`; with `-- --quick` only the results are checked.
import { mkdirSync, writeFileSync } from 'node:fs';
import { coldCall } from './engines/cold.ts';
import {
  FUNCTIONS,
  type GuestRun,
  guestImage,
  hotLoop,
  type Order,
  oneFunction,
  plainCall,
  tableOfFunctions,
  variantFunction,
} from './engines/guest.ts';
import { checkAll, type Entrant, Figures, timeRound, warmUp } from './engines/measure.ts';
import { Patching } from './engines/patch.ts';
import {
  BARE,
  INTERPRETER,
  JIT,
  judge,
  MACHINE_UNICORN,
  MACHINE_WASM,
  NATIVE,
  print,
  printParts,
  printTimes,
  QEMU,
  UNICORN_JS,
} from './engines/rows.ts';
import { Harness, type Subject, timeDispatch, unicornJsSubject, wasmSubject } from './engines/subjects.ts';
import { machineLine } from './support/report.ts';

const quick = process.argv.includes('--quick');
const ROUNDS = quick ? 0 : 9;
const SAMPLES = 7;
const PATCH_CYCLES = 20;
/** Milliseconds per program, before anything counts. */
const WARM_UP = 1500;
const RESULTS = new URL('results/', import.meta.url);

/** The tables: one function, a thousand in random order, all in random order. */
const ORDERS: readonly (readonly [string, Order])[] = [
  ['same', [0]],
  ['thousand', shuffled(1000)],
  ['all', shuffled(FUNCTIONS)],
];

/** The programs in the size that suits a CPU's speed. */
function programs(calls: number, rows: readonly string[]): Record<string, GuestRun> {
  const tables = ORDERS.map(([name, order], i): [string, GuestRun] => [name, tableOfFunctions(i, order, calls)]);
  const all: [string, GuestRun][] = [
    ['one', oneFunction(calls)],
    ['variant', variantFunction(calls)],
    ['plain', plainCall(calls)],
    ['loop', hotLoop(calls * 8)],
    ...tables,
  ];
  return Object.fromEntries(all.filter(([row]) => rows.includes(row)));
}

/** Every number below `count`, in a fixed random order. */
function shuffled(count: number): number[] {
  let state = 1;
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}

const absent = new Map<string, string>();
const entrants: Entrant[] = [];

/** Adds a subject that may not be there; every one that is must give the right results. */
async function enter(name: string, make: () => Promise<Subject>, runs: Record<string, GuestRun>): Promise<void> {
  try {
    entrants.push({ name, subject: await make(), runs });
  } catch (error) {
    absent.set(name, error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
  }
}

const image = guestImage(ORDERS.map(([, order]) => order));
const everything = ['one', 'plain', 'loop', 'same', 'thousand', 'all'];
await enter(INTERPRETER, () => wasmSubject(image, false), programs(65_536, everything));
await enter(JIT, () => wasmSubject(image, 'sync'), programs(65_536, [...everything, 'variant']));
await enter(UNICORN_JS, () => unicornJsSubject(image), programs(2_048, ['one', 'loop']));
let harness: Harness | undefined;
try {
  harness = new Harness(image);
} catch {
  for (const name of [NATIVE, QEMU, BARE]) absent.set(name, 'gcc cannot build bench/native/harness.c');
}
if (harness !== undefined) {
  const built = harness;
  await enter(NATIVE, () => built.start('unicorn'), programs(4_096, ['one', 'loop']));
  await enter(QEMU, () => built.start('native', ['qemu-x86_64']), programs(65_536, ['one', 'loop', 'thousand']));
  await enter(BARE, () => built.start('native'), programs(65_536, everything));
}

await checkAll(entrants);
const figures = new Figures();
const dispatchTime = quick ? 0 : await timeDispatch(image);
const patching = new Map(
  await Promise.all(
    ([MACHINE_WASM, MACHINE_UNICORN] as const).map(
      async (name): Promise<[string, Patching]> => [
        name,
        await Patching.create(name === MACHINE_WASM ? 'wasm' : 'unicorn'),
      ],
    ),
  ),
);
for (const machine of patching.values()) machine.cycle(1);
if (!quick) {
  const here = entrants.filter(({ name }) => name === INTERPRETER || name === JIT);
  await warmUp(here, WARM_UP);
  const end = performance.now() + WARM_UP;
  while (performance.now() < end) patching.get(MACHINE_WASM)?.cycle(PATCH_CYCLES);
}
for (let round = 0; round < ROUNDS; round++) {
  await timeRound(entrants, round, SAMPLES, figures);
  for (const [name, machine] of patching) figures.add(name, 'patch', machine.time(SAMPLES, PATCH_CYCLES));
  figures.add(MACHINE_WASM, 'cold', coldCall('wasm'));
  figures.add(MACHINE_UNICORN, 'cold', coldCall('unicorn'));
}
for (const machine of patching.values()) machine.dispose();
for (const { subject } of entrants) subject.close();
harness?.remove();

if (quick) {
  const checked = entrants.map(({ name }) => name).join(', ');
  const missing = [...absent].map(([name, why]) => `; ${name} not: ${why}`).join('');
  console.log(`engines: every call is redirected and every result right on ${checked}${missing}`);
  // there everything is installed, so what is absent was not checked
  if (process.env.CI !== undefined && absent.size > 0) process.exitCode = 1;
} else {
  const rows = judge(figures);
  print(rows, absent);
  printTimes(figures);
  printParts(figures, dispatchTime);
  console.log(machineLine());
  mkdirSync(RESULTS, { recursive: true });
  const document = { machine: machineLine(), rows, times: figures.all(), absent: Object.fromEntries(absent) };
  writeFileSync(new URL('engines.json', RESULTS), `${JSON.stringify(document, undefined, 2)}\n`);
  if (rows.some(({ met }) => met !== true)) process.exitCode = 1;
}
