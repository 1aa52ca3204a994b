// Redirected calls on every engine: where each arrives, what it counts, and that on wasm none of them leaves WASM.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { EngineName } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/errors.ts';
import { GUEST_MAP } from '../../src/machine/guest-map.ts';
import type { CallResult } from '../../src/machine.ts';
import { Machine } from '../../src/machine.ts';
import type { HostCalls } from '../../src/wasm/instance.ts';
import { catchError } from '../support/catch-error.ts';
import { ENGINES } from '../support/engines.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
/** Guest code of the tests, which no image holds. */
const LOOP = GUEST_MAP.modules.base + 0x1000_0000n;
/** 3,000 is more than the CPU keeps arrivals for between two visits of the host. */
const MANY = 3000;

/** push rbx; mov ebx, edi; again: mov edi, 100; mov esi, 7; call rel32; dec ebx; jnz again; pop rbx; ret */
function callLoop(target: bigint): Uint8Array {
  const bytes = Uint8Array.from([
    ...[0x53, 0x89, 0xfb],
    ...[0xbf, 100, 0, 0, 0],
    ...[0xbe, 7, 0, 0, 0],
    ...[0xe8, 0, 0, 0, 0],
    ...[0xff, 0xcb],
    ...[0x75, 0xed],
    ...[0x5b, 0xc3],
  ]);
  new DataView(bytes.buffer).setInt32(14, Number(BigInt.asIntN(64, target - (LOOP + 18n))), true);
  return bytes;
}

async function loaded(engine: EngineName, transition: 'auto' | 'manual' = 'auto'): Promise<Machine> {
  const machine = await Machine.create({ engine, transition, tasks: ['t0', 't1'] });
  machine.load(object('target.o'), { name: 'vmlinux' });
  machine.load(object('fix-a.o'), { name: 'fix_a', kind: 'livepatch' });
  machine.engine.map(LOOP, 0x1000n, 'rx');
  machine.engine.write(LOOP, callLoop(machine.address('divide')));
  return machine;
}

function patch(machine: Machine): void {
  const funcs = ['checksum', 'find_text', 'divide'].map((oldName) => ({ oldName, newFunc: `livepatch_${oldName}` }));
  machine.livepatch.enable({ name: 'fix_a', objects: [{ name: null, funcs }] });
}

/** What every engine must say alike. */
const facts = ({ runs, visits, returns, rdx, instructions, clobbered }: CallResult) => ({
  runs,
  visits,
  returns,
  rdx,
  instructions,
  clobbered,
});

describe.each(ENGINES)('on %s', (engine) => {
  test('n patched calls raise the core’s counters by exactly n', async () => {
    const machine = await loaded(engine);
    patch(machine);
    machine.call('divide', [100n, 7n]);
    expect(machine.core.counters()).toMatchObject({ calls: 1, steady: 1 });
    const { visits, returns } = machine.call(LOOP, [BigInt(MANY)]);
    expect(machine.core.counters()).toMatchObject({ calls: MANY + 1, steady: MANY + 1 });
    expect(visits).toHaveLength(MANY);
    expect(new Set(visits.map(({ name }) => name))).toEqual(new Set(['fix_a:livepatch_divide']));
    expect(returns).toBe(machine.call('divide', [100n, 7n]).returns);
    machine.dispose();
  });

  test('a call that is not patched arrives after the site and visits nothing', async () => {
    const machine = await loaded(engine);
    const { runs, visits } = machine.call('divide', [100n, 7n]);
    const site = machine.images.site(machine.address('divide')) ?? 0n;
    expect({ at: runs.address, visits }).toEqual({ at: site + 5n, visits: [] });
    expect(machine.core.counters().calls).toBe(0);
    machine.dispose();
  });

  test('the budget of one instruction less than a call takes ends it', async () => {
    const machine = await loaded(engine);
    patch(machine);
    const { instructions } = machine.call(LOOP, [20n]);
    expect(machine.call(LOOP, [20n], { budget: instructions }).instructions).toBe(instructions);
    const spent = catchError(EngineError, () => machine.call(LOOP, [20n], { budget: instructions - 1 }));
    expect(spent.code).toBe('ETIMEDOUT');
    expect(machine.call(LOOP, [20n]).instructions).toBe(instructions);
    machine.dispose();
  });

  test('each arrival is told while the guest runs, in order, and the machine is busy meanwhile', async () => {
    const machine = await loaded(engine);
    patch(machine);
    const seen: string[] = [];
    const codes = new Set<string>();
    const onArrival = ({ name }: { name: string }) => {
      seen.push(name);
      codes.add(catchError(EngineError, () => machine.call('divide', [1n, 1n])).code);
    };
    const { visits } = machine.call(LOOP, [5n], { onArrival });
    expect(seen.slice(1)).toEqual(visits.map(({ name }) => name));
    expect([...codes]).toEqual(['EBUSY']);
    const thrown = catchError(RangeError, () =>
      machine.call(LOOP, [5n], {
        onArrival: () => {
          throw new RangeError('stop');
        },
      }),
    );
    expect(thrown.message).toBe('stop');
    expect(machine.call(LOOP, [5n]).visits).toHaveLength(5);
    machine.dispose();
  });

  test('a patch that an arrival takes back is gone for the next pass of the same run', async () => {
    const machine = await loaded(engine);
    patch(machine);
    const site = machine.images.site(machine.address('divide')) ?? 0n;
    let arrivals = 0;
    const { visits } = machine.call(LOOP, [6n], {
      onArrival: () => {
        // the third arrival is the second redirected one
        if (++arrivals === 3) machine.engine.write(site, Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0));
      },
    });
    expect(visits).toHaveLength(2);
    machine.dispose();
  });

  test('many equal calls are made exactly, each one checked, with arguments on the stack too', async () => {
    const machine = await loaded(engine);
    patch(machine);
    const { first, calls, instructions } = machine.callMany('divide', [100n, 7n], 50);
    expect(facts(first)).toEqual(facts(machine.call('divide', [100n, 7n])));
    expect({ calls, instructions }).toEqual({ calls: 50, instructions: 50 * first.instructions });
    expect(machine.core.counters().calls).toBe(51);
    const eight = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n];
    expect(machine.callMany('sum_eight', eight, 9).first.returns).toBe(machine.call('sum_eight', eight).returns);
    for (const times of [0, -1, 1.5, 2 ** 32])
      expect(() => machine.callMany('divide', [1n, 1n], times)).toThrow(RangeError);
    machine.dispose();
  });

  test('a call that ends otherwise the next time is no equal call: EIO', async () => {
    const machine = await loaded(engine);
    const data = GUEST_MAP.modules.base + 0x1100_0000n;
    machine.engine.map(data, 0x1000n, 'rw');
    // inc dword [rdi]; xor eax, eax; cmp dword [rdi], 4; sete al; ret
    machine.engine.write(LOOP, Uint8Array.of(0xff, 0x07, 0x31, 0xc0, 0x83, 0x3f, 0x04, 0x0f, 0x94, 0xc0, 0xc3));
    const error = catchError(EngineError, () => machine.callMany(LOOP, [data], 10));
    expect(error).toMatchObject({ code: 'EIO' });
    expect(error.message).toMatch(/call 4 of 10 ended otherwise/);
    machine.dispose();
  });

  test('the task that calls is the one whose patch state decides', async () => {
    const machine = await loaded(engine, 'manual');
    patch(machine);
    const runs = (task: string) => machine.call('divide', [100n, 7n], { task }).runs.name;
    machine.livepatch.switchTasks(['t1']);
    expect([runs('t0'), runs('t1'), runs('t0')]).toEqual([
      'vmlinux:divide',
      'fix_a:livepatch_divide',
      'vmlinux:divide',
    ]);
    machine.dispose();
  });
});

test('engines agree on a patched call in every fact', async () => {
  const results: unknown[] = [];
  for (const engine of ENGINES) {
    const machine = await loaded(engine);
    patch(machine);
    const probe = machine.probe('divide');
    results.push([facts(machine.call('divide', [100n, 7n])), facts(machine.call(LOOP, [3n])), probe]);
    machine.dispose();
  }
  for (const result of results) expect(result).toEqual(results[0]);
});

test('on wasm a redirected call never leaves WASM', async () => {
  const machine = await loaded('wasm');
  patch(machine);
  const { host } = machine.core.instance;
  if (host === undefined) throw new Error('the engine has no host');
  const left: string[] = [];
  machine.core.instance.host = new Proxy(host, {
    get: (target, name: keyof HostCalls) => {
      // a trace to be compiled is asked for once, not in a call
      if (!name.startsWith('trace')) left.push(name);
      return target[name];
    },
  });
  expect(machine.call(LOOP, [1000n]).visits).toHaveLength(1000);
  expect(left).toEqual([]);
  // the ring of arrivals is emptied each time it is full
  expect(machine.call(LOOP, [BigInt(MANY)]).visits).toHaveLength(MANY);
  expect(left).toEqual(['arrived', 'arrived']);
  machine.dispose();
});

test('a batch of look-ups has room beside the guest, or is refused', async () => {
  const machine = await loaded('wasm');
  patch(machine);
  const data = new Uint8Array(0x4000).fill(0x5a);
  machine.engine.write(GUEST_MAP.data.base, data);
  const site = machine.address('divide') + 4n;
  for (const capacity of [1, 256, 10_000, 300_000]) {
    const batch = machine.core.batch(capacity);
    batch.sites.fill(site);
    expect(batch.run(machine.tasks.first.handle)).toBe(capacity);
    expect(batch.answers[capacity - 1]).toBe(machine.address('fix_a:livepatch_divide'));
    expect(machine.read(GUEST_MAP.data.base, 0x4000)).toEqual(data);
  }
  expect(() => machine.core.batch(2 ** 27 + 1)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  machine.dispose();
});
