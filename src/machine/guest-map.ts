// Where things lie in the guest, after the kernel's own map (Documentation/arch/x86/x86_64/mm.rst).

/** A region of guest addresses, sizes in bytes. */
export interface Region {
  readonly base: bigint;
  readonly size: bigint;
}

/** The regions of a machine. All code is in the top 2 GiB, so that rel32 reaches from any image to any trampoline. */
export const GUEST_MAP = {
  /** The first stack; the others follow, unmapped pages between them. */
  stack: { base: 0xffffc90000000000n, size: 0x40000n },
  /** Arguments that the owner of the first stack passes by address; those of the others follow. */
  data: { base: 0xffff888000000000n, size: 0x40000n },
  /** What gs: addresses; the stack canary is at 0x28 in it. */
  perCpu: { base: 0xffff888100000000n, size: 0x1000n },
  /** The structs of ftrace and livepatch. */
  kernelHeap: { base: 0xffff888200000000n, size: 0x40000000n },
  /** The image of kind vmlinux. */
  kernelText: { base: 0xffffffff81000000n, size: 0x1f000000n },
  /** Modules, livepatches and other code. */
  modules: { base: 0xffffffffa0000000n, size: 0x20000000n },
  /** The gate and the kernel's own routines. */
  routines: { base: 0xffffffffc0000000n, size: 0x1000n },
  /** ftrace_caller, ftrace_regs_caller and what they call where the host walks the list. */
  callers: { base: 0xffffffffc0001000n, size: 0x1000n },
  /** Handlers that are guest code, and their variables. */
  handlers: { base: 0xffffffffc0004000n, size: 0xc000n },
  /** Trampolines. */
  trampolines: { base: 0xffffffffc0010000n, size: 0x3d000000n },
  /** Addresses of host functions that guest code calls. */
  hostFunctions: { base: 0xfffffffffd010000n, size: 0x1000000n },
} as const satisfies Record<string, Region>;

/** Offset of the stack canary from gs (-mstack-protector-guard-reg=gs, the kernel's fixed_percpu_data). */
export const CANARY_OFFSET = 0x28n;
