// String instructions: one iteration at a time, each paid from the budget, so that a fault or its end stops exactly there.

import { BLOCK_HEADER } from './blocks';
import { DF, Flags } from './flags';
import { Mnemonic as M } from './mnemonics';
import { ADDRESS_32, OP_SIZE, REP, REPE, segment } from './op';
import { EXTRA, GENERAL, LEFT, RCX, RDI, REP_RIP, REST, RSI, Status } from './state';
import { Tlb } from './tlb';

export function string(op: usize, mnemonic: u32, block: usize): Status {
  const size = load<u8>(op, 7) & 3;
  const rep = load<u8>(op, 7) & REP;
  if (!rep) return iterate(op, mnemonic, size);
  const rip = op == block + BLOCK_HEADER ? load<u64>(block) : load<u64>(op - OP_SIZE, 24);
  const narrow = load<u8>(op, 6) & ADDRESS_32;
  const compares = mnemonic == M.Cmps || mnemonic == M.Scas;
  // going on with an instruction that was left: it was counted then
  const continued = load<u64>(REP_RIP) == rip;
  store<u64>(REP_RIP, 0);
  // the first iteration is paid for with the instruction
  let allowed = load<i32>(LEFT) + 1;
  const before = allowed;
  while (true) {
    const count = narrow ? <u64>load<u32>(GENERAL, RCX) : load<u64>(GENERAL, RCX);
    if (!count) break;
    if (!allowed) {
      store<u64>(REP_RIP, rip);
      // the caller gives the instruction's own payment back
      store<i32>(LEFT, -1);
      store<u64>(EXTRA, load<u64>(EXTRA) + before - (continued ? 0 : 1));
      return Status.Slice;
    }
    const status = iterate(op, mnemonic, size);
    if (status != Status.Next) {
      store<i32>(LEFT, allowed - 1);
      // what was done before the fault was paid for and is not retired, and neither is what was counted when it was left
      store<u64>(EXTRA, load<u64>(EXTRA) + (before - allowed) + (continued ? 1 : 0));
      return status;
    }
    allowed--;
    store<u64>(GENERAL, narrow ? <u64>(<u32>(count - 1)) : count - 1, RCX);
    if (compares && Flags.zf() != (rep == REPE)) break;
  }
  const done = before - allowed;
  store<i32>(LEFT, load<i32>(LEFT) - max<i32>(done - 1, 0));
  store<u64>(EXTRA, load<u64>(EXTRA) + max<i32>(done, 1) - (continued ? 0 : 1));
  return Status.Next;
}

function iterate(op: usize, mnemonic: u32, size: u32): Status {
  if (size == 3) return step<u64>(op, mnemonic);
  if (size == 2) return step<u32>(op, mnemonic);
  return size == 1 ? step<u16>(op, mnemonic) : step<u8>(op, mnemonic);
}

function pointer(op: usize, register: u32): u64 {
  return load<u8>(op, 6) & ADDRESS_32 ? <u64>load<u32>(GENERAL + register) : load<u64>(GENERAL + register);
}

function advance(op: usize, register: u32, by: u64): void {
  const next = pointer(op, register) + (load<u32>(REST) & DF ? 0 - by : by);
  store<u64>(GENERAL + register, load<u8>(op, 6) & ADDRESS_32 ? next & 0xffffffff : next);
}

/** One iteration; registers change only when it succeeds. */
function step<T>(op: usize, mnemonic: u32): Status {
  let value: T = load<T>(GENERAL);
  const reads = mnemonic != M.Stos && mnemonic != M.Scas;
  if (reads) {
    const at = Tlb.reader(pointer(op, RSI) + segment(op), sizeof<T>());
    if (!at) return Status.Fault;
    value = load<T>(at);
  }
  if (mnemonic == M.Movs || mnemonic == M.Stos) {
    if (!Tlb.store<T>(pointer(op, RDI), value)) return Status.Fault;
  } else if (mnemonic == M.Lods) {
    if (sizeof<T>() == 4) store<u64>(GENERAL, <u64>(<u32>value));
    else store<T>(GENERAL, value);
  } else {
    const at = Tlb.reader(pointer(op, RDI), sizeof<T>());
    if (!at) return Status.Fault;
    const b = load<T>(at);
    Flags.sub<T>(value, b, <T>(value - b));
  }
  if (reads) advance(op, RSI, sizeof<T>());
  if (mnemonic != M.Lods) advance(op, RDI, sizeof<T>());
  return Status.Next;
}
