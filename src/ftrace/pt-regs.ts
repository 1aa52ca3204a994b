// The layout of struct pt_regs, as offsets in bytes (C24; arch/x86/include/asm/ptrace.h).

/** Offset of each field. */
export const PT_REGS = {
  r15: 0x00,
  r14: 0x08,
  r13: 0x10,
  r12: 0x18,
  rbp: 0x20,
  rbx: 0x28,
  r11: 0x30,
  r10: 0x38,
  r9: 0x40,
  r8: 0x48,
  rax: 0x50,
  rcx: 0x58,
  rdx: 0x60,
  rsi: 0x68,
  rdi: 0x70,
  origRax: 0x78,
  ip: 0x80,
  cs: 0x88,
  flags: 0x90,
  sp: 0x98,
  ss: 0xa0,
} as const;

/** sizeof(struct pt_regs). */
export const PT_REGS_SIZE = 0xa8;

/** Segment selectors that ftrace_regs_caller stores (F24). */
export const KERNEL_CS = 0x10;
export const KERNEL_DS = 0x18;
