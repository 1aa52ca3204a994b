// What CET, a return predictor and counters say of a call: on every engine alike, and nothing unless asked.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bytesOfHex } from '../../src/address.ts';
import type { EngineName } from '../../src/engine/engine.ts';
import { GUEST_MAP } from '../../src/machine/guest-map.ts';
import { Machine } from '../../src/machine.ts';
import { ENGINES } from '../support/engines.ts';

const object = (name: string) => new Uint8Array(readFileSync(new URL(`../../src/examples/${name}`, import.meta.url)));
const CODE = GUEST_MAP.modules.base + 0x1000_0000n;

async function loaded(engine: EngineName): Promise<Machine> {
  const machine = await Machine.create({ engine });
  machine.load(object('target.o'), { name: 'vmlinux' });
  machine.load(object('fix-a.o'), { name: 'fix_a', kind: 'livepatch' });
  machine.engine.map(CODE, 0x1000n, 'rx');
  return machine;
}

/** What the models say of code at CODE. */
function modelsOf(machine: Machine, code: string, args: bigint[] = []) {
  machine.engine.write(CODE, bytesOfHex(code));
  const { models } = machine.call(CODE, args, { models: true });
  if (models === undefined) throw new Error('no models');
  return models;
}

describe.each(ENGINES)('on %s', (engine) => {
  test('nothing is said unless it is asked for', async () => {
    const machine = await loaded(engine);
    expect('models' in machine.call('divide', [100n, 7n])).toBe(false);
    machine.dispose();
  });

  test('a plain call breaks nothing, and its accesses and branches are counted', async () => {
    const machine = await loaded(engine);
    // push rbx; mov rax, [rsp]; pop rbx; test eax, eax; jz +0 (not taken); jmp +0 (to the next one); ret
    const models = modelsOf(machine, '53 488b0424 5b 85c0 7400 eb00 c3');
    expect(models).toEqual({
      loads: 3,
      stores: 1,
      takenBranches: 1,
      returnMispredicts: 0,
      shadowStack: [],
      indirectBranches: [],
    });
    machine.dispose();
  });

  test('an indirect branch is to arrive at endbr64 (C34), unless notrack stands before it', async () => {
    const machine = await loaded(engine);
    // lea rax, [rip+n]; (notrack) jmp rax; target: …; ret
    const branches = (jump: string, target: string) =>
      modelsOf(machine, `488d05 0${jump.length / 2}000000 ${jump} ${target} c3`).indirectBranches;
    expect(branches('ffe0', 'f30f1efa')).toEqual([]);
    expect(branches('ffe0', '90')).toEqual([{ from: CODE + 7n, to: CODE + 9n }]);
    expect(branches('3effe0', '90')).toEqual([]);
    // endbr32 is none, and neither is endbr64 one byte later
    expect(branches('ffe0', 'f30f1efb')).toHaveLength(1);
    expect(branches('ffe0', '90f30f1efa')).toHaveLength(1);
    // direct: jmp +1; ret
    expect(modelsOf(machine, 'eb01 90 c3').indirectBranches).toEqual([]);
    machine.dispose();
  });

  test('a return elsewhere than its call is refused by the shadow stack (C32) and predicted wrongly (C33)', async () => {
    const machine = await loaded(engine);
    // lea rax, [rip+2]; push rax; ret; ret
    const models = modelsOf(machine, '488d0502000000 50 c3 c3');
    expect(models.shadowStack[0]).toEqual({ from: CODE + 8n, to: CODE + 9n });
    expect(models.returnMispredicts).toBe(models.shadowStack.length);
    machine.dispose();
  });

  test('sixteen calls deep are predicted, seventeen are not (C33), and the shadow stack holds both', async () => {
    const machine = await loaded(engine);
    // dec edi; jz +5; call CODE; ret
    const deep = (depth: bigint) => modelsOf(machine, 'ffcf 7405 e8f7ffffff c3', [depth]);
    expect(deep(16n)).toMatchObject({ returnMispredicts: 0, shadowStack: [] });
    expect(deep(17n)).toMatchObject({ returnMispredicts: 1, shadowStack: [] });
    machine.dispose();
  });
});

test('engines agree on the models of a patched call, which its return into the new function sets at odds', async () => {
  const reports: unknown[] = [];
  for (const engine of ENGINES) {
    const machine = await loaded(engine);
    machine.livepatch.enable({
      name: 'fix_a',
      objects: [{ name: null, funcs: [{ oldName: 'divide', newFunc: 'livepatch_divide' }] }],
    });
    const { models, instructions } = machine.call('divide', [100n, 7n], { models: true });
    expect(instructions).toBe(machine.call('divide', [100n, 7n]).instructions);
    expect(models?.shadowStack[0]?.to).toBe(machine.address('fix_a:livepatch_divide'));
    reports.push(models);
    machine.dispose();
  }
  for (const report of reports) expect(report).toEqual(reports[0]);
});
