// Models of what a CPU keeps of calls: the return-address stack that predicts returns, and the shadow stack of CET.

/** Entries of the return-address stack, as on the CPUs of the last years. */
const ENTRIES = 16;

/** Both models, told of every call and return. */
export class ReturnModels {
  /** Returns that were predicted wrongly. */
  mispredicts = 0;
  /** Returns that go elsewhere than their call. */
  violations = 0;
  readonly #predictor: bigint[];
  readonly #shadow: bigint[];

  /**
   * @param returnTo where the outermost call returns to
   * @param from those of the run that this one is a copy of
   */
  constructor(returnTo: bigint, from?: ReturnModels) {
    this.#predictor = from === undefined ? [returnTo] : [...from.#predictor];
    this.#shadow = from === undefined ? [returnTo] : [...from.#shadow];
    if (from === undefined) return;
    this.mispredicts = from.mispredicts;
    this.violations = from.violations;
  }

  /**
   * A call that went to `target` and returns to `after`. One to the next instruction only reads rip: the predictor
   * leaves it out (AMD's and Intel's optimization manuals), the shadow stack does not.
   */
  call(after: bigint, target: bigint): void {
    this.#shadow.push(after);
    if (target === after) return;
    this.#predictor.push(after);
    if (this.#predictor.length > ENTRIES) this.#predictor.shift();
  }

  /** A return that went to `target`. */
  ret(target: bigint): void {
    if (this.#predictor.pop() !== target) this.mispredicts++;
    if (this.#shadow.pop() !== target) this.violations++;
  }
}
