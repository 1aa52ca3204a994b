// What does a fork of a loaded machine cost, and going from one side to the other? Against copying what is loaded.
import { performance } from 'node:perf_hooks';
import { GUEST_MAP } from '../src/machine/guest-map.ts';
import type { Machine } from '../src/machine.ts';
import { largeMachine, patchAll } from './livepatch.ts';
import { median } from './support/rounds.ts';
import type { SuiteOptions, SuiteResult } from './support/suite.ts';

/** What is loaded beside the functions. */
const LOADED = 100 << 20;
const AT = GUEST_MAP.modules.base + 0x1000_0000n;
/** A fork is to cost at most this part of a copy. */
const GOAL = 10;
const ROUNDS = 31;
/** Patched functions: what the host keeps of each is copied. */
const SMALL = 100;
const SIZES = [SMALL, 1_000, 10_000];
const COPIES = 9;
const CALLS = 2_000;

/** Times of one kind, in milliseconds. */
type Times = number[];

/** Measures, or with `quick` makes each fork once. */
export async function benchForks({ quick }: SuiteOptions): Promise<SuiteResult> {
  const sizes: Record<string, Awaited<ReturnType<typeof sides>>> = {};
  for (const functions of SIZES) sizes[functions] = await sides(functions, quick);
  if (quick) return { goals: [] };
  for (const [functions, times] of Object.entries(sizes)) {
    const { first, fork, reset, same, turns } = times;
    console.log(
      `  100 MB and ${functions} patched functions: fork ${fork.toFixed(2)} ms (the first one ${first.toFixed(1)}), a reset of 64 pages ${reset.toFixed(2)} ms, ` +
        `a call ${(same * 1e3).toFixed(2)} µs, ${(turns * 1e3).toFixed(2)} µs where the two sides take turns`,
    );
  }
  const goals = [
    {
      what: 'copying 100 MB against a fork',
      figure: (sizes[SMALL]?.copy ?? 0) / (sizes[SMALL]?.fork ?? 0),
      goal: GOAL,
      better: 'more' as const,
    },
  ];
  return { goals, data: sizes };
}

/**
 * Medians, in milliseconds.
 * @throws {Error} a side does not see its own memory and patches
 */
async function sides(functions: number, quick: boolean) {
  const { machine, spec } = await largeMachine({ tasks: 1, functions });
  patchAll(machine, spec);
  machine.engine.map(AT, BigInt(LOADED), 'rw');
  machine.engine.write(AT, new Uint8Array(LOADED).fill(1));
  const [copies, forks, resets, same, turns]: Times[] = [[], [], [], [], []];
  const time = (times: Times | undefined, act: () => void): void => {
    const start = performance.now();
    act();
    times?.push(performance.now() - start);
  };
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
    let fork: Machine | undefined;
    time(forks, () => {
      fork = machine.fork();
    });
    if (fork === undefined) throw new Error('bench: there is no fork');
    const other = fork;
    check(machine, other);
    const snapshot = other.snapshot();
    for (let i = 0n; i < 64n; i++) other.engine.write(AT + i * 0x10000n, Uint8Array.of(3));
    time(resets, () => other.reset(snapshot));
    if (other.read(AT, 1)[0] !== 2) throw new Error('bench: the snapshot is not back');
    const calls = quick ? 1 : CALLS;
    time(same, () => call(machine, machine, calls));
    time(turns, () => call(machine, other, calls));
    other.dispose();
  }
  machine.dispose();
  // into new memory, as a second machine would need it; afterwards, as what the copies leave behind is collected in between
  const from = new Uint8Array(LOADED).fill(1);
  for (let round = 0; round < (quick ? 1 : COPIES); round++) time(copies, () => void from.slice());
  const perCall = (times: Times | undefined): number => median(times) / (2 * (quick ? 1 : CALLS));
  return {
    ...{ copy: median(copies), first: forks?.[0] ?? Number.NaN, fork: median(forks), reset: median(resets) },
    ...{ same: perCall(same), turns: perCall(turns) },
  };
}

function call(one: Machine, other: Machine, calls: number): void {
  for (let i = 0; i < calls; i++) {
    one.call('vmlinux:f1', [1n]);
    other.call('vmlinux:f1', [1n]);
  }
}

/** Each side has its own memory and its own patches. */
function check(machine: Machine, fork: Machine): void {
  fork.engine.write(AT, Uint8Array.of(2));
  const bytes = [machine, fork].map((one) => one.read(AT, 1)[0]);
  const names = [machine, fork].map((one) => one.call('vmlinux:f0', [1n]).runs.name);
  if (bytes.join() !== '1,2' || names.some((name) => name !== 'fixes:f0')) {
    throw new Error(`bench: the sides are not apart: ${bytes.join()}, ${names.join()}`);
  }
}
