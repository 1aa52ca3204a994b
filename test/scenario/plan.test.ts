// The what-if of a scenario: rows, what tasks of either state would run, and warnings.
import { describe, expect, test } from 'vitest';
import { planJson, planText } from '../../src/report/plan.ts';
import { type PlanStep, planScenario } from '../../src/scenario/plan.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { fixture } from '../fixtures/manifest.ts';
import { patch } from './livepatch-world.ts';
import { object, read, scenario } from './world.ts';

async function plan(steps: readonly object[], more: object = {}): Promise<readonly PlanStep[]> {
  return (await planScenario(parseScenario(scenario(steps, more)), { read, engine: 'wasm' })).steps;
}

const rowOf = (step: PlanStep | undefined, original: string) => step?.rows.find((row) => row.original === original);
const kinds = (step: PlanStep | undefined) => step?.warnings.map(({ kind }) => kind);
const MANUAL = { machine: { tasks: ['t1'], transition: 'manual' } };

describe('the rows of a plan', () => {
  test('have one function each, of all the patches of the file, stack or not', async () => {
    const [first] = await plan([{ enable: 'fix_a' }]);
    expect(first?.rows.map(({ original }) => original).sort()).toEqual(
      ['checksum', 'divide', 'fibonacci', 'find_text', 'operate', 'sort_items', 'sum_eight'].map(
        (name) => `vmlinux:${name}`,
      ),
    );
    expect(rowOf(first, 'vmlinux:operate')?.stack).toEqual([]);
    expect(rowOf(first, 'vmlinux:operate')?.patched).toBe('vmlinux:operate');
  });

  test('show the stack top first, and what tasks of either state run in a transition (L39, L40)', async () => {
    const steps = await plan([{ enable: 'fix_a' }, { switch: '*' }, { enable: 'fix_b' }, { switch: 't1' }], MANUAL);
    const row = rowOf(steps[2], 'vmlinux:checksum');
    expect(row?.stack.map(({ patch, transition }) => `${patch} ${transition}`)).toEqual(['fix_b true', 'fix_a false']);
    expect([row?.patched, row?.unpatched]).toEqual(['fix_b:livepatch_checksum', 'fix_a:livepatch_checksum']);
    const after = rowOf(steps[3], 'vmlinux:checksum');
    expect([after?.patched, after?.unpatched]).toEqual(['fix_b:livepatch_checksum', 'fix_b:livepatch_checksum']);
  });

  test('leave the machine as it is: the plan of a scenario has the verdicts of a run', async () => {
    const steps = [{ enable: 'fix_a' }, { transition: 'fix_a' }, { switch: '*' }, { transition: null }];
    for (const { result } of await plan(steps, MANUAL)) expect(result.verdict).toBe('holds');
  });

  test('of what only a struct in a module names stay when the patch is gone', async () => {
    const images = [
      { name: 'vmlinux', file: 'target-kernel-O2.o' },
      { name: 'lp_fix', file: 'lp_fix.ko', kind: 'livepatch', symbols: { klp_enable_patch: 'ret', _printk: 'ret' } },
    ];
    const patches = [{ name: 'lp_fix', from: 'struct' }];
    const steps = [{ say: 'before' }, { enable: 'lp_fix' }, { disable: 'lp_fix' }, { unload: 'lp_fix' }];
    const result = await planScenario(parseScenario(scenario(steps, { images, patches })), {
      read: async (path) => fixture(path),
      engine: 'wasm',
    });
    const titles = result.steps.map(({ rows }) => rows.map(({ original }) => original));
    expect(titles[0]).toEqual([]);
    expect(titles[1]).toContain('vmlinux:checksum');
    expect(titles.slice(2)).toEqual([titles[1], titles[1]]);
    expect(rowOf(result.steps[3], 'vmlinux:checksum')).toMatchObject({ stack: [], patched: 'vmlinux:checksum' });
  });

  test('say of a module that is not loaded, and of a symbol that is not there, why there is no stack (L6, L22)', async () => {
    const patches = [
      patch('fix_a', ['checksum'], {}, 'mod'),
      { name: 'fix_b', objects: [{ name: null, funcs: [{ oldName: 'nowhere', newFunc: 'livepatch_checksum' }] }] },
    ];
    const [first] = await plan([{ enable: 'fix_a' }], { patches });
    expect(rowOf(first, 'mod:checksum')?.reason).toBe("'mod' is not loaded");
    expect(rowOf(first, 'vmlinux:nowhere')?.reason).toBe("symbol 'nowhere' not found in symbol table");
  });
});

describe('a plan warns', () => {
  test('once of a task that sleeps in a function for which the transition must wait (L70)', async () => {
    const sleep = { call: 'operate', args: [8, 1, 2], task: 't1', until: 'vmlinux:checksum' };
    const steps = await plan([sleep, { enable: 'fix_a' }, { tick: 1 }, { task: 't1', resume: true }], MANUAL);
    expect(steps.map(kinds)).toEqual([[], ['on-stack'], [], []]);
    expect(steps[1]?.warnings[0]?.text).toBe("task 't1' sleeps in 'checksum': the transition waits for it");
  });

  test('of a function that two patches share (L30)', async () => {
    const steps = await plan([{ enable: 'fix_a' }, { enable: 'fix_b' }]);
    expect(steps.map(kinds)).toEqual([[], ['shared']]);
    expect(steps[1]?.warnings[0]?.text).toContain(
      "'vmlinux:checksum', 'vmlinux:fibonacci' are shared by 'fix_b' and 'fix_a'",
    );
  });

  test('of a patch that is disabled in the middle (L32, L35), and not of the top', async () => {
    const steps = await plan([{ enable: 'fix_a' }, { enable: 'fix_b' }, { disable: 'fix_a' }, { disable: 'fix_b' }]);
    expect(steps.slice(2).map(kinds)).toEqual([['middle'], []]);
  });

  test('of a replacement that lacks what an older patch fixed (L54, L58)', async () => {
    const patches = [patch('fix_a', ['checksum', 'fibonacci']), patch('fix_c', ['checksum'], { replace: true })];
    const steps = await plan([{ enable: 'fix_a' }, { enable: 'fix_c' }], { patches });
    expect(steps.map(kinds)).toEqual([[], ['downgrade']]);
    expect(steps[1]?.warnings[0]?.text).toContain("has no 'vmlinux:fibonacci'");
  });

  test('of two names for one address across replaced patches (L26, L55)', async () => {
    const patches = [
      {
        name: 'old',
        image: 'fix_a',
        objects: [{ name: null, funcs: [{ oldName: 'plain', newFunc: 'livepatch_checksum' }] }],
      },
      {
        ...{ name: 'new', image: 'fix_a', replace: true },
        objects: [{ name: null, funcs: [{ oldName: 'plain_alias', newFunc: 'livepatch_fibonacci' }] }],
      },
    ];
    const images = [
      { name: 'vmlinux', file: 'odd-kernel-O2.o' },
      { name: 'fix_a', file: 'fix-a.o', kind: 'livepatch' },
    ];
    const text = scenario([{ enable: 'old' }, { enable: 'new' }], { images, patches });
    const { steps } = await planScenario(parseScenario(text), {
      read: async (path) => (path.startsWith('odd') ? fixture(path) : object(path)),
      engine: 'wasm',
    });
    expect(steps.map(kinds)).toEqual([[], ['aliases']]);
  });

  test('of a function shared under two names by patches that do not replace (L26)', async () => {
    const named = (name: string, oldName: string) => ({
      ...{ name, image: 'fix_a' },
      objects: [{ name: null, funcs: [{ oldName, newFunc: 'livepatch_fibonacci' }] }],
    });
    const images = [
      { name: 'vmlinux', file: 'odd-kernel-O2.o' },
      { name: 'fix_a', file: 'fix-a.o', kind: 'livepatch' },
    ];
    const patches = [named('old', 'plain'), named('new', 'plain_alias')];
    const text = scenario([{ enable: 'old' }, { enable: 'new' }, { disable: 'old' }], { images, patches });
    const { steps } = await planScenario(parseScenario(text), {
      read: async (path) => (path.startsWith('odd') ? fixture(path) : object(path)),
      engine: 'wasm',
    });
    expect(steps.map(kinds)).toEqual([[], ['shared'], ['middle']]);
  });

  test('of nothing where nothing is to be said, nor of a patch that is only registered', async () => {
    const machine = { policy: 'strict-stack' };
    const steps = await plan([{ register: 'fix_a' }, { register: 'fix_b' }, { enable: 'fix_a' }], { machine });
    expect(steps.flatMap(({ warnings }) => warnings)).toEqual([]);
  });
});

test('the report has the step, the table and the warnings, and as JSON the same', async () => {
  const result = await planScenario(parseScenario(scenario([{ enable: 'fix_a' }, { enable: 'fix_b' }])), { read });
  const second = result.steps[1];
  const text = second && planText(second);
  expect(text).toContain('enable fix_b');
  expect(text).toMatch(/original +func stack, top first +a patched task runs +an unpatched task runs/);
  expect(text).toMatch(/vmlinux:checksum +fix_b > fix_a +fix_b:livepatch_checksum +fix_b:livepatch_checksum/);
  expect(text).toContain('warning (shared): ');
  const document = planJson(result) as { format: string; steps: { rows: unknown[]; warnings: unknown[] }[] };
  expect(document.format).toBe('tramp64-plan/1');
  expect(document.steps[1]?.rows).toEqual(second?.rows);
  expect(document.steps[1]?.warnings).toEqual(second?.warnings);
});
