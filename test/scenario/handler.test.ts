// Every shipped scenario holds whichever handler decides, on every engine that is here.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseScenario } from '../../src/scenario/read.ts';
import { runScenario } from '../../src/scenario/run.ts';
import { ENGINES } from '../support/engines.ts';
import { EXAMPLES, read } from './world.ts';

const files = readdirSync(EXAMPLES).filter((name) => name.endsWith('.json'));

describe.each(ENGINES)('on %s', (engine) => {
  test.each(files)('%s runs the same with the core and with the handler as guest code', async (file) => {
    const scenario = parseScenario(readFileSync(EXAMPLES + file, 'utf8'), file);
    const core = await runScenario(scenario, { read, engine, handler: 'core' });
    const guest = await runScenario(scenario, { read, engine, handler: 'guest' });
    const what = ({ steps }: typeof core): unknown =>
      steps.map(({ verdict, runs, returns }) => ({ verdict, runs, returns }));
    expect(what(guest)).toEqual(what(core));
    expect(guest.ok).toBe(true);
    const cost = ({ steps }: typeof core): number => steps.reduce((sum, step) => sum + (step.instructions ?? 0), 0);
    expect(cost(guest)).toBeGreaterThan(cost(core));
  });
});

test('the file chooses the handler, and whoever runs it has the last word', async () => {
  const text = (handler: string): string =>
    JSON.stringify({
      format: 'tramp64-scenario/1',
      machine: { handler },
      images: [
        { name: 'vmlinux', file: 'target.o' },
        { name: 'fix_a', file: 'fix-a.o' },
      ],
      patches: [
        { name: 'fix_a', objects: [{ name: null, funcs: [{ oldName: 'divide', newFunc: 'livepatch_divide' }] }] },
      ],
      steps: [{ enable: 'fix_a' }, { call: 'divide', args: [7, 2], runs: 'fix_a:livepatch_divide' }],
    });
  const cost = async (handler: string, chosen?: 'core' | 'guest'): Promise<number> => {
    const options = chosen === undefined ? { read } : { read, handler: chosen };
    return (await runScenario(parseScenario(text(handler)), options)).steps[1]?.instructions ?? 0;
  };
  expect(await cost('guest')).toBe((await cost('core')) + 43);
  expect(await cost('guest', 'core')).toBe(await cost('core'));
});
