// What a fork must be: from where it was made, parent and fork are each as one of its own that has replayed the same past.
import fc from 'fast-check';
import { expect } from 'vitest';

/** An engine or a machine that is driven by operations. */
export interface ForkSubject<Operation> {
  /** Does it, and tells what came of it and what is to be seen then. */
  apply(operation: Operation): string;
  /** All that can be seen of it. */
  observe(): unknown;
  fork(): ForkSubject<Operation>;
  /** What becoming a fork means: there are no snapshots any more. */
  forgetSnapshots(): void;
  dispose(): void;
}

type Fresh<Operation> = () => Promise<ForkSubject<Operation>>;

/** A subject, and one of its own kind that has replayed all that happened to it; undefined: it became a fork. */
class Line<Operation> {
  readonly #subject: ForkSubject<Operation>;
  readonly #replay: ForkSubject<Operation>;
  readonly #past: (Operation | undefined)[];
  readonly #fresh: Fresh<Operation>;

  private constructor(
    subject: ForkSubject<Operation>,
    replay: ForkSubject<Operation>,
    past: (Operation | undefined)[],
    fresh: Fresh<Operation>,
  ) {
    this.#subject = subject;
    this.#replay = replay;
    this.#past = past;
    this.#fresh = fresh;
  }

  static async begin<Operation>(fresh: Fresh<Operation>): Promise<Line<Operation>> {
    return new Line(await fresh(), await fresh(), [], fresh);
  }

  apply(operations: readonly Operation[] = []): void {
    for (const one of operations) expect(this.#subject.apply(one)).toBe(this.#replay.apply(one));
    this.#past.push(...operations);
  }

  async fork(): Promise<Line<Operation>> {
    const replay = await this.#fresh();
    const past = [...this.#past, undefined];
    for (const one of past) {
      if (one === undefined) replay.forgetSnapshots();
      else replay.apply(one);
    }
    return new Line(this.#subject.fork(), replay, past, this.#fresh);
  }

  compare(): void {
    expect(this.#subject.observe()).toEqual(this.#replay.observe());
  }

  end(): void {
    this.compare();
    this.#subject.dispose();
    this.#replay.dispose();
  }
}

/**
 * Plays random histories: a parent, a fork of it and a fork of that one, which take turns in stretches of operations.
 * The parent goes while its forks go on. TRAMP64_SEED repeats a seed, TRAMP64_RUNS plays more.
 */
export async function playForks<Operation>(
  fresh: Fresh<Operation>,
  operation: fc.Arbitrary<Operation>,
  runs: number,
): Promise<void> {
  const stretches = (count: number) =>
    fc.array(fc.array(operation, { minLength: 1, maxLength: 6, size: 'max' }), { maxLength: count, size: 'max' });
  const histories = fc.tuple(stretches(8), stretches(5), stretches(5), stretches(5));
  const seed = Number(process.env.TRAMP64_SEED ?? Date.now() % 2 ** 31);
  await fc.assert(
    fc.asyncProperty(histories, async ([past, first, second, third]) => {
      const parent = await Line.begin(fresh);
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
    { seed, numRuns: Number(process.env.TRAMP64_RUNS ?? runs) },
  );
}
