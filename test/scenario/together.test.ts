// Several engines judge together: what a difference, an absent engine and an instruction that only one trusts come to.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { agree, presentEngines, type Testimony } from '../../src/engine/confirm.ts';
import { ElfFile } from '../../src/image/elf.ts';
import { parseScenario } from '../../src/scenario/read.ts';
import { runTogether } from '../../src/scenario/run-together.ts';
import { verifyTogether } from '../../src/scenario/verify-together.ts';
import { ENGINES } from '../support/engines.ts';
import { EXAMPLES, object, read, scenario } from './world.ts';

/** target.o with other code at the body of `divide`. */
function withDivide(...code: number[]): Uint8Array {
  const bytes = object('target.o').slice();
  const divide = ElfFile.parse(bytes, 'target.o').symbols.find(({ name }) => name === 'divide');
  bytes.set(code, (divide?.section?.offset ?? 0) + Number(divide?.value ?? 0n) + 9);
  return bytes;
}

/** popcnt rax, rdi; ret: the WASM CPU knows it, Unicorn 1.0.3 does not */
const POPCNT = [0xf3, 0x48, 0x0f, 0xb8, 0xc7, 0xc3];
const DIVIDE = { call: 'divide', args: [255, 7] };
const CHECKSUM = { call: 'checksum', args: [{ text: 'hello' }, 5] };

describe.each(['all', 'auto'] as const)('%s', (engine) => {
  const scenarios = readdirSync(EXAMPLES).filter((name) => name.endsWith('.json'));

  test.each(scenarios)('confirms every step of %s', async (name) => {
    const result = await runTogether(parseScenario(new TextDecoder().decode(object(name))), { read, engine });
    expect(result).toMatchObject({ ok: true, engine, summary: { failed: 0, notJudged: 0, unconfirmed: 0 } });
    expect(result.jury?.engines).toEqual((await presentEngines(engine)).engines);
  });

  test('confirms every function of an object', async () => {
    const result = await verifyTogether(object('user.o'), 'user.o', { engine });
    expect(result).toMatchObject({ ok: true, engine, summary: { holds: 15, failed: 0, notJudged: 1, unconfirmed: 0 } });
  });

  test('an engine that does otherwise fails the step, and the message says who did what', async () => {
    // mov eax, 1; ret for the first engine, mov eax, 2; ret for the others
    let machines = 0;
    const twoFaced = async (path: string) =>
      path === 'target.o' ? withDivide(0xb8, machines++ === 0 ? 1 : 2, 0, 0, 0, 0xc3) : object(path);
    const told: string[] = [];
    const result = await runTogether(parseScenario(scenario([DIVIDE, CHECKSUM])), {
      read: twoFaced,
      engine,
      onStep: ({ verdict }) => told.push(verdict),
    });
    expect(told).toEqual(['broken', 'holds']);
    expect(result).toMatchObject({ ok: false, summary: { failed: 1 } });
    expect(result.steps[0]?.message).toMatch(/^engines differ: returns is 0x1 on wasm, 0x2 on unicorn/);
  });
});

test('auto marks what Unicorn is not trusted with as unconfirmed, and what comes after it is confirmed again', async () => {
  const reader = async (path: string) => (path === 'target.o' ? withDivide(...POPCNT) : object(path));
  const steps = [CHECKSUM, { ...DIVIDE, returns: 8 }, CHECKSUM];
  const result = await runTogether(parseScenario(scenario(steps)), { read: reader, engine: 'auto' });
  expect(result).toMatchObject({ ok: true, summary: { failed: 0, notJudged: 0, unconfirmed: 1 } });
  expect(result.steps.map(({ unconfirmed }) => unconfirmed === undefined)).toEqual([true, false, true]);
  expect(result.steps[1]?.unconfirmed).toMatch(/^unicorn does not judge it: .*popcnt/);
});

test('one engine is as without a jury', async () => {
  const result = await runTogether(parseScenario(scenario([CHECKSUM])), { read, engine: 'wasm' });
  expect(result.jury).toBeUndefined();
  expect(result.summary).toEqual({ steps: 1, failed: 0, notJudged: 0 });
  expect((await verifyTogether(object('user.o'), 'user.o')).engine).toBe('unicorn');
});

test('an engine that is not on this host is named, with what to do', async () => {
  const { engines, absent } = await presentEngines('all');
  expect([...engines, ...absent.map(({ name }) => name)].sort()).toEqual(['unicorn', 'unicorn-native', 'wasm']);
  expect([...engines].sort()).toEqual([...ENGINES].sort());
  for (const { why } of absent) expect(why).toMatch(/libunicorn|koffi/);
});

describe('what testimonies come to', () => {
  const says = (engine: Testimony['engine'], returns: string, more: Partial<Testimony> = {}): Testimony => ({
    engine,
    verdict: 'holds',
    facts: { returns },
    reason: '',
    doubtful: false,
    ...more,
  });
  const unable = (engine: Testimony['engine']) => says(engine, '', { verdict: 'not judged', reason: 'no such thing' });

  test('two that agree confirm each other, whatever a third cannot judge', () => {
    const all = [says('wasm', '1'), unable('unicorn'), says('unicorn-native', '1')];
    expect(agree(all)).toEqual({ leader: 0, differences: [], unconfirmed: undefined });
  });

  test('one against two is a difference', () => {
    const all = [says('wasm', '1'), says('unicorn', '1'), says('unicorn-native', '2')];
    expect(agree(all).differences).toEqual(['returns is 1 on wasm, 2 on unicorn-native']);
    const verdicts = [says('wasm', '1'), says('unicorn', '1', { verdict: 'broken' })];
    expect(agree(verdicts).differences).toEqual(['verdict is holds on wasm, broken on unicorn']);
  });

  test('where the leader cannot judge, the next one stands for it, unconfirmed', () => {
    expect(agree([unable('wasm'), says('unicorn', '1')])).toEqual({
      leader: 1,
      differences: [],
      unconfirmed: 'wasm does not judge it: no such thing',
    });
  });

  test('an engine that missed an earlier step confirms, but its difference proves nothing', () => {
    expect(agree([says('wasm', '1'), says('unicorn', '1', { doubtful: true })]).unconfirmed).toBeUndefined();
    const { differences, unconfirmed } = agree([says('wasm', '1'), says('unicorn', '2', { doubtful: true })]);
    expect(differences).toEqual([]);
    expect(unconfirmed).toMatch(/unicorn differs after a step that not both judged: returns is 1 on wasm, 2/);
  });

  test('nobody judges: not judged, and nothing to confirm', () => {
    expect(agree([unable('wasm'), unable('unicorn')])).toEqual({ leader: 0, differences: [], unconfirmed: undefined });
  });

  test('an engine alone confirms nothing', () => {
    expect(agree([says('wasm', '1')]).unconfirmed).toBe('wasm alone judged it');
  });
});
