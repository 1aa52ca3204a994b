// Which implementation runs after patches are enabled and disabled in any order, read off the CPU (L26 to L35, I1 to I4).
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { PatchError, SiteError } from '../../src/errors.ts';
import { NOP5 } from '../../src/ftrace/site.ts';
import type { PatchSpec } from '../../src/livepatch/patch.ts';
import { Machine } from '../../src/machine.ts';
import { catchError } from '../support/catch-error.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
const PATCHES = ['fix_a', 'fix_b', 'fix_c'] as const;
type Name = (typeof PATCHES)[number];

const patch = (name: Name, ...functions: string[]): PatchSpec => ({
  name,
  objects: [{ name: null, funcs: functions.map((oldName) => ({ oldName, newFunc: `livepatch_${oldName}` })) }],
});
const checksum = (name: Name): PatchSpec => patch(name, 'checksum');

let machine: Machine;
let text: Uint8Array;

const readText = (): Uint8Array => {
  const segment = machine.images.get('vmlinux')?.segments.find((one) => one.access === 'rx');
  return machine.read(segment?.address ?? 0n, segment?.bytes.length ?? 0);
};
const site = (name: string): bigint => machine.images.site(machine.address(`vmlinux:${name}`)) ?? 0n;
const calls = (name: string): string => machine.call(name, ['hello', 5n]).runs.name;

beforeEach(async () => {
  machine = await Machine.create();
  machine.load(object('target.o'), { name: 'vmlinux' });
  for (const name of PATCHES) machine.load(object(`${name.replace('_', '-')}.o`), { name, kind: 'livepatch' });
  text = readText();
  return () => machine.dispose();
});

function orders<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, i) =>
    orders([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]),
  );
}

describe('three patches on one function', () => {
  for (const enabling of orders(PATCHES)) {
    for (const disabling of orders(PATCHES)) {
      test(`enabled ${enabling.join(' ')}, disabled ${disabling.join(' ')}: the newest that is left runs`, () => {
        const stack: Name[] = [];
        const top = () => (stack[0] === undefined ? 'vmlinux:checksum' : `${stack[0]}:livepatch_checksum`);
        expect(calls('checksum')).toBe(top());
        for (const name of enabling) {
          machine.livepatch.enable(checksum(name));
          stack.unshift(name);
          expect(calls('checksum')).toBe(top());
          expect(machine.livepatch.stack(site('checksum')).map((entry) => entry.patch)).toEqual(stack);
        }
        for (const name of disabling) {
          machine.livepatch.disable(name);
          stack.splice(stack.indexOf(name), 1);
          expect(calls('checksum')).toBe(top());
        }
        expect(readText()).toEqual(text);
      });
    }
  }

  test('write the site only when the stack stops or starts being empty (L30, L34)', () => {
    machine.livepatch.enable(checksum('fix_a'));
    const patched = readText();
    machine.livepatch.enable(checksum('fix_b'));
    machine.livepatch.disable('fix_a');
    expect(readText()).toEqual(patched);
    machine.livepatch.disable('fix_b');
    expect(readText()).toEqual(text);
    expect(machine.read(site('checksum'), 5)).toEqual(NOP5);
  });
});

test('n patched calls raise the counters by exactly n, unpatched calls by none', () => {
  machine.core.clearCounters();
  for (let i = 0; i < 7; i++) calls('checksum');
  expect(machine.core.counters().calls).toBe(0);
  machine.livepatch.enable(checksum('fix_a'));
  for (let i = 0; i < 25; i++) calls('checksum');
  expect(machine.core.counters()).toMatchObject({ calls: 25, steady: 25 });
});

test('a recursive function is dispatched at each level, and every visit is listed', () => {
  machine.livepatch.enable(patch('fix_a', 'fibonacci'));
  const { visits, runs } = machine.call('fibonacci', [6n]);
  expect(runs.name).toBe('fix_a:livepatch_fibonacci');
  expect(visits.length).toBe(machine.core.counters().calls);
  expect(new Set(visits.map((visit) => visit.name))).toEqual(new Set(['fix_a:livepatch_fibonacci']));
});

describe('what is refused leaves bytes, stacks and patches as they were', () => {
  const refused = (code: string, spec: PatchSpec, message: RegExp): void => {
    const before = readText();
    const patches = machine.livepatch.patches.map((one) => one.name);
    const error = catchError(PatchError, () => machine.livepatch.enable(spec));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.patch).toBe(spec.name);
    expect(readText()).toEqual(before);
    expect(machine.livepatch.patches.map((one) => one.name)).toEqual(patches);
    expect(machine.livepatch.stack(site('checksum'))).toHaveLength(patches.length);
  };
  const funcs = (...list: PatchSpec['objects'][number]['funcs'][number][]): PatchSpec => ({
    name: 'fix_b',
    objects: [{ name: null, funcs: list }],
  });
  const good = { oldName: 'checksum', newFunc: 'livepatch_checksum' };

  test('an unknown original is EINVAL (L22), after a good one', () => {
    refused('EINVAL', funcs(good, { oldName: 'nothing', newFunc: 'livepatch_checksum' }), /'nothing' not found/);
  });
  test('an unknown new function is EINVAL', () => {
    refused('EINVAL', funcs(good, { oldName: 'fibonacci', newFunc: 'nothing' }), /'nothing' not found/);
  });
  test('a position beyond the last symbol of the name is EINVAL (L23)', () => {
    refused('EINVAL', funcs({ ...good, oldSympos: 2 }), /symbol position 2 for symbol 'checksum'/);
  });
  test('position 1 of a unique symbol is valid (L23)', () => {
    machine.livepatch.enable(funcs({ ...good, oldSympos: 1 }));
    expect(calls('checksum')).toBe('fix_b:livepatch_checksum');
  });
  test('one function twice is EEXIST (L15)', () => {
    refused('EEXIST', funcs(good, good), /twice/);
  });
  test('a patch that is enabled already is EEXIST', () => {
    machine.livepatch.enable(checksum('fix_b'));
    refused('EEXIST', checksum('fix_b'), /enabled already/);
  });
  test('a patch without an image is EINVAL', () => {
    refused('EINVAL', { ...checksum('fix_a'), image: 'absent' }, /no image 'absent'/);
  });
  test('a changed byte at the second site is EINVAL, and the first site is not written (F11, F13)', () => {
    machine.engine.write(site('fibonacci'), Uint8Array.of(0xcc));
    text = readText();
    const error = catchError(SiteError, () => machine.livepatch.enable(patch('fix_a', 'checksum', 'fibonacci')));
    expect(error).toMatchObject({ code: 'EINVAL', address: site('fibonacci') });
    expect(readText()).toEqual(text);
    expect(calls('checksum')).toBe('vmlinux:checksum');
  });
  test('disabling what is not enabled is EINVAL (L47)', () => {
    expect(catchError(PatchError, () => machine.livepatch.disable('fix_a')).code).toBe('EINVAL');
  });
  test('disabling after the second site was changed from outside removes nothing', () => {
    machine.livepatch.enable(patch('fix_a', 'checksum', 'fibonacci'));
    machine.engine.write(site('fibonacci') + 2n, Uint8Array.of(0x55));
    const before = readText();
    expect(catchError(SiteError, () => machine.livepatch.disable('fix_a')).code).toBe('EINVAL');
    expect(readText()).toEqual(before);
    expect(calls('checksum')).toBe('fix_a:livepatch_checksum');
  });
});
