// What the fork tests of machines drive: a machine with patches, tasks, tracers and a module, and operations on it whose
// outcome is a text, so that two machines are compared by what they tell.
import fc from 'fast-check';
import { hexBytes } from '../../src/address.ts';
import { TrampolineError } from '../../src/errors.ts';
import { FAULT_POINT_NAMES } from '../../src/faults.ts';
import type { PatchSpec } from '../../src/livepatch/patch.ts';
import type { CallOptions, CallResult } from '../../src/machine/call.ts';
import { GUEST_MAP } from '../../src/machine/guest-map.ts';
import type { MachineSnapshot } from '../../src/machine/snapshots.ts';
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { stateOf } from '../livepatch/invariants.ts';
import { shipped } from '../livepatch/patches.ts';
import type { ForkSubject } from '../support/forks.ts';

const TASKS = ['t0', 't1', 't2'];
const FUNCTIONS = ['checksum', 'fibonacci', 'sum_eight', 'divide', 'operate', 'reverse_text'];
const NEW_FUNCS = ['livepatch_checksum', 'livepatch_fibonacci', 'livepatch_sum_eight', 'livepatch_operate'];
const PATCHES = ['p0', 'p1', 'p2', 'p3'];

const VERBS = {
  ...{ enable: 8, disable: 5, register: 3, unregister: 1, unload: 1, reverse: 2, force: 1, switch: 3, tick: 2 },
  ...{ onCpu: 1, load: 2, unloadModule: 1, call: 10, models: 2, irq: 1, park: 4, resume: 3, many: 1, probe: 1 },
  ...{ addTracer: 4, removeTracer: 2, setFilter: 1, sysctl: 1, write: 3, spoil: 0.3, heap: 1, shadow: 2 },
  ...{ inject: 1, addTask: 1, exitTask: 0.5, serve: 0.5, takeSnapshot: 1, reset: 1, guard: 1, counters: 0.5 },
} as const;
type Verb = keyof typeof VERBS;

/** One operation; its numbers are taken modulo what there is. */
export interface Operation {
  readonly verb: Verb;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

const number = fc.nat({ max: 5039 });
export const operation: fc.Arbitrary<Operation> = fc.record({
  verb: fc.oneof(
    ...Object.entries(VERBS).map(([verb, weight]) => ({ weight: weight * 10, arbitrary: fc.constant(verb as Verb) })),
  ),
  a: number,
  b: number,
  c: number,
});

function pick<T>(from: readonly T[], index: number): T {
  const item = from[index % from.length];
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}

/** A patch by its number: which functions it brings, whether it replaces; the same in all machines. */
function specOf(name: string, number: number): PatchSpec {
  const funcs = FUNCTIONS.filter((_, i) => ((number >> i) & 1) === 1).map((oldName, i) => ({
    ...{ oldName, newFunc: pick(NEW_FUNCS, number + i) },
  }));
  const say = (line: string) => ({
    prePatch: (call: { say(text: string): void }) => {
      call.say(`${name}: ${line}`);
      return number % 23 === 0 ? -19 : 0;
    },
    postUnpatch: (call: { say(text: string): void }) => {
      call.say(`${name}: gone from ${line}`);
      return 0;
    },
  });
  const mod = { name: 'mod', funcs: funcs.slice(0, 2), callbacks: say('mod') };
  return {
    ...{ name, image: 'fixes', replace: number % 4 === 0 },
    ...(number % 5 === 0 ? { states: [{ id: 1, version: 1 + (number % 2) }] } : {}),
    objects: [{ name: null, funcs, callbacks: say('vmlinux') }, ...(number % 3 === 0 ? [mod] : [])],
  };
}

/** A machine that is driven by operations. */
export class Subject implements ForkSubject<Operation> {
  readonly machine: Machine;
  #snapshots: MachineSnapshot[] = [];
  #allocated: bigint[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
  }

  static async create(options: MachineOptions): Promise<Subject> {
    const machine = await Machine.create({ engine: 'wasm', tasks: TASKS, ...options });
    machine.load(shipped('target.o'), { name: 'vmlinux' });
    machine.load(shipped('fix-b.o'), { name: 'fixes', kind: 'livepatch' });
    return new Subject(machine);
  }

  fork(): Subject {
    const fork = new Subject(this.machine.fork());
    fork.#allocated = [...this.#allocated];
    return fork;
  }

  forgetSnapshots(): void {
    for (const one of this.#snapshots) this.machine.release(one);
    this.#snapshots = [];
  }

  dispose(): void {
    this.machine.dispose();
  }

  apply(operation: Operation): string {
    let outcome: unknown;
    try {
      outcome = this.#act(operation);
    } catch (error) {
      if (!(error instanceof TrampolineError)) throw error;
      outcome = error.message;
    }
    return textOf([operation.verb, outcome, this.machine.log.take(), this.#sleepers()]);
  }

  observe(): string {
    const { machine } = this;
    const { core, ftrace, tracers, heap, shadow, images } = machine;
    const sites = images.all.flatMap((image) => image.sites.map(({ address }) => ftrace.record(address)));
    const memory = [
      ...images.all.flatMap(({ segments }) => segments.map(({ address, bytes }) => [address, bytes.length] as const)),
      ...(['stack', 'data', 'perCpu', 'kernelHeap', 'trampolines', 'handlers'] as const).map(
        (name) => [GUEST_MAP[name].base, 0x10000] as const,
      ),
    ].map(([at, size]) => digest(readMapped(machine, at, size)));
    return textOf([
      ...[stateOf(machine, PATCHES), sites, core.counters(), machine.handlerWarnings(), [...heap.live], shadow.size],
      ...[tracers.names.map((name) => [name, tracers.counts(name), tracers.sites(name)]), ftrace.enabled],
      ...[machine.tasks.all.map(({ pid, pending, onCpu }) => [pid, pending, onCpu]), this.#sleepers(), memory],
      ...[this.#snapshots.map(({ changes }) => changes), machine.faults.pending],
      ...['rip', 'rsp', 'rax', 'gsBase'].map((name) => machine.engine.readRegister(name as 'rip')),
    ]);
  }

  #sleepers(): unknown {
    return this.machine.tasks.all.map(({ name }) => [
      ...[this.machine.parkedAt(name), this.machine.stackTrace(name)?.addresses],
    ]);
  }

  #act({ verb, a, b, c }: Operation): unknown {
    const { machine } = this;
    const { livepatch, tasks, tracers, core } = machine;
    const patch = pick(PATCHES, a);
    const task = pick(tasks.all, b);
    const running = livepatch.transition?.patch ?? patch;
    switch (verb) {
      case 'enable':
        return livepatch.enable(specOf(patch, b)).enabled;
      case 'register':
        return livepatch.register(specOf(patch, b)).name;
      case 'disable':
      case 'unregister':
      case 'unload':
        return livepatch[verb](patch);
      case 'reverse':
      case 'force':
        return livepatch[verb](running);
      case 'switch':
        return livepatch.switchTasks([task.name]);
      case 'tick':
        return livepatch.tick(c % 8 === 0 ? 17 : 1);
      case 'onCpu':
        task.onCpu = c % 2 === 0;
        return livepatch.settle();
      case 'load':
        return machine.load(shipped('target.o'), { name: 'mod', kind: 'module' }).base;
      case 'unloadModule':
        return machine.unload('mod');
      case 'call':
        return this.#call(a, c, { task: task.name });
      case 'models':
        return this.#call(a, c, { task: task.name, models: true });
      case 'irq':
        return this.#call(a, c, { task: task.name, context: 'irq' });
      case 'probe':
        return machine.probe(`vmlinux:${pick(FUNCTIONS, a)}`, { task: task.name });
      case 'many':
        return machine.callMany(`vmlinux:${pick(FUNCTIONS, a)}`, argumentsOf(c), 5, { task: task.name });
      case 'park': {
        const func = pick(FUNCTIONS, a);
        const { address } = machine.probe(`vmlinux:${func}`, { task: task.name });
        const onArrival = c % 2 === 0 ? { onArrival: () => undefined } : {};
        const options = { task: task.name, models: c % 3 === 0, ...onArrival };
        return machine.park(`vmlinux:${func}`, argumentsOf(c), address, options).name;
      }
      case 'resume':
        return visible(machine.resume(task.name));
      case 'addTracer':
        return this.#addTracer(a, b, c);
      case 'removeTracer':
        return tracers.names.length > 0 && tracers.remove(pick(tracers.names, a));
      case 'setFilter':
        return tracers.names.length > 0 && tracers.setFilter(pick(tracers.names, a), [pick(FUNCTIONS, b)]);
      case 'sysctl':
        return machine.ftrace.setEnabled(c % 3 > 0);
      case 'write': {
        const [first] = machine.images.get('vmlinux')?.segments.filter(({ access }) => access === 'rw') ?? [];
        const size = first?.bytes.length ?? 1;
        return machine.engine.write((first?.address ?? 0n) + BigInt(a % size), Uint8Array.of(b & 0xff));
      }
      case 'spoil':
        return machine.engine.write(siteOf(machine, a), Uint8Array.of(0xcc));
      case 'heap':
        if (c % 3 > 0 || this.#allocated.length === 0) {
          this.#allocated.push(machine.heap.allocate(BigInt(16 + (a % 300)), c % 2 === 0));
          return this.#allocated.at(-1);
        }
        return machine.heap.free(pick(this.#allocated, a));
      case 'shadow': {
        const [object, id] = [BigInt(a % 3), BigInt(b % 3)];
        if (c % 4 === 0) return machine.shadow.free(object, id);
        return machine.shadow.allocate({ object, id, size: BigInt(c % 64) });
      }
      case 'inject':
        return machine.faults.inject(pick(FAULT_POINT_NAMES, a), { nth: 1 + (b % 2) });
      case 'addTask':
        return tasks.size < 6 && tasks.add(`new${c}`, task.name, c % 2 === 0).pid;
      case 'exitTask':
        return tasks.exit(task.name);
      case 'serve':
        return machine.serve(`service${c % 3}`, (call) => call.argument(0) + 1n);
      case 'takeSnapshot':
        if (this.#snapshots.length < 3) this.#snapshots.push(machine.snapshot());
        return 'taken';
      case 'reset':
        return this.#snapshots.length > 0 && machine.reset(pick(this.#snapshots, a));
      case 'guard': {
        const bit = core.recursionEnter(task.handle);
        const found = core.dispatch(siteOf(machine, a), task.handle);
        if (c % 4 > 0 && bit !== undefined) core.recursionLeave(task.handle, bit);
        return [bit, found];
      }
      case 'counters':
        core.clearCounters();
        return core.takeWarnings();
    }
  }

  #call(a: number, c: number, options: CallOptions): unknown {
    return visible(this.machine.call(`vmlinux:${pick(FUNCTIONS, a)}`, argumentsOf(c), options));
  }

  #addTracer(a: number, b: number, c: number): unknown {
    const { machine } = this;
    const filter = [pick(FUNCTIONS, b)];
    const name = `tracer${a % 4}`;
    // a function of the host, whoever calls it: what it does, it does to the machine that calls
    const target = (call: { argument(index: number): bigint; task: string }): number => {
      const at = call.argument(0);
      return call.task === '' || at === 0n ? 1 : 0;
    };
    switch (c % 6) {
      case 0:
        return machine.tracers.add({ name, filter: c % 12 === 0 ? [] : filter });
      case 1:
        return machine.tracers.add({ name, filter, target, flags: c % 12 === 1 ? ['SAVE_REGS'] : ['RECURSION'] });
      case 2:
        return machine.tracers.add({ name, kind: 'kprobe', filter, target });
      case 3:
        return machine.tracers.add({ name, kind: 'graph', filter, target });
      case 4:
        return machine.tracers.add({ name, kind: 'kprobe', filter, postTarget: target });
      default:
        return machine.tracers.add({ name, filter: ['mod:*', 'check*:mod:mod'] });
    }
  }
}

function siteOf(machine: Machine, index: number): bigint {
  return machine.images.site(machine.address(`vmlinux:${pick(FUNCTIONS, index)}`)) ?? 0n;
}

/** None of the functions minds these. */
function argumentsOf(c: number): bigint[] {
  return [0n, BigInt(c % 2), BigInt(c % 3), 0n, 0n, 0n];
}

function visible(result: CallResult): unknown {
  return { ...result, xmm0: hexBytes(result.xmm0) };
}

function readMapped(machine: Machine, at: bigint, size: number): Uint8Array {
  try {
    return machine.engine.read(at, size);
  } catch (error) {
    if (error instanceof TrampolineError) return new Uint8Array();
    throw error;
  }
}

/** FNV-1a of bytes, enough to tell two memories apart. */
function digest(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return `${bytes.length}:${hash.toString(16)}`;
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, one) =>
    typeof one === 'bigint'
      ? `0x${one.toString(16)}`
      : one instanceof Map || one instanceof Set
        ? [...one]
        : one === undefined
          ? null
          : one,
  );
}
