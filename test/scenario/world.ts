// What the scenario tests share: the shipped objects, and a scenario over them with the steps a test brings.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Machine } from '../../src/machine.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { type FileReader, runScenario, ScenarioRun, type StepResult } from '../../src/scenario/run.ts';
import { loadUserImage, type UserImage } from '../../src/scenario/user-image.ts';

/** The folder of the shipped examples. */
export const EXAMPLES = fileURLToPath(new URL('../../src/examples/', import.meta.url));

/** A shipped object. */
export function object(name: string): Uint8Array {
  return new Uint8Array(readFileSync(EXAMPLES + name));
}

export const read: FileReader = async (path) => object(path);

const patch = (name: string, ...functions: string[]): object => ({
  name,
  objects: [{ name: null, funcs: functions.map((oldName) => ({ oldName, newFunc: `livepatch_${oldName}` })) }],
});

/** A scenario with target.o and the fixes A, B and C, all of which replace `checksum`. */
export function scenario(steps: readonly object[], more: object = {}): string {
  return JSON.stringify({
    format: 'tramp64-scenario/1',
    images: [
      { name: 'vmlinux', file: 'target.o' },
      ...['a', 'b', 'c'].map((letter) => ({ name: `fix_${letter}`, file: `fix-${letter}.o`, kind: 'livepatch' })),
    ],
    patches: [
      patch('fix_a', 'checksum', 'find_text', 'divide', 'fibonacci'),
      patch('fix_b', 'checksum', 'fibonacci', 'sum_eight', 'sort_items', 'operate'),
      patch('fix_c', 'checksum', 'find_text', 'operate'),
    ],
    steps,
    ...more,
  });
}

/** Runs steps to their end and returns what became of each. */
export async function run(steps: readonly object[], more: object = {}): Promise<readonly StepResult[]> {
  return (await runScenario(parseScenario(scenario(steps, more)), { read })).steps;
}

/** A scenario that a test takes step by step. */
export async function start(steps: readonly object[]): Promise<ScenarioRun> {
  return ScenarioRun.create(parseScenario(scenario(steps)), { read });
}

/** A machine with target.o and the probes, as `verify` makes it. */
export async function userMachine(): Promise<{ machine: Machine } & UserImage> {
  const machine = await Machine.create();
  return { machine, ...loadUserImage(machine, object('target.o'), 'target.o') };
}
