// What the runner finds out about each step, on the CPU.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ScenarioError } from '../../src/errors.ts';
import { scenarioJson } from '../../src/report/json.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { runScenario } from '../../src/scenario/run.ts';
import { EXAMPLES, read, run, scenario, start } from './world.ts';

const CALL = { call: 'checksum', args: [{ text: 'hello' }, 5] };
const verdicts = (steps: readonly { verdict: string }[]): string[] => steps.map((step) => step.verdict);

describe('shipped scenarios', () => {
  test.each(readdirSync(EXAMPLES).filter((name) => name.endsWith('.json')))('every step of %s holds', async (name) => {
    const result = await runScenario(parseScenario(readFileSync(EXAMPLES + name, 'utf8'), name), { read });
    expect(result.steps.filter((step) => step.verdict !== 'holds')).toEqual([]);
    expect(result.ok).toBe(true);
  });

  test('they hold with the regs trampoline of 6.1 as well', async () => {
    for (const name of readdirSync(EXAMPLES).filter((one) => one.endsWith('.json'))) {
      const parsed = parseScenario(readFileSync(EXAMPLES + name, 'utf8'), name);
      const result = await runScenario(parsed, { read, kernel: '6.1', trampoline: 'regs' });
      expect(result.summary.failed, name).toBe(0);
    }
  });
});

describe('a wrong expectation fails its step and says expected, got and the func stack', () => {
  const wrong: [string, object, RegExp][] = [
    [
      'runs',
      { ...CALL, runs: 'fix_a:livepatch_checksum' },
      /expected fix_a:livepatch_checksum to run, got fix_b:livepatch_checksum/,
    ],
    ['runs of the original', { ...CALL, runs: 'vmlinux:checksum' }, /expected vmlinux:checksum to run, got fix_b:/],
    ['returns', { ...CALL, returns: 1 }, /expected rax 0x1, got 0xb0000482/],
    ['returns in 8 bits', { ...CALL, returns: -1, width: 8 }, /expected rax 0xff, got 0x82/],
    ['rdx', { ...CALL, rdx: '0xdeadbeefdeadbeef' }, /expected rdx 0xdeadbeefdeadbeef, got 0x/],
    ['xmm0', { ...CALL, xmm0: '11'.repeat(16) }, /expected xmm0 1111/],
    ['visits', { ...CALL, visits: [] }, /expected visits none, got fix_b:livepatch_checksum/],
    [
      'memory',
      { call: 'checksum', args: [{ data: '6800', as: 'text' }, 1], memory: { text: '6900' } },
      /expected 'text' to hold 6900, got 6800/,
    ],
  ];
  test.each(wrong)('%s', async (_, step, message) => {
    const results = await run([{ enable: 'fix_a' }, { enable: 'fix_b' }, step]);
    expect(verdicts(results)).toEqual(['holds', 'holds', 'broken']);
    expect(results[2]?.message).toMatch(message);
    expect(results[2]?.message).toContain(
      'func stack of checksum: fix_b (livepatch_checksum) > fix_a (livepatch_checksum)',
    );
  });

  test('site and stack', async () => {
    const results = await run([
      { site: 'checksum', calls: 'ops:checksum' },
      { site: 'checksum', bytes: '9090909090' },
      { stack: 'checksum', is: ['fix_a'] },
      { enable: 'fix_a' },
      { site: 'checksum', calls: 'nop' },
      { site: 'checksum', calls: 'ops:fibonacci' },
      { stack: 'checksum', is: [] },
    ]);
    expect(verdicts(results)).toEqual(['broken', 'broken', 'broken', 'holds', 'broken', 'broken', 'broken']);
    expect(results[1]?.message).toMatch(/expected 9090909090, got 0f1f440000/);
    expect(results[2]?.message).toBe('func stack of checksum: expected fix_a, got empty');
    expect(results[6]?.message).toContain('expected empty, got fix_a');
  });
});

describe('errors of the machine', () => {
  test('fail a step that does not expect them, with code and message', async () => {
    const [step] = await run([{ disable: 'fix_a' }]);
    expect(step?.verdict).toBe('broken');
    expect(step?.error?.code).toBe('EINVAL');
    expect(step?.message).toContain("patch 'fix_a' is not enabled");
  });

  test('are compared with `fails`', async () => {
    const results = await run([
      { disable: 'fix_a', fails: 'EINVAL' },
      { disable: 'fix_a', fails: 'EBUSY' },
      { enable: 'fix_a', fails: 'EBUSY' },
      { call: 'no_such_function', fails: 'ENOENT' },
      { call: 'checksum', args: [16, 1], fails: 'EFAULT' },
    ]);
    expect(verdicts(results)).toEqual(['holds', 'broken', 'broken', 'holds', 'holds']);
    expect(results[1]?.message).toMatch(/expected EBUSY, got disable:/);
    expect(results[2]?.message).toContain('expected EBUSY, but the step succeeded');
  });

  test('a call without end stops with ETIMEDOUT', async () => {
    const results = await run([{ call: 'fibonacci', args: [40], fails: 'ETIMEDOUT' }], { machine: { budget: 2000 } });
    expect(verdicts(results)).toEqual(['holds']);
  });
});

describe('what the scenario names and no image defines', () => {
  test.each([
    [{ ...CALL, runs: 'vmlinux:chekcsum' }, '$.steps[0].runs'],
    [{ ...CALL, visits: ['fix_a:nothing'] }, '$.steps[0].visits[0]'],
    [{ site: 'nothing', calls: 'nop' }, '$.steps[0].site'],
    [{ stack: 'nothing', is: [] }, '$.steps[0].stack'],
    [{ call: 'nosuch' }, '$.steps[0].call'],
    [{ call: 'vmlinux:livepatch_checksum' }, '$.steps[0].call'],
    [{ call: 'other:checksum', fails: 'EINVAL' }, '$.steps[0].call'],
    [{ ftrace: 'add', name: 't', target: 'vmlinux:nosuch' }, '$.steps[0].target'],
    [{ call: 'sort_items', args: [0, 0, { symbol: 'vmlinux:nothing' }] }, '$.steps[0].args[2].symbol'],
  ])('%j is an error of the scenario', async (step, path) => {
    const error: unknown = await run([step]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ScenarioError);
    expect(error).toMatchObject({ code: 'ENOENT', jsonPath: path });
  });

  test('a missing image file is named with its place', async () => {
    const missing = { read: () => Promise.reject(new Error('gone')) };
    await expect(runScenario(parseScenario(scenario([])), missing)).rejects.toMatchObject({
      code: 'ENOENT',
      jsonPath: '$.images[0].file',
    });
  });
});

test('the result has the published form', async () => {
  const result = await runScenario(parseScenario(scenario([{ enable: 'fix_a' }, { ...CALL, returns: 0 }, CALL])), {
    read,
  });
  const json = JSON.parse(JSON.stringify(scenarioJson(result)));
  expect(json).toMatchObject({
    format: 'tramp64-result/1',
    ok: false,
    engine: 'unicorn',
    summary: { steps: 3, failed: 1, notJudged: 0 },
  });
  expect(json.steps[0]).toEqual({ index: 0, step: { enable: 'fix_a' }, ok: true, message: '' });
  expect(json.steps[1]).toMatchObject({ index: 1, ok: false, runs: 'fix_a:livepatch_checksum', returns: '0xa0000214' });
  expect(json.steps[2].instructions).toBeGreaterThan(38);
});

test('n patched calls raise the counters of the core by exactly n, unpatched calls by none', async () => {
  const calls = 7;
  const run = await start([
    { enable: 'fix_a' },
    ...Array.from({ length: calls }, () => CALL),
    { disable: 'fix_a' },
    CALL,
  ]);
  try {
    for (let step = run.next(); step !== undefined; step = run.next()) expect(step.verdict).toBe('holds');
    expect(run.machine.core.counters()).toMatchObject({ calls, steady: calls });
  } finally {
    run.dispose();
  }
});

describe('doubles', () => {
  /** Bytes of a double in a vector register. */
  const xmm = (value: number): string =>
    `${Buffer.from(new Float64Array([value]).buffer).toString('hex')}${'00'.repeat(8)}`;
  /** Runs one call of `divide` after its body has been written over. */
  async function calls(body: string, step: object): Promise<object | undefined> {
    const scenario = await start([{ call: 'divide', ...step }]);
    try {
      const { machine } = scenario;
      machine.engine.write(machine.place('vmlinux:divide') + 9n, Uint8Array.from(Buffer.from(body, 'hex')));
      return scenario.next();
    } finally {
      scenario.dispose();
    }
  }

  test('travel in vector registers, beside integers in theirs, and al counts them', async () => {
    const args = [{ f64: 1.5 }, 7, { f64: -0.25 }, 9];
    const body = '01f801f0f20f58c1c3'; // add eax,edi; add eax,esi; addsd xmm0,xmm1; ret
    expect(await calls(body, { args, returns: 2 + 7 + 9, xmm0: xmm(1.25) })).toMatchObject({ verdict: 'holds' });
  });

  test('go on the stack in the order of the arguments once eight have a register', async () => {
    const args = [1, 2, 3, 4, 5, 6, 77, ...Array.from({ length: 9 }, (_, i) => ({ f64: i + 0.5 }))];
    const body = '488b442408f20f10442410c3'; // mov rax,[rsp+8]; movsd xmm0,[rsp+16]; ret
    expect(await calls(body, { args, returns: 77, xmm0: xmm(8.5) })).toMatchObject({ verdict: 'holds' });
  });
});
