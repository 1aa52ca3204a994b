// The optional models of a run, on bare bytes: what CET refuses, what a predictor misses, and what single steps count.
import { describe, expect, test } from 'vitest';
import { bytesOfHex, hex } from '../../src/address.ts';
import { createEngine } from '../../src/engine/create.ts';
import type { Engine, EngineName, Exit, RunOptions } from '../../src/engine/engine.ts';
import type { ModelReport } from '../../src/engine/model-report.ts';
import { countBySteps } from '../../src/measure/stepped.ts';
import { enter, prepare, RETURN, type Subject } from '../../src/measure/subject.ts';
import { ENGINES } from '../support/engines.ts';

const CODE = 0xffffffff81000000n;

/** An engine with a function at CODE. */
async function withCode(name: EngineName, code: string): Promise<Subject> {
  const engine = await createEngine(name);
  prepare(engine);
  engine.map(CODE, 0x1000n, 'rx');
  engine.write(CODE, bytesOfHex(code));
  return { engine, entry: CODE, args: [], reaches: CODE, returns: 0n, portable: true, dispose: () => engine.dispose() };
}

function runOn(subject: Subject, options: Partial<RunOptions> = {}): Exit {
  enter(subject);
  return subject.engine.run({ from: CODE, until: RETURN, budget: 10_000, models: true, ...options });
}

/** How a run of `code` on a new engine ends, with what the models say. */
async function modelsOf(name: EngineName, code: string, options: Partial<RunOptions> = {}) {
  const subject = await withCode(name, code);
  try {
    const exit = runOn(subject, options);
    if (exit.models === undefined) throw new Error('no models');
    return { ...exit, models: exit.models };
  } finally {
    subject.dispose();
  }
}

const QUIET: Pick<ModelReport, 'returnMispredicts' | 'shadowStack' | 'indirectBranches'> = {
  returnMispredicts: 0,
  shadowStack: [],
  indirectBranches: [],
};

describe.each(ENGINES)('on %s', (name) => {
  test('a run that does not ask for models has none, and hooks of the caller are called beside them', async () => {
    const subject = await withCode(name, '53 5b c3');
    expect('models' in runOn(subject, { models: false })).toBe(false);
    const told: string[] = [];
    const { models } = runOn(subject, {
      onBlock: (address, size) => void told.push(`${address - CODE}+${size}`),
      onMemory: (kind) => void told.push(kind),
    });
    expect(told).toEqual(['0+3', 'write', 'read', 'read']);
    expect(models).toEqual({ loads: 2, stores: 1, takenBranches: 1, ...QUIET });
    subject.dispose();
  });

  test.each([
    ['jmp rax', 'ffe0', true],
    ['notrack jmp rax', '3effe0', false],
    ['notrack bnd jmp rax', '3ef2ffe0', false],
    ['notrack jmp rax, the other prefix first', 'f23effe0', false],
    ['a segment after notrack', '3e2effe0', true],
  ])('an indirect branch to no endbr64 is told of (C34): %s', async (_, jump, tracked) => {
    // lea rax, [rip+n]; jump; target: …; ret
    const to = CODE + 7n + BigInt(jump.length / 2);
    const branches = async (target: string) =>
      (await modelsOf(name, `488d05 0${jump.length / 2}000000 ${jump} ${target} c3`)).models.indirectBranches;
    expect(await branches('90')).toEqual(tracked ? [{ from: CODE + 7n, to }] : []);
    expect(await branches('f30f1efb')).toHaveLength(tracked ? 1 : 0);
    expect(await branches('f30f1efa')).toEqual([]);
  });

  test('an indirect branch to where nothing is mapped arrives at no endbr64', async () => {
    // mov eax, 0x1000; jmp rax
    const { fault, models } = await modelsOf(name, 'b800100000 ffe0');
    expect(fault).toMatchObject({ kind: 'unmapped', access: 'fetch', address: 0x1000n });
    expect(models.indirectBranches).toEqual([{ from: CODE + 5n, to: 0x1000n }]);
    expect(models.takenBranches).toBe(1);
  });

  test('a changed return address is refused by the shadow stack (C32) and predicted wrongly (C33)', async () => {
    // call +1; nop; ret; callee: add qword [rsp], 1; ret
    const { models } = await modelsOf(name, 'e802000000 90 c3 4883042401 c3');
    expect(models).toMatchObject({ returnMispredicts: 1, shadowStack: [{ from: CODE + 12n, to: CODE + 6n }] });
  });

  test('the outermost return is to go to the end of the run', async () => {
    // add qword [rsp], 1; ret
    const { models } = await modelsOf(name, '4883042401 c3', { until: RETURN + 1n });
    expect(models.shadowStack).toEqual([]);
    const { models: elsewhere } = await modelsOf(name, '4883042401 c3', { budget: 2 });
    expect(elsewhere.shadowStack).toEqual([{ from: CODE + 5n, to: RETURN + 1n }]);
  });

  test('push and ret puts both stacks one off: it is told of twice', async () => {
    // lea rax, [rip+2]; push rax; ret; ret
    const { models } = await modelsOf(name, '488d0502000000 50 c3 c3');
    expect(models.returnMispredicts).toBe(2);
    expect(models.shadowStack.map(({ from }) => from)).toEqual([CODE + 8n, CODE + 9n]);
  });

  test.each([
    // dec ecx; jnz -4: told of as often as it is gone back, whether or not the budget ends there
    ['a loop of its own block, cut at its edge', 'ffc9 75fc c3', 6, 3],
    ['a loop of its own block, cut inside it', 'ffc9 75fc c3', 7, 3],
    // ecx is 0x1001: rep lodsb; dec eax; jmp -6
    ['a REP that is cut', 'f3ac ffc8 ebfa', 9, 0],
  ])('only branches that ran are counted: %s', async (_, code, budget, most) => {
    const { reason, rip, models } = await modelsOf(name, `be00000070 ${code}`, { budget: budget + 1 });
    expect(reason).toBe('budget');
    // Unicorn stops at a block's edge below the budget
    expect(rip).toBeLessThan(CODE + 10n);
    expect(models.takenBranches).toBeLessThanOrEqual(most);
    if (name === 'wasm') expect(models.takenBranches).toBe(most);
  });

  test('a branch behind a fault has not run', async () => {
    // mov al, [0]; jmp +0
    const { fault, models } = await modelsOf(name, '8a042500000000 eb00 c3');
    expect(fault?.kind).toBe('unmapped');
    expect(models).toMatchObject({ takenBranches: 0, ...QUIET });
  });

  test.each([
    ['where nothing is mapped', 'bf00000090 488907 c3', []],
    ['that only reads', 'bf00000060 488907 c3', []],
    ['half of it behind the last page', 'bffc0f0061 488907 c3', []],
    ['half of it behind the last page, which holds code', 'bffc0f0062 488907 c3', []],
    // mov ecx, 5; rep stosb
    ['in the third iteration of a REP', 'b905000000 bffe0f0061 f3aa c3', ['write 0x61000ffe', 'write 0x61000fff']],
  ])('a store that faults is no access, told or counted: %s', async (_, code, told) => {
    const subject = await withCode(name, code);
    subject.engine.map(0x60000000n, 0x1000n, 'r');
    subject.engine.map(0x61000000n, 0x1000n, 'rw');
    subject.engine.map(0x62000000n, 0x1000n, 'rwx');
    const accesses: string[] = [];
    const { fault, models } = runOn(subject, {
      onMemory: (kind, address) => void accesses.push(`${kind} ${hex(address)}`),
    });
    expect(fault?.access).toBe('write');
    expect(accesses).toEqual(told);
    expect(models).toMatchObject({ loads: 0, stores: told.length });
    subject.dispose();
  });
});

test('enter makes sure that the new top of the stack can be written, which is no access', async () => {
  // enter 32, 0; leave; ret; the probed place would be 40 bytes below the return address
  const told: string[] = [];
  const { reason, models } = await modelsOf('wasm', 'c8200000 c9 c3', { onMemory: (kind) => void told.push(kind) });
  expect(reason).toBe('until');
  expect(told).toEqual(['write', 'read', 'read']);
  expect(models).toMatchObject({ loads: 2, stores: 1 });
});

/** Functions with loops, calls, strings and branches of every kind; each returns. */
const FUNCTIONS: readonly (readonly [what: string, code: string])[] = [
  ['nothing', 'c3'],
  ['a counted loop with a load and a store', 'b905000000 48834424f001 ffc9 75f6 c3'],
  ['recursion', 'bf09000000 e801000000 c3 ffcf 7405 e8f7ffffff c3'],
  ['a REP, and a loop around it', '488d7c2480 ba03000000 b904000000 f3aa 57 5f ffca 75f3 c3'],
  ['a REP of nothing', '31c9 488d7c2480 f3aa c3'],
  ['branches taken and not', '31c0 7402 90 90 7500 e300 eb00 c3'],
  ['a read-modify-write and an exchange', '48ff4424e8 48874424e0 480fb14424d8 c3'],
  ['enter-like frames', '55 4889e5 4883ec20 488945f8 488b55f8 c9 c3'],
  ['indirect calls', '488d0505000000 ffd0 ffd0 c3 f30f1efa c3'],
];

describe('counts', () => {
  test.each(FUNCTIONS)('of a run are those of single steps on Unicorn, on every engine: %s', async (_, code) => {
    const stepped = await withCode('unicorn', code);
    const counted = countBySteps(stepped);
    stepped.dispose();
    for (const name of ENGINES) {
      const { reason, instructions, models } = await modelsOf(name, code);
      expect(reason, name).toBe('until');
      expect({
        instructions,
        loads: models.loads,
        stores: models.stores,
        takenBranches: models.takenBranches,
        returnMispredicts: models.returnMispredicts,
        shadowStackViolations: models.shadowStack.length,
      }).toEqual({
        instructions: counted.instructions,
        loads: counted.loads,
        stores: counted.stores,
        takenBranches: counted.takenBranches,
        returnMispredicts: counted.returnMispredicts,
        shadowStackViolations: counted.shadowStackViolations,
      });
    }
  });

  test('the run is the same with models and without, and its instructions too', async () => {
    for (const [, code] of FUNCTIONS) {
      const subject = await withCode('wasm', code);
      const state = (engine: Engine) => [engine.readRegister('rax'), engine.readRegister('rflags')];
      const { models, ...followed } = runOn(subject);
      const after = state(subject.engine);
      expect(models).toBeDefined();
      expect(runOn(subject, { models: false })).toEqual(followed);
      expect(state(subject.engine)).toEqual(after);
      subject.dispose();
    }
  });
});
