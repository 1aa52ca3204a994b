// The shipped questions of the debate: each under all three policies, each step with the rule that says so.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseScenario } from '../../src/scenario/read.ts';
import { type FileReader, runScenario } from '../../src/scenario/run.ts';
import { EXAMPLES } from './world.ts';

const FOLDER = join(EXAMPLES, 'debate');
const FILES = readdirSync(FOLDER).sort();
const read: FileReader = async (path) => new Uint8Array(readFileSync(join(FOLDER, path)));
const textOf = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');

describe('the questions of the debate', () => {
  test('are each asked under all three policies', () => {
    const policies = new Map<string, string[]>();
    for (const name of FILES) {
      const [, question = name, policy = ''] = /^(.*)\.([^.]+)\.json$/.exec(name) ?? [];
      policies.set(question, [...(policies.get(question) ?? []), policy]);
      expect(parseScenario(textOf(name)).machine.policy).toBe(policy);
    }
    expect(policies.size).toBe(8);
    for (const found of policies.values()) expect(found).toEqual(['independent', 'strict-stack', 'v10']);
  });

  test.each(FILES)('%s holds, with the core and with the handler as guest code', async (name) => {
    const scenario = parseScenario(textOf(name), name);
    expect(scenario.question).toMatch(/\?$/);
    expect(scenario.answer).toBeTruthy();
    for (const { note } of scenario.steps) expect(note).toMatch(/\bL\d/);
    for (const handler of ['core', 'guest'] as const) {
      const { steps } = await runScenario(scenario, { read, engine: 'wasm', handler });
      expect(steps.filter(({ verdict }) => verdict !== 'holds')).toEqual([]);
    }
  });
});
