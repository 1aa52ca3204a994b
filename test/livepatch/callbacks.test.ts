// Callbacks of patches and modules, in the guest and on the host; events; and what a failing one leaves behind (L75–L78).
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { EngineError, PatchError } from '../../src/errors.ts';
import type { LivepatchEvent } from '../../src/livepatch/events.ts';
import type { Callbacks, PatchSpec } from '../../src/livepatch/patch.ts';
import { Machine } from '../../src/machine.ts';
import { PROBE_IMAGE, probeObject } from '../../src/scenario/probes.ts';
import { catchError } from '../support/catch-error.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));

let machine: Machine;
let events: LivepatchEvent[];

beforeEach(async () => {
  events = [];
  machine = await Machine.create({ onEvent: (event) => events.push(event) });
  machine.load(object('target.o'), { name: 'vmlinux' });
  machine.load(probeObject(), { name: PROBE_IMAGE, kind: 'livepatch' });
  return () => machine.dispose();
});

const spec = (callbacks: Callbacks, more: Partial<PatchSpec> = {}): PatchSpec => ({
  name: 'fix',
  image: PROBE_IMAGE,
  objects: [{ name: null, funcs: [{ oldName: 'checksum', newFunc: 'probe_b' }], callbacks }],
  ...more,
});
const runs = () => machine.call('checksum', ['hello', 5n]).runs.name;
const site = () => machine.images.site(machine.address('vmlinux:checksum')) ?? 0n;

describe('callbacks', () => {
  test('run at their times, and may call guest functions: pre_patch sees the original, post_patch the new one', () => {
    const seen: string[] = [];
    const note = (word: string) => () => {
      seen.push(`${word}: ${runs()}`);
      return 0;
    };
    machine.livepatch.enable(
      spec({
        prePatch: note('pre_patch'),
        postPatch: note('post_patch'),
        preUnpatch: note('pre_unpatch'),
        postUnpatch: note('post_unpatch'),
      }),
    );
    machine.livepatch.disable('fix');
    expect(seen).toEqual([
      'pre_patch: vmlinux:checksum',
      'post_patch: probes:probe_b',
      'pre_unpatch: probes:probe_b',
      'post_unpatch: vmlinux:checksum',
    ]);
  });

  test('in the guest: what pre_patch returns in eax refuses the patch', () => {
    const error = catchError(PatchError, () => machine.livepatch.enable(spec({ prePatch: 'probe_a' })));
    expect(error.message).toContain("pre-patch callback of object 'vmlinux' returned 1");
    expect(machine.livepatch.patches).toEqual([]);
    expect(runs()).toBe('vmlinux:checksum');
    machine.livepatch.enable(spec({ postPatch: 'probe_a' }));
    expect(runs()).toBe('probes:probe_b');
  });

  test('that name no symbol of the patch’s image are EINVAL before anything happens', () => {
    expect(catchError(PatchError, () => machine.livepatch.enable(spec({ postUnpatch: 'nothing' }))).code).toBe(
      'EINVAL',
    );
    expect(events).toEqual([]);
  });

  test('of which one fails on the second object: the first gets post_unpatch, the second nothing (L77)', () => {
    const seen: string[] = [];
    const note =
      (word: string, result = 0) =>
      () => {
        seen.push(word);
        return result;
      };
    machine.load(object('target.o'), { name: 'mod', kind: 'module' });
    const all = (word: string, result = 0): Callbacks => ({
      prePatch: note(`${word} pre_patch`, result),
      postPatch: note(`${word} post_patch`),
      preUnpatch: note(`${word} pre_unpatch`),
      postUnpatch: note(`${word} post_unpatch`),
    });
    const func = [{ oldName: 'checksum', newFunc: 'probe_b' }];
    const objects = [
      { name: null, funcs: func, callbacks: all('vmlinux') },
      { name: 'mod', funcs: func, callbacks: all('mod', -12) },
    ];
    expect(catchError(PatchError, () => machine.livepatch.enable(spec({}, { objects }))).code).toBe('ENOMEM');
    expect(seen).toEqual(['vmlinux pre_patch', 'mod pre_patch', 'vmlinux post_unpatch']);
    expect(machine.livepatch.stack(site())).toEqual([]);
  });

  test('that throw where nothing can be refused: the transition completes, then the error comes out', () => {
    const bad = (): number => {
      throw new EngineError('EIO', 'a bad callback', { operation: 'test' });
    };
    expect(catchError(EngineError, () => machine.livepatch.enable(spec({ postPatch: bad }))).message).toContain(
      'a bad',
    );
    expect(machine.livepatch.transition).toBeUndefined();
    expect(runs()).toBe('probes:probe_b');
    machine.livepatch.disable('fix');
    expect(runs()).toBe('vmlinux:checksum');
  });

  test('cannot enable or disable patches themselves: EBUSY', () => {
    const codes: string[] = [];
    const nested = (): number => {
      codes.push(catchError(PatchError, () => machine.livepatch.disable('fix')).code);
      return 0;
    };
    machine.livepatch.enable(spec({ prePatch: nested, postPatch: nested }));
    expect(codes).toEqual(['EBUSY', 'EBUSY']);
  });
});

describe('events', () => {
  test('are typed, and come in the order of the log', () => {
    machine.livepatch.enable(spec({}));
    expect(events.map(({ kind }) => kind)).toEqual(['enabling', 'initializing', 'starting', 'completing', 'complete']);
    expect(machine.log.take()).toHaveLength(5);
  });

  test('tell of each attempt to switch a task, which makes no line (L69)', () => {
    machine.tasks.add('busy');
    machine.tasks.need('busy').onCpu = true;
    machine.livepatch.enable(spec({}));
    expect(events.at(-1)).toEqual({ kind: 'running', task: 'busy', pid: 2 });
    expect(machine.log.take().join()).not.toContain('klp_try_switch_task');
  });
});

describe('a module', () => {
  test('whose init fails in the guest is not loaded', () => {
    const faulty = { name: 'mod', kind: 'module', init: 'find_text' } as const;
    expect(() => machine.load(object('target.o'), faulty)).toThrow(EngineError);
    expect(machine.images.get('mod')).toBeUndefined();
    expect(() => machine.call('mod:checksum')).toThrow(/no loaded image/);
    machine.load(object('target.o'), { name: 'mod', kind: 'module' });
  });

  test('may come and go for ever in the same place', () => {
    machine.load(object('target.o'), { name: 'mod', kind: 'module' });
    const place = machine.address('mod:checksum');
    for (let i = 0; i < 5; i++) {
      machine.unload('mod');
      machine.load(object('target.o'), { name: 'mod', kind: 'module' });
      expect(machine.address('mod:checksum')).toBe(place);
    }
  });

  test('is the only kind of image that can be unloaded', () => {
    expect(() => machine.unload('vmlinux')).toThrow(/no module/);
    expect(() => machine.unload('absent')).toThrow(/ENOENT/);
  });
});
