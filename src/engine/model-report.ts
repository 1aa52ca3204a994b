// What the optional models say of a run.

/** A branch: the instruction's address, and where it went. */
export interface Transfer {
  readonly from: bigint;
  readonly to: bigint;
}

/** What the models say of one run; the run itself is not changed by them. */
export interface ModelReport {
  /** Data accesses, those of push, call and ret included; one of 16 bytes counts as two on Unicorn (see MemoryHook). */
  readonly loads: number;
  readonly stores: number;
  /** Jumps, calls, returns and conditional branches that were taken. */
  readonly takenBranches: number;
  /** Returns that a return-address stack of 16 entries predicts wrongly (C33). */
  readonly returnMispredicts: number;
  /** Returns that a shadow stack would refuse (C32). */
  readonly shadowStack: readonly Transfer[];
  /** Indirect calls and jumps without `notrack` that arrive at no endbr64 (C34). */
  readonly indirectBranches: readonly Transfer[];
}
