// How a cost grows: with the depth of a func stack, with functions, with tasks, with sites.
import type { EngineName } from '../engine/engine.ts';
import type { KernelVersion } from '../ftrace/trampoline.ts';
import type { PatchSpec } from '../livepatch/patch.ts';
import { USER_MAP } from '../machine/guest-map.ts';
import { Machine } from '../machine.ts';
import { type Counts, countCall } from './counts.ts';
import { installDriver, timeCalls } from './driver.ts';
import { addOps } from './mechanisms/ftrace.ts';
import { ARGUMENT, NEW_ADDS, OLD_ADDS } from './mechanisms/hot.ts';
import { livepatch, makeMachine, REPLACEMENT, subjectOf } from './mechanisms/machine.ts';
import { manyFunctions } from './object.ts';
import { type Summary, summary } from './statistics.ts';
import type { Subject } from './subject.ts';

/** One size and what was measured there. */
export interface SeriesPoint {
  readonly x: number;
  /** Exact counts of one call; absent where the host's own work is measured. */
  readonly counts?: Counts;
  /** Nanoseconds per call, or per patched function. */
  readonly ns?: Summary;
}

/** One line of a chart. */
export interface Series {
  readonly id: string;
  readonly title: string;
  /** What `x` counts. */
  readonly x: string;
  /** What `ns` is of. */
  readonly per: 'call' | 'function';
  readonly engine: EngineName;
  readonly points: readonly SeriesPoint[];
}

interface Definition extends Pick<Series, 'id' | 'title' | 'x' | 'per'> {
  readonly sizes: readonly number[];
  /** A call at a size. */
  readonly make?: (engine: EngineName, kernel: KernelVersion, size: number) => Promise<Subject>;
  /** Nanoseconds per function of the host's work at a size, once for each round. */
  readonly cost?: (engine: EngineName, kernel: KernelVersion, size: number, rounds: number) => Promise<number[]>;
}

/** Entries of the timed loop's table. */
const TABLE = 65_536;
const DECADES = [1, 10, 100, 1_000, 10_000];

/** Functions f0, f1 …, all patched; the loop calls them in random order. */
async function patchedFunctions(engine: EngineName, kernel: KernelVersion, functions: number): Promise<Subject> {
  const machine = await Machine.create({ engine, kernel, map: USER_MAP });
  return subjectOf(machine, () => {
    loadFunctions(machine, functions);
    machine.livepatch.enable(patchOf(functions));
    return {
      entry: 'vmlinux:f0',
      reaches: 'fix:f0',
      returns: ARGUMENT + BigInt(NEW_ADDS),
      portable: false,
      entries: randomOrder(functions).map((i) => machine.address(`vmlinux:f${i}`)),
    };
  });
}

/** Patches and unpatches all functions, again and again. */
async function patchingCost(engine: EngineName, kernel: KernelVersion, functions: number, rounds: number) {
  const machine = await Machine.create({ engine, kernel });
  try {
    loadFunctions(machine, functions);
    const patch = patchOf(functions);
    return Array.from({ length: rounds }, () => {
      const start = performance.now();
      machine.livepatch.enable(patch);
      machine.livepatch.disable(patch.name);
      return ((performance.now() - start) * 1e6) / functions;
    });
  } finally {
    machine.dispose();
  }
}

function loadFunctions(machine: Machine, functions: number): void {
  machine.load(manyFunctions(functions, OLD_ADDS, true), { name: 'vmlinux' });
  machine.load(manyFunctions(functions, NEW_ADDS, false), { name: 'fix', kind: 'livepatch' });
}

function patchOf(functions: number): PatchSpec {
  const funcs = Array.from({ length: functions }, (_, i) => ({ oldName: `f${i}`, newFunc: `f${i}` }));
  return { name: 'fix', objects: [{ name: null, funcs }] };
}

/** Numbers below `limit` in an order that is the same in every run (Numerical Recipes' generator). */
function randomOrder(limit: number): number[] {
  let state = 1;
  return Array.from({ length: TABLE }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  });
}

/** A machine in the middle of a transition: the calling task is patched, or it is not. */
const inTransition =
  (patched: boolean) =>
  (engine: EngineName, kernel: KernelVersion, tasks: number): Promise<Subject> =>
    makeMachine(engine, {
      kernel,
      handler: 'guest',
      options: { transition: 'manual', tasks: ['caller', ...Array.from({ length: tasks }, (_, i) => `t${i}`)] },
      reaches: patched ? REPLACEMENT : 'vmlinux:hot',
      patch: (machine) => {
        livepatch(machine);
        if (patched) machine.livepatch.switchTasks(['caller']);
      },
    });

const DEFINITIONS: readonly Definition[] = [
  {
    id: 'depth',
    title: 'livepatch, by patches on the function',
    x: 'depth of the func stack',
    per: 'call',
    sizes: [1, 2, 4, 8, 16],
    make: (engine, kernel, depth) =>
      makeMachine(engine, {
        kernel,
        handler: 'guest',
        reaches: REPLACEMENT,
        patch: (machine) => {
          for (let i = 0; i < depth; i++) livepatch(machine, `fix${i}`);
        },
      }),
  },
  {
    id: 'ops',
    title: 'ftrace, by ops on the function',
    x: 'ops on the site',
    per: 'call',
    sizes: [1, 2, 5, 10, 20, 50, 100],
    make: (engine, kernel, ops) =>
      makeMachine(engine, {
        kernel,
        handler: 'guest',
        reaches: 'fix:trace_nothing',
        patch: (machine) => addOps(machine, ops),
      }),
  },
  {
    id: 'functions',
    title: 'without handler, by patched functions called in random order',
    x: 'patched functions',
    per: 'call',
    sizes: [...DECADES, 50_000],
    make: patchedFunctions,
  },
  {
    id: 'transition-patched',
    title: 'livepatch, a patched task in a transition',
    x: 'other tasks',
    per: 'call',
    sizes: DECADES,
    make: inTransition(true),
  },
  {
    id: 'transition-unpatched',
    title: 'livepatch, an unpatched task in a transition',
    x: 'other tasks',
    per: 'call',
    sizes: DECADES,
    make: inTransition(false),
  },
  {
    id: 'patching',
    title: 'enable and disable',
    x: 'functions of the patch',
    per: 'function',
    sizes: DECADES,
    cost: patchingCost,
  },
];

/** What the series are measured with. */
export interface SeriesOptions {
  readonly engine: EngineName;
  readonly kernel: KernelVersion;
  readonly rounds: number;
  /** Calls in one sample; 0: counts only, and the largest sizes are left out. */
  readonly calls: number;
  readonly stop?: () => boolean;
  readonly onPoint?: (done: number, total: number) => void;
}

/** Sizes up to here are counted where nothing is timed. */
const QUICK_SIZE = 1_000;

/**
 * Measures all series, each result checked.
 * @throws {EngineError} a result is wrong, or the engine is not present
 */
export async function measureSeries(options: SeriesOptions): Promise<Series[]> {
  const { engine, calls } = options;
  const sizesOf = ({ sizes }: Definition) => (calls === 0 ? sizes.filter((size) => size <= QUICK_SIZE) : sizes);
  const total = DEFINITIONS.reduce((sum, definition) => sum + sizesOf(definition).length, 0);
  let done = 0;
  const measured: Series[] = [];
  for (const definition of DEFINITIONS) {
    const points: SeriesPoint[] = [];
    for (const size of sizesOf(definition)) {
      if (options.stop?.() === true) break;
      const point = await measurePoint(definition, size, options);
      if (point !== undefined) points.push(point);
      options.onPoint?.(++done, total);
      await new Promise((resolve) => setTimeout(resolve));
    }
    const { id, title, x, per } = definition;
    if (points.length > 0) measured.push({ id, title, x, per, engine, points });
  }
  return measured;
}

async function measurePoint(
  { make, cost }: Definition,
  x: number,
  { engine, kernel, rounds, calls }: SeriesOptions,
): Promise<SeriesPoint | undefined> {
  if (cost !== undefined) {
    return calls === 0 ? undefined : { x, ns: summary(await cost(engine, kernel, x, rounds)) };
  }
  const subject = await make?.(engine, kernel, x);
  if (subject === undefined) return undefined;
  try {
    const counts = countCall(subject);
    if (calls === 0) return { x, counts };
    installDriver(subject);
    timeCalls(subject, calls);
    const samples = Array.from({ length: rounds }, () => timeCalls(subject, calls) / calls);
    return { x, counts, ns: summary(samples) };
  } finally {
    subject.dispose();
  }
}
