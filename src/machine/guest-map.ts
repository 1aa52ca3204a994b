// Where things lie in the guest, after the kernel's own map (Documentation/arch/x86/x86_64/mm.rst).

/** A region of guest addresses, sizes in bytes. */
export interface Region {
  readonly base: bigint;
  readonly size: bigint;
}

/** The regions of a machine. All code is within 2 GiB, so that rel32 reaches from any image to any trampoline. */
export interface GuestMap {
  /** The first stack; the others follow, unmapped pages between them. */
  readonly stack: Region;
  /** Arguments that the owner of the first stack passes by address; those of the others follow. */
  readonly data: Region;
  /** What gs: addresses; the stack canary is at 0x28 in it. */
  readonly perCpu: Region;
  /** The structs of ftrace and livepatch. */
  readonly kernelHeap: Region;
  /** The image of kind vmlinux. */
  readonly kernelText: Region;
  /** Modules, livepatches and other code. */
  readonly modules: Region;
  /** The gate and the kernel's own routines. */
  readonly routines: Region;
  /** Data of the kernel that modules import by name. */
  readonly kernelData: Region;
  /** Handlers that are guest code, and their variables. */
  readonly handlers: Region;
  /** Trampolines. */
  readonly trampolines: Region;
}

/** Where a kernel has these things: code in the top 2 GiB. */
export const GUEST_MAP: GuestMap = {
  stack: { base: 0xffffc90000000000n, size: 0x40000n },
  data: { base: 0xffff888000000000n, size: 0x40000n },
  perCpu: { base: 0xffff888100000000n, size: 0x1000n },
  kernelHeap: { base: 0xffff888200000000n, size: 0x40000000n },
  kernelText: { base: 0xffffffff81000000n, size: 0x1f000000n },
  modules: { base: 0xffffffffa0000000n, size: 0x20000000n },
  routines: { base: 0xffffffffc0000000n, size: 0x1000n },
  kernelData: { base: 0xffffffffc0002000n, size: 0x1000n },
  handlers: { base: 0xffffffffc0004000n, size: 0xc000n },
  trampolines: { base: 0xffffffffc0010000n, size: 0x3e000000n },
};

/** The same in the lower half, code in the first 2 GiB: a process of its own can hold it, and the bare CPU run it. */
export const USER_MAP: GuestMap = {
  stack: { base: 0x100000000n, size: 0x40000n },
  data: { base: 0x300000000n, size: 0x40000n },
  perCpu: { base: 0x500000000n, size: 0x1000n },
  kernelHeap: { base: 0x600000000n, size: 0x40000000n },
  kernelText: { base: 0x10000000n, size: 0x1f000000n },
  modules: { base: 0x30000000n, size: 0x10000000n },
  routines: { base: 0x40000000n, size: 0x1000n },
  kernelData: { base: 0x40002000n, size: 0x1000n },
  handlers: { base: 0x40004000n, size: 0xc000n },
  trampolines: { base: 0x40010000n, size: 0x2fff0000n },
};

/** Offset of the stack canary from gs (-mstack-protector-guard-reg=gs, the kernel's fixed_percpu_data). */
export const CANARY_OFFSET = 0x28n;
