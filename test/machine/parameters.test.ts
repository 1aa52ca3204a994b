// Module parameters as arrays, and their files under /sys/module: what they read, what may be written, and with which error.
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { PatchError } from '../../src/errors.ts';
import type { Parameters } from '../../src/machine/parameters.ts';
import { Machine } from '../../src/machine.ts';
import { fixture } from '../fixtures/manifest.ts';
import { holds } from '../scenario/livepatch-world.ts';
import { object } from '../scenario/world.ts';
import { catchError } from '../support/catch-error.ts';

const FOLDER = '/sys/module/lp_params/parameters';

describe.each(['unicorn', 'wasm'] as const)('on %s', (engine) => {
  let machine: Machine;

  beforeEach(async () => {
    machine = await Machine.create({ engine });
    machine.load(object('target.o'), { name: 'vmlinux' });
    return () => machine.dispose();
  });

  const insert = (params: Parameters = {}): unknown =>
    machine.load(fixture('lp_params.ko'), { name: 'lp_params', kind: 'module', params });
  const reads = (name: string): string | undefined => machine.sysfs(`${FOLDER}/${name}`)?.reads;
  const write = (name: string, text: string): void => machine.writeSysfs(`${FOLDER}/${name}`, text);
  const refused = (act: () => unknown): string => catchError(PatchError, act).code;
  const sum = (): bigint => machine.call('lp_params:sum_numbers', []).returns;

  test('an array takes values with commas between, and counts them', () => {
    insert({ numbers: '7,-8,9', words: 'up,down' });
    expect(sum()).toBe(629n); // 7 -8 9 in tens
    expect([reads('numbers'), reads('words')]).toEqual(['7,-8,9', 'up,down']);
    write('numbers', '5\n');
    expect([reads('numbers'), sum()]).toEqual(['5', 5n]);
  });

  test('an array with too many values, or a wrong one, refuses the module; those before it are stored', () => {
    expect(refused(() => insert({ numbers: '1,2,3,4' }))).toBe('EINVAL');
    expect(machine.log.take()).toEqual([
      'numbers: can only take 3 arguments',
      "lp_params: `1' invalid for parameter `numbers'",
    ]);
    expect(machine.images.get('lp_params')).toBeUndefined();
    insert();
    expect(refused(() => write('numbers', '6,,3'))).toBe('EINVAL');
    expect([reads('numbers'), sum()]).toEqual(['6', 6n]);
    expect(refused(() => write('all', '1'))).toBe('EACCES');
    expect(refused(() => write('endless', '1'))).toBe('EINVAL');
    expect(machine.log.take()).toEqual([]);
  });

  test('each type is shown as the kernel shows it', () => {
    insert();
    const names = ['numbers', 'all', 'words', 'mask', 'closed', 'switched', 'fixed', 'constant', 'digits'];
    expect(names.map((name) => `${name} ${reads(name)}`)).toEqual([
      ...['numbers 1,2', 'all -1,5', 'words (null),(null)', 'mask 0x00002a', 'closed Y', 'switched 1', 'fixed 7'],
      ...['constant 3', 'digits 0,0'],
    ]);
    write('mask', '0');
    write('closed', 'y');
    write('switched', 'off');
    write('digits', '4,2');
    expect(['mask', 'closed', 'switched', 'digits'].map(reads)).toEqual(['00000000', 'Y', '0', '4,2']);
    expect(refused(() => reads('silent'))).toBe('EPERM');
    expect(refused(() => reads('endless'))).toBe('EINVAL');
  });

  test('an array of a type of the module itself cannot be stored or shown when the heap is full', () => {
    insert();
    // what it answers then; to fill it takes a minute on unicorn.js
    vi.spyOn(machine.heap, 'allocate').mockReturnValue(0n);
    expect(refused(() => write('digits', '4,2'))).toBe('ENOMEM');
    expect(refused(() => reads('digits'))).toBe('ENOMEM');
    expect(refused(() => reads('constant'))).toBe('ENOMEM');
  });

  test('its mode decides what a file allows, and without mode bits there is none', () => {
    insert();
    const modes = ['numbers', 'fixed', 'secret', 'words'].map((name) => machine.sysfs(`${FOLDER}/${name}`)?.mode);
    expect(modes).toEqual(['-rw-r--r--', '-r--r--r--', '--w-------', '-rw-------']);
    expect(machine.sysfs(`${FOLDER}/secret`)).toEqual({ mode: '--w-------' });
    write('secret', '0x10');
    write('silent', '3');
    expect(machine.call('lp_params:read_secret', []).returns).toBe(1613n);
    expect(machine.sysfs(`${FOLDER}/hidden`)).toBeUndefined();
    expect(refused(() => write('hidden', '2'))).toBe('ENOENT');
    expect(refused(() => write('fixed', '2'))).toBe('EACCES');
    expect(refused(() => write('constant', '2'))).toBe('EPERM');
    expect(refused(() => write('secret', '2147483648'))).toBe('ERANGE');
    expect(refused(() => write('secret', 'x'))).toBe('EINVAL');
    expect(refused(() => write('words', 'x'.repeat(1025)))).toBe('ENOSPC');
    expect(machine.call('lp_params:read_secret', []).returns).toBe(1613n);
  });

  test('folders are there as long as the module is; other paths are no files', () => {
    insert();
    expect(machine.sysfs('/sys/module/lp_params')).toEqual({ mode: 'drwxr-xr-x' });
    expect(machine.sysfs(FOLDER)).toEqual({ mode: 'drwxr-xr-x' });
    for (const path of [
      'vmlinux',
      'none',
      'lp_params/other',
      'lp_params/parameters/fixed/x',
      'lp_params/parameters/none',
    ]) {
      expect(machine.sysfs(`/sys/module/${path}`), path).toBeUndefined();
      expect(
        refused(() => machine.writeSysfs(`/sys/module/${path}`, '1')),
        path,
      ).toBe('ENOENT');
    }
    machine.unload('lp_params');
    expect(machine.sysfs('/sys/module/lp_params')).toBeUndefined();
  });
});

test('a scenario reads and writes them with its step sysfs', () =>
  holds(
    [
      { load: 'lp_params', params: { numbers: '4,5,6' } },
      { sysfs: `${FOLDER}/numbers`, mode: '-rw-r--r--', reads: '4,5,6' },
      { sysfs: `${FOLDER}/numbers`, write: '8', reads: '8' },
      { call: 'lp_params:sum_numbers', returns: 8 },
      { sysfs: `${FOLDER}/numbers`, write: 'none', fails: 'EINVAL' },
      { sysfs: `${FOLDER}/fixed`, write: '1', fails: 'EACCES' },
      { sysfs: `${FOLDER}/hidden`, exists: false },
    ],
    { images: [{ name: 'lp_params', file: 'lp_params.ko', kind: 'module', loaded: false }] },
  ));
