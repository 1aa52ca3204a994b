// The rules of registering, filters, updating, recursion and freeing, where several users are about.
import { afterEach, describe, expect, test } from 'vitest';
import { EngineError, SiteError, TrampolineError } from '../../src/errors.ts';
import { globMatch } from '../../src/ftrace/filter.ts';
import { Ops } from '../../src/ftrace/ops.ts';
import { callBytes, NOP5 } from '../../src/ftrace/site.ts';
import type { MachineOptions } from '../../src/machine.ts';
import { fixture } from '../fixtures/manifest.ts';
import { catchError } from '../support/catch-error.ts';
import { TracerWorld } from './tracer-world.ts';

const worlds: TracerWorld[] = [];
afterEach(() => {
  for (const { machine } of worlds.splice(0)) machine.dispose();
});

async function make(options: MachineOptions = {}): Promise<TracerWorld> {
  const world = await TracerWorld.make({ engine: 'wasm', ...options });
  worlds.push(world);
  return world;
}

const HANDLERS = ['core', 'guest'] as const;
const FILTER = { filter: ['checksum'] };

describe('patterns', () => {
  test.each([
    ['checksum', 'checksum', true],
    ['check*', 'checksum', true],
    ['*sum', 'checksum', true],
    ['*eck*', 'checksum', true],
    ['c*k*m', 'checksum', true],
    ['c*x*m', 'checksum', false],
    ['check?um', 'checksum', true],
    ['check?', 'checksum', false],
    ['chec[j-l]sum', 'checksum', true],
    ['chec[!k]sum', 'checksum', false],
    ['chec[]k]sum', 'checksum', true],
    ['chec[k', 'chec[k', true],
    ['chec[a-]sum', 'chec-sum', true],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['a\\', 'a\\', true],
    ['*', '', true],
    ['?', '', false],
    ['a**b', 'axxb', true],
    ['*a*a*a*b', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', false],
  ])('%s against %s: %s, as glob_match (F39)', (pattern, text, matches) => {
    expect(globMatch(pattern, text)).toBe(matches);
  });

  test('name functions of images and modules, and take out what follows a ! (F39)', async () => {
    const { machine } = await make();
    const named = (filter: readonly string[]): string[] => {
      machine.tracers.add({ name: 'x', filter });
      const names = machine.tracers.sites('x').map((site) => machine.images.locate(site).name);
      machine.tracers.remove('x');
      return names.sort();
    };
    expect(named(['tail_*'])).toEqual(['vmlinux:tail_call', 'vmlinux:tail_target']);
    expect(named(['tail_*', '!*call'])).toEqual(['vmlinux:tail_target']);
    expect(named([':mod:t'])).toEqual(['t:deep', 't:elsewhere']);
    expect(named(['d*:mod:t'])).toEqual(['t:deep']);
    expect(named(['vmlinux:d*'])).toEqual(['vmlinux:divide']);
    expect(named(['livepatch_checksum'])).toHaveLength(3);
  });

  test('that match nothing are EINVAL, and leave the tracer out (F37, F40)', async () => {
    const { machine } = await make();
    for (const filter of [['nothing_*'], ['checksum', 'x'], [''], ['t:checksum']]) {
      expect(catchError(TrampolineError, () => machine.tracers.add({ name: 'x', filter })).code).toBe('EINVAL');
    }
    expect(machine.tracers.names).toEqual([]);
    machine.tracers.add({ name: 'x', ...FILTER });
    expect(catchError(TrampolineError, () => machine.tracers.add({ name: 'x', ...FILTER })).code).toBe('EEXIST');
    expect(catchError(TrampolineError, () => machine.tracers.remove('y')).code).toBe('ENOENT');
  });
});

describe('filters by address', () => {
  test('not a site is EINVAL, removing an absent one ENOENT, adding one twice is nothing (F37)', async () => {
    const world = await make();
    const { ftrace } = world.machine;
    const site = world.site('checksum');
    const ops = new Ops({ name: 'x', func: ftrace.callers.stub });
    expect(catchError(SiteError, () => ftrace.setFilterIp(ops, site + 1n)).code).toBe('EINVAL');
    expect(catchError(SiteError, () => ftrace.setFilterIp(ops, site, { remove: true })).code).toBe('ENOENT');
    ftrace.setFilterIp(ops, site);
    ftrace.setFilterIp(ops, site);
    expect([...ops.filter]).toEqual([site]);
    ftrace.register(ops);
    ftrace.setFilterIp(ops, world.site('divide'));
    expect(world.record('vmlinux:divide').users).toEqual(['x']);
    ftrace.setFilterIp(ops, world.site('operate'), { reset: true });
    expect(['checksum', 'divide', 'operate'].map((name) => world.record(`vmlinux:${name}`).users.length)).toEqual([
      0, 0, 1,
    ]);
    expect(world.bytes('vmlinux:divide')).toEqual(NOP5);
  });

  test.each(HANDLERS)('of a registered tracer take its sites along (handler %s, F39)', async (handler) => {
    const world = await make({ handler });
    const { tracers } = world.machine;
    tracers.add({ name: 'x', ...FILTER });
    tracers.add({ name: 'y', filter: ['checksum', 'divide'] });
    tracers.setFilter('x', ['divide', 'operate'], ['operate']);
    world.call();
    world.call('vmlinux:divide', [7n, 2n]);
    world.call('vmlinux:operate', [0n, 1n, 2n]);
    expect(['x', 'y'].map((name) => tracers.counts(name).calls)).toEqual([1n, 2n]);
    expect(catchError(TrampolineError, () => tracers.setFilter('x', ['nothing'])).code).toBe('EINVAL');
    expect(world.record('vmlinux:divide').users).toEqual(['y', 'x']);
  });
});

describe('registering', () => {
  test('a dead ftrace is ENODEV, a deleted ops EINVAL, a registered one EBUSY, a PERMANENT one while switched off EBUSY (F38)', async () => {
    const world = await make();
    const { ftrace } = world.machine;
    const code = (ops: Ops): string => catchError(SiteError, () => ftrace.register(ops)).code;
    const ops = (more: object = {}): Ops =>
      new Ops({ name: 'x', filter: [world.site('checksum')], func: ftrace.callers.stub, ...more });
    const one = ops();
    ftrace.register(one);
    expect(code(one)).toBe('EBUSY');
    ftrace.unregister(one);
    one.deleted = true;
    expect(code(one)).toBe('EINVAL');
    ftrace.setEnabled(false);
    expect(code(ops({ flags: ['PERMANENT'] }))).toBe('EBUSY');
    ftrace.register(ops());
    expect(world.bytes()).toEqual(NOP5);
    ftrace.setEnabled(true);
    world.machine.engine.write(world.site('divide'), Uint8Array.of(0xa0));
    expect(code(ops({ filter: [world.site('divide')] }))).toBe('EINVAL');
    expect(code(ops())).toBe('ENODEV');
  });

  test('a mismatch at one of many sites writes none of them (F13, F14)', async () => {
    const world = await make();
    world.machine.tracers.add({ name: 'a', filter: ['divide'] });
    world.machine.engine.write(world.site('operate') + 1n, Uint8Array.of(0xaa));
    const before = ['checksum', 'divide'].map((name) => world.bytes(`vmlinux:${name}`));
    const error = catchError(SiteError, () => world.machine.tracers.add({ name: 'b', filter: ['vmlinux:*'] }));
    expect(error).toMatchObject({ code: 'EINVAL', address: world.site('operate') });
    expect(['checksum', 'divide'].map((name) => world.bytes(`vmlinux:${name}`))).toEqual(before);
    expect(world.record('vmlinux:divide').users).toEqual(['a']);
  });

  test('kernel.ftrace_enabled at 0 makes every site a NOP5 and at 1 a call again; with a PERMANENT ops it is EBUSY (F43)', async () => {
    const world = await make();
    const { machine } = world;
    machine.tracers.add({ name: 'a', ...FILTER, target: 't:on_a' });
    machine.tracers.add({ name: 'b', filter: ['checksum', 'divide'], target: 't:on_b' });
    const calls = world.record().calls;
    machine.ftrace.setEnabled(false);
    expect(['checksum', 'divide'].map((name) => world.bytes(`vmlinux:${name}`))).toEqual([NOP5, NOP5]);
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.who()).toBe('');
    expect(catchError(TrampolineError, () => world.patch('a')).code).toBe('EBUSY');
    machine.tracers.add({ name: 'c', ...FILTER, target: 't:on_c' });
    machine.tracers.remove('a');
    machine.ftrace.setEnabled(true);
    expect(world.record().calls).toBe(calls);
    world.call();
    expect(world.who()).toBe('cb');
    world.patch('a');
    expect(catchError(SiteError, () => machine.ftrace.setEnabled(false)).code).toBe('EBUSY');
    expect(machine.ftrace.enabled).toBe(true);
    world.machine.livepatch.disable('fix_a');
    machine.tracers.add({ name: 'p', filter: ['divide'], flags: ['PERMANENT'] });
    expect(catchError(SiteError, () => machine.ftrace.setEnabled(false)).message).toContain("'p' needs it");
  });
});

describe('a record', () => {
  test('has the flags of what is wanted and of what the text does, and counts its users (F36)', async () => {
    const world = await make({ kernel: '6.12' });
    const { tracers, ftrace } = world.machine;
    const state = () => world.record();
    expect(state()).toMatchObject({ flags: [], value: 0, users: [] });
    tracers.add({ name: 'a', ...FILTER });
    expect(state()).toMatchObject({ flags: ['ENABLED', 'TRAMP', 'TRAMP_EN', 'TOUCHED'], value: 0x98100001 });
    tracers.add({ name: 'b', ...FILTER, flags: ['SAVE_REGS'] });
    expect(state()).toMatchObject({ flags: ['ENABLED', 'REGS', 'REGS_EN', 'TOUCHED'], value: 0xe0100002 });
    ftrace.setEnabled(false);
    expect(state().flags).toEqual(['REGS', 'TOUCHED']);
    ftrace.setEnabled(true);
    tracers.remove('a');
    expect(state().flags).toEqual(['ENABLED', 'REGS', 'REGS_EN', 'TRAMP', 'TRAMP_EN', 'TOUCHED']);
    tracers.remove('b');
    tracers.add({ name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one', opsFunc: () => 0 });
    const direct = ['ENABLED', 'REGS', 'REGS_EN', 'TRAMP', 'TRAMP_EN', 'DIRECT', 'DIRECT_EN', 'TOUCHED', 'MODIFIED'];
    expect(state().flags).toEqual(direct);
    world.patch('a');
    expect(state().flags).toEqual(['ENABLED', 'REGS', 'REGS_EN', 'IPMODIFY', 'DIRECT', 'TOUCHED', 'MODIFIED']);
    tracers.remove('d');
    world.machine.livepatch.disable('fix_a');
    expect(state()).toMatchObject({ flags: ['TOUCHED', 'MODIFIED'], value: 0x180000 });
  });

  test('of 6.1 remembers nothing, and that of a weak function’s leftover is DISABLED and never traced (F36, F8)', async () => {
    const world = await make({ kernel: '6.1' });
    const { tracers, ftrace, engine } = world.machine;
    tracers.add({ name: 'a', ...FILTER });
    tracers.remove('a');
    expect(world.record()).toMatchObject({ flags: [], value: 0 });
    const leftover = world.site('checksum') + 0x20n;
    ftrace.addSites([], [leftover]);
    expect(ftrace.record(leftover)?.flags).toEqual(['DISABLED']);
    const bytes = engine.read(leftover, 5);
    tracers.add({ name: 'all' });
    expect(engine.read(leftover, 5)).toEqual(bytes);
    expect(ftrace.record(leftover)?.users).toEqual([]);
  });
});

describe.each(HANDLERS)('under handler %s', (handler) => {
  test('the common callers get the list func before a site calls them, and no site calls an ops that has left (F35)', async () => {
    const world = await make({ handler });
    const { machine } = world;
    const { engine, ftrace, tracers } = machine;
    const site = world.site('checksum');
    tracers.add({ name: 'other', filter: ['divide'] });
    const list = machine.engine.read(ftrace.callers.caller.args, 0xa0);
    /** What the text did at each write, in order. */
    const seen: string[] = [];
    const live = new Set<bigint>();
    const write = engine.write.bind(engine);
    engine.write = (at, bytes) => {
      write(at, bytes);
      const byte = engine.read(site, 5);
      const target = byte[0] === 0xe8 ? site + 5n + BigInt(new DataView(byte.buffer).getInt32(1, true)) : undefined;
      if (at === site)
        seen.push(target === undefined ? 'nop' : target === ftrace.callers.caller.args ? 'common' : 'own');
      // whatever the site calls is whole: no trampoline is int3 while a site calls it
      if (target !== undefined) expect(engine.read(target, 1)[0]).not.toBe(0xcc);
      if (target === ftrace.callers.caller.args) expect(engine.read(target, 0xa0)).toEqual(list);
    };
    const user = (name: string, letter: string) => tracers.add({ name, ...FILTER, target: `t:on_${letter}` });
    user('x', 'a');
    live.add(ftrace.record(site)?.calls ?? 0n);
    user('y', 'b');
    tracers.remove('x');
    tracers.remove('y');
    engine.write = write;
    expect(seen).toEqual(['own', 'common', 'own', 'nop']);
    tracers.remove('other');
    // with nobody left the callers call the stub
    const call = engine.read(ftrace.callers.caller.args, 0xa0);
    expect(call).not.toEqual(list);
  });

  test('an ops with SAVE_REGS is not called where the registers are not saved (F34)', async () => {
    const world = await make({ handler });
    const { engine, ftrace, tracers } = world.machine;
    tracers.add({ name: 'b', ...FILTER, target: 't:on_b', flags: ['SAVE_REGS'] });
    tracers.add({ name: 'a', ...FILTER, target: 't:on_a' });
    world.call();
    expect(world.who()).toBe('ab');
    // as in the moment in which a record has not been changed yet
    engine.write(world.site('checksum'), callBytes(world.site('checksum'), ftrace.callers.caller.args));
    world.call();
    expect(world.who()).toBe('a');
  });

  test('a hundred ops on one site are called newest first, and leave in any order (F34)', async () => {
    const world = await make({ handler });
    const { tracers } = world.machine;
    const letters = ['a', 'b', 'c'];
    const names = Array.from({ length: 100 }, (_, i) => `u${i}`);
    for (const [i, name] of names.entries()) {
      tracers.add({ name, ...FILTER, target: `t:on_${letters[i % 3]}` });
    }
    world.patch('a');
    expect(world.call()).toBe('fix_a:livepatch_checksum');
    expect(world.who()).toBe(
      names
        .map((_, i) => letters[i % 3])
        .reverse()
        .join(''),
    );
    for (let i = 0; i < 100; i++) tracers.remove(`u${(i * 37) % 100}`);
    expect(world.record().users).toEqual(['checksum']);
    expect(world.call()).toBe('fix_a:livepatch_checksum');
  });

  test('a handler that calls a traced function is guarded: the third entry in one context is not made (F44, F29)', async () => {
    const world = await make({ handler });
    const { tracers } = world.machine;
    const nosy = { filter: ['fibonacci'], target: 't:on_nosy' } as const;
    tracers.add({ name: 'n', ...nosy, flags: ['RECURSION'] });
    world.call('vmlinux:fibonacci', [1n]);
    expect(world.who()).toBe('nn');
    // by the list func it is the same guard
    tracers.add({ name: 'a', filter: ['fibonacci'], target: 't:on_a' });
    world.call('vmlinux:fibonacci', [1n]);
    expect(world.who()).toBe('anan');
    tracers.remove('a');
    tracers.remove('n');
    // without one it never ends
    tracers.add({ name: 'n', ...nosy });
    const error = catchError(EngineError, () => world.machine.call('vmlinux:fibonacci', [1n]));
    expect(['EFAULT', 'ETIMEDOUT']).toContain(error.code);
    tracers.remove('n');
    expect(world.machine.call('vmlinux:fibonacci', [7n]).returns).toBe(13n);
  });

  test('each context has a bit of its own in the guard (F44)', async () => {
    const world = await make({ handler, tasks: ['t1', 't2'] });
    const { machine } = world;
    machine.tracers.add({ name: 'a', filter: ['divide'], target: 't:on_a', flags: ['RECURSION'] });
    machine.tracers.add({ name: 'n', filter: ['checksum'], target: 't:on_nosy', flags: ['RECURSION'] });
    machine.park('vmlinux:checksum', ['hello', 5n], 't:on_nosy', { task: 't1' });
    for (const context of ['softirq', 'irq', 'nmi'] as const) {
      machine.call('vmlinux:divide', [7n, 2n], { task: 't1', context });
    }
    machine.call('vmlinux:divide', [7n, 2n], { task: 't2' });
    machine.resume('t1');
    expect(world.who()).toBe('aaaan');
  });

  test('livepatch under a guard that is held twice in one context runs the original, and warns once (L36, F44)', async () => {
    const world = await make({ handler, transition: 'manual' });
    const { machine } = world;
    world.patch('a', 'fibonacci');
    // the entry function holds the guard of handlers, and calls fibonacci
    machine.tracers.add({ name: 'g', kind: 'graph', filter: ['checksum'], target: 't:graph_nosy' });
    machine.livepatch.switchTasks();
    const names = () => machine.call('vmlinux:checksum', ['hello', 5n]).visits.map(({ name }) => name);
    // one entry is held: livepatch takes the transition bit
    expect(names()).toEqual(['fix_a:livepatch_fibonacci', 'vmlinux:checksum']);
    machine.tracers.remove('g');
    machine.tracers.add({ name: 'g', kind: 'graph', filter: ['checksum', 'fibonacci'], target: 't:graph_nosy' });
    const before = refusals(world, handler);
    names();
    expect(refusals(world, handler)).toBeGreaterThan(before);
  });

  test('an interrupt in a transition is of the interrupted task’s state (L71, F44)', async () => {
    const world = await make({ handler, tasks: ['t1', 't2'], transition: 'manual' });
    const { machine } = world;
    machine.tracers.add({ name: 'a', ...FILTER, target: 't:on_a' });
    world.patch('a');
    machine.livepatch.switchTasks(['t2']);
    const runs = (task: string) => machine.call('vmlinux:checksum', ['hello', 5n], { task, context: 'irq' }).runs.name;
    expect([runs('t1'), runs('t2')]).toEqual(['vmlinux:checksum', 'fix_a:livepatch_checksum']);
    expect(world.who()).toBe('aa');
  });

  test('a trampoline and an ops that a parked task stands in stay until it has left (F31)', async () => {
    const world = await make({ handler, tasks: ['t1', 't2'] });
    const { machine } = world;
    const { tracers } = machine;
    const user = (name: string, more = {}) => tracers.add({ name, ...FILTER, target: `t:on_${name}`, ...more });
    user('a');
    const own = world.record().calls ?? 0n;
    machine.park('vmlinux:checksum', ['hello', 5n], 't:on_a', { task: 't1' });
    tracers.remove('a');
    expect(machine.read(own, 1)[0]).not.toBe(0xcc);
    user('b');
    user('c', { flags: ['SAVE_REGS'] });
    world.patch('a');
    machine.park('vmlinux:checksum', ['hello', 5n], 't:on_b', { task: 't2' });
    tracers.remove('b');
    tracers.remove('c');
    expect(machine.resume('t1').runs.name).toBe('vmlinux:checksum');
    expect(machine.resume('t2').runs.name).toBe('fix_a:livepatch_checksum');
    // c is the newest and was called before b; b was being called
    expect(world.who()).toBe('cab');
    machine.livepatch.disable('fix_a');
    user('a');
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.who()).toBe('a');
  });

  test('a task that sleeps below a hooked return comes back through it, whoever has left meanwhile (F47)', async () => {
    const world = await make({ handler, tasks: ['t1', 't2'] });
    const { machine } = world;
    const graph = () =>
      machine.tracers.add({
        name: 'g',
        kind: 'graph',
        ...FILTER,
        target: 't:graph_entry',
        postTarget: 't:graph_return',
      });
    const body = [...machine.trace('vmlinux:checksum', ['hello', 5n])].filter(({ part }) => part === 'function');
    graph();
    machine.park('vmlinux:checksum', ['hello', 5n], body[4]?.ip ?? 0n, { task: 't1' });
    const places = machine.stackTrace('t1')?.places.map(({ name }) => name);
    expect(machine.stackTrace('t1')?.unreliable).toBeUndefined();
    expect(places).toEqual(['vmlinux:checksum']);
    machine.call('vmlinux:checksum', ['hello', 5n], { task: 't2' });
    machine.tracers.remove('g');
    const { returns } = machine.call('vmlinux:checksum', ['hello', 5n], { task: 't2' });
    expect(machine.resume('t1').returns).toBe(returns);
    expect(world.who()).toBe('EER');
    graph();
    world.call();
    expect(world.who()).toBe('ER');
  });

  test('a handler that faults ends its call, and the next call is as if it had not been (F44)', async () => {
    const world = await make({ handler });
    const { tracers } = world.machine;
    tracers.add({ name: 'a', ...FILTER, target: 't:on_a' });
    tracers.add({ name: 'f', ...FILTER, target: 't:on_fault' });
    for (let i = 0; i < 4; i++) {
      expect(catchError(EngineError, () => world.machine.call('vmlinux:checksum', ['hello', 5n])).code).toBe('EIO');
    }
    tracers.remove('f');
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.who()).toBe('a');
    tracers.add({
      ...{ name: 'h', ...FILTER },
      target: () => {
        throw new RangeError('from the handler');
      },
    });
    expect(() => world.machine.call('vmlinux:checksum', ['hello', 5n])).toThrow(/from the handler/);
    tracers.remove('h');
    expect(world.call()).toBe('vmlinux:checksum');
  });

  test('a module’s functions join those who trace all, and those who wait for it; its place is not theirs when it is gone (F7)', async () => {
    const world = await make({ handler });
    const { machine } = world;
    machine.tracers.add({ name: 'all' });
    machine.tracers.add({ name: 'later', filter: ['d*:mod:m'] });
    expect(machine.tracers.sites('later')).toEqual([]);
    const load = () => machine.load(fixture('tracers-kernel-O2.o'), { name: 'm', kind: 'module' });
    load();
    expect(world.record('m:deep').users).toEqual(['later', 'all']);
    expect(world.record('m:elsewhere').users).toEqual(['all']);
    expect(machine.call('m:deep', [3n]).returns).toBe(3n);
    expect(machine.tracers.counts('later').calls).toBe(4n);
    const site = world.site('m:deep');
    machine.unload('m');
    expect(machine.ftrace.record(site)).toBeUndefined();
    load();
    expect(world.site('m:deep')).toBe(site);
    // the addresses are the same, the functions are not: the filter named those that are gone
    expect(world.record('m:deep').users).toEqual(['all']);
    machine.tracers.remove('later');
    machine.tracers.remove('all');
    expect(world.bytes('m:deep')).toEqual(NOP5);
  });
});

/** How often livepatch's guard has refused. */
function refusals({ machine }: TracerWorld, handler: string): number {
  return handler === 'core' ? machine.core.counters().recursion : Number(machine.handlerWarnings().recursion);
}

/** Instructions of a call of checksum beyond those of the plain call. */
async function cost(kernel: '6.1' | '6.12', add: (world: TracerWorld) => void): Promise<number> {
  const world = await make({ kernel, handler: 'guest' });
  const count = () => world.machine.call('vmlinux:checksum', ['hello', 5n]).instructions;
  const plain = count();
  add(world);
  return count() - plain;
}

describe('the cost of the list func as guest code', () => {
  const tracer =
    (name: string, filter = 'checksum', more = {}) =>
    ({ machine }: TracerWorld) =>
      machine.tracers.add({ name, filter: [filter], ...more });
  const several =
    (...adds: ((world: TracerWorld) => void)[]) =>
    (world: TracerWorld) => {
      for (const add of adds) add(world);
    };

  test('an ops elsewhere costs nothing while the site has one, and a hash look-up when it has two; registers cost more (F33, F34)', async () => {
    const others = Array.from({ length: 5 }, (_, i) => tracer(`o${i}`, 'divide'));
    const one = await cost('6.1', tracer('a'));
    expect(await cost('6.1', several(tracer('a'), ...others))).toBe(one);
    const two = await cost('6.1', several(tracer('a'), tracer('b')));
    const crowded = await cost('6.1', several(tracer('a'), tracer('b'), ...others));
    const regs = await cost('6.1', tracer('a', 'checksum', { flags: ['SAVE_REGS'] }));
    expect(two).toBeGreaterThan(2 * one);
    expect(crowded - two).toBe(5 * ((crowded - two) / 5));
    expect((crowded - two) / 5).toBeGreaterThan(10);
    // F32: 26 instructions more are in the regs trampoline
    expect(regs - one).toBe(26);
  });

  test('a direct call by orig_rax is entered after 67 instructions with a handler of three, on 6.1 (F26)', async () => {
    const world = await make({ kernel: '6.1', handler: 'guest' });
    const { machine } = world;
    machine.tracers.add({ name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one' });
    machine.tracers.add({ name: 'a', ...FILTER });
    // the handler that arch_ftrace_set_direct_caller stands for is all that the caller calls here
    machine.ftrace.callers.setFunc(setsOrigRax(world));
    let count = 0;
    for (const { location } of machine.trace('vmlinux:checksum', ['hello', 5n])) {
      if (location.name === 't:direct_one') break;
      count++;
    }
    expect(count).toBe(67);
  });
});

/** Three instructions: mov to orig_rax, jump to the thunk, return. */
function setsOrigRax({ machine }: TracerWorld): bigint {
  const at = machine.ftrace.callers.caller.regs + 0x400n;
  const target = Number(BigInt.asIntN(32, machine.address('t:direct_one')));
  const thunk = machine.address('__x86_return_thunk');
  const code = new Uint8Array(13);
  code.set([0x48, 0xc7, 0x41, 0x78]); // mov [rcx + 0x78], imm32
  new DataView(code.buffer).setInt32(4, target, true);
  code[8] = 0xe9;
  new DataView(code.buffer).setInt32(9, Number(BigInt.asIntN(32, thunk - (at + 13n))), true);
  machine.engine.write(at, code);
  return at;
}
