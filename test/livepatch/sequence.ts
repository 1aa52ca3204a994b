// Random lives of patches as data: what is patched, and which operations follow one another. The same seed, the same life.
import { FUNCTIONS, type PatchPlan, type Policy } from './model.ts';

/** The tasks of every sequence. */
export const TASKS = ['t0', 't1', 't2'];
const PATCHES = 5;

/** One operation; `patch` counts the sequence's patches. */
export type Operation =
  | { do: 'enable' | 'disable' | 'register' | 'unregister' | 'unload' | 'write'; patch: number }
  | { do: 'reverse' | 'force' | 'load' | 'unloadModule' | 'loadVmlinux' }
  | { do: 'switch'; task: string }
  | { do: 'tick'; count: number }
  | { do: 'onCpu'; task: string; on: boolean }
  | { do: 'resume' | 'parkBlind'; task: string }
  | { do: 'call' | 'park' | 'recursion' | 'idle'; func: string; task: string };

/** A life: a machine, its patches, and what happens to them. */
export interface Sequence {
  readonly policy: Policy;
  readonly auto: boolean;
  readonly patches: readonly PatchPlan[];
  readonly operations: readonly Operation[];
}

/** Numbers below a bound, in an order that the seed decides (mulberry32). */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const POLICIES: readonly Policy[] = ['independent', 'independent', 'strict-stack', 'v10'];

/** How often each operation comes, in parts of the sum; registering policies have four more. */
const WEIGHTS = { enable: 8, disable: 5, reverse: 2, force: 1, switch: 4, tick: 2, onCpu: 3, load: 2, unloadModule: 2 };
const RARE = {
  park: 1.5,
  parkBlind: 0.7,
  resume: 1.8,
  unload: 1,
  write: 1,
  loadVmlinux: 0.2,
  recursion: 0.5,
  idle: 0.5,
  call: 4,
};
const REGISTERING = { register: 5, unregister: 2 };

/** The sequence of a seed: 20 to 60 operations on five patches. */
export function sequenceOf(seed: number): Sequence {
  const pick = random(seed);
  const policy = POLICIES[pick(POLICIES.length)] ?? 'independent';
  const auto = pick(2) === 0;
  const patches: PatchPlan[] = [];
  for (let i = 0; i < PATCHES; i++) patches.push(planOf(i, policy, patches, pick));
  const weights = Object.entries({ ...WEIGHTS, ...RARE, ...(policy === 'independent' ? {} : REGISTERING) });
  const sum = weights.reduce((total, [, weight]) => total + weight, 0);
  const operations = Array.from({ length: 20 + pick(41) }, () => {
    const at = (pick(1_000_000) / 1_000_000) * sum;
    return operationOf(chosen(weights, at) as Operation['do'], pick);
  });
  return { policy, auto, patches, operations };
}

/** The name whose share of the sum holds a number. */
function chosen(weights: readonly (readonly [string, number])[], at: number): string {
  let end = 0;
  for (const [name, weight] of weights) {
    end += weight;
    if (at < end) return name;
  }
  return 'call';
}

function operationOf(name: Operation['do'], pick: (below: number) => number): Operation {
  const task = TASKS[pick(TASKS.length)] ?? '';
  switch (name) {
    case 'enable':
    case 'disable':
    case 'register':
    case 'unregister':
    case 'unload':
    case 'write':
      return { do: name, patch: pick(PATCHES) };
    case 'switch':
    case 'resume':
    case 'parkBlind':
      return { do: name, task };
    case 'tick':
      // now and then long enough for signals (L72)
      return { do: name, count: pick(8) === 0 ? 17 : 1 };
    case 'onCpu':
      return { do: name, task, on: pick(2) === 0 };
    case 'call':
    case 'park':
    case 'recursion':
    case 'idle':
      return { do: name, func: FUNCTIONS[pick(FUNCTIONS.length)] ?? '', task };
    default:
      return { do: name };
  }
}

function planOf(number: number, policy: Policy, others: readonly PatchPlan[], pick: (n: number) => number): PatchPlan {
  const some = (image: string): string[] => FUNCTIONS.filter((func) => func.startsWith(image) && pick(2) === 1);
  // now and then one that is contained in an earlier one (L54)
  const superset = pick(3) === 0 ? others[pick(others.length || 1)] : undefined;
  const within = (all: readonly string[]): string[] => all.filter(() => pick(3) > 0);
  const refusal = pick(16);
  return {
    name: `p${number}`,
    replace: policy !== 'strict-stack' && pick(3) === 0,
    vmlinux: superset === undefined ? some('vmlinux:') : within(superset.vmlinux),
    mod: superset !== undefined ? superset.mod && within(superset.mod) : pick(4) === 0 ? undefined : some('mod:'),
    refuses: refusal === 0 ? 'vmlinux' : refusal < 3 ? 'mod' : undefined,
    version: pick(4) === 0 ? 1 + pick(2) : undefined,
  };
}

/** An operation as a person would write it. */
export function describeOperation(operation: Operation): string {
  return Object.values(operation).join(' ');
}
