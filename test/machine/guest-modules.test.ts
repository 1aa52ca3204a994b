// Kernel modules in C that load and enable themselves: what they import is served, and what they do wrong is an error.
import { beforeEach, describe, expect, test } from 'vitest';
import { EngineError, PatchError } from '../../src/errors.ts';
import { ElfFile } from '../../src/image/elf.ts';
import type { LivepatchEvent } from '../../src/livepatch/events.ts';
import type { Parameters } from '../../src/machine/parameters.ts';
import { Machine } from '../../src/machine.ts';
import { fixture } from '../fixtures/manifest.ts';
import { object } from '../scenario/world.ts';
import { catchError } from '../support/catch-error.ts';

/** What lp_odd does, by the number of its parameter `what`. */
const WHAT = [
  ...['ENABLE', 'ENABLE_TWICE', 'ENABLE_AND_FAIL', 'CALL_PATCHED', 'FAULT', 'LOOP', 'FAULT_LATE', 'PRINT'],
  ...['DOUBLE_FREE', 'FOREIGN_FREE', 'TOO_MUCH', 'NO_TRANSITION', 'SHADOW', 'SHOW_PARAMETERS', 'NOT_LIVEPATCH'],
  ...['NO_OBJECTS', 'NEST'],
] as const;

describe.each(['unicorn', 'wasm'] as const)('on %s', (engine) => {
  let machine: Machine;
  let events: LivepatchEvent[];

  beforeEach(async () => {
    events = [];
    machine = await Machine.create({ engine, budget: 200_000, onEvent: (event) => events.push(event) });
    machine.load(object('target.o'), { name: 'vmlinux' });
    return () => machine.dispose();
  });

  const insert = (what: (typeof WHAT)[number], params: Parameters = {}, bytes = fixture('lp_odd.ko')): unknown =>
    machine.load(bytes, {
      name: 'lp_odd',
      kind: 'module',
      params: { what: BigInt(WHAT.indexOf(what)), ...params },
    });
  const runs = (): string => machine.call('vmlinux:checksum', ['hello', 5n]).runs.name;
  const site = (): bigint => machine.images.site(machine.address('vmlinux:checksum')) ?? 0n;
  /** Nothing of the module is left. */
  const nothingLeft = (): void => {
    expect(runs()).toBe('vmlinux:checksum');
    expect(machine.images.get('lp_odd')).toBeUndefined();
    expect(machine.livepatch.patches).toEqual([]);
    expect(machine.livepatch.transition).toBeUndefined();
    expect(machine.livepatch.stack(site())).toEqual([]);
    expect(machine.core.patchState(machine.tasks.first.handle)).toBe('idle');
    expect(machine.livepatch.isInserted('lp_odd')).toBe(false);
    expect(machine.read(site(), 5)).toEqual(Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0));
  };

  describe('a livepatch module', () => {
    test('enables itself from its init; rmmod is EBUSY until it is disabled (L20, L49)', () => {
      insert('ENABLE');
      expect(runs()).toBe('lp_odd:livepatch_checksum');
      expect(machine.livepatch.stack(site()).map(({ patch }) => patch)).toEqual(['lp_odd']);
      expect(catchError(PatchError, () => machine.unload('lp_odd')).code).toBe('EBUSY');
      expect(runs()).toBe('lp_odd:livepatch_checksum');
      machine.livepatch.disable('lp_odd');
      machine.unload('lp_odd');
      expect(machine.log.take().at(-1)).toBe('lp_odd: exit');
      nothingLeft();
      insert('ENABLE');
      expect(runs()).toBe('lp_odd:livepatch_checksum');
    });

    test('that was forced can never be removed (L74)', () => {
      insert('ENABLE');
      machine.tasks.add('busy').onCpu = true;
      machine.livepatch.disable('lp_odd');
      machine.livepatch.force('lp_odd');
      expect(runs()).toBe('vmlinux:checksum');
      expect(catchError(PatchError, () => machine.unload('lp_odd')).code).toBe('EBUSY');
    });

    test('that enables itself twice gets EEXIST, and stays enabled once (L15)', () => {
      insert('ENABLE_TWICE');
      expect(machine.log.take().filter((line) => line.startsWith('lp_odd'))).toEqual([
        'lp_odd: first 0',
        'lp_odd: second -17',
      ]);
      expect(machine.livepatch.stack(site())).toHaveLength(1);
    });

    test('whose init fails after it has enabled itself is taken off again, and insmod gives the errno (L20)', () => {
      expect(catchError(PatchError, () => insert('ENABLE_AND_FAIL')).code).toBe('ENODEV');
      expect(machine.log.take().at(-1)).toBe('lp_odd: enabled: 0');
      nothingLeft();
    });

    test('whose init fails while its transition still runs is taken off as well', () => {
      machine.tasks.add('busy').onCpu = true;
      expect(catchError(PatchError, () => insert('ENABLE_AND_FAIL')).code).toBe('ENODEV');
      nothingLeft();
    });

    test('without objects is refused (L9)', () => {
      expect(catchError(PatchError, () => insert('NO_OBJECTS')).code).toBe('EINVAL');
      nothingLeft();
    });

    test('that is not marked as one is refused (L11)', () => {
      const bytes = fixture('lp_odd.ko').slice();
      bytes[new TextDecoder('latin1').decode(bytes).indexOf('livepatch=Y') + 10] = 'N'.charCodeAt(0);
      expect(catchError(PatchError, () => insert('ENABLE', {}, bytes)).code).toBe('EINVAL');
      expect(machine.log.take()).toEqual(['livepatch: module lp_odd is not marked as a livepatch module']);
      nothingLeft();
    });

    test('loads when ftrace refuses: the errno is init’s, and nothing is left (L31)', () => {
      machine.ftrace.setEnabled(false);
      expect(catchError(PatchError, () => insert('ENABLE')).code).toBe('EBUSY');
      machine.ftrace.setEnabled(true);
      nothingLeft();
    });
  });

  describe('a callback', () => {
    test('may call a function that is patched: pre_patch runs the original, post_patch the new one', () => {
      const original = machine.call('vmlinux:checksum', ['hello', 5n]).returns.toString(16);
      insert('CALL_PATCHED');
      expect(machine.log.take().filter((line) => line.startsWith('lp_odd'))).toEqual([
        `lp_odd: pre_patch: checksum gives ${original}`,
        'lp_odd: post_patch: checksum gives dd0005',
      ]);
    });

    test('that faults ends insmod with the fault, and nothing is left', () => {
      for (const what of ['FAULT', 'FAULT_LATE'] as const) {
        expect(catchError(EngineError, () => insert(what))).toMatchObject({ code: 'EFAULT', engineCode: 'unmapped' });
        nothingLeft();
      }
      insert('ENABLE');
      expect(runs()).toBe('lp_odd:livepatch_checksum');
    });

    test('that never ends spends its budget, and nothing is left', () => {
      expect(catchError(EngineError, () => insert('LOOP')).code).toBe('ETIMEDOUT');
      nothingLeft();
    });

    test('that enables a patch gets EBUSY instead of the kernel’s deadlock', () => {
      insert('NEST');
      expect(machine.log.take()).toContain('lp_odd: pre_patch: enabling again gives -16');
    });
  });

  describe('_printk', () => {
    test('formats as the kernel does, and bad pointers are safe', () => {
      insert('PRINT');
      const place = machine.address('lp_odd:livepatch_checksum');
      const size = machine.images.get('lp_odd')?.functionNamed('livepatch_checksum')?.size ?? 0;
      expect(place).toBeGreaterThan(0n);
      expect(machine.log.take()).toEqual([
        'lp_odd: -5 5 4000000000 beef BEEF 10 ok %',
        'lp_odd: -5 5 fedcba9876543210 fedcba9876543210 ff ffff 6',
        'lp_odd: [   42] [42   ] [-0042] [+42] [ 42] [0x2a] [007] [   9] [9   ]',
        'lp_odd: [words] [   words] [words   ] [wor] [wo]',
        'lp_odd: ffffffff81000000 0000000000000001 0000000000000000',
        `lp_odd: livepatch_checksum+0x4/0x${size.toString(16)} [lp_odd] checksum`,
        'no level',
        'two',
        'lines',
        'first and more',
        '(null), (efault), (efault) and (efault)',
        '1 %y %d',
        '%n',
        `${' '.repeat(1023)}`,
        '(efault)',
        '(efault)',
      ]);
    });
  });

  describe('the heap', () => {
    test('refuses a second kfree, and a kfree of what it did not give', () => {
      expect(catchError(EngineError, () => insert('DOUBLE_FREE')).engineCode).toBe('double-free');
      expect(catchError(EngineError, () => insert('FOREIGN_FREE')).engineCode).toBe('foreign-free');
      expect(machine.heap.inUse).toBe(0);
      nothingLeft();
    });

    test('gives NULL for more than there is, and what a module does with that is its own', () => {
      expect(catchError(PatchError, () => insert('TOO_MUCH', { large: 1n << 40n })).code).toBe('ENOMEM');
      expect(catchError(PatchError, () => insert('TOO_MUCH', { large: -1n })).code).toBe('ENOMEM');
      nothingLeft();
    });

    test('gives zeroed memory again and again, and one address for 0 bytes', () => {
      const first = machine.heap.allocate(100n, true);
      expect(machine.read(first, 100).every((byte) => byte === 0)).toBe(true);
      machine.heap.free(first);
      expect(machine.heap.allocate(100n, false)).toBe(first);
      expect(machine.read(first, 100).every((byte) => byte === 0)).toBe(false);
      expect(machine.heap.allocate(0n, true)).toBe(0x10n);
      machine.heap.free(0x10n);
      machine.heap.free(0n);
    });
  });

  test('klp_get_prev_state outside a transition warns once and gives NULL (L80)', () => {
    insert('NO_TRANSITION');
    machine.unload('lp_odd');
    insert('NO_TRANSITION');
    expect(machine.log.take()).toContain('lp_odd: previous state: 0000000000000000');
    expect(events).toEqual([{ kind: 'noPreviousState', id: 1n }]);
  });

  test('shadow variables: a duplicate warns, and a constructor that fails is logged and leaves nothing (L81)', () => {
    insert('SHADOW');
    expect(machine.log.take()).toEqual([
      'Duplicate shadow variable <0000000000001000, 1>',
      'livepatch: Failed to construct shadow variable <0000000000001000, 2> (-22)',
    ]);
    expect([machine.shadow.size, machine.heap.inUse]).toEqual([0, 0]);
  });

  test.each([
    ['6.1', 'lp_state-6.1.ko', 'kmalloc_trace'],
    ['6.12', 'lp_state.ko', '__kmalloc_cache_noprof'],
  ] as const)(
    'a module of %s allocates by the name of its kernel, and its state is the guest’s (L80)',
    (_, file, name) => {
      expect(ElfFile.parse(fixture(file), file).symbols.map((symbol) => symbol.name)).toContain(name);
      const count = (): bigint => machine.call('vmlinux:count_calls', [0n]).returns;
      machine.load(fixture(file), { name: 'lp_state', kind: 'module' });
      expect([count(), [...machine.heap.live.values()]]).toEqual([1000n, [8]]);
      const state = machine.livepatch.state('lp_state', 1)?.struct ?? 0n;
      const data = new DataView(machine.read(state + 0x10n, 8).buffer).getBigUint64(0, true);
      expect(new DataView(machine.read(data, 8).buffer).getBigUint64(0, true)).toBe(40n);
      machine.livepatch.disable('lp_state');
      machine.unload('lp_state');
      expect([count(), machine.heap.inUse]).toEqual([40n, 0]);
    },
  );

  describe('a module parameter', () => {
    const shown = (): string | undefined => machine.log.take().at(-1);

    test('has the type that its module gave it, and keeps its value without one', () => {
      insert('SHOW_PARAMETERS');
      expect(shown()).toBe('lp_odd: 1 2 3 4 0 none empty 0');
      machine.unload('lp_odd');
      insert('SHOW_PARAMETERS', {
        ...{ positive: '0xffffffff', small: '-32768', byte: '0377', large: -(1n << 63n), flag: true },
        ...{ text: 'some text', room: '1234567', doubled: '4' },
      });
      expect(shown()).toBe('lp_odd: 4294967295 -32768 255 -9223372036854775808 1 some text 1234567 8');
      expect(machine.heap.inUse).toBe(10);
      machine.unload('lp_odd');
      expect(machine.heap.inUse).toBe(0);
    });

    test.each([
      ['positive', '-1', 'EINVAL'],
      ['positive', '4294967296', 'ERANGE'],
      ['positive', '', 'EINVAL'],
      ['positive', '08', 'EINVAL'],
      ['positive', '1 ', 'EINVAL'],
      ['small', '32768', 'ERANGE'],
      ['byte', '256', 'ERANGE'],
      ['flag', 'maybe', 'EINVAL'],
      ['doubled', '7', 'EINVAL'],
    ])('%s = "%s" refuses the module with %s, and says why', (name, value, code) => {
      expect(catchError(PatchError, () => insert('ENABLE', { [name]: value })).code).toBe(code);
      expect(machine.log.take()).toEqual([`lp_odd: \`${value}' invalid for parameter \`${name}'`]);
      nothingLeft();
    });

    test('that is too long is ENOSPC', () => {
      expect(catchError(PatchError, () => insert('ENABLE', { room: '12345678' })).code).toBe('ENOSPC');
      expect(catchError(PatchError, () => insert('ENABLE', { text: 'x'.repeat(1025) })).code).toBe('ENOSPC');
      expect(machine.log.take()[0]).toBe("lp_odd: `12345678' too large for parameter `room'");
      nothingLeft();
    });

    test('that the module does not have is ignored with a line, also where it has none at all', () => {
      insert('ENABLE', { nothing: 1n, constructor: 'x' });
      expect(machine.log.take().slice(0, 2)).toEqual([
        "lp_odd: unknown parameter 'nothing' ignored",
        "lp_odd: unknown parameter 'constructor' ignored",
      ]);
      machine.load(fixture('lp_mod.ko'), { name: 'lp_mod', kind: 'module', params: { what: 1n } });
      expect(machine.log.take().slice(-2)).toEqual(["lp_mod: unknown parameter 'what' ignored", 'lp_mod: init']);
    });

    test('is read after the patches were applied to the module, which a bad one takes off again (L64, L66)', () => {
      machine.load(fixture('lp_demo.ko'), { name: 'lp_demo', kind: 'module' });
      machine.log.take();
      const load = () => machine.load(fixture('lp_mod.ko'), { name: 'lp_mod', kind: 'module', params: { x: 1n } });
      load();
      expect(machine.log.take()).toEqual([
        "livepatch: applying patch 'lp_demo' to loading module 'lp_mod'",
        'lp_demo: pre_patch: lp_mod -> MODULE_STATE_COMING',
        'lp_demo: post_patch: lp_mod -> MODULE_STATE_COMING',
        "lp_mod: unknown parameter 'x' ignored",
        'lp_mod: init',
      ]);
    });
  });
});
