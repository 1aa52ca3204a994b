// Users of ftrace beside livepatch: who is called, in which order, what the site calls, and what is refused.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EngineError, SiteError, TrampolineError } from '../../src/errors.ts';
import { callBytes, NOP5 } from '../../src/ftrace/site.ts';
import { catchError } from '../support/catch-error.ts';
import { TracerWorld } from './tracer-world.ts';

const MODES = [
  { engine: 'unicorn', kernel: '6.1', handler: 'core' },
  { engine: 'wasm', kernel: '6.1', handler: 'guest' },
  { engine: 'wasm', kernel: '6.12', handler: 'core' },
  { engine: 'unicorn', kernel: '6.12', handler: 'guest' },
] as const;

const FILTER = { filter: ['checksum'] };

describe.each(MODES)('on $engine with kernel $kernel and handler $handler', (options) => {
  let world: TracerWorld;
  let add: TracerWorld['machine']['tracers']['add'];
  let remove: (name: string) => void;

  beforeEach(async () => {
    world = await TracerWorld.make(options);
    add = (spec) => world.machine.tracers.add(spec);
    remove = (name) => world.machine.tracers.remove(name);
  });
  afterEach(() => world.machine.dispose());

  const callers = () => world.machine.ftrace.callers.caller;
  const tracer = (letter: string, more = {}) => add({ name: letter, ...FILTER, target: `t:on_${letter}`, ...more });

  test('one ops has its own trampoline, two share the common caller, and one again its own (F33, F34)', () => {
    tracer('a');
    const own = world.record().calls;
    expect(own).toBe(world.machine.ftrace.usersOf(world.site('checksum'))[0]?.trampoline);
    expect(world.bytes()).toEqual(callBytes(world.site('checksum'), own ?? 0n));
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.who()).toBe('a');
    tracer('b');
    expect(world.record().calls).toBe(callers().args);
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.who()).toBe('ba');
    remove('b');
    expect(world.record().calls).toBe(own);
    remove('a');
    expect(world.bytes()).toEqual(NOP5);
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.who()).toBe('');
  });

  test('the newest ops is called first, livepatch among them, whose change of ip is kept in any order (F34, F22)', () => {
    tracer('a');
    world.patch('a');
    tracer('b', { flags: ['SAVE_REGS'] });
    expect(world.record().calls).toBe(callers().regs);
    expect(world.call()).toBe('fix_a:livepatch_checksum');
    // b is called before livepatch's ops: ip is still the one after the site
    const [first, second] = world.notes();
    expect([first?.who, second?.who]).toEqual(['b', 'a']);
    expect(first?.detail).toBe(world.site('checksum') + 5n);
    remove('a');
    tracer('c', { flags: ['SAVE_REGS'] });
    world.patch('b');
    expect(world.call()).toBe('fix_b:livepatch_checksum');
    expect(world.who()).toBe('cb');
    world.machine.livepatch.disable('fix_a');
    world.machine.livepatch.disable('fix_b');
    expect(world.call()).toBe('vmlinux:checksum');
  });

  test('an older ops with SAVE_REGS sees the ip that a newer one has changed (F22)', () => {
    tracer('a', { flags: ['SAVE_REGS'] });
    world.patch('a');
    world.call();
    expect(world.notes()[0]?.detail).toBe(world.machine.address('fix_a:livepatch_checksum'));
  });

  test('each ops is called where its hash matches: filter empty or holding it, notrace not holding it (F39)', () => {
    add({ name: 'all', notrace: ['tail_*', 't:*'] });
    add({ name: 'some', filter: ['checksum', 'tail_target'] });
    add({ name: 'but', filter: ['*c*'], notrace: ['checksum'] });
    for (const name of ['checksum', 'tail_target', 'count_calls']) world.call(`vmlinux:${name}`);
    const calls = (name: string) => world.machine.tracers.counts(name).calls;
    expect([calls('all'), calls('some'), calls('but')]).toEqual([2n, 2n, 1n]);
    expect(world.record('vmlinux:tail_target').users).toEqual(['some']);
    expect(world.record('t:elsewhere').users).toEqual([]);
  });

  test('an ops that changes ip is alone in that, and a refused one leaves nothing on the records before (F40)', () => {
    world.patch('a');
    const before = ['divide', 'checksum', 'operate'].map((name) => world.record(`vmlinux:${name}`));
    const steal = () =>
      add({ name: 'r', filter: ['divide', 'checksum', 'operate'], flags: ['IPMODIFY'], target: 't:on_redirect' });
    expect(catchError(SiteError, steal)).toMatchObject({ code: 'EBUSY', address: world.site('checksum') });
    expect(['divide', 'checksum', 'operate'].map((name) => world.record(`vmlinux:${name}`))).toEqual(before);
    world.machine.livepatch.disable('fix_a');
    steal();
    expect(world.call('vmlinux:operate', [0n, 1n, 2n])).toBe('t:elsewhere');
    expect(catchError(TrampolineError, () => world.patch('b')).code).toBe('EBUSY');
    const notrace = { name: 'x', ...FILTER, notrace: ['divide'], flags: ['IPMODIFY'] } as const;
    remove('r');
    expect(catchError(SiteError, () => add(notrace)).message).toMatch(/changes ip and has a notrace.*EINVAL/);
    expect(catchError(SiteError, () => add({ name: 'x', flags: ['IPMODIFY'] })).message).toMatch(/no filter.*EINVAL/);
  });

  test('a direct call alone is the site’s own call, and returns to the function (F45, F33)', () => {
    add({ name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one' });
    expect(world.record().calls).toBe(world.machine.address('t:direct_one'));
    expect(world.record().flags).toContain('DIRECT_EN');
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.notes()).toEqual([{ who: 'd', ip: world.site('checksum') + 5n, detail: 0n }]);
  });

  test('a direct call beside others goes by ftrace_regs_caller and orig_rax, after all of them (F26, F45)', () => {
    tracer('a');
    add({ name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one' });
    tracer('b', { flags: ['SAVE_REGS'] });
    expect(world.record().calls).toBe(callers().regs);
    expect(world.record().flags).not.toContain('DIRECT_EN');
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.who()).toBe('bad');
    remove('a');
    remove('b');
    expect(world.record().calls).toBe(world.machine.address('t:direct_one'));
    remove('d');
    expect(world.bytes()).toEqual(NOP5);
  });

  test('a direct call and a livepatch share a function where the direct ops agrees, in either order (F41, F26)', () => {
    const asked: string[] = [];
    const direct = (answer: number) =>
      add({
        ...{ name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one' },
        opsFunc: (command) => {
          asked.push(command);
          return answer;
        },
      });
    world.patch('a');
    expect(catchError(SiteError, () => direct(-16)).code).toBe('EBUSY');
    expect(catchError(SiteError, () => direct(-22)).code).toBe('EINVAL');
    direct(0);
    expect(asked.splice(0)).toEqual(Array.from({ length: 3 }, () => 'ENABLE_SHARE_IPMODIFY_SELF'));
    expect(world.call()).toBe('fix_a:livepatch_checksum');
    // the trampoline returns to the new function
    expect(world.notes()).toEqual([{ who: 'd', ip: world.machine.address('fix_a:livepatch_checksum'), detail: 0n }]);
    world.machine.livepatch.disable('fix_a');
    expect(asked.splice(0)).toEqual(['DISABLE_SHARE_IPMODIFY_PEER']);
    world.patch('b');
    expect(asked.splice(0)).toEqual(['ENABLE_SHARE_IPMODIFY_PEER']);
    expect(world.call()).toBe('fix_b:livepatch_checksum');
    world.machine.livepatch.disable('fix_b');
    remove('d');
    add({ name: 'd', kind: 'direct', ...FILTER, target: 't:direct_one' });
    expect(catchError(TrampolineError, () => world.patch('c')).code).toBe('EBUSY');
    expect(world.call()).toBe('vmlinux:checksum');
  });

  test('what is no direct call is refused: no filter EINVAL, a second one EBUSY, no target EINVAL (F45)', () => {
    const kind = 'direct';
    expect(catchError(SiteError, () => add({ name: 'd', kind, target: 't:direct_one' })).code).toBe('EINVAL');
    expect(catchError(TrampolineError, () => add({ name: 'd', kind, ...FILTER })).code).toBe('EINVAL');
    add({ name: 'd', kind, ...FILTER, target: 't:direct_one' });
    const second = () => add({ name: 'e', kind, filter: ['divide', 'checksum'], target: 't:direct_two' });
    expect(catchError(SiteError, second).code).toBe('EBUSY');
    expect(world.record('vmlinux:divide').users).toEqual([]);
  });

  test('function graph hooks the return: entries and returns nest, results are kept (F47)', () => {
    add({
      name: 'g',
      kind: 'graph',
      filter: ['tail_call', 'tail_target'],
      target: 't:graph_entry',
      postTarget: 't:graph_return',
    });
    expect(world.machine.call('vmlinux:tail_call', [5n]).returns).toBe(19n);
    // a tail call: both hook the same slot, and return one after the other
    expect(world.notes().map(({ who, detail }) => `${who}${detail}`)).toEqual(['E0', 'E1', 'R1', 'R0']);
    remove('g');
    add({ name: 'g', kind: 'graph', filter: ['divide', 'fibonacci'], postTarget: 't:graph_return' });
    add({ name: 'c', filter: ['divide', 'fibonacci'] });
    expect(world.machine.call('vmlinux:divide', [100n, 7n])).toMatchObject({ returns: 14n, rdx: 2n });
    expect(world.machine.call('vmlinux:fibonacci', [7n]).returns).toBe(13n);
    const { calls } = world.machine.tracers.counts('c');
    expect(calls).toBeGreaterThan(10n);
    expect(world.machine.tracers.counts('g')).toEqual({ calls, returns: calls, missed: 0n });
  });

  test('a call beyond the depth of the shadow stack is left alone (F47)', () => {
    const depth = options.kernel === '6.1' ? 50 : 122;
    add({ name: 'g', kind: 'graph', filter: ['deep'] });
    expect(world.machine.call('t:deep', [200n]).returns).toBe(200n);
    expect(world.machine.tracers.counts('g')).toEqual({
      ...{ calls: BigInt(depth), returns: BigInt(depth) },
      missed: BigInt(201 - depth),
    });
  });

  test('an entry that says 0 leaves the return alone, and livepatch combines with the hook (F47)', () => {
    add({ name: 'g', kind: 'graph', ...FILTER, target: 't:graph_refuses', postTarget: 't:graph_return' });
    world.patch('a');
    expect(world.call()).toBe('fix_a:livepatch_checksum');
    expect(world.who()).toBe('E');
    remove('g');
    add({ name: 'g', kind: 'graph', ...FILTER, target: 't:graph_entry', postTarget: 't:graph_return' });
    expect(world.call()).toBe('fix_a:livepatch_checksum');
    expect(world.notes().map(({ who, ip }) => [who, ip])).toEqual([
      ['E', world.site('checksum')],
      ['R', world.site('checksum')],
    ]);
    expect(catchError(TrampolineError, () => add({ name: 'h', kind: 'graph', ...FILTER })).code).toBe('EBUSY');
  });

  test('a kprobe without post_handler sees ip + 1 and shares with livepatch; one with it changes ip (F42)', () => {
    world.patch('a');
    add({ name: 'k', kind: 'kprobe', ...FILTER, target: 't:pre_handler' });
    expect(world.call()).toBe('fix_a:livepatch_checksum');
    expect(world.notes().map(({ who, ip }) => [who, ip])).toEqual([['p', world.site('checksum') + 1n]]);
    const post = { name: 'q', kind: 'kprobe', filter: ['divide', 'checksum'], postTarget: 't:post_handler' } as const;
    expect(catchError(SiteError, () => add(post)).code).toBe('EBUSY');
    expect(world.record('vmlinux:divide').users).toEqual([]);
    world.machine.livepatch.disable('fix_a');
    add(post);
    expect(catchError(TrampolineError, () => world.patch('b')).errno).toBe(-16);
    expect(world.call()).toBe('vmlinux:checksum');
    expect(world.notes().map(({ who, ip }) => [who, ip - world.site('checksum')])).toEqual([
      ['q', 5n],
      ['p', 1n],
    ]);
    expect(world.machine.tracers.counts('q').calls).toBe(1n);
    remove('k');
    remove('q');
    expect(world.bytes()).toEqual(NOP5);
  });

  test('a host function is called with the machine busy, reads what was saved and changes ip where it may (F21)', () => {
    const seen: unknown[] = [];
    add({
      ...{ name: 'h', ...FILTER },
      target: (call) => {
        seen.push(call.argument(0), call.task, call.register('rsi'));
        seen.push(catchError(EngineError, () => world.machine.call('vmlinux:divide')).code);
        seen.push(catchError(TrampolineError, () => remove('h')).code);
        seen.push(catchError(EngineError, () => call.register('r12')).code);
        seen.push(catchError(EngineError, () => call.setIp(1n)).code);
      },
    });
    expect(world.call()).toBe('vmlinux:checksum');
    expect(seen).toEqual([world.site('checksum'), 'init', 5n, 'EBUSY', 'EBUSY', 'EINVAL', 'EPERM']);
    remove('h');
    const elsewhere = world.machine.address('t:elsewhere');
    add({ name: 'r', ...FILTER, flags: ['IPMODIFY', 'SAVE_REGS'], target: (call) => call.setIp(elsewhere) });
    tracer('a');
    expect(world.call()).toBe('t:elsewhere');
  });
});
