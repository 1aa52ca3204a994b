// The frame below which a call runs that stands on a suspended one: the interrupted registers as the kernel's entry code
// pushes them, found again through rbp (ENCODE_FRAME_POINTER in arch/x86/include/asm/frame.h).
import type { Engine, RegisterName } from '../engine/engine.ts';
import { KERNEL_CS, KERNEL_DS, PT_REGS, PT_REGS_SIZE } from '../ftrace/pt-regs.ts';
import { type CpuState, saved } from './cpu-state.ts';

/** Bytes below rsp that user code may use without moving it (System V ABI 3.2.2). */
const RED_ZONE = 128n;

/** Where each register stands. */
const FIELDS: readonly (readonly [RegisterName, number])[] = [
  ...(['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8'] as const).map(
    (name) => [name, PT_REGS[name]] as const,
  ),
  ...(['rax', 'rcx', 'rdx', 'rsi', 'rdi'] as const).map((name) => [name, PT_REGS[name]] as const),
  ['rip', PT_REGS.ip],
  ['rflags', PT_REGS.flags],
  ['rsp', PT_REGS.sp],
];

/**
 * Pushes pt_regs of a suspended run on its own stack.
 * @returns the address of pt_regs
 * @throws {EngineError} EFAULT the stack has no room
 */
export function pushInterrupted(engine: Engine, cpu: CpuState): bigint {
  const address = ((saved(cpu, 'rsp') - RED_ZONE) & ~15n) - BigInt(PT_REGS_SIZE + 8);
  const regs = new DataView(new ArrayBuffer(PT_REGS_SIZE));
  for (const [name, offset] of FIELDS) regs.setBigUint64(offset, saved(cpu, name), true);
  regs.setBigInt64(PT_REGS.origRax, -1n, true);
  regs.setBigUint64(PT_REGS.cs, BigInt(KERNEL_CS), true);
  regs.setBigUint64(PT_REGS.ss, BigInt(KERNEL_DS), true);
  engine.write(address, new Uint8Array(regs.buffer));
  return address;
}

/** What rbp holds in a call that stands on this frame: no pointer that code makes, as pt_regs are aligned. */
export function encodedFrame(ptRegs: bigint): bigint {
  return ptRegs | 1n;
}

/** The frame that rbp names, or undefined where it names none. */
export function decodedFrame(rbp: bigint): bigint | undefined {
  return (rbp & 7n) === 1n ? rbp & ~1n : undefined;
}

/** The interrupted registers that a frame holds. @throws {EngineError} EFAULT it is not mapped */
export function interruptedRegisters(engine: Engine, ptRegs: bigint): ReadonlyMap<RegisterName, bigint> {
  const bytes = engine.read(ptRegs, PT_REGS_SIZE);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Map(FIELDS.map(([name, offset]) => [name, view.getBigUint64(offset, true)]));
}
