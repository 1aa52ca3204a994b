// The bytes of ftrace's trampolines: ftrace_caller (args) and ftrace_regs_caller (regs), as the kernel lays them out.
import {
  type Assembled,
  add,
  assemble,
  call,
  endbr64,
  type Instruction,
  int3,
  jmp,
  jnzShort,
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
  type Target,
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

/** What goes into one of the two callers that the sites of several ops share. */
export interface CommonCallerSpec {
  kind: TrampolineKind;
  kernel: KernelVersion;
  address: bigint;
  /** What it calls: the list func, or the stub while nobody traces (F35). */
  handler: bigint;
  /** Where function_trace_op lies, the quad that is loaded into rdx. */
  functionTraceOp: bigint;
  returnThunk: bigint;
}

/** Bytes of the site's call, subtracted from the return address to name the site (F21). */
const SITE_SIZE = 5;

/** Label of the ops load (`48 8b 15 rel32`), as in the kernel's ftrace_caller_op_ptr. */
export const OP_PTR = 'op_ptr';
/** Label of the call of the handler, as in the kernel's ftrace_call. */
export const HANDLER_CALL = 'call';
/** Label of the jump to the direct part, which only the common regs caller has, as in the kernel's ftrace_regs_caller_jmp. */
export const DIRECT_JUMP = 'jmp';
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
export function opsCode({
  kind,
  kernel,
  handler,
  returnThunk,
}: Omit<TrampolineSpec, 'address' | 'ops'>): Instruction[] {
  const parts = { kernel, handler, ops: 'ops', direct: undefined };
  return [...(kind === 'args' ? argsBody(parts) : regsBody(parts)), label(END), jmp(returnThunk)];
}

/**
 * ftrace_caller or ftrace_regs_caller as the kernel has it in its text: what a site calls that has several users (F34).
 *
 * @throws {TrampolineBytesError} ERANGE the handler or the return thunk is out of rel32 reach (F10)
 */
export function commonCaller(spec: CommonCallerSpec): Assembled {
  const { code, direct } = commonCode(spec);
  return assemble(spec.address, [...code, ...direct]);
}

/** The instructions of a common caller: to its return, and what its jump to the direct part leads to. */
export function commonCode(spec: Omit<CommonCallerSpec, 'address'>): { code: Instruction[]; direct: Instruction[] } {
  const { kind, kernel, handler, functionTraceOp, returnThunk } = spec;
  const parts = { kernel, handler, ops: functionTraceOp, direct: 'direct' };
  const body = kind === 'args' ? argsBody(parts) : regsBody(parts);
  return {
    code: [...body, label(END), jmp(returnThunk)],
    direct: kind === 'args' ? [] : [label(parts.direct), ...directPart(kernel), jmp(returnThunk)],
  };
}

/** In what copies and common callers differ. */
interface BodyParts {
  readonly kernel: KernelVersion;
  readonly handler: bigint;
  /** Where the value of rdx lies. */
  readonly ops: Target;
  /** Where a call goes on whose handler left an address in orig_rax; a copy never goes there (F30). */
  readonly direct: string | undefined;
}

/** ftrace_caller up to its end (F20–F23). */
function argsBody({ kernel, handler, ops }: BodyParts): Instruction[] {
  return [
    ...landingPad(kernel),
    ...saveCommon(0),
    ...callDepth(kernel),
    lea('rcx', mem('rsp', PT_REGS_SIZE + 8)),
    mov(mem('rsp', PT_REGS.sp), 'rcx'),
    label(OP_PTR),
    movRip('rdx', ops),
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
function regsBody({ kernel, handler, ops, direct }: BodyParts): Instruction[] {
  return [
    ...landingPad(kernel),
    pushfq(),
    ...saveCommon(8),
    ...callDepth(kernel),
    label(OP_PTR),
    movRip('rdx', ops),
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
    label(DIRECT_JUMP),
    direct === undefined ? nop(2) : jnzShort(direct),
    ...restoreCommon(),
    popfq(),
  ];
}

/**
 * What follows where orig_rax names a direct trampoline: it is entered by a return, with the site's return slot, which
 * the handlers may have changed, as its own (F26). That return has no call; 6.12 makes one up for the return predictor.
 */
function directPart(kernel: KernelVersion): Instruction[] {
  const rebalance = [callNext('.rebalance'), int3(), label('.rebalance'), add('rsp', 8)];
  return [
    mov('rdi', mem('rsp', PT_REGS_SIZE)), // the flags make room
    mov(mem('rsp', PT_REGS_SIZE - 8), 'rdi'),
    mov(mem('rsp', PT_REGS_SIZE), 'rax'),
    ...restoreCommon(8),
    popfq(),
    ...(kernel === '6.12' ? rebalance : []),
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

/** A call whose return slot stays: what follows goes on below it. */
function callNext(target: string): Instruction {
  return { ...call(target), effect: { kind: 'move', by: -8 } };
}

/** restore_mcount_regs; `keep` bytes of the frame stay on the stack. */
function restoreCommon(keep = 0): Instruction[] {
  return [restore('rbp'), ...[...COMMON].reverse().map((reg) => restore(reg)), add('rsp', PT_REGS_SIZE - keep)];
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
