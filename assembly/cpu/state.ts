// The architectural state of the running vCPU, at fixed addresses so that every access is one load or store.

//   0 general   16 × u64  rax … r15, in the order of their encoding
// 128 zero      u64       always 0: the register of an absent base or index
// 136 fsBase    u64
// 144 gsBase    u64
// 152 kernelGs  u64       what swapgs exchanges with gsBase
// 160 xmm       16 × v128
// 416 rip       u64       valid while the vCPU is not running
// 424 result    i64       ┐ lazy flags, see flags.ts
// 432 carries   u64       │
// 440 shape     u32       ┘
// 444 rest      u32       the bits of rflags that arithmetic leaves alone
// 448 mxcsr     u32
// 452 rounded   u32       1: floating-point arithmetic ran since MXCSR was last written
// 456 task      i32       whose patch state the gate asks for
// 464 clock     u64       the virtual clock of rdtsc at the start of this slice, see run.ts
// 472 repRip    u64       address of a REP instruction left unfinished, 0 otherwise
export const STATE: usize = memory.data(512, 16);
export const STATE_SIZE: u32 = 480;

export const GENERAL: usize = STATE;
export const XMM: usize = STATE + 160;
export const RIP: usize = STATE + 416;
export const RESULT: usize = STATE + 424;
export const CARRIES: usize = STATE + 432;
export const SHAPE: usize = STATE + 440;
export const REST: usize = STATE + 444;
export const MXCSR: usize = STATE + 448;
export const ROUNDED: usize = STATE + 452;
export const TASK: usize = STATE + 456;
export const CLOCK: usize = STATE + 464;
export const REP_RIP: usize = STATE + 472;

/** Byte offsets of registers in the state, as operands hold them. */
export const RAX: u32 = 0;
export const RCX: u32 = 8;
export const RDX: u32 = 16;
export const RBX: u32 = 24;
export const RSP: u32 = 32;
export const RBP: u32 = 40;
export const RSI: u32 = 48;
export const RDI: u32 = 56;
export const R11: u32 = 88;
export const NO_REGISTER: u32 = 128;
export const FS_BASE: u32 = 136;
export const GS_BASE: u32 = 144;
export const KERNEL_GS_BASE: u32 = 152;

/** Why `execute` came back. */
export enum Reason {
  None = 0,
  /** The stop address is next. */
  Until = 1,
  /** The slice of the budget does not hold the next block. */
  Slice = 2,
  /** See FAULT. */
  Fault = 3,
  /** The next instruction is outside the instruction set. */
  Unsupported = 4,
  /** A single step is done. */
  Stepped = 5,
  /** The host asked to stop. */
  Stopped = 6,
  /** The next block is hot; only between `execute` and `run`. */
  Hot = 7,
}

/** What a handler of execute-*.ts answers. */
export enum Status {
  /** Go on with the next op. */
  Next = 0,
  /** FAULT says why not. */
  Fault = 1,
  /** RIP holds the next address. */
  Jump = 2,
  /** A REP instruction ran out of budget between two iterations. */
  Slice = 3,
  /** As Unsupported of Reason: decided by operands or by MXCSR. */
  Unsupported = 4,
  /** As Fault, but rip is the next instruction, as the CPU reports traps. */
  Trap = 5,
}

/** The order is that of `Fault['kind']` in src/engine/engine.ts, and is read by src/engine/wasm.ts. */
export enum FaultKind {
  None = 0,
  Unmapped = 1,
  Protected = 2,
  InvalidInstruction = 3,
  DivideError = 4,
  GeneralProtection = 5,
  Breakpoint = 6,
  Interrupt = 7,
  Syscall = 8,
  Halt = 9,
}

export enum FaultAccess {
  Read = 0,
  Write = 1,
  Fetch = 2,
}

//  0 kind    u32
//  4 access  u32  for Unmapped and Protected
//  8 address u64
// 16 vector  u32  for Interrupt
// 20 left    i32  what is left of the slice, valid while `execute` is not running or a cold handler is
// 24 extra   u64  REP iterations beyond the first, in this run
export const FAULT: usize = memory.data(32, 8);
export const LEFT: usize = FAULT + 20;
export const EXTRA: usize = FAULT + 24;

/** Records a fault; `execute` leaves with it. */
export class Fault {
  static raise(kind: FaultKind): Status {
    store<u32>(FAULT, kind);
    return Status.Fault;
  }

  /** A fault of memory at `address`. */
  static memory(kind: FaultKind, access: FaultAccess, address: u64): void {
    // bits 48 to 63 that differ from bit 47 are refused before any page is looked up, unless the host mapped one there
    const canonical = <u64>(<i64>(address << 16) >> 16) == address;
    store<u32>(FAULT, canonical ? kind : FaultKind.GeneralProtection);
    store<u32>(FAULT + 4, access);
    store<u64>(FAULT + 8, address);
  }

  static interrupt(vector: u32): Status {
    store<u32>(FAULT, FaultKind.Interrupt);
    store<u32>(FAULT + 16, vector);
    return Status.Fault;
  }
}
