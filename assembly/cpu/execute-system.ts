// Instructions about the machine: interrupts, flags of the system, segment bases, clock, cpuid, caches, privilege.

import { cpuid } from './cpuid';
import { Flags, IF } from './flags';
import { Mnemonic as M } from './mnemonics';
import { Operand } from './op';
import { clock } from './run';
import { Fault, FaultKind, FS_BASE, GENERAL, GS_BASE, KERNEL_GS_BASE, RAX, RCX, RDX, Status } from './state';
import { Tlb } from './tlb';

const AC: u32 = 1 << 18;

export function system(op: usize, mnemonic: u32): Status {
  const wide = (load<u8>(op, 7) & 3) == 3;
  switch (mnemonic) {
    case M.Cli:
      Flags.rest(IF, 0);
      return Status.Next;
    case M.Sti:
      Flags.rest(IF, IF);
      return Status.Next;
    case M.Clac:
      Flags.rest(AC, 0);
      return Status.Next;
    case M.Stac:
      Flags.rest(AC, AC);
      return Status.Next;
    case M.Swapgs: {
      const gs = load<u64>(GENERAL, GS_BASE);
      store<u64>(GENERAL, load<u64>(GENERAL, KERNEL_GS_BASE), GS_BASE);
      store<u64>(GENERAL, gs, KERNEL_GS_BASE);
      return Status.Next;
    }
    case M.Rdfsbase:
      return readBase(op, FS_BASE, wide);
    case M.Rdgsbase:
      return readBase(op, GS_BASE, wide);
    case M.Wrfsbase:
      return writeBase(op, FS_BASE, wide);
    case M.Wrgsbase:
      return writeBase(op, GS_BASE, wide);
    case M.Cpuid:
      cpuid();
      return Status.Next;
    case M.Rdtscp:
      store<u64>(GENERAL, 0, RCX); // TSC_AUX
      return timeStamp();
    case M.Rdtsc:
      return timeStamp();
    case M.CacheLine:
      // there are no caches; the line must be readable
      return Tlb.reader(Operand.address(op), 1) ? Status.Next : Status.Fault;
    case M.Int3:
      Fault.raise(FaultKind.Breakpoint);
      return Status.Trap;
    case M.Int:
      Fault.interrupt(load<u8>(op, 16));
      return Status.Trap;
    case M.Syscall:
      return Fault.raise(FaultKind.Syscall);
    case M.Hlt:
      return Fault.raise(FaultKind.Halt);
    case M.Privileged:
      return Fault.raise(FaultKind.GeneralProtection);
    default:
      return Status.Unsupported;
  }
}

function readBase(op: usize, base: u32, wide: bool): Status {
  const value = load<u64>(GENERAL + base);
  if (wide) Operand.put<u64>(op, 3, value);
  else Operand.put<u32>(op, 3, <u32>value);
  return Status.Next;
}

function writeBase(op: usize, base: u32, wide: bool): Status {
  const value = wide ? Operand.get<u64>(op, 3) : <u64>Operand.get<u32>(op, 3);
  if (<u64>(<i64>(value << 16) >> 16) != value) return Fault.raise(FaultKind.GeneralProtection);
  store<u64>(GENERAL + base, value);
  return Status.Next;
}

/** edx:eax = the virtual clock. */
function timeStamp(): Status {
  const now = clock();
  store<u64>(GENERAL, now & 0xffffffff, RAX);
  store<u64>(GENERAL, now >> 32, RDX);
  return Status.Next;
}
