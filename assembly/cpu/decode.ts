// The decoder: bytes at an address → one Op, by the tables of rows-*.ts.

import { length, open, short } from './decode-bytes';
import { opcode, opcodeRow } from './decode-opcode';
import { modrm, operands, ripRelative, sourceOf } from './decode-operands';
import { LONGEST, lock, operand16, readPrefixes, repeat, rex, vvvv } from './decode-prefixes';
import { FIRST_SSE, Mnemonic as M } from './mnemonics';
import { ALIGNED, BY_IMMEDIATE, COLD, FROM_REG, LOCK, MEMORY, OP_SIZE, REPE, REPNE, TO_RM } from './op';
import { BYTE, CC, D64, Form, LOCKABLE, MEMORY_ONLY, REGISTER_ONLY, UNALIGNED, Y } from './rows';
import { NO_REGISTER } from './state';

export { decodedCondition, decodedPlace } from './decode-opcode';
export { LONGEST } from './decode-prefixes';

export enum Decoded {
  /** The op is complete and straight-line execution goes on. */
  Straight = 0,
  /** The op is complete and ends its block. */
  Branch = 1,
  /** No valid instruction begins with these bytes (#UD). */
  Invalid = 2,
  /** A valid instruction, or one that may be, outside the instruction set. */
  Outside = 3,
  /** More bytes are needed to tell. */
  Short = 4,
  /** More than 15 bytes (#GP). */
  TooLong = 5,
}

/** Where `decodeBytes` finds its 15 bytes. */
export const DECODE_AT: usize = memory.data(16, 8);
const SCRATCH: usize = memory.data(32, 8);

/** Decodes the `count` bytes at DECODE_AT: what they are in bits 0-7 (Decoded), their length above where that is known. */
export function decodeBytes(count: u32): u32 {
  const kind = decode(DECODE_AT, count, 0, SCRATCH);
  return kind <= Decoded.Branch ? kind | (length << 8) : kind;
}

/** Length of the instruction decoded last. */
export function decodedLength(): u32 {
  return length;
}

/** Its mnemonic. */
let mnemonic: u32 = 0;
export function decodedMnemonic(): u32 {
  return mnemonic;
}

let form: u32 = 0;
export function decodedForm(): u32 {
  return form;
}

/** Decodes at `at`, where `count` bytes can be read, the instruction of guest address `address`. */
export function decode(at: usize, count: u32, address: u64, op: usize): Decoded {
  open(at, min<u32>(count, LONGEST));
  memory.fill(op, 0, OP_SIZE);
  readPrefixes();
  const kind: Decoded = short ? Decoded.Short : instruction(op);
  if (short || kind == Decoded.Short) return count >= LONGEST ? Decoded.TooLong : Decoded.Short;
  if (kind > Decoded.Branch) return kind;
  const next = address + length;
  store<u64>(op, next, 24);
  if (ripRelative) store<u64>(op, load<u64>(op, 8) + next, 8);
  if (form == Form.J || form == Form.J8) store<u64>(op, load<u64>(op, 16) + next, 16);
  return kind;
}

function instruction(op: usize): Decoded {
  const row = opcodeRow();
  if (short) return Decoded.Short;
  mnemonic = row & 0x3ff;
  if (mnemonic == M.Invalid) return Decoded.Invalid;
  if (mnemonic == M.Outside) return Decoded.Outside;
  form = (row >> 10) & 63;
  let size: u32 = 2;
  if (row & BYTE) size = 0;
  else if (rex & 8) size = 3;
  else if (row & Y) size = 2;
  else if (operand16) size = 1;
  else if (row & D64) size = 3;
  let flags = size;
  if (row & CC) store<i64>(op, opcode & 15, 16);
  store<u8>(op, NO_REGISTER, 4);
  store<u8>(op, NO_REGISTER, 5);
  const isMemory = operands(op, row, size);
  if (short) return Decoded.Short;
  if (isMemory) {
    flags |= MEMORY;
    if (row & REGISTER_ONLY) return Decoded.Invalid;
  } else if (row & MEMORY_ONLY) return Decoded.Invalid;
  flags |= sourceOf(form);
  if (lock) {
    if (!(row & LOCKABLE) || !isMemory) return Decoded.Invalid;
    flags |= LOCK;
  }
  if (mnemonic >= FIRST_SSE && !(row & UNALIGNED)) flags |= ALIGNED;
  if (form == Form.EGCL) flags |= LOCK;
  if (mnemonic == M.Crc32) store<i64>(op, form == Form.GE8 ? 1 : rex & 8 ? 8 : operand16 ? 2 : 4, 16);
  if (repeat == 0xf3) flags |= REPE;
  if (repeat == 0xf2) flags |= REPNE;
  if (mnemonic >= FIRST_SSE) {
    const toRm = form == Form.WV || form == Form.MV || form == Form.EV || form == Form.EVI;
    store<u8>(op, toRm ? TO_RM : form == Form.UI ? BY_IMMEDIATE : 0, 20);
  }
  store<u8>(op, <u8>flags, 7);
  store<u16>(op, <u16>(COLD + mnemonic));
  return refine(op, isMemory);
}

/** Cases that the rows do not tell apart. */
function refine(op: usize, isMemory: bool): Decoded {
  switch (mnemonic) {
    case M.Rorx:
      // it has no third register
      return vvvv ? Decoded.Invalid : Decoded.Straight;
    case M.Privileged: {
      if (form != Form.R) return Decoded.Straight;
      // 0f 20-23: cr0 cr2 cr3 cr4 cr8, dr0-dr7
      const reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
      const exists = opcode & 1 ? reg < 8 : reg == 0 || (reg >= 2 && reg <= 4) || reg == 8;
      return exists ? Decoded.Straight : Decoded.Invalid;
    }
    case M.Nop:
      // f3 0f 1e fa
      if (repeat == 0xf3 && form == Form.E && opcode == 0x1e && modrm == 0xfa) mnemonic = M.Endbr64;
      else if (repeat == 0xf3 && form == Form.E && opcode == 0x1e && !isMemory && ((modrm >> 3) & 7) == 1)
        return Decoded.Outside; // rdssp
      else if (form == Form.X && rex & 1) {
        // 90 with REX.B exchanges rax and r8
        mnemonic = M.Xchg;
        store<u8>(op, 64, 3);
        store<u8>(op, 0, 2);
        store<u8>(op, load<u8>(op, 7) | FROM_REG, 7);
      } else if (form == Form.M && !isMemory) return Decoded.Outside;
      store<u16>(op, <u16>(COLD + mnemonic));
      return Decoded.Straight;
    case M.Fence:
      if (!isMemory) return repeat || operand16 ? Decoded.Outside : Decoded.Straight;
      // the memory form of /7 is clflush
      if (((modrm >> 3) & 7) != 7 || repeat || operand16) return Decoded.Outside;
      mnemonic = M.CacheLine;
      store<u16>(op, <u16>(COLD + mnemonic));
      return Decoded.Straight;
    case M.CacheLine:
      return isMemory && !repeat ? Decoded.Straight : Decoded.Outside;
    case M.Ldmxcsr:
    case M.Stmxcsr:
      return !isMemory || operand16 || repeat ? Decoded.Outside : Decoded.Straight;
    case M.Movnti:
      return operand16 || repeat ? Decoded.Outside : Decoded.Straight;
    case M.Jcc:
    case M.Jmp:
    case M.JmpE:
    case M.Call:
    case M.CallE:
    case M.Ret:
    case M.Loop:
    case M.Loope:
    case M.Loopne:
    case M.Jrcxz:
      // f2 and f3 change the condition of loope and loopne on the bare CPU, which no manual says
      if (repeat && mnemonic != M.Jcc && (opcode & 0xfe) == 0xe0) return Decoded.Outside;
      // with 66 alone Intel's CPUs branch to 64 bits, AMD's to 16
      return operand16 && !(rex & 8) ? Decoded.Outside : Decoded.Branch;
    case M.Int3:
    case M.Int:
    case M.Syscall:
    case M.Hlt:
    case M.Ud2:
    case M.Ud1:
    case M.Ud0:
      return Decoded.Branch;
    default:
      return Decoded.Straight;
  }
}
