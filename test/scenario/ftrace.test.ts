// The step `ftrace`: users of ftrace beside livepatch in scenarios.
import { expect, test } from 'vitest';
import { parseScenario } from '../../src/scenario/read.ts';
import { runScenario, type StepResult } from '../../src/scenario/run.ts';
import { fixture } from '../fixtures/manifest.ts';
import { patch } from './livepatch-world.ts';

/** Runs steps over the target, the fixes and the handlers of the tracers, by either handler; returns the steps. */
async function run(steps: readonly object[]): Promise<readonly StepResult[]> {
  const text = JSON.stringify({
    format: 'tramp64-scenario/1',
    images: [
      { name: 'vmlinux', file: 'target-kernel-O2.o' },
      { name: 't', file: 'tracers-kernel-O2.o', kind: 'module' },
      { name: 'm', file: 'tracers-kernel-O2.o', kind: 'module', loaded: false },
      { name: 'fix_a', file: 'fix_a-kernel-O2.o', kind: 'livepatch' },
    ],
    patches: [patch('fix_a', ['checksum'])],
    steps,
  });
  const options = { read: async (path: string) => fixture(path), engine: 'wasm' } as const;
  const core = (await runScenario(parseScenario(text), options)).steps;
  const guest = (await runScenario(parseScenario(text), { ...options, handler: 'guest' })).steps;
  expect(guest.map(({ verdict }) => verdict)).toEqual(core.map(({ verdict }) => verdict));
  return core;
}

async function holds(steps: readonly object[]): Promise<void> {
  expect((await run(steps)).filter((one) => one.verdict !== 'holds')).toEqual([]);
}

const checksum = (runs: string) => ({ call: 'checksum', args: [{ text: 'hello' }, 5], runs });
const ORIGINAL = checksum('vmlinux:checksum');
const FIXED = checksum('fix_a:livepatch_checksum');

test('several users share a function with a livepatch, and leave it as it was (F33, F34, F40, F45)', () =>
  holds([
    { ftrace: 'add', name: 'x', filter: ['check*'] },
    { site: 'checksum', calls: 'ops:x' },
    ORIGINAL,
    { enable: 'fix_a' },
    { site: 'checksum', calls: 'common' },
    FIXED,
    { ftrace: 'add', name: 'd', kind: 'direct', filter: ['checksum'], target: 't:direct_one', fails: 'EBUSY' },
    {
      ftrace: 'add',
      name: 'd',
      kind: 'direct',
      filter: ['checksum'],
      target: 't:direct_one',
      flags: ['SHARE_IPMODIFY'],
    },
    { ftrace: 'add', name: 'r', filter: ['checksum'], target: 't:on_redirect', flags: ['IPMODIFY'], fails: 'EBUSY' },
    { ftrace: 'add', name: 'g', kind: 'graph', filter: ['checksum'], postTarget: 't:graph_return' },
    { ftrace: 'add', name: 'k', kind: 'kprobe', filter: ['checksum'], target: 't:pre_handler' },
    FIXED,
    { ftrace: 'counts', is: { x: 3, d: 0, k: 1, g: { calls: 1, returns: 1, missed: 0 } } },
    { sysctl: 'kernel.ftrace_enabled', write: 0, fails: 'EBUSY' },
    { ftrace: 'remove', name: 'x' },
    { ftrace: 'remove', name: 'k' },
    { ftrace: 'remove', name: 'g' },
    { disable: 'fix_a' },
    { site: 'checksum', calls: 'direct:d' },
    { site: 'checksum', calls: 'direct:t:direct_one' },
    ORIGINAL,
    { ftrace: 'remove', name: 'd' },
    { site: 'checksum', calls: 'nop' },
    { ftrace: 'remove', name: 'd', fails: 'ENOENT' },
  ]));

test('a user that changes ip is who runs, and filters follow modules (F7, F40, F43)', () =>
  holds([
    { ftrace: 'add', name: 'r', filter: ['checksum'], target: 't:on_redirect', flags: ['IPMODIFY'] },
    checksum('t:elsewhere'),
    { enable: 'fix_a', fails: 'EBUSY' },
    { ftrace: 'filter', name: 'r', filter: ['divide'] },
    { enable: 'fix_a' },
    { site: 'checksum', calls: 'ops:checksum' },
    FIXED,
    { disable: 'fix_a' },
    { ftrace: 'add', name: 'later', filter: ['deep:mod:m'] },
    { load: 'm' },
    { call: 'm:deep', args: [2], returns: 2 },
    { ftrace: 'counts', is: { later: 3 } },
    { sysctl: 'kernel.ftrace_enabled', write: 0 },
    { site: 'm:deep', calls: 'nop' },
    { call: 'm:deep', args: [2], returns: 2 },
    { ftrace: 'counts', is: { later: 3 } },
    { ftrace: 'add', name: 'none', filter: ['nothing*'], fails: 'EINVAL' },
  ]));

test('what is expected and not so breaks its step, with what is there', async () => {
  const [, site, direct, counts] = await run([
    { ftrace: 'add', name: 'x', filter: ['checksum'] },
    { site: 'checksum', calls: 'common' },
    { site: 'checksum', calls: 'direct:x' },
    { ftrace: 'counts', is: { x: { calls: 7, missed: 0 } } },
  ]);
  expect([site, direct, counts].map((one) => one?.verdict)).toEqual(['broken', 'broken', 'broken']);
  expect(site?.message).toMatch(/expected a call of a common caller, got call 0xffffffff/);
  expect(counts?.message).toContain("expected 'x' to have calls 7, got 0");
});
