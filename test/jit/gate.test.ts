// Redirected calls through traces: each call is asked about anew, and counted once.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JitMode } from '../../src/engine/jit/jit.ts';
import { callBytes } from '../../src/ftrace/site.ts';
import { opsTrampoline, type TrampolineKind } from '../../src/ftrace/trampoline.ts';
import { add, assemble, call, endbr64, int3, jnzShort, label, movImm32, raw, ret, sub } from '../../src/x86/encode.ts';
import { Pair } from './pair.ts';

const TEXT = 0xffffffff81000000n;
const GATE = TEXT;
const THUNK = TEXT + 0x20n;
const UNTIL = TEXT + 0x40n;
const TRAMPOLINE = TEXT + 0x100n;
const LOOP = TEXT + 0x400n;
const WALK = TEXT + 0x480n;
const FUNCTIONS = TEXT + 0x1000n;
const REPLACEMENTS = TEXT + 0x10000n;
const DATA = 0xffff888000000000n;
const SP = 0xffffc90000000800n;
const COUNT = 1000;

const functionAt = (index: number): bigint => FUNCTIONS + 32n * BigInt(index);
const siteOf = (index: number): bigint => functionAt(index) + 4n;
const replacementAt = (index: number): bigint => REPLACEMENTS + 16n * BigInt(index);

let pair: Pair;
beforeEach(() => setUp('eager'));

async function setUp(jit: JitMode): Promise<void> {
  pair = await Pair.create(jit);
  pair.map(TEXT, 0x20000n, 'rx');
  pair.map(DATA, 0x3000n, 'rw');
  pair.map(0xffffc90000000000n, 0x1000n, 'rw');
  const place = (at: bigint, ...instructions: Parameters<typeof assemble>[1]) =>
    pair.write(at, assemble(at, instructions).bytes);
  place(GATE, ...Array.from({ length: 16 }, int3));
  place(THUNK, ret());
  place(
    LOOP,
    label('loop'),
    call(functionAt(0)),
    raw(0x48, 0x01, 0xc3), // add rbx, rax
    sub('r14', 1),
    jnzShort('loop'),
    ret(),
  );
  place(
    WALK,
    label('walk'),
    raw(0x41, 0xff, 0x14, 0x24), // call [r12]
    raw(0x48, 0x01, 0xc3), // add rbx, rax
    add('r12', 8),
    sub('r14', 1),
    jnzShort('walk'),
    ret(),
  );
  for (let i = 0; i < COUNT; i++) {
    place(functionAt(i), endbr64(), raw(...callBytes(siteOf(i), TRAMPOLINE)), movImm32('rax', 1), ret());
    place(replacementAt(i), movImm32('rax', i + 100), ret());
  }
  pair.write(
    DATA,
    new Uint8Array(BigUint64Array.from({ length: COUNT }, (_, i) => functionAt((i * 7) % COUNT)).buffer),
  );
}
afterEach(() => pair.dispose());

function useTrampoline(kind: TrampolineKind): void {
  const { bytes } = opsTrampoline({
    kind,
    kernel: '6.12',
    address: TRAMPOLINE,
    handler: GATE,
    ops: DATA,
    returnThunk: THUNK,
  });
  pair.write(TRAMPOLINE, bytes);
}

/** Runs a loop of `turns` and returns the sum of what the calls returned. */
function run(from: bigint, turns: number, budget = 1e9): bigint {
  pair.write(SP, new Uint8Array(BigUint64Array.of(UNTIL).buffer));
  pair.set({ rsp: SP, rbx: 0n, r12: DATA, r14: BigInt(turns) });
  pair.run({ from, until: UNTIL, budget });
  return pair.register('rbx');
}

function patch(index: number, to = index): void {
  pair.each(({ core }) => core.pushFunc(siteOf(index), replacementAt(to), 1));
}

describe.each(['args', 'regs'] as const)('the %s trampoline', (kind) => {
  beforeEach(() => useTrampoline(kind));

  test('asks for every call: the answer of each is the one of its time', () => {
    pair.useCore(GATE);
    const handles = new Map<object, number[]>();
    expect(run(LOOP, 20)).toBe(20n);
    for (let i = 1; i < 6; i++) {
      pair.each(({ core }) => {
        handles.set(core, [...(handles.get(core) ?? []), core.pushFunc(siteOf(0), replacementAt(i), 1)]);
      });
      expect(run(LOOP, 20)).toBe(BigInt(20 * (i + 100)));
    }
    for (let i = 5; i > 0; i--) {
      pair.each(({ core }) => core.removeFunc(handles.get(core)?.pop() ?? 0));
      expect(run(LOOP, 20)).toBe(i > 1 ? BigInt(20 * (i - 1 + 100)) : 20n);
    }
    expect(pair.compiled).toBeGreaterThan(0);
  });

  test('follows the task’s patch state, its guard and a nop', () => {
    pair.useCore(GATE);
    patch(0, 1);
    run(LOOP, 20);
    pair.each(({ core, task }) => {
      core.pushFunc(siteOf(0), replacementAt(2), 2, { transition: true });
      core.setPatchState(task, 'unpatched');
    });
    expect(run(LOOP, 10)).toBe(1010n); // L40: below
    pair.each(({ core, task }) => core.setPatchState(task, 'patched'));
    expect(run(LOOP, 10)).toBe(1020n); // L39
    pair.each(({ core }) => core.pushFunc(siteOf(0), 0n, 3, { nop: true }));
    expect(run(LOOP, 10)).toBe(10n); // L42
    pair.each(({ core, task }) => {
      core.recursionEnter(task);
      core.recursionEnter(task);
    });
    expect(run(LOOP, 10)).toBe(10n); // L36
  });

  test('is shared by a thousand functions, each of which reaches its own', () => {
    pair.useCore(GATE);
    for (let i = 0; i < COUNT; i++) patch(i);
    const sum = BigInt(Array.from({ length: COUNT }, (_, i) => i + 100).reduce((total, value) => total + value, 0));
    for (let pass = 0; pass < 3; pass++) expect(run(WALK, COUNT)).toBe(sum);
    expect(pair.compiled).toBeGreaterThan(0);
  });

  test('ends at every budget', () => {
    pair.useCore(GATE);
    patch(0);
    run(LOOP, 20);
    for (let budget = 0; budget < 150; budget++) run(LOOP, 5, budget);
  });

  test('asks the host where the host answers', () => {
    patch(0, 7);
    let asked = 0;
    pair.each(({ engine, core, task }) =>
      engine.setGate(GATE, (low, high, answer) => {
        asked++;
        core.dispatchPair(low, high, task);
        answer.set(core.answer);
      }),
    );
    expect(run(LOOP, 20)).toBe(20n * 107n);
    expect(asked).toBe(40);
    // now the core, then the host again: the trace is the same
    pair.useCore(GATE);
    expect(run(LOOP, 20)).toBe(20n * 107n);
    expect(asked).toBe(40);
  });
});

test('a trampoline whose stack leaves its mapping faults as on the interpreter, and no call is counted twice', () => {
  useTrampoline('regs');
  pair.useCore(GATE);
  patch(0);
  run(LOOP, 20);
  for (let offset = 0; offset < 0x120; offset += 8) {
    const sp = 0xffffc90000000000n + BigInt(offset);
    pair.set({ rsp: sp, rbx: 0n, r14: 3n });
    pair.run({ from: LOOP, until: UNTIL, budget: 1000 }, `stack at ${offset}`);
  }
});

test('code that a trace covers starts no traces of its own', async () => {
  pair.dispose();
  await setUp('sync');
  useTrampoline('regs');
  pair.useCore(GATE);
  patch(0);
  expect(run(LOOP, 5000)).toBe(500_000n);
  // one loop, all of whose blocks were as hot as its head
  expect(pair.compiled).toBe(1);
});
