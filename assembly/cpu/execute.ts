// The dispatch loop: one op after the other, one block after the other, until a reason to leave.

import { Arrivals, Entered, entered, TRAMPOLINE } from './arrival';
import { BLOCK_HEADER, blockAt, COUNT, chain, HEAT, MOST_HEAT } from './blocks';
import { cold } from './execute-cold';
import { Flags, TF } from './flags';
import { enterGate } from './gate';
import { Hot } from './hot';
import { AFTER, OP_SIZE, Operand, TAKEN } from './op';
import { Fault, FaultKind, GENERAL, LEFT, RBP, Reason, RIP, RSP, Status } from './state';
import { Tlb } from './tlb';
import { LONGEST_WAY, PLAIN, SLOT, Traces } from './traces';

/** Address of the instruction at `op` of `block`. */
function ripOf(block: usize, op: usize): u64 {
  return op == block + BLOCK_HEADER ? load<u64>(block) : load<u64>(op - OP_SIZE, 24);
}

/** Leaves before the instruction at `op`: gives back what the block had paid for it and the rest. */
function leave(reason: Reason, block: usize, op: usize, left: i32): Reason {
  store<u64>(RIP, ripOf(block, op));
  store<i32>(LEFT, left + (load<i32>(block, 8) & COUNT) - <i32>((op - block - BLOCK_HEADER) / OP_SIZE));
  return reason;
}

/** Ends a run between two blocks. */
function leaveAt(reason: Reason, rip: u64, left: i32): Reason {
  store<u64>(RIP, rip);
  store<i32>(LEFT, left);
  return reason;
}

@unmanaged
class Stack {
  @inline
  static push(value: u64): bool {
    const sp = load<u64>(GENERAL, RSP) - 8;
    if (!Tlb.store<u64>(sp, value)) return false;
    store<u64>(GENERAL, sp, RSP);
    return true;
  }
}

/** Runs from `block` for at most LEFT instructions. */
export function execute(block: usize): Reason {
  let left = load<i32>(LEFT);
  let op: usize = 0;
  let rip: u64 = 0;
  let at: usize = 0;
  let mask: i32 = Arrivals.mask();
  let count: i32 = load<i32>(block, 8) & COUNT;
  if (count > left) return leaveAt(Reason.Slice, load<u64>(block), left);
  left -= count;
  op = block + BLOCK_HEADER;
  while (true) {
    switch (<u32>load<u16>(op)) {
      case Hot.Resync: {
        // the bytes of this block changed: go on with what is there now
        rip = ripOf(block, op);
        left += count - <i32>((op - block - BLOCK_HEADER) / OP_SIZE);
        block = blockAt(rip);
        break;
      }
      case Hot.FallThrough: {
        block = load<u32>(op, TAKEN) ? <usize>load<u32>(op, TAKEN) : chain(op, TAKEN, load<u64>(op, 16));
        break;
      }
      case Hot.Until:
        return leaveAt(<Reason>load<u32>(op, 8), load<u64>(op, 24), left);
      case Hot.Stepped:
        return leaveAt(Reason.Stepped, load<u64>(op, 24), left);
      case Hot.Gate: {
        store<u64>(RIP, load<u64>(op, 24));
        store<i32>(LEFT, left);
        if (!enterGate()) return Reason.Fault;
        block = blockAt(load<u64>(RIP));
        break;
      }
      case Hot.Trace: {
        // the whole of it must fit into the budget, and it counts for itself
        left += count;
        const before = left;
        block = load<u32>(op, PLAIN);
        if (!Traces.areAllowed || left < load<i32>(op, LONGEST_WAY)) break;
        left = call_indirect<i32>(load<u32>(op, SLOT), left);
        Traces.judge(op, before - left);
        mask = Arrivals.mask();
        // without a step in it, the first instruction is the interpreter's
        if (left != before) block = blockAt(load<u64>(RIP));
        break;
      }
      case Hot.Outside:
        return leave(Reason.Unsupported, block, op, left);
      case Hot.Invalid: {
        Fault.raise(FaultKind.InvalidInstruction);
        return leave(Reason.Fault, block, op, left);
      }
      case Hot.TooLong: {
        Fault.raise(FaultKind.GeneralProtection);
        return leave(Reason.Fault, block, op, left);
      }
      case Hot.Nop: {
        op += OP_SIZE;
        continue;
      }
      case Hot.MovRR64: {
        Operand.put<u64>(op, 3, Operand.get<u64>(op, 2));
        op += OP_SIZE;
        continue;
      }
      case Hot.MovRR32: {
        Operand.put<u32>(op, 3, Operand.get<u32>(op, 2));
        op += OP_SIZE;
        continue;
      }
      case Hot.MovRI: {
        Operand.put<u64>(op, 3, load<u64>(op, 16));
        op += OP_SIZE;
        continue;
      }
      case Hot.Load64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        Operand.put<u64>(op, 2, load<u64>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.Load32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        Operand.put<u32>(op, 2, load<u32>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.LoadBased64: {
        at = Tlb.reader(Operand.based(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        Operand.put<u64>(op, 2, load<u64>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.LoadBased32: {
        at = Tlb.reader(Operand.based(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        Operand.put<u32>(op, 2, load<u32>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.Store64: {
        if (!Tlb.store<u64>(Operand.address(op), Operand.get<u64>(op, 2))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.Store32: {
        if (!Tlb.store<u32>(Operand.address(op), Operand.get<u32>(op, 2))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.StoreBased64: {
        if (!Tlb.store<u64>(Operand.based(op), Operand.get<u64>(op, 2))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.StoreBased32: {
        if (!Tlb.store<u32>(Operand.based(op), Operand.get<u32>(op, 2))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.Store8: {
        if (!Tlb.store<u8>(Operand.address(op), Operand.get<u8>(op, 2))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.StoreI64: {
        if (!Tlb.store<u64>(Operand.address(op), load<u64>(op, 16))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.StoreI32: {
        if (!Tlb.store<u32>(Operand.address(op), load<u32>(op, 16))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.Movzx8R: {
        Operand.put<u64>(op, 2, <u64>Operand.get<u8>(op, 3));
        op += OP_SIZE;
        continue;
      }
      case Hot.Movzx8M: {
        at = Tlb.reader(Operand.address(op), 1);
        if (!at) return leave(Reason.Fault, block, op, left);
        Operand.put<u64>(op, 2, <u64>load<u8>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.Movzx16R: {
        Operand.put<u64>(op, 2, <u64>Operand.get<u16>(op, 3));
        op += OP_SIZE;
        continue;
      }
      case Hot.Movzx16M: {
        at = Tlb.reader(Operand.address(op), 2);
        if (!at) return leave(Reason.Fault, block, op, left);
        Operand.put<u64>(op, 2, <u64>load<u16>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.MovsxdR: {
        Operand.put<u64>(op, 2, <u64>(<i64>Operand.get<i32>(op, 3)));
        op += OP_SIZE;
        continue;
      }
      case Hot.MovsxdM: {
        at = Tlb.reader(Operand.address(op), 4);
        if (!at) return leave(Reason.Fault, block, op, left);
        Operand.put<u64>(op, 2, <u64>(<i64>load<i32>(at)));
        op += OP_SIZE;
        continue;
      }
      case Hot.Lea64: {
        Operand.put<u64>(op, 2, Operand.address(op));
        op += OP_SIZE;
        continue;
      }
      case Hot.Lea32: {
        Operand.put<u32>(op, 2, <u32>Operand.address(op));
        op += OP_SIZE;
        continue;
      }
      case Hot.AddRR64: {
        const a = Operand.get<u64>(op, 3);
        const b = Operand.get<u64>(op, 2);
        const r = a + b;
        Flags.add<u64>(a, b, r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddRI64: {
        const a = Operand.get<u64>(op, 3);
        const b = load<u64>(op, 16);
        const r = a + b;
        Flags.add<u64>(a, b, r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddRM64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u64>(op, 2);
        const b = load<u64>(at);
        const r = a + b;
        Flags.add<u64>(a, b, r);
        Operand.put<u64>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddRR32: {
        const a = Operand.get<u32>(op, 3);
        const b = Operand.get<u32>(op, 2);
        const r = a + b;
        Flags.add<u32>(a, b, r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddRI32: {
        const a = Operand.get<u32>(op, 3);
        const b = load<u32>(op, 16);
        const r = a + b;
        Flags.add<u32>(a, b, r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddRM32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u32>(op, 2);
        const b = load<u32>(at);
        const r = a + b;
        Flags.add<u32>(a, b, r);
        Operand.put<u32>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.OrRR64: {
        const a = Operand.get<u64>(op, 3);
        const b = Operand.get<u64>(op, 2);
        const r = a | b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.OrRI64: {
        const a = Operand.get<u64>(op, 3);
        const b = load<u64>(op, 16);
        const r = a | b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.OrRM64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u64>(op, 2);
        const b = load<u64>(at);
        const r = a | b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.OrRR32: {
        const a = Operand.get<u32>(op, 3);
        const b = Operand.get<u32>(op, 2);
        const r = a | b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.OrRI32: {
        const a = Operand.get<u32>(op, 3);
        const b = load<u32>(op, 16);
        const r = a | b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.OrRM32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u32>(op, 2);
        const b = load<u32>(at);
        const r = a | b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AndRR64: {
        const a = Operand.get<u64>(op, 3);
        const b = Operand.get<u64>(op, 2);
        const r = a & b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AndRI64: {
        const a = Operand.get<u64>(op, 3);
        const b = load<u64>(op, 16);
        const r = a & b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AndRM64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u64>(op, 2);
        const b = load<u64>(at);
        const r = a & b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AndRR32: {
        const a = Operand.get<u32>(op, 3);
        const b = Operand.get<u32>(op, 2);
        const r = a & b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AndRI32: {
        const a = Operand.get<u32>(op, 3);
        const b = load<u32>(op, 16);
        const r = a & b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AndRM32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u32>(op, 2);
        const b = load<u32>(at);
        const r = a & b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SubRR64: {
        const a = Operand.get<u64>(op, 3);
        const b = Operand.get<u64>(op, 2);
        const r = a - b;
        Flags.sub<u64>(a, b, r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SubRI64: {
        const a = Operand.get<u64>(op, 3);
        const b = load<u64>(op, 16);
        const r = a - b;
        Flags.sub<u64>(a, b, r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SubRM64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u64>(op, 2);
        const b = load<u64>(at);
        const r = a - b;
        Flags.sub<u64>(a, b, r);
        Operand.put<u64>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SubRR32: {
        const a = Operand.get<u32>(op, 3);
        const b = Operand.get<u32>(op, 2);
        const r = a - b;
        Flags.sub<u32>(a, b, r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SubRI32: {
        const a = Operand.get<u32>(op, 3);
        const b = load<u32>(op, 16);
        const r = a - b;
        Flags.sub<u32>(a, b, r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SubRM32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u32>(op, 2);
        const b = load<u32>(at);
        const r = a - b;
        Flags.sub<u32>(a, b, r);
        Operand.put<u32>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.XorRR64: {
        const a = Operand.get<u64>(op, 3);
        const b = Operand.get<u64>(op, 2);
        const r = a ^ b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.XorRI64: {
        const a = Operand.get<u64>(op, 3);
        const b = load<u64>(op, 16);
        const r = a ^ b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.XorRM64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u64>(op, 2);
        const b = load<u64>(at);
        const r = a ^ b;
        Flags.logic<u64>(r);
        Operand.put<u64>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.XorRR32: {
        const a = Operand.get<u32>(op, 3);
        const b = Operand.get<u32>(op, 2);
        const r = a ^ b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.XorRI32: {
        const a = Operand.get<u32>(op, 3);
        const b = load<u32>(op, 16);
        const r = a ^ b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.XorRM32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u32>(op, 2);
        const b = load<u32>(at);
        const r = a ^ b;
        Flags.logic<u32>(r);
        Operand.put<u32>(op, 2, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpRR64: {
        const a = Operand.get<u64>(op, 3);
        const b = Operand.get<u64>(op, 2);
        const r = a - b;
        Flags.sub<u64>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpRI64: {
        const a = Operand.get<u64>(op, 3);
        const b = load<u64>(op, 16);
        const r = a - b;
        Flags.sub<u64>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpRM64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u64>(op, 2);
        const b = load<u64>(at);
        const r = a - b;
        Flags.sub<u64>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpRR32: {
        const a = Operand.get<u32>(op, 3);
        const b = Operand.get<u32>(op, 2);
        const r = a - b;
        Flags.sub<u32>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpRI32: {
        const a = Operand.get<u32>(op, 3);
        const b = load<u32>(op, 16);
        const r = a - b;
        Flags.sub<u32>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpRM32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u32>(op, 2);
        const b = load<u32>(at);
        const r = a - b;
        Flags.sub<u32>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestRR64: {
        const a = Operand.get<u64>(op, 3);
        const b = Operand.get<u64>(op, 2);
        const r = a & b;
        Flags.logic<u64>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestRI64: {
        const a = Operand.get<u64>(op, 3);
        const b = load<u64>(op, 16);
        const r = a & b;
        Flags.logic<u64>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestRM64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u64>(op, 2);
        const b = load<u64>(at);
        const r = a & b;
        Flags.logic<u64>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestRR32: {
        const a = Operand.get<u32>(op, 3);
        const b = Operand.get<u32>(op, 2);
        const r = a & b;
        Flags.logic<u32>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestRI32: {
        const a = Operand.get<u32>(op, 3);
        const b = load<u32>(op, 16);
        const r = a & b;
        Flags.logic<u32>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestRM32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = Operand.get<u32>(op, 2);
        const b = load<u32>(at);
        const r = a & b;
        Flags.logic<u32>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpMI64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u64>(at);
        const b = load<u64>(op, 16);
        const r = <u64>(a - b);
        Flags.sub<u64>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpMI32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u32>(at);
        const b = load<u32>(op, 16);
        const r = <u32>(a - b);
        Flags.sub<u32>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpMI8: {
        at = Tlb.reader(Operand.address(op), sizeof<u8>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u8>(at);
        const b = load<u8>(op, 16);
        const r = <u8>(a - b);
        Flags.sub<u8>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestMI8: {
        at = Tlb.reader(Operand.address(op), sizeof<u8>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u8>(at);
        const b = load<u8>(op, 16);
        const r = <u8>(a & b);
        Flags.logic<u8>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpRI8: {
        const a = Operand.get<u8>(op, 3);
        const b = load<u8>(op, 16);
        const r = <u8>(a - b);
        Flags.sub<u8>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.TestRR8: {
        const a = Operand.get<u8>(op, 3);
        const b = Operand.get<u8>(op, 2);
        const r = <u8>(a & b);
        Flags.logic<u8>(r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpMR64: {
        at = Tlb.reader(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u64>(at);
        const b = Operand.get<u64>(op, 2);
        const r = <u64>(a - b);
        Flags.sub<u64>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.CmpMR32: {
        at = Tlb.reader(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u32>(at);
        const b = Operand.get<u32>(op, 2);
        const r = <u32>(a - b);
        Flags.sub<u32>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.Inc64: {
        const a = Operand.get<u64>(op, 3);
        const r = a + 1;
        Flags.keepCarry<u64>(r, (a & 1) | ((a | 1) & ~r));
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.Inc32: {
        const a = Operand.get<u32>(op, 3);
        const r = a + 1;
        Flags.keepCarry<u32>(r, (a & 1) | ((a | 1) & ~r));
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.Dec64: {
        const a = Operand.get<u64>(op, 3);
        const r = a - 1;
        Flags.keepCarry<u64>(r, (~a & 1) | ((~a | 1) & r));
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.Dec32: {
        const a = Operand.get<u32>(op, 3);
        const r = a - 1;
        Flags.keepCarry<u32>(r, (~a & 1) | ((~a | 1) & r));
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.Neg64: {
        const b = Operand.get<u64>(op, 3);
        const r = 0 - b;
        Flags.sub<u64>(0, b, r);
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.Not64: {
        Operand.put<u64>(op, 3, ~Operand.get<u64>(op, 3));
        op += OP_SIZE;
        continue;
      }
      case Hot.ShlI64: {
        const a = Operand.get<u64>(op, 3);
        const n = load<u64>(op, 16);
        const r = a << n;
        const cf = <bool>((a >> (64 - n)) & 1);
        Flags.result<u64>(r, cf, cf != <bool>(r >> 63));
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.ShlI32: {
        const a = Operand.get<u32>(op, 3);
        const n = load<u32>(op, 16);
        const r = a << n;
        const cf = <bool>((a >> (32 - n)) & 1);
        Flags.result<u32>(r, cf, cf != <bool>(r >> 31));
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.ShrI64: {
        const a = Operand.get<u64>(op, 3);
        const n = load<u64>(op, 16);
        const r = a >> n;
        Flags.result<u64>(r, <bool>((a >> (n - 1)) & 1), <bool>((((r << 1) ^ r) >> 63) & 1));
        Operand.put<u64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.ShrI32: {
        const a = Operand.get<u32>(op, 3);
        const n = load<u32>(op, 16);
        const r = a >> n;
        Flags.result<u32>(r, <bool>((a >> (n - 1)) & 1), <bool>((((r << 1) ^ r) >> 31) & 1));
        Operand.put<u32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SarI64: {
        const a = Operand.get<i64>(op, 3);
        const n = load<i64>(op, 16);
        const r = a >> n;
        Flags.result<i64>(r, <bool>((a >> (n - 1)) & 1), false);
        Operand.put<i64>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.SarI32: {
        const a = Operand.get<i32>(op, 3);
        const n = load<i32>(op, 16);
        const r = a >> n;
        Flags.result<i32>(r, <bool>((a >> (n - 1)) & 1), false);
        Operand.put<i32>(op, 3, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.Imul64: {
        Operand.put<u64>(op, 2, multiply64(Operand.get<i64>(op, 2), Operand.get<i64>(op, 3)));
        op += OP_SIZE;
        continue;
      }
      case Hot.Imul32: {
        Operand.put<u32>(op, 2, multiply32(Operand.get<i32>(op, 2), Operand.get<i32>(op, 3)));
        op += OP_SIZE;
        continue;
      }
      case Hot.ImulI64: {
        Operand.put<u64>(op, 2, multiply64(load<i64>(op, 16), Operand.get<i64>(op, 3)));
        op += OP_SIZE;
        continue;
      }
      case Hot.ImulI32: {
        Operand.put<u32>(op, 2, multiply32(load<i32>(op, 16), Operand.get<i32>(op, 3)));
        op += OP_SIZE;
        continue;
      }
      case Hot.Push: {
        if (!Stack.push(Operand.get<u64>(op, 3))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.PushI: {
        if (!Stack.push(load<u64>(op, 16))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.PushM: {
        at = Tlb.reader(Operand.address(op), 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        if (!Stack.push(load<u64>(at))) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.Pop: {
        rip = load<u64>(GENERAL, RSP);
        at = Tlb.reader(rip, 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        store<u64>(GENERAL, rip + 8, RSP);
        Operand.put<u64>(op, 3, load<u64>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.Pushf: {
        if (!Stack.push(Flags.get())) return leave(Reason.Fault, block, op, left);
        op += OP_SIZE;
        continue;
      }
      case Hot.Popf: {
        rip = load<u64>(GENERAL, RSP);
        at = Tlb.reader(rip, 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        if (load<u32>(at) & TF) return leave(Reason.Unsupported, block, op, left);
        store<u64>(GENERAL, rip + 8, RSP);
        Flags.setAll(load<u64>(at));
        op += OP_SIZE;
        continue;
      }
      case Hot.Call: {
        if (!Stack.push(load<u64>(op, 24))) return leave(Reason.Fault, block, op, left);
        block = load<u32>(op, TAKEN) ? <usize>load<u32>(op, TAKEN) : chain(op, TAKEN, load<u64>(op, 16));
        break;
      }
      case Hot.CallR: {
        rip = Operand.get<u64>(op, 3);
        if (Branch.refused(rip)) return leave(Reason.Fault, block, op, left);
        if (!Stack.push(load<u64>(op, 24))) return leave(Reason.Fault, block, op, left);
        block = blockAt(rip);
        break;
      }
      case Hot.CallM: {
        at = Tlb.reader(Operand.address(op), 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        rip = load<u64>(at);
        if (Branch.refused(rip)) return leave(Reason.Fault, block, op, left);
        if (!Stack.push(load<u64>(op, 24))) return leave(Reason.Fault, block, op, left);
        block = blockAt(rip);
        break;
      }
      case Hot.Ret: {
        rip = load<u64>(GENERAL, RSP);
        at = Tlb.reader(rip, 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        if (Branch.refused(load<u64>(at))) return leave(Reason.Fault, block, op, left);
        store<u64>(GENERAL, rip + 8, RSP);
        block = blockAt(load<u64>(at));
        break;
      }
      case Hot.RetI: {
        rip = load<u64>(GENERAL, RSP);
        at = Tlb.reader(rip, 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        if (Branch.refused(load<u64>(at))) return leave(Reason.Fault, block, op, left);
        store<u64>(GENERAL, rip + 8 + load<u64>(op, 16), RSP);
        block = blockAt(load<u64>(at));
        break;
      }
      case Hot.Jmp: {
        block = load<u32>(op, TAKEN) ? <usize>load<u32>(op, TAKEN) : chain(op, TAKEN, load<u64>(op, 16));
        break;
      }
      case Hot.JmpR: {
        rip = Operand.get<u64>(op, 3);
        if (Branch.refused(rip)) return leave(Reason.Fault, block, op, left);
        block = blockAt(rip);
        break;
      }
      case Hot.JmpM: {
        at = Tlb.reader(Operand.address(op), 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        rip = load<u64>(at);
        if (Branch.refused(rip)) return leave(Reason.Fault, block, op, left);
        block = blockAt(rip);
        break;
      }
      case Hot.JO: {
        block = Flags.of() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnO: {
        block = !Flags.of() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JC: {
        block = Flags.cf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnC: {
        block = !Flags.cf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JZ: {
        block = Flags.zf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnZ: {
        block = !Flags.zf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JBe: {
        block = Flags.cf() || Flags.zf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnBe: {
        block = !(Flags.cf() || Flags.zf()) ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JS: {
        block = Flags.sf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnS: {
        block = !Flags.sf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JP: {
        block = Flags.pf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnP: {
        block = !Flags.pf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JL: {
        block = Flags.less() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnL: {
        block = !Flags.less() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JLe: {
        block = Flags.less() || Flags.zf() ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.JnLe: {
        block = !(Flags.less() || Flags.zf()) ? Branch.taken(op) : Branch.after(op);
        break;
      }
      case Hot.SetR: {
        Operand.put<u8>(op, 3, <u8>Flags.condition(load<u32>(op, 16)));
        op += OP_SIZE;
        continue;
      }
      case Hot.Cmov64: {
        if (Flags.condition(load<u32>(op, 16))) Operand.put<u64>(op, 2, Operand.get<u64>(op, 3));
        op += OP_SIZE;
        continue;
      }
      case Hot.Cmov32: {
        // the upper half is cleared whether the condition holds or not
        Operand.put<u32>(op, 2, Flags.condition(load<u32>(op, 16)) ? Operand.get<u32>(op, 3) : Operand.get<u32>(op, 2));
        op += OP_SIZE;
        continue;
      }
      case Hot.Leave: {
        rip = load<u64>(GENERAL, RBP);
        at = Tlb.reader(rip, 8);
        if (!at) return leave(Reason.Fault, block, op, left);
        store<u64>(GENERAL, rip + 8, RSP);
        store<u64>(GENERAL, load<u64>(at), RBP);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddMR64: {
        at = Tlb.updater(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u64>(at);
        const b = Operand.get<u64>(op, 2);
        const r = a + b;
        store<u64>(at, r);
        Tlb.wrote(at);
        Flags.add<u64>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddMR32: {
        at = Tlb.updater(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u32>(at);
        const b = Operand.get<u32>(op, 2);
        const r = a + b;
        store<u32>(at, r);
        Tlb.wrote(at);
        Flags.add<u32>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddMI64: {
        at = Tlb.updater(Operand.address(op), sizeof<u64>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u64>(at);
        const b = load<u64>(op, 16);
        const r = a + b;
        store<u64>(at, r);
        Tlb.wrote(at);
        Flags.add<u64>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      case Hot.AddMI32: {
        at = Tlb.updater(Operand.address(op), sizeof<u32>());
        if (!at) return leave(Reason.Fault, block, op, left);
        const a = load<u32>(at);
        const b = load<u32>(op, 16);
        const r = a + b;
        store<u32>(at, r);
        Tlb.wrote(at);
        Flags.add<u32>(a, b, r);
        op += OP_SIZE;
        continue;
      }
      default: {
        store<i32>(LEFT, left);
        const status = cold(op, block);
        left = load<i32>(LEFT);
        if (status == Status.Next) {
          op += OP_SIZE;
          continue;
        }
        if (status == Status.Fault) return leave(Reason.Fault, block, op, left);
        if (status == Status.Unsupported) return leave(Reason.Unsupported, block, op, left);
        if (status == Status.Slice) return leave(Reason.Slice, block, op, left);
        if (status == Status.Trap) {
          // a trap comes after its instruction, which has retired
          leave(Reason.Fault, block, op, left - 1);
          store<u64>(RIP, load<u64>(op, 24));
          return Reason.Fault;
        }
        block = blockAt(load<u64>(RIP));
        break;
      }
    }
    if (!block) {
      store<i32>(LEFT, left);
      return Reason.Fault;
    }
    count = load<i32>(block, 8);
    if (count > (left & mask)) {
      const isWarm = <u32>count & (MOST_HEAT * HEAT);
      count &= COUNT;
      if (count > left) return leaveAt(Reason.Slice, load<u64>(block), left);
      if (isWarm && Traces.warm(block)) return leaveAt(Reason.Hot, load<u64>(block), left);
      const mark = load<u16>(block, 30);
      if (mask != Entered.Nothing || mark & TRAMPOLINE) mask = entered(mark, load<u64>(block));
      if (mask == Entered.Stop) return leaveAt(Reason.Stopped, load<u64>(block), left);
    }
    left -= count;
    op = block + BLOCK_HEADER;
  }
}

@unmanaged
class Branch {
  /** A target that is not canonical is refused by the branch itself, before anything changes. */
  @inline
  static refused(target: u64): bool {
    return <u64>(<i64>(target << 16) >> 16) != target && refuse();
  }
  @inline
  static taken(op: usize): usize {
    const block = <usize>load<u32>(op, TAKEN);
    return block ? block : chain(op, TAKEN, load<u64>(op, 16));
  }
  @inline
  static after(op: usize): usize {
    const block = <usize>load<u32>(op, AFTER);
    return block ? block : chain(op, AFTER, load<u64>(op, 24));
  }
}

function refuse(): bool {
  Fault.raise(FaultKind.GeneralProtection);
  return true;
}

/** imul with a truncated result: CF = OF = the product does not fit. */
function multiply64(a: i64, b: i64): u64 {
  const r = a * b;
  const lost = high64(a, b) != r >> 63;
  Flags.result<i64>(r, lost, lost);
  return <u64>r;
}

function multiply32(a: i32, b: i32): u32 {
  const wide = <i64>a * <i64>b;
  const lost = wide != <i64>(<i32>wide);
  Flags.result<i32>(<i32>wide, lost, lost);
  return <u32>wide;
}

/** The upper half of a signed 128-bit product. */
export function high64(a: i64, b: i64): i64 {
  return <i64>highUnsigned64(<u64>a, <u64>b) - (a < 0 ? b : 0) - (b < 0 ? a : 0);
}

export function highUnsigned64(a: u64, b: u64): u64 {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const middle = ah * bl + ((al * bl) >> 32);
  const low = (middle & 0xffffffff) + al * bh;
  return ah * bh + (middle >> 32) + (low >> 32);
}
