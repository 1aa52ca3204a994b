// Four patches that share a function, taken off in every order; and what keeps a patch's module for good.
import { describe, expect, test } from 'vitest';
import { hexBytes } from '../../src/address.ts';
import { textOf } from './invariants.ts';
import { codeOf, func, machineWith, patchOf } from './patches.ts';

const NEW_FUNCS = ['livepatch_checksum', 'livepatch_fibonacci', 'livepatch_sum_eight', 'livepatch_sort_items'];

function orders<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) => orders(items.filter((_, at) => at !== i)).map((rest) => [item, ...rest]));
}

describe('four patches that share a function', () => {
  test('are taken off in each of the 24 orders, whatever the order in which they came: the newest that is left runs (L32, L34, L35)', async () => {
    const machine = await machineWith();
    const { livepatch, images } = machine;
    const idle = textOf(machine);
    const site = images.site(machine.address('vmlinux:checksum')) ?? 0n;
    const numbers = [0, 1, 2, 3];
    // each also has a function of its own, or shares one with its neighbour
    const others = ['fibonacci', 'fibonacci', 'operate', 'divide'];
    const spec = (i: number) => patchOf(`p${i}`, [func('checksum', NEW_FUNCS[i]), func(others[i] ?? '', NEW_FUNCS[i])]);
    const runs = (stack: readonly number[]) =>
      stack[0] === undefined ? 'vmlinux:checksum' : `fixes:${NEW_FUNCS[stack[0]]}`;
    for (const coming of orders(numbers)) {
      for (const going of orders(numbers)) {
        let stack: number[] = [];
        for (const i of coming) {
          livepatch.enable(spec(i));
          stack = [i, ...stack];
        }
        const patched = hexBytes(machine.read(site, 5));
        for (const i of going) {
          expect(machine.probe('vmlinux:checksum').name).toBe(runs(stack));
          // the text changes with the last one only (L30, L32)
          expect(hexBytes(machine.read(site, 5))).toBe(patched);
          livepatch.disable(`p${i}`);
          stack = stack.filter((one) => one !== i);
          expect(livepatch.stack(site).map(({ patch }) => patch)).toEqual(stack.map((one) => `p${one}`));
        }
        expect(textOf(machine)).toEqual(idle);
      }
    }
    machine.dispose();
  });
});

describe('a patch that was forced keeps its module for good (L74)', () => {
  test('after its own unpatching was forced', async () => {
    const machine = await machineWith({ transition: 'manual' });
    const { livepatch } = machine;
    livepatch.enable(patchOf('p', [func('checksum')]));
    livepatch.switchTasks();
    livepatch.disable('p');
    livepatch.force('p');
    expect(livepatch.sysfs('p')).toBeUndefined();
    expect(codeOf(() => livepatch.unload('p'))).toBe('EBUSY');
    expect(codeOf(() => livepatch.enable(patchOf('p', [func('checksum')])))).toBe('EEXIST');
    machine.dispose();
  });

  test('and not where its patching was forced, unless it was to be replaced', async () => {
    const machine = await machineWith({ transition: 'manual' });
    const { livepatch } = machine;
    livepatch.enable(patchOf('old', [func('checksum')]));
    livepatch.force('old');
    expect(livepatch.patches[0]?.forced).toBe(false);
    livepatch.enable(patchOf('new', [func('checksum')], { replace: true }));
    livepatch.force('new');
    expect(livepatch.patches.map(({ name, forced }) => `${name} ${forced}`)).toEqual(['new false']);
    // replaced while forced: its tasks may still be inside (L60)
    expect(codeOf(() => livepatch.unload('old'))).toBe('EBUSY');
    livepatch.disable('new');
    livepatch.switchTasks();
    livepatch.unload('new');
    expect(livepatch.isInserted('new')).toBe(false);
    machine.dispose();
  });

  test('each of them, by the kernels before 5.18 that the old policies stand for', async () => {
    const machine = await machineWith({ transition: 'manual', policy: 'strict-stack' });
    const { livepatch } = machine;
    for (const name of ['a', 'b']) livepatch.register(patchOf(name, [func('checksum')]));
    livepatch.enable(patchOf('a', []));
    livepatch.force('a');
    expect(livepatch.patches.map(({ forced }) => forced)).toEqual([true, true]);
    livepatch.unregister('b');
    expect(codeOf(() => livepatch.unload('b'))).toBe('EBUSY');
    machine.dispose();
  });
});
