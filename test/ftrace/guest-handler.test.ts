// The handler as guest code does what the core does, at the kernel's cost.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import type { FuncHandle, PatchState, TaskContext, TaskHandle } from '../../src/core/core.ts';
import type { EngineName } from '../../src/engine/engine.ts';
import { SOURCE_SHA256 } from '../../src/ftrace/guest/handler.generated.ts';
import type { Ops } from '../../src/ftrace/ops.ts';
import { livepatchOps } from '../../src/livepatch/attach.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { randomIntegers } from '../core/random.ts';
import { fixture } from '../fixtures/manifest.ts';

const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

async function world(options: MachineOptions): Promise<Machine> {
  const machine = await Machine.create(options);
  machines.push(machine);
  machine.load(fixture('target-kernel-O2.o'), { name: 'vmlinux' });
  for (const letter of ['a', 'b', 'c']) {
    machine.load(fixture(`fix_${letter}-kernel-O2.o`), { name: `fix_${letter}`, kind: 'livepatch' });
  }
  return machine;
}

test('the generated module was made from these sources', () => {
  const hash = createHash('sha256');
  for (const file of ['handler.h', 'handler.c', 'layout.c']) {
    hash.update(readFileSync(new URL(`../../src/ftrace/guest/${file}`, import.meta.url)));
  }
  expect(SOURCE_SHA256, 'run npm run fixtures').toBe(hash.digest('hex'));
});

/** Instructions before the first one of the new function, by what they belong to; what the gate stands for is none. */
async function cost(options: MachineOptions): Promise<Record<'all' | 'handler', number>> {
  const machine = await world(options);
  machine.livepatch.enable({
    name: 'fix_a',
    objects: [{ name: null, funcs: [{ oldName: 'checksum', newFunc: 'livepatch_checksum' }] }],
  });
  const count = { all: 0, handler: 0 };
  let inHandler = false;
  for (const { ip, part, location } of machine.trace('vmlinux:checksum', ['hello', 5n])) {
    if (location.name === 'fix_a:livepatch_checksum') return count;
    // the handler ends where the trampoline goes on
    inHandler = part === 'routine' && (inHandler || ip === machine.livepatchOps(siteOf(machine))?.handler);
    if (part !== 'gate') count.all++;
    if (inHandler) count.handler++;
  }
  throw new Error('the new function did not run');
}

const siteOf = (machine: Machine): bigint => machine.images.site(machine.address('vmlinux:checksum')) ?? 0n;

describe('from the call to the first instruction of the new function, on a kernel 6.1', () => {
  // real-kernel.md, section 4: 81 by the args trampoline, 107 by the regs trampoline, 43 to 54 of it the handler
  test.each([
    { trampoline: 'args', behindGate: 35, guest: 78, kernel: 81 },
    { trampoline: 'regs', behindGate: 61, guest: 104, kernel: 107 },
  ] as const)('the $trampoline trampoline takes $guest, three less than the real one (F20, F50)', async (row) => {
    for (const engine of ['unicorn', 'wasm'] as const) {
      const options = { engine, kernel: '6.1', trampoline: row.trampoline } as const;
      expect(await cost(options), engine).toEqual({ all: row.behindGate, handler: 0 });
      expect(await cost({ ...options, handler: 'guest' }), engine).toEqual({ all: row.guest, handler: 43 });
      expect(row.kernel - row.guest).toBe(3);
    }
  });
});

const SEED = 20_231;
const FUNCTIONS = ['checksum', 'fibonacci', 'operate'];
const NEW = [
  'fix_a:livepatch_checksum',
  'fix_b:livepatch_checksum',
  'fix_c:livepatch_checksum',
  'fix_b:livepatch_operate',
];
const STATES: readonly PatchState[] = ['idle', 'unpatched', 'patched'];
const CONTEXTS: readonly TaskContext[] = ['nmi', 'irq', 'softirq', 'task'];

/** A machine with funcs pushed by hand: every state of stack, task and guard can be made. */
class Subject {
  readonly machine: Machine;
  /** Entries that the core's own guard refused to the host, which count as well. */
  refused = 0;
  readonly #ops = new Map<bigint, Ops>();
  readonly #handlers: { site: bigint; handle: FuncHandle }[] = [];
  readonly #guards: { task: TaskHandle; bit: number }[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
  }

  push(name: string, newFunc: string, transition: boolean, nop: boolean): void {
    const { core, ftrace } = this.machine;
    const site = this.machine.images.site(this.machine.address(`vmlinux:${name}`)) ?? 0n;
    const handle = core.pushFunc(site, this.machine.address(newFunc), 1, { transition, nop });
    this.#handlers.push({ site, handle });
    if (this.#ops.has(site)) return;
    const ops = livepatchOps(name, site, 'args', this.machine.livepatchOps(site));
    ftrace.register(ops);
    this.#ops.set(site, ops);
  }

  remove(at: number): void {
    const [entry] = this.#handlers.splice(at % Math.max(this.#handlers.length, 1), 1);
    if (entry === undefined) return;
    const ops = this.#ops.get(entry.site);
    if (ops !== undefined && this.machine.core.stack(entry.site).length === 1) {
      this.machine.ftrace.unregister(ops);
      this.#ops.delete(entry.site);
    }
    this.machine.core.removeFunc(entry.handle);
  }

  transition(at: number, on: boolean): void {
    const entry = this.#handlers[at % Math.max(this.#handlers.length, 1)];
    if (entry !== undefined) this.machine.core.setTransition(entry.handle, on);
  }

  enterGuard(task: TaskHandle, context: TaskContext): void {
    this.machine.core.setContext(task, context);
    const bit = this.machine.core.recursionEnter(task);
    if (bit === undefined) this.refused++;
    else this.#guards.push({ task, bit });
  }

  leaveGuard(): void {
    const held = this.#guards.pop();
    if (held !== undefined) this.machine.core.recursionLeave(held.task, held.bit);
  }

  get depth(): number {
    return this.#handlers.length;
  }
}

describe.each([
  ['unicorn', 300],
  ['wasm', 3000],
] as const)('on %s', (engine: EngineName, steps) => {
  test(`random stacks, transitions, tasks, contexts and guards dispatch as in the core (L36–L42, F44; seed ${SEED})`, async () => {
    const random = randomIntegers(SEED);
    const tasks = ['t1', 't2'];
    const core = new Subject(await world({ engine, handler: 'core', tasks }));
    const guest = new Subject(await world({ engine, handler: 'guest', tasks }));
    const both = (act: (subject: Subject) => void): void => [core, guest].forEach(act);
    const seen = new Map<string, number>();
    for (let i = 0; i < steps; i++) {
      const at = random(64);
      const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
      const task = pick(tasks);
      const handle = (subject: Subject): TaskHandle => subject.machine.tasks.need(task).handle;
      const [name, newFunc, state, context] = [pick(FUNCTIONS), pick(NEW), pick(STATES), pick(CONTEXTS)];
      const [transition, nop] = [random(2) === 0, random(4) === 0];
      switch (random(6)) {
        case 0:
          if (core.depth < 12) both((one) => one.push(name, newFunc, transition, nop));
          break;
        case 1:
          both((one) => one.remove(at));
          break;
        case 2:
          both((one) => one.transition(at, transition));
          break;
        case 3:
          both((one) => one.machine.core.setPatchState(handle(one), state));
          break;
        case 4:
          both((one) => one.enterGuard(handle(one), context));
          break;
        default:
          both((one) => one.leaveGuard());
      }
      for (const func of FUNCTIONS) {
        const ran = (subject: Subject): string => subject.machine.probe(`vmlinux:${func}`, { task, context }).name;
        const wanted = ran(core);
        expect(ran(guest), `seed ${SEED}, step ${i}`).toBe(wanted);
        seen.set(wanted, (seen.get(wanted) ?? 0) + 1);
      }
    }
    expect(Math.min(...seen.values())).toBeGreaterThan(10);
    const { recursion, idle } = core.machine.core.counters();
    expect(guest.machine.handlerWarnings()).toEqual({
      recursion: BigInt(recursion - core.refused),
      empty: 0n,
      idle: BigInt(idle),
    });
    expect(Math.min(recursion, idle)).toBeGreaterThan(10);
  }, 60_000);
});

test('an ops whose stack is empty runs the original and is counted, as in the core (L37)', async () => {
  const machine = await world({ handler: 'guest' });
  const site = machine.images.site(machine.address('vmlinux:checksum')) ?? 0n;
  const func = machine.core.pushFunc(site, machine.address('fix_a:livepatch_checksum'), 1);
  machine.ftrace.register(livepatchOps('checksum', site, 'args', machine.livepatchOps(site)));
  machine.core.pushFunc(site, machine.address('fix_b:livepatch_checksum'), 1);
  machine.core.removeFunc(func);
  expect(machine.probe('vmlinux:checksum').name).toBe('fix_b:livepatch_checksum');
  expect(machine.call('vmlinux:checksum', ['hello', 5n]).clobbered).toEqual([]);
});
