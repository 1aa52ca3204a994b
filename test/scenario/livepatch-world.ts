// What the livepatch scenario tests share: the shipped objects with a module beside them, and log lines of one patch.
import { expect } from 'vitest';
import { parseScenario } from '../../src/scenario/read.ts';
import type { FileReader } from '../../src/scenario/run.ts';
import { runScenario, type StepResult } from '../../src/scenario/run.ts';
import { fixture } from '../fixtures/manifest.ts';
import { object } from './world.ts';

/** Modules are fixtures; the rest is shipped. */
const read: FileReader = async (path) => (path.endsWith('.ko') ? fixture(path) : object(path));

const LETTERS = ['a', 'b', 'c'];

export interface World {
  machine?: object;
  patches?: readonly object[];
  images?: readonly object[];
}

/** A patch of one object. */
export function patch(name: string, functions: readonly string[], more: object = {}, object: string | null = null) {
  const funcs = functions.map((oldName) => ({ oldName, newFunc: `livepatch_${oldName}` }));
  return { name, objects: [{ name: object, funcs }], ...more };
}

/** Runs steps; every one must hold. */
export async function holds(steps: readonly object[], world: World = {}): Promise<void> {
  const results = await runSteps(steps, world);
  expect(results.filter((one) => one.verdict !== 'holds')).toEqual([]);
}

/** Runs steps over target.o, the fixes and what `world` brings. */
export async function runSteps(steps: readonly object[], world: World = {}): Promise<readonly StepResult[]> {
  const text = JSON.stringify({
    format: 'tramp64-scenario/1',
    machine: world.machine ?? {},
    images: [
      { name: 'vmlinux', file: 'target.o' },
      ...LETTERS.map((letter) => ({ name: `fix_${letter}`, file: `fix-${letter}.o`, kind: 'livepatch' })),
      ...(world.images ?? []),
    ],
    patches: world.patches ?? LETTERS.map((letter) => patch(`fix_${letter}`, ['checksum'])),
    steps,
  });
  const results = (await runScenario(parseScenario(text), { read })).steps;
  const guest = (await runScenario(parseScenario(text), { read, handler: 'guest' })).steps;
  expect(guest.map(seen), 'the handler as guest code does the same').toEqual(results.map(seen));
  return results;
}

/** What both handlers must agree on: all but the number of instructions, and the addresses of what they place. */
function seen({ instructions: _, message, ...rest }: StepResult): object {
  return { ...rest, message: message.replace(/call 0x[0-9a-f]+|e8[0-9a-f]{8}/g, 'call') };
}

/** A call of a function, and what must run; the argument suits every function used here. */
export function runs(name: string, where: string, task?: string): object {
  const args = name.includes('checksum') || name.includes('find_text') ? [{ text: 'hello' }, { text: 'l' }] : [5, 2];
  return { call: name, args, runs: where, ...(task === undefined ? {} : { task }) };
}

const klp = (line: string): string => `livepatch: ${line}`;

/** The lines of enabling a patch (kernel selftests, LOAD). */
export function loadLines(name: string, before: readonly string[] = [], after: readonly string[] = []): string[] {
  return [...startLines(name, before), ...completeLines(name, 'patching', after)];
}

/** The lines up to the start of the transition. */
export function startLines(name: string, before: readonly string[] = []): string[] {
  return [
    klp(`enabling patch '${name}'`),
    klp(`'${name}': initializing patching transition`),
    ...before,
    klp(`'${name}': starting patching transition`),
  ];
}

/** The lines of a transition's end. */
export function completeLines(name: string, what: 'patching' | 'unpatching', after: readonly string[] = []): string[] {
  return [klp(`'${name}': completing ${what} transition`), ...after, klp(`'${name}': ${what} complete`)];
}

/** The lines of disabling a patch (DISABLE). */
export function disableLines(name: string, before: readonly string[] = [], after: readonly string[] = []): string[] {
  return [
    klp(`'${name}': initializing unpatching transition`),
    ...before,
    klp(`'${name}': starting unpatching transition`),
    ...completeLines(name, 'unpatching', after),
  ];
}
