// What the CPU holds for one run while another one has it: general registers, rip, flags and the vector registers.
import { type Engine, GENERAL_REGISTERS, type RegisterName } from '../engine/engine.ts';

/** The registers of a run that waits. Segment bases are the machine's; x87 and MXCSR no engine gives. */
export interface CpuState {
  readonly registers: ReadonlyMap<RegisterName, bigint>;
  /** xmm0 to xmm15. */
  readonly xmm: readonly Uint8Array[];
}

const SAVED: readonly RegisterName[] = [...GENERAL_REGISTERS, 'rip', 'rflags'];
const XMM_REGISTERS = 16;

export function saveCpu(engine: Engine): CpuState {
  return {
    registers: new Map(SAVED.map((name) => [name, engine.readRegister(name)])),
    xmm: Array.from({ length: XMM_REGISTERS }, (_, i) => engine.readXmm(i)),
  };
}

export function restoreCpu(engine: Engine, { registers, xmm }: CpuState): void {
  for (const [name, value] of registers) engine.writeRegister(name, value);
  for (const [i, bytes] of xmm.entries()) engine.writeXmm(i, bytes);
}

/** A register of a run that waits. */
export function saved(state: CpuState, name: RegisterName): bigint {
  return state.registers.get(name) ?? 0n;
}
