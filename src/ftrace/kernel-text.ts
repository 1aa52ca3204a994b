// The kernel's own small routines that compiled code and trampolines need: thunks, __fentry__, and the gate's place.
import { type Engine, GATE_SIZE } from '../engine/engine.ts';
import type { Instruction, Reg } from '../x86/encode.ts';
import { assemble, call, int3, jmp, label, lfence, mem, mov, nop, pause, REGS, ret, ud2 } from '../x86/encode.ts';

/** Name of the gate among the routines. */
export const GATE = 'tramp64_gate';
/** Name of the address that a call from outside returns to. */
export const RETURN_HERE = 'tramp64_return';
/** Name of the address that a call returns to which stands on a suspended one of the same task. */
export const RETURN_TO_INTERRUPTED = 'tramp64_iret';
/** What every return of a rethunk kernel jumps to. */
export const RETURN_THUNK = '__x86_return_thunk';

const THUNK_REGS = REGS.filter((reg) => reg !== 'rsp');

/** What was written. */
export interface KernelText {
  /** The address of each routine by its kernel name. */
  readonly routines: Map<string, bigint>;
  /** Of each instruction that the guest may stand at: bytes between rsp and the slot that holds the return address. */
  readonly depths: Map<bigint, number>;
  /** One past the last byte. */
  readonly end: bigint;
}

/** Writes the routines at `address`, which is mapped and has `KERNEL_TEXT_SIZE` bytes; without an engine they are there. */
export function writeKernelText(engine: Engine | undefined, address: bigint): KernelText {
  const { bytes, labels } = assemble(address, [
    ...routine(GATE, [...Array(GATE_SIZE)].map(int3)),
    ...routine(RETURN_HERE, [int3()]),
    ...routine(RETURN_TO_INTERRUPTED, [int3()]),
    ...routine(RETURN_THUNK, [ret(), int3()]),
    ...routine('__fentry__', [jmp(RETURN_THUNK)]),
    ...routine('__stack_chk_fail', [ud2()]),
    ...THUNK_REGS.flatMap((reg) => [...routine(`__x86_indirect_thunk_${reg}`, retpoline(reg))]),
  ]);
  engine?.write(address, bytes);
  const named = [...labels].filter(([name]) => !name.startsWith('.'));
  const depths = new Map(named.map(([, offset]) => [address + BigInt(offset), 0]));
  for (const reg of THUNK_REGS) {
    const set = address + BigInt(labels.get(setLabel(reg)) ?? 0);
    depths.set(set, 8); // above it the call's own return address, which the store replaces
    depths.set(set + BigInt(mov(mem('rsp'), reg).length), 0);
  }
  return {
    routines: new Map(named.map(([name, offset]) => [name, address + BigInt(offset)])),
    depths,
    end: address + BigInt(bytes.length),
  };
}

/** Bytes that `writeKernelText` needs at most. */
export const KERNEL_TEXT_SIZE = 0x1000n;

/** A named routine, its start on a 16-byte boundary. */
function routine(name: string, body: Instruction[]): Instruction[] {
  const length = body.reduce((sum, instruction) => sum + instruction.length, 0);
  const filler = (16 - (length % 16)) % 16;
  return [label(name), ...body, ...Array.from({ length: filler }, int3)];
}

/**
 * A retpoline: the return-address predictor is sent to the pausing loop, the return goes to the register
 * (arch/x86/lib/retpoline.S).
 */
function retpoline(reg: Reg): Instruction[] {
  return [
    call(setLabel(reg)),
    label(`.spin_${reg}`),
    pause(),
    lfence(),
    jmp(`.spin_${reg}`),
    label(setLabel(reg)),
    mov(mem('rsp'), reg),
    jmp(RETURN_THUNK),
    nop(1),
  ];
}

/** Where a retpoline puts the target in place of its own return address. */
const setLabel = (reg: Reg): string => `.set_${reg}`;
