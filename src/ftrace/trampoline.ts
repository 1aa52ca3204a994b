// The bytes of ftrace's trampolines: ftrace_caller (args) and ftrace_regs_caller (regs), as the kernel lays them out.
import {
  type Assembled,
  add,
  assemble,
  call,
  endbr64,
  type Instruction,
  jmp,
  label,
  lea,
  mem,
  mov,
  movImm32,
  movRip,
  nop,
  popfq,
  pushfq,
  quad,
  type Reg,
  sub,
  test,
} from '../x86/encode.ts';
import { KERNEL_CS, KERNEL_DS, PT_REGS, PT_REGS_SIZE } from './pt-regs.ts';

/** The kernel series whose layout is used; they differ in ENDBR64 and call-depth slots (F32). */
export type KernelVersion = '6.1' | '6.12';

/** Which registers a trampoline saves: the argument registers (F20), or all of pt_regs (F24). */
export type TrampolineKind = 'args' | 'regs';

/** What goes into one trampoline. */
export interface TrampolineSpec {
  kind: TrampolineKind;
  kernel: KernelVersion;
  /** Where the trampoline is placed. */
  address: bigint;
  /** What it calls with rdi = site, rsi = parent, rdx = ops, rcx = regs (F21). */
  handler: bigint;
  /** The value of rdx: the address of the ops. */
  ops: bigint;
  /** __x86_return_thunk, which every return of a rethunk kernel jumps to (F28). */
  returnThunk: bigint;
}

/** What the bytes of a body depend on. */
type Body = Pick<TrampolineSpec, 'kernel' | 'handler'>;

/** Bytes of the site's call, subtracted from the return address to name the site (F21). */
const SITE_SIZE = 5;

/** Label of the ops load (`48 8b 15 rel32`), as in the kernel's ftrace_caller_op_ptr. */
export const OP_PTR = 'op_ptr';
/** Label of the call of the handler, as in the kernel's ftrace_call. */
export const HANDLER_CALL = 'call';
/** Label of the end of what is copied from the common trampoline; the return and the ops pointer follow (F28). */
export const END = 'end';

/** Registers that both kinds save first and restore last, in the kernel's order. */
const COMMON = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9'] as const;
/** Registers that only the regs kind saves; r11 is saved and not restored (F25). */
const REST = ['r15', 'r14', 'r13', 'r12', 'r11', 'r10', 'rbx'] as const;

/**
 * The trampoline of one ops: the copy that create_trampoline makes (F28, F29, F30).
 *
 * @throws {TrampolineBytesError} ERANGE the handler or the return thunk is out of rel32 reach (F10)
 */
export function opsTrampoline(spec: TrampolineSpec): Assembled {
  return assemble(spec.address, [...opsCode(spec), label('ops'), quad(spec.ops)]);
}

/** The instructions of an ops' trampoline, one after another. */
export function opsCode(spec: Omit<TrampolineSpec, 'address' | 'ops'>): Instruction[] {
  const body = spec.kind === 'args' ? argsBody(spec) : regsBody(spec);
  return [...body, label(END), jmp(spec.returnThunk)];
}

/** ftrace_caller up to its end (F20–F23). */
function argsBody({ kernel, handler }: Body): Instruction[] {
  return [
    ...landingPad(kernel),
    ...saveCommon(0),
    ...callDepth(kernel),
    lea('rcx', mem('rsp', PT_REGS_SIZE + 8)),
    mov(mem('rsp', PT_REGS.sp), 'rcx'),
    label(OP_PTR),
    movRip('rdx', 'ops'),
    lea('rcx', mem('rsp')),
    movImm32(mem('rsp', PT_REGS.cs), 0), // cs = 0 marks partial regs (C27)
    ...callDepth(kernel),
    label(HANDLER_CALL),
    call(handler),
    mov('rax', mem('rsp', PT_REGS.ip)), // the handler may have changed ip (F22)
    mov(mem('rsp', PT_REGS_SIZE), 'rax'),
    ...restoreCommon(),
  ];
}

/** ftrace_regs_caller up to its end (F24, F25); the jump to the direct part is a NOP2 in a copy (F30). */
function regsBody({ kernel, handler }: Body): Instruction[] {
  return [
    ...landingPad(kernel),
    pushfq(),
    ...saveCommon(8),
    ...callDepth(kernel),
    label(OP_PTR),
    movRip('rdx', 'ops'),
    ...REST.map((reg) => save(reg)),
    mov('rcx', mem('rsp', PT_REGS_SIZE)), // the flags that pushfq left
    mov(mem('rsp', PT_REGS.flags), 'rcx'),
    movImm32('rcx', KERNEL_DS),
    mov(mem('rsp', PT_REGS.ss), 'rcx'),
    movImm32('rcx', KERNEL_CS),
    mov(mem('rsp', PT_REGS.cs), 'rcx'),
    lea('rcx', mem('rsp', PT_REGS_SIZE + 16)), // skips flags and return address
    mov(mem('rsp', PT_REGS.sp), 'rcx'),
    lea('rcx', mem('rsp')),
    ...callDepth(kernel),
    label(HANDLER_CALL),
    call(handler),
    mov('rax', mem('rsp', PT_REGS.flags)),
    mov(mem('rsp', PT_REGS_SIZE), 'rax'),
    mov('rax', mem('rsp', PT_REGS.ip)),
    mov(mem('rsp', PT_REGS_SIZE + 8), 'rax'),
    ...REST.filter((reg) => reg !== 'r11').map((reg) => restore(reg)),
    mov('rax', mem('rsp', PT_REGS.origRax)),
    mov(mem('rsp', PT_REGS_SIZE - 8), 'rax'),
    test('rax', 'rax'),
    nop(2),
    ...restoreCommon(),
    popfq(),
  ];
}

/** save_mcount_regs; `below` is the number of bytes between the frame and the return slot. */
function saveCommon(below: number): Instruction[] {
  return [
    sub('rsp', PT_REGS_SIZE),
    ...COMMON.map((reg) => save(reg)),
    movImm32(mem('rsp', PT_REGS.origRax), 0),
    mov('rdx', 'rbp'),
    mov(mem('rsp', PT_REGS.rbp), 'rdx'),
    mov('rsi', mem('rsp', PT_REGS_SIZE + 8 + below)), // the parent's return address
    mov('rdi', mem('rsp', PT_REGS_SIZE + below)), // site + 5
    mov(mem('rsp', PT_REGS.ip), 'rdi'),
    sub('rdi', SITE_SIZE),
  ];
}

/** restore_mcount_regs. */
function restoreCommon(): Instruction[] {
  return [restore('rbp'), ...[...COMMON].reverse().map((reg) => restore(reg)), add('rsp', PT_REGS_SIZE)];
}

const save = (reg: Reg & keyof typeof PT_REGS): Instruction => mov(mem('rsp', PT_REGS[reg]), reg);
const restore = (reg: Reg & keyof typeof PT_REGS): Instruction => mov(reg, mem('rsp', PT_REGS[reg]));

/** 6.12 starts with ENDBR64 (F32). */
function landingPad(kernel: KernelVersion): Instruction[] {
  return kernel === '6.12' ? [endbr64()] : [];
}

/** CALL_DEPTH_ACCOUNT: nine bytes that are one NOP unless the CPU needs call-depth tracking (F32, F50). */
function callDepth(kernel: KernelVersion): Instruction[] {
  return kernel === '6.12' ? [nop(9)] : [];
}
