// A machine with a target, fixes and handlers for tracers, and the notes that the handlers leave in guest memory.
import { Machine, type MachineOptions } from '../../src/machine.ts';
import { fixture } from '../fixtures/manifest.ts';

/** What a handler noted: who, at which function, and a detail of its own. */
export interface Note {
  readonly who: string;
  readonly ip: bigint;
  readonly detail: bigint;
}

/** A machine under test. */
export class TracerWorld {
  readonly machine: Machine;

  static async make(options: MachineOptions = {}): Promise<TracerWorld> {
    const machine = await Machine.create(options);
    machine.load(fixture('target-kernel-O2.o'), { name: 'vmlinux' });
    machine.load(fixture('tracers-kernel-O2.o'), { name: 't', kind: 'module' });
    for (const letter of ['a', 'b', 'c']) {
      machine.load(fixture(`fix_${letter}-kernel-O2.o`), { name: `fix_${letter}`, kind: 'livepatch' });
    }
    return new TracerWorld(machine);
  }

  private constructor(machine: Machine) {
    this.machine = machine;
  }

  /** The site of a function. */
  site(name: string): bigint {
    const site = this.machine.images.site(this.machine.address(name));
    if (site === undefined) throw new Error(`${name} has no site`);
    return site;
  }

  /** Livepatches checksum by a fix. */
  patch(letter: string, oldName = 'checksum'): void {
    this.machine.livepatch.enable({
      name: `fix_${letter}`,
      objects: [{ name: null, funcs: [{ oldName, newFunc: `livepatch_${oldName}` }] }],
    });
  }

  /** Calls checksum("hello"), which must arrive and return as a plain call does; returns what ran. */
  call(name = 'vmlinux:checksum', args: readonly (bigint | string)[] = ['hello', 5n]): string {
    const { runs, clobbered, visits } = this.machine.call(name, args);
    const wrong = [...runs.changed, ...clobbered, ...(runs.returnsToCaller ? [] : ['the return address'])];
    if (wrong.length > 0) throw new Error(`${wrong} did not arrive or return as in a plain call`);
    const dispatched = this.record(name).calls !== undefined;
    if (visits.length === 0 && dispatched) throw new Error('no dispatch was seen');
    return runs.name;
  }

  /** What ftrace says of a function. */
  record(name = 'vmlinux:checksum') {
    const record = this.machine.ftrace.record(this.site(name));
    if (record === undefined) throw new Error(`${name} has no record`);
    return record;
  }

  /** The five bytes at a function's site. */
  bytes(name = 'vmlinux:checksum'): Uint8Array {
    return this.machine.read(this.site(name), 5);
  }

  /** Takes the notes since the last time. */
  notes(): Note[] {
    const at = this.machine.address('t:notes');
    const view = (from: bigint, size: number) => new DataView(this.machine.read(from, size).buffer);
    const used = Number(view(at, 8).getBigUint64(0, true));
    const all = view(at + 8n, Math.max(used, 1) * 24);
    this.machine.engine.write(at, new Uint8Array(8));
    return Array.from({ length: used }, (_, i) => ({
      who: String.fromCharCode(Number(all.getBigUint64(24 * i, true))),
      ip: all.getBigUint64(24 * i + 8, true),
      detail: all.getBigUint64(24 * i + 16, true),
    }));
  }

  /** Who noted something since the last time, in order. */
  who(): string {
    return this.notes()
      .map(({ who }) => who)
      .join('');
  }
}
