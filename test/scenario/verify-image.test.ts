// Verifying whole objects, and whether a dispatch that is broken on purpose is noticed.
import { describe, expect, test } from 'vitest';
import { hexBytes } from '../../src/address.ts';
import { loadImageBytes } from '../../src/image/load.ts';
import type { Machine } from '../../src/machine.ts';
import { PROBES, probeObject } from '../../src/scenario/probes.ts';
import { verifyFunctions, verifyImage } from '../../src/scenario/verify-image.ts';
import { object, userMachine } from './world.ts';

/** Calls per function: plain, one patch, and for each of six orders three patches and three removals. */
const CHECKS = 1 + 1 + 6 * 4;

test('each traceable function holds, the others are counted as not judged with a reason', async () => {
  const result = await verifyImage(object('target.o'), 'target.o');
  const traceable = result.functions.filter((one) => one.site !== undefined);
  expect(traceable.length).toBeGreaterThan(10);
  expect(traceable.filter((one) => one.verdict !== 'holds' || one.checks !== CHECKS)).toEqual([]);
  for (const one of result.functions.filter((each) => each.site === undefined)) {
    expect(one.verdict).toBe('not judged');
    expect(one.reason).not.toBe('');
  }
  expect(result.ok).toBe(true);
});

test('an object that nothing was compiled into for tracing is not ok: nothing was judged', async () => {
  const result = await verifyImage(probeObject(), 'plain.o');
  expect(result).toMatchObject({ ok: false, summary: { holds: 0, failed: 0, notJudged: PROBES.length } });
});

test('the probes are functions of their own with the code they are said to have', () => {
  const image = loadImageBytes(probeObject(), 'probes', { base: 0xffffffffa0000000n });
  expect(image.functions.map(({ name, size }) => [name, size])).toEqual(PROBES.map((name) => [name, 16]));
  expect(hexBytes(image.segments[0]?.bytes.subarray(16, 24) ?? new Uint8Array())).toBe('48c7c002000000c3');
});

describe('a dispatch broken from outside is noticed', () => {
  /** Verifies checksum alone; `sabotage` is done after each patch is enabled. */
  async function verifyBroken(sabotage: (machine: Machine, site: bigint) => void): Promise<string> {
    const { machine, image } = await userMachine();
    try {
      const checksum = image.functions.filter(({ name }) => name === 'checksum');
      const site = checksum[0]?.site?.address ?? 0n;
      const enable = machine.livepatch.enable.bind(machine.livepatch);
      machine.livepatch.enable = (spec) => {
        const patch = enable(spec);
        sabotage(machine, site);
        return patch;
      };
      const only = Object.create(image, { functions: { value: checksum } }) as typeof image;
      const result = verifyFunctions(machine, only);
      expect(result.ok).toBe(false);
      expect(result.summary.failed).toBe(1);
      return result.functions[0]?.reason ?? '';
    } finally {
      machine.dispose();
    }
  }

  test('nothing broken: the same way of verifying holds', async () => {
    await expect(verifyBroken(() => {})).rejects.toThrow();
  });

  test('the func stack skips its top entry (core memory)', async () => {
    const reason = await verifyBroken((machine, site) => skipTop(machine, site));
    expect(reason).toMatch(/expected probe_c, got probes:probe_b/);
  });

  test('the site calls the return thunk (wrong rel32)', async () => {
    const reason = await verifyBroken((machine, site) => {
      const thunk = machine.address('__x86_return_thunk');
      const bytes = new Uint8Array(5);
      bytes[0] = 0xe8;
      new DataView(bytes.buffer).setInt32(1, Number(BigInt.asIntN(64, thunk - site - 5n)), true);
      machine.engine.write(site, bytes);
    });
    expect(reason).toMatch(/one patch: expected probe_a, got target.o:checksum/);
  });

  test.each([1, 4, -16])('the rel32 of the site is %i bytes off', async (distance) => {
    const reason = await verifyBroken((machine, site) => {
      const bytes = machine.read(site + 1n, 4);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      view.setInt32(0, view.getInt32(0, true) + distance, true);
      machine.engine.write(site + 1n, bytes);
    });
    expect(reason).not.toBe('');
  });

  test('the trampoline does not restore rdi (trampoline bytes)', async () => {
    const reason = await verifyBroken((machine, site) => {
      const trampoline = machine.ftrace.usersOf(site)[0]?.trampoline ?? 0n;
      const code = hexBytes(machine.read(trampoline, 256));
      const restore = code.indexOf('488b7c2470') / 2; // mov rdi, [rsp + 0x70]
      // the second patch finds it overwritten already
      if (Number.isInteger(restore)) {
        machine.engine.write(trampoline + BigInt(restore), Uint8Array.of(0x0f, 0x1f, 0x44, 0, 0));
      }
    });
    expect(reason).toMatch(/rdi arrived changed/);
  });

  test('dispatch says "the original" to everyone', async () => {
    const reason = await verifyBroken((machine) => replaceDispatch(machine, () => 0));
    expect(reason).toMatch(/one patch: expected probe_a, got target.o:checksum/);
  });

  test('dispatch keeps giving its first answer', async () => {
    let first: number | undefined;
    const reason = await verifyBroken((machine) => {
      const ask = machine.core.dispatchPair;
      replaceDispatch(machine, (low, high, task) => {
        first ??= ask(low, high, task);
        return first;
      });
    });
    expect(reason).not.toBe('');
  });
});

/** Lets the site's slot in core memory name the entry below the top. */
function skipTop(machine: Machine, site: bigint): void {
  const { core } = machine;
  const [top, below] = core.stack(site);
  // once the stack is full, so that the next push does not hide it
  if (core.stack(site).length < PROBES.length || top === undefined || below === undefined) return;
  const view = new DataView(core.instance.u32.buffer);
  // the slot: the site's address, the cached address of the top's function, the top
  for (let at = 0; at + 24 <= view.byteLength; at += 8) {
    if (view.getBigUint64(at, true) !== site || view.getUint32(at + 16, true) !== top.handle) continue;
    view.setBigUint64(at + 8, below.newFunc, true);
    view.setUint32(at + 16, below.handle, true);
    return;
  }
  throw new Error('no slot of the site in core memory');
}

function replaceDispatch(machine: Machine, value: Machine['core']['dispatchPair']): void {
  Object.defineProperty(machine.core, 'dispatchPair', { value });
}
