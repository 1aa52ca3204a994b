// Sites are verified byte by byte before they are written, and come back byte-identical (F10 to F14).
import { beforeEach, describe, expect, test } from 'vitest';
import { createEngine } from '../../src/engine/create.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { SiteError } from '../../src/errors.ts';
import { Faults } from '../../src/faults.ts';
import { CodeArena } from '../../src/ftrace/code-arena.ts';
import { Ftrace } from '../../src/ftrace/ftrace.ts';
import type { Ops } from '../../src/ftrace/ops.ts';
import { callBytes, NOP5 } from '../../src/ftrace/site.ts';
import { livepatchOps } from '../../src/livepatch/attach.ts';
import { catchError } from '../support/catch-error.ts';

const TEXT = 0xffffffff81000000n;
const ARENA = 0xffffffffc0000000n;
const GATE = ARENA - 0x1000n;
const CALLERS = ARENA - 0x2000n;
const SITES = [TEXT + 0x10n, TEXT + 0x21n, TEXT + 0xffdn, TEXT + 0x2000n];

let engine: Engine;
let arena: CodeArena;
let ftrace: Ftrace;

beforeEach(async () => {
  engine = await createEngine('unicorn');
  engine.map(TEXT, 0x3000n, 'rx');
  for (const site of SITES) engine.write(site, NOP5);
  arena = new CodeArena(engine, ARENA, 0x20000n);
  engine.map(CALLERS, 0x1000n, 'rx');
  ftrace = new Ftrace({ ...parts(), engine, arena });
  ftrace.addSites(SITES);
  return () => engine.dispose();
});

const parts = () =>
  ({ faults: new Faults(), kernel: '6.12', gate: GATE, returnThunk: GATE + 0x20n, callers: CALLERS }) as const;
const ops = (i: number, site = SITES[i] ?? 0n, name = `f${i}`): Ops => livepatchOps(name, site, 'args');
const trampolineOf = (site: bigint): bigint | undefined => ftrace.record(site)?.calls;

describe('a registered ops', () => {
  test('has the site call its own trampoline, and unregistering restores every byte', () => {
    const text = engine.read(TEXT, 0x3000);
    const users = SITES.map((_, i) => ops(i));
    for (const user of users) ftrace.register(user);
    const trampolines = SITES.map((site) => trampolineOf(site) ?? 0n);
    expect(new Set(trampolines).size).toBe(SITES.length);
    SITES.forEach((site, i) => {
      expect(engine.read(site, 5)).toEqual(callBytes(site, trampolines[i] ?? 0n));
    });
    for (const user of users) ftrace.unregister(user);
    expect(engine.read(TEXT, 0x3000)).toEqual(text);
    expect(SITES.map(trampolineOf)).toEqual(SITES.map(() => undefined));
  });

  test('frees its trampoline for the next one', () => {
    const user = ops(0);
    ftrace.register(user);
    const place = trampolineOf(SITES[0] ?? 0n);
    ftrace.unregister(user);
    expect(engine.read(place ?? 0n, 16)).toEqual(new Uint8Array(16).fill(0xcc));
    for (let i = 0; i < 2000; i++) {
      const again = ops(1);
      ftrace.register(again);
      expect(trampolineOf(SITES[1] ?? 0n)).toBe(place);
      ftrace.unregister(again);
    }
  });
});

describe('what is refused changes no byte', () => {
  const refused = (code: string, action: () => void, text: RegExp): void => {
    const before = engine.read(TEXT, 0x3000);
    const end = arena.end;
    const error = catchError(SiteError, action);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(text);
    expect(engine.read(TEXT, 0x3000)).toEqual(before);
    expect(arena.end - end).toBeLessThanOrEqual(0x200n);
  };

  test('an address that is no site is EINVAL (F37)', () => {
    refused('EINVAL', () => ftrace.register(ops(0, TEXT + 0x11n)), /not an ftrace site/);
    refused('EINVAL', () => ftrace.verify([TEXT]), /not an ftrace site/);
  });

  test('a second user that changes ip is EBUSY and names the first (F40)', () => {
    ftrace.register(ops(0));
    refused('EBUSY', () => ftrace.register(ops(0, SITES[0], 'other')), /used by 'f0'/);
  });

  test('other bytes at the site are EINVAL, shown with the expected ones, and end ftrace for good (F11, F12, F14)', () => {
    engine.write(SITES[1] ?? 0n, Uint8Array.of(0x90));
    refused('EINVAL', () => ftrace.register(ops(1)), /holds 901f440000, expected 0f1f440000/);
    refused('ENODEV', () => ftrace.register(ops(0)), /earlier mismatch/);
  });

  test('an unmapped site is EFAULT (F11)', () => {
    ftrace.addSites([TEXT + 0x2ffdn]);
    refused('EFAULT', () => ftrace.register(ops(0, TEXT + 0x2ffdn)), /not mapped/);
  });

  test('a site out of rel32 reach is ERANGE (F10)', () => {
    const far = 0x400000n + 0x80000000n;
    engine.map(far, 0x1000n, 'rx');
    engine.write(far, NOP5);
    ftrace.addSites([far]);
    refused('ERANGE', () => ftrace.register(ops(0, far)), /does not reach/);
    ftrace.register(ops(0));
  });

  test('an ops for whose trampoline there is no memory has its site call the common caller (F28)', () => {
    const small = new CodeArena(engine, ARENA + 0x100000n, 0x100n);
    const other = new Ftrace({ ...parts(), engine, arena: small });
    other.addSites(SITES);
    const [first, second] = [ops(0), ops(1)];
    other.register(first);
    other.register(second);
    expect(other.record(SITES[1] ?? 0n)?.calls).toBe(other.callers.caller.args);
    expect(other.record(SITES[1] ?? 0n)?.flags).toEqual(['ENABLED', 'IPMODIFY', 'TOUCHED', 'MODIFIED']);
    other.unregister(second);
    expect(engine.read(SITES[1] ?? 0n, 5)).toEqual(NOP5);
  });

  test('unregistering what is not registered is EBUSY, as registering twice is (F38)', () => {
    refused('EBUSY', () => ftrace.unregister(ops(0)), /not registered/);
    ftrace.register(ops(0));
    refused('EBUSY', () => ftrace.unregister(ops(0)), /not registered/);
  });

  test('unregistering a site that was changed from outside writes nothing (F13)', () => {
    const user = ops(2);
    ftrace.register(user);
    engine.write((SITES[2] ?? 0n) + 1n, Uint8Array.of(0xaa));
    refused('EINVAL', () => ftrace.unregister(user), /holds e8aa/);
  });
});

test('the call at a site reaches both ends of rel32 and not one byte further', () => {
  const site = 0x7fff_f000_0000n;
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer).getInt32(1, true);
  expect(view(callBytes(site, site + 5n + 0x7fffffffn))).toBe(0x7fffffff);
  expect(view(callBytes(site, site + 5n - 0x80000000n))).toBe(-0x80000000);
  expect(() => callBytes(site, site + 5n + 0x80000000n)).toThrow(/ERANGE/);
  expect(() => callBytes(site, site + 4n - 0x80000000n)).toThrow(/ERANGE/);
});
