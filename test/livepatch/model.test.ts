// Random lives of patches on a machine and on the plain model: a tenth of the campaign, its coverage, and how a failure is shown.
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { FuncAttacher } from '../../src/livepatch/attach.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { type FileReader, runScenario } from '../../src/scenario/run.ts';
import { object } from '../scenario/world.ts';
import { campaign, coverageText, RULES } from './campaign.ts';
import { sequenceOf } from './sequence.ts';
import { scenarioOf } from './to-scenario.ts';

const SEED = Number(process.env.LIVEPATCH_SEED ?? 20240613);
/** A tenth of what `npm run fuzz:livepatch` plays. */
const SEQUENCES = 20_000;
const UNICORN_SEQUENCES = 200;
/** Milliseconds: half a minute of processor time, on a machine that may be busy with other things. */
const TIMEOUT = 20 * 60_000;

const EXAMPLES = fileURLToPath(new URL('../../src/examples', import.meta.url));
const read: FileReader = async (path) => object(path.slice(EXAMPLES.length + 1));

afterEach(() => {
  vi.restoreAllMocks();
});

describe(`random sequences of operations, seed ${SEED}`, { timeout: TIMEOUT }, () => {
  test('do what the plain model says, and meet each of the rules L36–L68 a hundred times (I1–I4, I6)', async () => {
    const hits = new Map<string, number>();
    const failure = await campaign({ engine: 'wasm', seed: SEED, sequences: SEQUENCES, cpuEvery: 10, hits });
    expect(
      failure && { ...failure, scenario: JSON.stringify(scenarioOf(failure.smallest, 'src/examples')) },
    ).toBeUndefined();
    console.log(coverageText(hits));
    expect(RULES.filter((rule) => (hits.get(rule) ?? 0) < 100)).toEqual([]);
  });

  test('do the same on Unicorn', async () => {
    const hits = new Map<string, number>();
    const failure = await campaign({ engine: 'unicorn', seed: SEED, sequences: UNICORN_SEQUENCES, cpuEvery: 1, hits });
    expect(failure).toBeUndefined();
  });
});

describe('a sequence that fails', () => {
  test('would become a scenario of the same meaning: those of sequences that hold, hold', async () => {
    for (let seed = SEED; seed < SEED + 10; seed++) {
      const text = JSON.stringify(scenarioOf(sequenceOf(seed), EXAMPLES));
      const { steps } = await runScenario(parseScenario(text), { read, engine: 'wasm' });
      expect(
        steps.filter(({ verdict }) => verdict !== 'holds'),
        `seed ${seed}`,
      ).toEqual([]);
    }
  });

  test('is made small and becomes a scenario that fails with the defect and holds without it', async () => {
    // the defect: nops stay on their stacks when a replacement is complete (L58)
    const unpatch = FuncAttacher.prototype.unpatchObject;
    vi.spyOn(FuncAttacher.prototype, 'unpatchObject').mockImplementation(function (
      this: FuncAttacher,
      patched,
      nopsOnly,
    ) {
      if (nopsOnly !== true) unpatch.call(this, patched, nopsOnly);
    });
    const failure = await campaign({ engine: 'wasm', seed: SEED, sequences: 1000, cpuEvery: 10, hits: new Map() });
    expect(failure).toBeDefined();
    if (failure === undefined) return;
    expect(failure.smallest.operations.length).toBeLessThanOrEqual(5);
    expect(failure.smallest.operations.length).toBeLessThan(failure.sequence.operations.length);
    const text = JSON.stringify(scenarioOf(failure.smallest, EXAMPLES));
    const broken = await runScenario(parseScenario(text), { read });
    expect(broken.ok).toBe(false);
    expect(broken.steps.find(({ verdict }) => verdict === 'broken')?.message).toContain('expected');
    vi.restoreAllMocks();
    const whole = await runScenario(parseScenario(text), { read });
    expect(whole.steps.filter(({ verdict }) => verdict !== 'holds')).toEqual([]);
  });
});
