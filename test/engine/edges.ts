// The edges of single instructions, on any engine: faults in the middle, alignment, divisions, repeats, prefixes.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bytesOfHex, hexBytes } from '../../src/address.ts';
import { type Engine, GENERAL_REGISTERS, type RegisterName } from '../../src/engine/engine.ts';
import { CODE, DATA, EDGES, type Edge, type Registers, SELF, STACK } from './edges-table.ts';

/**
 * Runs every edge on engines made by `create`. What an engine does not judge passes.
 *
 * @param wrong titles of edges that this engine is known to get wrong; the bare CPU does as the edge says
 * @param deadly titles of edges at which the engine ends the process
 */
export function edges(
  name: string,
  create: () => Promise<Engine>,
  wrong: readonly string[] = [],
  deadly: readonly string[] = [],
): void {
  describe(`engine ${name} at the edges`, () => {
    let engine: Engine;
    beforeEach(async () => {
      engine = await create();
      engine.map(CODE, 0x1000n, 'rx');
      engine.map(SELF, 0x1000n, 'rwx');
      engine.map(DATA, 0x2000n, 'rw');
    });
    afterEach(() => engine.dispose());

    test.each(EDGES.filter(({ title }) => !wrong.includes(title) && !deadly.includes(title)))('$title', (edge) =>
      check(engine, edge),
    );
    test.fails.each(EDGES.filter(({ title }) => wrong.includes(title)))('known wrong: $title', (edge) =>
      check(engine, edge),
    );
  });

  test(`the edges that ${name} gets wrong exist`, () => {
    expect([...wrong, ...deadly].filter((title) => EDGES.every((edge) => edge.title !== title))).toEqual([]);
  });
}

function check(engine: Engine, edge: Edge): void {
  const code = bytesOfHex(edge.code.replace(/ /g, ''));
  const base = edge.writable ? SELF : CODE;
  engine.write(base, code);
  for (const [address, bytes] of edge.memory ?? []) engine.write(address, bytesOfHex(bytes));
  const before: Registers = Object.fromEntries(GENERAL_REGISTERS.map((register) => [register, 0n]));
  Object.assign(before, { rsp: STACK, rflags: 0n }, edge.registers);
  for (const [register, value] of Object.entries(before)) engine.writeRegister(register as RegisterName, value);
  const end = base + BigInt(code.length);
  const exit = engine.run({ from: base, until: end, budget: 100 });
  if (exit.reason === 'not-judged') return;
  const { fault } = edge;
  const rip = fault === undefined ? end : base;
  expect(exit).toMatchObject(
    fault === undefined ? { reason: 'until', rip } : { reason: 'fault', rip, fault: { ...fault, rip } },
  );
  for (const register of GENERAL_REGISTERS) {
    const wanted = edge.leaves?.[register] ?? before[register];
    expect(engine.readRegister(register), register).toBe(wanted);
  }
  if (edge.flags !== undefined) expect(engine.readRegister('rflags') & edge.flags[0], 'flags').toBe(edge.flags[1]);
  for (const [address, bytes] of edge.holds ?? []) {
    const wanted = bytesOfHex(bytes);
    expect(hexBytes(engine.read(address, wanted.length)), `memory`).toBe(hexBytes(wanted));
  }
}
