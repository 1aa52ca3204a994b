// Where a metal case lives in guest memory, and what a case and its result consist of.

/** The page that holds the code, mapped r-x; every byte outside the case is 0xcc. */
export const CODE_PAGE = 0x10_0000n;
/** Address of the first instruction. */
export const CODE = CODE_PAGE + 0x800n;
/** The one data page, mapped rw-: stack in the lower half, operands in the upper. The pages around it are unmapped. */
export const MEMORY = 0x20_0000n;
export const PAGE = 0x1000;
/** First unmapped byte after the data page. */
export const GUARD = MEMORY + BigInt(PAGE);
/** gs base during a case, so that gs-relative operands differ from plain ones. */
export const GS_BASE = 0x1_0000n;
/** CF PF AF ZF SF DF OF: the flags that are set, recorded and compared. */
export const FLAGS = 0xcd5;
/** rflags as user mode has them when all of FLAGS are clear: bit 1 and IF. */
export const FLAGS_BASE = 0x202;
export const FILL = 0xcc;

/** Index of registers by encoding. */
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

/** Bytes that differ from the background page at the start of a case. */
export interface Patch {
  /** Offset into the data page. */
  offset: number;
  bytes: Uint8Array;
}

/** One instruction (or straight-line program) with its whole input state. */
export interface Case {
  /** `Add_rm64_r64/base/17`: iced's Code name, operand form, number within the code. */
  id: string;
  /** iced's Code name; `program` for a program. */
  code: string;
  form: string;
  /** Placed at CODE. */
  bytes: Uint8Array;
  /** rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
  gprs: BigUint64Array;
  /** The bits of FLAGS that are set at the start; the other flags are FLAGS_BASE. */
  flags: number;
  /** xmm0 to xmm15, 16 bytes each. MXCSR is 0x1f80. */
  xmm: Uint8Array;
  patches: Patch[];
  /** Bits of FLAGS that the instruction leaves undefined. */
  undefinedFlags: number;
  /** Bit i: general register i is undefined where ZF is set afterwards (bsf and bsr of zero). */
  undefinedIfZero: number;
  /** Instructions in `bytes`. */
  instructions: number;
  /** The instruction may continue elsewhere than after its last byte. */
  branches: boolean;
}

/** What a case left behind; only what changed. */
export interface Result {
  /** Exception vector, or undefined where the case ran to its end. */
  vector?: number;
  /** For vector 14: CR2 and the error code (bit 1 write, bit 4 fetch). */
  address?: bigint;
  error?: number;
  /** After the case; at the faulting instruction for faults, after it for int3. */
  rip: bigint;
  /** New values of the changed registers by index. */
  gprs: Map<number, bigint>;
  /** Bits of FLAGS. */
  flags: number;
  xmm: Map<number, Uint8Array>;
  memory: Patch[];
}
