// Forks of a machine: from there on each is as a machine of its own that has the same past.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MachineOptions } from '../../src/machine.ts';
import { type Operation, operation, Subject } from './fork-subject.ts';

const stretches = (count: number) =>
  fc.array(fc.array(operation, { minLength: 1, maxLength: 6, size: 'max' }), { maxLength: count, size: 'max' });

/** A machine, and one of its own kind that has replayed all that happened to it; undefined: it became a fork. */
class Line {
  readonly subject: Subject;
  readonly replay: Subject;
  readonly #past: (Operation | undefined)[];
  readonly #fresh: () => Promise<Subject>;

  constructor(subject: Subject, replay: Subject, past: (Operation | undefined)[], fresh: () => Promise<Subject>) {
    this.subject = subject;
    this.replay = replay;
    this.#past = past;
    this.#fresh = fresh;
  }

  apply(operations: readonly Operation[] = []): void {
    for (const one of operations) expect(this.subject.apply(one)).toBe(this.replay.apply(one));
    this.#past.push(...operations);
  }

  async fork(): Promise<Line> {
    const replay = await this.#fresh();
    const past = [...this.#past, undefined];
    for (const one of past) {
      if (one === undefined) replay.forgetSnapshots();
      else replay.apply(one);
    }
    return new Line(this.subject.fork(), replay, past, this.#fresh);
  }

  compare(): void {
    expect(this.subject.observe()).toBe(this.replay.observe());
  }

  end(): void {
    this.compare();
    this.subject.machine.dispose();
    this.replay.machine.dispose();
  }
}

const CONFIGURATIONS: readonly [string, MachineOptions][] = [
  ['', { jit: 'eager' }],
  [', by hand', { jit: 'sync', transition: 'manual' }],
  [', with guest handlers', { jit: false, handler: 'guest', transition: 'manual' }],
  [' of 5.0', { jit: 'eager', policy: 'strict-stack', trampoline: 'regs' }],
  [' of the series before 5.1', { jit: false, policy: 'v10', transition: 'manual' }],
];

test.each(CONFIGURATIONS)('parent, fork and fork of the fork%s are as machines of their own', async (_, options) => {
  const seed = Number(process.env.TRAMP64_SEED ?? Date.now() % 2 ** 31);
  const histories = fc.tuple(stretches(8), stretches(5), stretches(5), stretches(5));
  await fc.assert(
    fc.asyncProperty(histories, async ([past, first, second, third]) => {
      const fresh = () => Subject.create(options);
      const parent = new Line(await fresh(), await fresh(), [], fresh);
      for (const stretch of past) parent.apply(stretch);
      const child = await parent.fork();
      child.compare();
      for (let i = 0; i < 5; i++) {
        parent.apply(first[i]);
        child.apply(second[i]);
      }
      const grandchild = await child.fork();
      parent.end();
      for (let i = 0; i < 5; i++) {
        grandchild.apply(third[i]);
        child.apply(first[4 - i]);
      }
      child.end();
      grandchild.apply(second[0]);
      grandchild.end();
    }),
    { seed, numRuns: Number(process.env.TRAMP64_RUNS ?? 12) },
  );
});
