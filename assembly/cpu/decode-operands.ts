// The operands of an instruction, by its form: ModRM, SIB and displacement, registers and immediates, into the op.

import { byte, short, signed } from './decode-bytes';
import { opcode } from './decode-opcode';
import { address32, rex, segment, vvvv } from './decode-prefixes';
import { FIRST_SSE } from './mnemonics';
import { ADDRESS_32, FROM_IMM, FROM_REG, FROM_RM, SPECIAL } from './op';
import { CC, Form } from './rows';
import { NO_REGISTER, RCX } from './state';

/** Byte offset of a general register; `size` 0 without REX: 4-7 are ah, ch, dh, bh. */
@unmanaged
class Register {
  static general(n: u32, size: u32): u8 {
    return <u8>(size == 0 && !rex && n >= 4 && n < 8 ? (n - 4) * 8 + 1 : n * 8);
  }
}

/** The ModRM byte of the instruction decoded last. */
export let modrm: u32 = 0;
/** Its displacement counts from the next instruction. */
export let ripRelative: bool = false;

/** The memory operand of ModRM into the op. */
function memoryOperand(op: usize): void {
  const mod = modrm >> 6;
  let base = modrm & 7;
  let disp: i64 = 0;
  ripRelative = false;
  store<u8>(op, NO_REGISTER, 4);
  store<u8>(op, NO_REGISTER, 5);
  let scale: u32 = 0;
  if (base == 4) {
    const sib = byte();
    const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
    if (index != 4) {
      store<u8>(op, <u8>(index * 8), 5);
      scale = sib >> 6;
    }
    base = sib & 7;
    if (base == 5 && mod == 0) disp = signed(4);
    else store<u8>(op, <u8>((base | ((rex & 1) << 3)) * 8), 4);
  } else if (base == 5 && mod == 0) {
    disp = signed(4);
    ripRelative = true;
  } else {
    store<u8>(op, <u8>((base | ((rex & 1) << 3)) * 8), 4);
  }
  if (mod == 1) disp = signed(1);
  if (mod == 2) disp = signed(4);
  if (segment || address32) scale |= SPECIAL | segment | (address32 ? ADDRESS_32 : 0);
  store<u8>(op, <u8>scale, 6);
  store<i64>(op, disp, 8);
}

/** Which operand of a form is the source. */
export function sourceOf(form: u32): u32 {
  switch (form) {
    case Form.GE:
    case Form.GE8:
    case Form.GE16:
    case Form.GE32:
    case Form.GM:
    case Form.AO:
    case Form.GEI:
    case Form.GEI8:
      return FROM_RM;
    case Form.AI:
    case Form.EI:
    case Form.EI8:
    case Form.E1:
    case Form.ZI:
    case Form.I:
    case Form.I8:
      return FROM_IMM;
    default:
      return FROM_REG;
  }
}

/** Reads ModRM, registers and immediates of a form; true for a memory operand. */
export function operands(op: usize, row: u32, size: u32): bool {
  const mnemonic = row & 0x3ff;
  const form = (row >> 10) & 63;
  ripRelative = false;
  let isMemory = false;
  const wide = 1 << min<u32>(size, 2); // an immediate of 64-bit operations has 32 bits
  switch (form) {
    case Form.X:
      if (segment || address32) store<u8>(op, <u8>(SPECIAL | segment | (address32 ? ADDRESS_32 : 0)), 6);
      return false;
    case Form.R:
      modrm = byte();
      return false;
    case Form.J:
      store<i64>(op, signed(4), 16);
      return false;
    case Form.J8:
      store<u8>(op, opcode & 15, 3);
      if (address32) store<u8>(op, SPECIAL | ADDRESS_32, 6);
      store<i64>(op, signed(1), 16);
      return false;
    case Form.I:
      store<i64>(op, signed(wide), 16);
      return false;
    case Form.I8:
      store<i64>(op, signed(1), 16);
      return false;
    case Form.I16:
      store<i64>(op, signed(2) & 0xffff, 16);
      return false;
    case Form.I16I8: {
      const frame = signed(2) & 0xffff;
      store<i64>(op, frame | ((<i64>byte()) << 16), 16);
      return false;
    }
    case Form.AI:
      store<i64>(op, signed(wide), 16);
      return false;
    case Form.Z: {
      const register = Register.general((opcode & 7) | ((rex & 1) << 3), size);
      store<u8>(op, register, 2);
      store<u8>(op, register, 3);
      return false;
    }
    case Form.ZI:
      store<u8>(op, Register.general((opcode & 7) | ((rex & 1) << 3), size), 3);
      store<i64>(op, signed(1 << size), 16);
      return false;
    case Form.AZ:
      store<u8>(op, Register.general((opcode & 7) | ((rex & 1) << 3), size), 3);
      return false;
    case Form.AO:
    case Form.OA:
      if (segment || address32) store<u8>(op, <u8>(SPECIAL | segment), 6);
      store<i64>(op, address32 ? signed(4) & 0xffffffff : signed(8), 8);
      return true;
    default:
      break;
  }
  modrm = byte();
  if (short) return false;
  const reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
  const rm = (modrm & 7) | ((rex & 1) << 3);
  const vector = mnemonic >= FIRST_SSE;
  store<u8>(
    op,
    vector && form != Form.GW && form != Form.GU && form != Form.GUI ? <u8>(reg * 16) : Register.general(reg, size),
    2,
  );
  if (modrm >> 6 != 3) {
    isMemory = true;
    memoryOperand(op);
    if (vector)
      store<u8>(
        op,
        form == Form.VE || form == Form.EV ? <u8>((<u32>1) << size) : <u8>((<u32>1) << ((row >> 21) & 7)),
        3,
      );
  } else {
    let rmSize = size;
    if (form == Form.GE8) rmSize = 0;
    const general = !vector || form == Form.VE || form == Form.EV || form == Form.VEI || form == Form.EVI;
    store<u8>(op, general ? Register.general(rm, rmSize) : <u8>(rm * 16), 3);
  }
  switch (form) {
    case Form.VU:
      if (segment || address32) store<u8>(op, <u8>(SPECIAL | segment | (address32 ? ADDRESS_32 : 0)), 6);
      break;
    case Form.GE8:
      store<i64>(op, 0, 16);
      break;
    case Form.GE16:
      store<i64>(op, 1, 16);
      break;
    case Form.GE32:
      store<i64>(op, 2, 16);
      break;
    case Form.EI:
    case Form.GEI:
      store<i64>(op, signed(wide), 16);
      break;
    case Form.EI8:
    case Form.GEI8:
    case Form.EGI8:
    case Form.VWI:
    case Form.UI:
    case Form.VEI:
    case Form.EVI:
    case Form.GUI:
    case Form.GEIV:
      store<i64>(op, signed(1), 16);
      break;
    case Form.E1:
      store<i64>(op, 1, 16);
      break;
    case Form.ECL:
      store<u8>(op, RCX, 2);
      break;
    case Form.GBE:
    case Form.GEB:
    case Form.BE:
      store<i64>(op, vvvv * 8, 16);
      break;
    default:
      break;
  }
  // with f0, cl and digits the register field is no operand
  if (form == Form.E || form == Form.EI || form == Form.EI8 || form == Form.E1) {
    if (!(row & CC)) store<u8>(op, 0, 2);
  }
  return isMemory;
}
