// The record of a site (struct dyn_ftrace): who uses it, what it should call and what its text says (F33, F36).

import type { Twins } from '../twins.ts';
import type { FtraceCallers } from './callers.ts';
import { copyOps, type Ops } from './ops.ts';
import { NOP5 } from './site.ts';
import type { KernelVersion } from './trampoline.ts';

/** Flags of a record from bit 31 down; `_EN` is what the text does, the others what is wanted (F36). */
const FLAGS = [
  'ENABLED',
  'REGS',
  'REGS_EN',
  'TRAMP',
  'TRAMP_EN',
  'IPMODIFY',
  'DISABLED',
  'DIRECT',
  'DIRECT_EN',
  'CALL_OPS',
  'CALL_OPS_EN',
  'TOUCHED',
  'MODIFIED',
] as const;

/** A flag of a record. CALL_OPS is of other architectures (F48). */
export type RecordFlag = (typeof FLAGS)[number];

/** Flags that came after 6.1. */
const NEWER: readonly RecordFlag[] = ['CALL_OPS', 'CALL_OPS_EN', 'TOUCHED', 'MODIFIED'];

/** An ops while it is registered. */
export interface Registration {
  readonly ops: Ops;
  /** Counts registrations: the greatest is the newest. */
  readonly order: number;
  /** Where its struct lies, what rdx is given. */
  readonly place: bigint;
  /** Its own copy of a caller, or of a direct ops ftrace_regs_caller; undefined where there was no memory (F28). */
  readonly trampoline: bigint | undefined;
}

/** The registration of a fork that stands for one of its parent. */
export function twinOf(registration: Registration, twins: Twins): Registration {
  return twins.of(registration, (one) => ({ ...one, ops: twins.of(one.ops, copyOps) }));
}

/** What a site is seen to be. */
export interface SiteState {
  readonly address: bigint;
  /** Names of the ops that trace it, newest first. */
  readonly users: readonly string[];
  readonly flags: readonly RecordFlag[];
  /** Flags and count in one word, as in dyn_ftrace.flags. */
  readonly value: number;
  /** What its call goes to; undefined where a NOP5 stands. */
  readonly calls: bigint | undefined;
}

/** One record. */
export class SiteRecord {
  /** Newest first. */
  users: readonly Registration[] = [];
  /** It cannot be traced: a leftover of a weak function (F8). */
  disabled = false;
  /** What the text calls; undefined: NOP5. */
  calls: bigint | undefined;
  /** The bytes that stand there. */
  text: Uint8Array = NOP5;
  #enabled: ReadonlySet<RecordFlag> = new Set();
  #touched = false;
  #modified = false;

  /** The record of a fork. */
  copy(twins: Twins): SiteRecord {
    const copy = new SiteRecord();
    copy.users = this.users.map((user) => twinOf(user, twins));
    copy.disabled = this.disabled;
    copy.calls = this.calls;
    copy.text = this.text;
    copy.#enabled = this.#enabled;
    copy.#touched = this.#touched;
    copy.#modified = this.#modified;
    return copy;
  }

  /** ftrace_get_addr_new: what the site should call (F33); undefined: nothing. */
  wanted(callers: FtraceCallers): bigint | undefined {
    const [first, second] = this.users;
    if (first === undefined) return undefined;
    if (second === undefined) {
      if (first.ops.directCall !== undefined) return first.ops.directCall;
      if (first.trampoline !== undefined) return first.trampoline;
    }
    return callers.caller[this.#has('SAVE_REGS') ? 'regs' : 'args'];
  }

  /** Notes that the text now calls `target` by these bytes. */
  written(target: bigint | undefined, bytes: Uint8Array): void {
    this.calls = target;
    this.text = bytes;
    if (target === undefined) {
      this.#enabled = new Set();
      return;
    }
    this.#touched = true;
    if (this.#has('DIRECT') || this.#has('IPMODIFY')) this.#modified = true;
    this.#enabled = new Set(
      (['REGS', 'TRAMP', 'DIRECT'] as const).filter((flag) => this.#wants(flag)).map((flag) => `${flag}_EN` as const),
    );
  }

  /** True where nothing would be lost with the record. */
  get plain(): boolean {
    return this.users.length === 0 && this.calls === undefined && !this.disabled && !this.#touched;
  }

  state(address: bigint, kernel: KernelVersion): SiteState {
    const flags = FLAGS.filter((flag) => !(kernel === '6.1' && NEWER.includes(flag)) && this.#flag(flag));
    const bits = flags.reduce((sum, flag) => sum + 2 ** (31 - FLAGS.indexOf(flag)), 0);
    const users = this.users.map(({ ops }) => ops.name);
    return { address, users, flags, value: bits + users.length, calls: this.calls };
  }

  #flag(flag: RecordFlag): boolean {
    switch (flag) {
      case 'ENABLED':
        return this.calls !== undefined;
      case 'DISABLED':
        return this.disabled;
      case 'TOUCHED':
        return this.#touched;
      case 'MODIFIED':
        return this.#modified;
      case 'IPMODIFY':
        return this.#has('IPMODIFY');
      case 'REGS':
      case 'TRAMP':
        return this.#wants(flag);
      case 'DIRECT':
        return this.#has('DIRECT');
      default:
        return this.#enabled.has(flag);
    }
  }

  /** What is wanted of the text; the direct call only where there is one user. */
  #wants(flag: 'REGS' | 'TRAMP' | 'DIRECT'): boolean {
    const [first, second] = this.users;
    if (flag === 'REGS') return this.#has('SAVE_REGS');
    if (flag === 'TRAMP') return second === undefined && first?.trampoline !== undefined;
    return second === undefined && first?.ops.has('DIRECT') === true;
  }

  #has(flag: 'SAVE_REGS' | 'IPMODIFY' | 'DIRECT'): boolean {
    return this.users.some(({ ops }) => ops.has(flag));
  }
}
