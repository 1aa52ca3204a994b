// The exact cost of each mechanism: known figures, two engines and two ways of counting that must agree.
import { describe, expect, test } from 'vitest';
import { ReturnModels } from '../../src/engine/return-models.ts';
import { EngineError } from '../../src/errors.ts';
import { countRow, mechanisms, runBench } from '../../src/measure/bench.ts';
import { COUNT_NAMES, type Counts, countCall } from '../../src/measure/counts.ts';
import { type Mechanism, makeProgram, type Program } from '../../src/measure/mechanism.ts';
import { at, body, HOT, kept, redirected } from '../../src/measure/mechanisms/hot.ts';
import { countBySteps } from '../../src/measure/stepped.ts';
import { call, jmp, label, nop, raw, ret } from '../../src/x86/encode.ts';
import { catchError } from '../support/catch-error.ts';

async function countsOf(program: Program, engine: 'wasm' | 'unicorn' = 'wasm'): Promise<[Counts, Counts]> {
  const subject = await makeProgram(engine, program);
  try {
    return [countCall(subject), countBySteps(subject)];
  } finally {
    subject.dispose();
  }
}

const find = (kernel: '6.1' | '6.12', id: string): Mechanism => {
  const row = mechanisms(kernel).find((one) => one.id === id);
  if (row === undefined) throw new Error(`no mechanism '${id}'`);
  return row;
};

describe.each(['6.1', '6.12'] as const)('on a kernel %s', (kernel) => {
  test.each(mechanisms(kernel).map((row) => [row.id, row] as const))(
    '%s costs the same by a run as by single steps on another engine',
    async (_, row) => {
      const counted = await countRow(row);
      expect(counted).toMatchObject({ confirmedBy: 'unicorn' });
      expect(counted.reason).toBeUndefined();
      for (const name of COUNT_NAMES) expect(counted.counts?.[name], name).toBeTypeOf('number');
    },
  );
});

test('ids are given once', () => {
  const ids = mechanisms('6.12').map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
});

describe('a redirected call', () => {
  // real-kernel.md section 4: 81 and 107 to the new function with a handler of 46, three of them not in ours
  test.each([
    ['livepatch-args', 78],
    ['livepatch-regs', 104],
    ['livepatch-args-core', 35],
    ['livepatch-regs-core', 61],
  ])('of %s takes %i instructions to the new function’s body of eight', async (id, before) => {
    const { counts } = await countRow(find('6.1', id));
    expect(counts?.instructions).toBe(before + 8);
  });

  test('by livepatch is predicted wrongly once, and breaks the shadow stack once: the return that enters the new function', async () => {
    const { counts } = await countRow(find('6.1', 'livepatch-args'));
    expect(counts).toMatchObject({ returnMispredicts: 1, shadowStackViolations: 1 });
  });

  test('by push and ret is predicted wrongly twice: the predictor is one off from then on', async () => {
    const { counts } = await countRow(find('6.1', 'push-ret'));
    expect(counts).toMatchObject({ returnMispredicts: 2, shadowStackViolations: 2 });
  });

  test('by a jump is predicted rightly', async () => {
    const { counts } = await countRow(find('6.1', 'jmp'));
    expect(counts).toMatchObject({ instructions: 9, returnMispredicts: 0, shadowStackViolations: 0, takenBranches: 2 });
  });

  test('by a tracer’s trampoline returns as it was called', async () => {
    const { counts } = await countRow(find('6.12', 'ftrace-args'));
    expect(counts).toMatchObject({ returnMispredicts: 0, shadowStackViolations: 0 });
  });
});

describe('the shape of the published table (samples/ftrace/ftrace-ops.c: 16, 16, 119 and 44 ns)', () => {
  test('one ops costs the same whatever is traced elsewhere; a second one costs the list func; registers cost less', async () => {
    const [one, elsewhere, two, regs] = await Promise.all(
      ['ftrace-args', 'ftrace-elsewhere', 'ftrace-two', 'ftrace-regs'].map(
        async (id) => (await countRow(find('6.1', id))).counts?.instructions ?? 0,
      ),
    );
    expect(elsewhere).toBe(one);
    expect([one, regs]).toEqual([44, 70]);
    expect((two ?? 0) / (one ?? 1)).toBeGreaterThan((regs ?? 0) / (one ?? 1));
  });

  test('with each further ops the list func takes the same number of instructions more', async () => {
    const { series } = await runBench({ machine: 'test', kernel: '6.1', only: () => false });
    const points = series.find(({ id }) => id === 'ops')?.points ?? [];
    const perOps = points.slice(2).map(({ x, counts }, i) => {
      const before = points[i + 1];
      return ((counts?.instructions ?? 0) - (before?.counts?.instructions ?? 0)) / (x - (before?.x ?? 0));
    });
    expect(new Set(perOps).size).toBe(1);
  });
});

describe('counting', () => {
  test('the unpatched call is nine instructions, three loads, two stores and one line of code', async () => {
    const [run] = await countsOf(kept([at(HOT, [nop(5), ...body(1)])], HOT + 5n));
    expect(run).toEqual({
      instructions: 9,
      loads: 3, // the argument, leave, ret
      stores: 2, // push rbp, the argument
      stackBytes: 16,
      takenBranches: 1,
      returnMispredicts: 0,
      shadowStackViolations: 0,
      codeLines: 1,
    });
  });

  test('code that begins at the end of a line touches two', async () => {
    const [run] = await countsOf({ ...kept([at(HOT + 0x3fn, [nop(5), ...body(1)])], HOT + 0x3fn), entry: HOT + 0x3fn });
    expect(run.codeLines).toBe(2);
  });

  test('a REP instruction is one instruction with many accesses, by runs and by steps', async () => {
    // lea rdi, [rsp-64]; mov ecx, 5; rep stosb; the body takes its own argument
    const code = [
      raw(0x57),
      raw(0x48, 0x8d, 0x7c, 0x24, 0xc0),
      raw(0xb9, 5, 0, 0, 0),
      raw(0xf3, 0xaa),
      raw(0x5f),
      ...body(1),
    ];
    for (const engine of ['wasm', 'unicorn'] as const) {
      const [run, steps] = await countsOf(kept([at(HOT, code)], HOT), engine);
      expect(steps, engine).toEqual(run);
      expect(run).toMatchObject({ instructions: 5 + 8, stores: 2 + 1 + 5, stackBytes: 8 + 64 });
    }
  });

  test('a call of the next instruction reads rip: the predictor leaves it out, the shadow stack does not', async () => {
    const pic = [call('next'), label('next'), raw(0x58), ...body(1)]; // pop rax
    const [run] = await countsOf(kept([at(HOT, pic)], HOT));
    expect(run).toMatchObject({ returnMispredicts: 0, shadowStackViolations: 1, takenBranches: 1 });
  });

  test('sixteen calls deep the predictor is full, and one more makes the outermost return wrong', () => {
    for (const [depth, wrong] of [
      [15, 0],
      [16, 1],
      [20, 5],
    ] as const) {
      const models = new ReturnModels(1n);
      for (let i = 0; i < depth; i++) models.call(BigInt(100 + i), 7n);
      for (let i = depth - 1; i >= 0; i--) models.ret(BigInt(100 + i));
      models.ret(1n);
      expect(models, `depth ${depth}`).toMatchObject({ mispredicts: wrong, violations: 0 });
    }
  });
});

describe('what does not do what it says is not counted', () => {
  test('a redirection that is not taken', async () => {
    const program = { ...redirected([at(HOT, [nop(5), ...body(1)])]) };
    const subject = await makeProgram('wasm', program);
    expect(catchError(EngineError, () => countCall(subject)).message).toContain('did not come to 0x10001000');
    subject.dispose();
  });

  test('a function that returns something else', async () => {
    const subject = await makeProgram('wasm', kept([at(HOT, [nop(5), ...body(3)])], HOT));
    expect(catchError(EngineError, () => countCall(subject)).message).toContain('returned 0x2c instead of 0x2a');
    subject.dispose();
  });

  test('a jump to itself ends with the budget', async () => {
    const subject = await makeProgram('wasm', kept([at(HOT, [label('here'), jmp('here'), ret()])], HOT));
    expect(catchError(EngineError, () => countCall(subject)).code).toBe('ETIMEDOUT');
    subject.dispose();
  });
});

describe('a whole measurement', () => {
  test('counts every row, times them on the WASM CPU, and measures the series', async () => {
    const only = (id: string): boolean => id === 'jmp' || id === 'livepatch-args';
    const result = await runBench({
      machine: 'test',
      kernel: '6.1',
      engines: ['wasm'],
      rounds: 1,
      sample: 0.1,
      only,
      series: false,
    });
    expect(result).toMatchObject({ format: 'tramp64-bench/1', finished: true, kernel: '6.1', series: [] });
    expect(result.counts.map(({ id }) => id)).toEqual(['nop5', 'jmp', 'livepatch-args']);
    expect(result.times[0]?.rows.map(({ id, ns }) => [id, ns.length])).toEqual([
      ['nop5', 1],
      ['jmp', 1],
      ['livepatch-args', 1],
    ]);
    expect(result.times[0]?.left).toEqual([]);
  });

  test('without engines gives series of counts: the same at every depth, and five more in a transition', async () => {
    const { times, series } = await runBench({ machine: 'test', kernel: '6.1', only: () => false });
    expect(times).toEqual([]);
    const instructions = Object.fromEntries(
      series.map(({ id, points }) => [id, [...new Set(points.map(({ counts }) => counts?.instructions))]]),
    );
    expect(instructions).toMatchObject({ depth: [86], functions: [43], 'transition-patched': [91] });
  });

  test('that is stopped keeps what is finished', async () => {
    let rows = 0;
    const result = await runBench({
      machine: 'test',
      engines: ['wasm'],
      onProgress: () => {
        rows++;
      },
      stop: () => rows >= 3,
    });
    expect(result.finished).toBe(false);
    expect(result.counts.map(({ id }) => id)).toEqual(['nop5', 'fentry', 'nops']);
    expect(result.times).toEqual([]);
  });

  test('refuses an own row with the id of another', async () => {
    await expect(runBench({ machine: 'test', own: [find('6.12', 'jmp')] })).rejects.toThrow(
      "the id 'jmp', which is taken",
    );
  });
});
