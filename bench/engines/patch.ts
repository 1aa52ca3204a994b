// How long patching one function, calling it and unpatching it takes on a warm machine.
import { readFileSync } from 'node:fs';
import { Machine } from '../../src/machine.ts';

const EXAMPLES = new URL('../../src/examples/', import.meta.url);
const FUNCS = [{ oldName: 'checksum', newFunc: 'livepatch_checksum' }];

/** A machine on which the three steps have been done before. */
export class Patching {
  readonly #machine: Machine;

  static async create(engine: 'wasm' | 'unicorn'): Promise<Patching> {
    const machine = await Machine.create({ engine, trampoline: 'regs' });
    machine.load(readFileSync(new URL('target.o', EXAMPLES)), { name: 'vmlinux' });
    machine.load(readFileSync(new URL('fix-a.o', EXAMPLES)), { name: 'fix_a', kind: 'livepatch' });
    return new Patching(machine);
  }

  private constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Microseconds per cycle: the shortest of `samples` means over `cycles`. */
  time(samples: number, cycles: number): number {
    return Math.min(...Array.from({ length: samples }, () => this.cycle(cycles)));
  }

  /**
   * Microseconds per cycle, the mean.
   * @throws {Error} a call arrived elsewhere
   */
  cycle(cycles: number): number {
    const start = performance.now();
    for (let i = 0; i < cycles; i++) {
      this.#machine.livepatch.enable({ name: 'fix_a', objects: [{ name: null, funcs: FUNCS }] });
      const { runs } = this.#machine.call('checksum', ['hello', 5n]);
      this.#machine.livepatch.disable('fix_a');
      if (runs.name !== 'fix_a:livepatch_checksum') throw new Error(`the call arrived at ${runs.name}`);
    }
    return ((performance.now() - start) * 1000) / cycles;
  }

  dispose(): void {
    this.#machine.dispose();
  }
}
