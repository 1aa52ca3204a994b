// SSE to SSE4.2 on xmm registers: operands, moves, and what needs more than two vectors.

import { CF, Flags, ZF } from './flags';
import { Mnemonic as M } from './mnemonics';
import { ADDRESS_32, ALIGNED, MEMORY, Operand, segment, TO_RM } from './op';
import { combine, combined } from './sse-combine';
import { compareFlags, comparePd, comparePs, floats, known, toInteger, widen } from './sse-float';
import { four, knownFour } from './sse-four';
import { shuffle } from './sse-shuffle';
import { text } from './sse-text';
import { Fault, FaultKind, GENERAL, MXCSR, RDI, ROUNDED, Status, XMM } from './state';
import { Tlb } from './tlb';

/** MXCSR after reset, without the status bits: round to nearest, all exceptions masked, denormals kept. */
const MXCSR_DEFAULT: u32 = 0x1f80;
const MXCSR_STATUS: u32 = 0x3f;

/** The memory operand's place, 0 with a fault recorded. `writes`: it is the destination. */
function memoryPlace(op: usize, size: u32, writes: bool): usize {
  const address = Operand.address(op);
  if (size == 16 && load<u8>(op, 7) & ALIGNED && address & 15) {
    Fault.raise(FaultKind.GeneralProtection);
    return 0;
  }
  return writes ? Tlb.writer(address, size) : Tlb.reader(address, size);
}

/** `size` bytes at `at`, zero-extended to a vector. */
function vector(at: usize, size: u32): v128 {
  if (size == 16) return v128.load(at);
  if (size == 8) return v128.load64_zero(at);
  if (size == 4) return v128.load32_zero(at);
  return i32x4(size == 2 ? <i32>load<u16>(at) : <i32>load<u8>(at), 0, 0, 0);
}

/** Runs one SSE op. */
export function sse(op: usize, mnemonic: u32): Status {
  const isMemory = (load<u8>(op, 7) & MEMORY) != 0;
  const size = isMemory ? <u32>load<u8>(op, 3) : 16;
  if (isStore(op)) return storeOp(op, mnemonic, isMemory, size);
  const general =
    mnemonic == M.MovdTo ||
    mnemonic == M.Cvtsi2ss ||
    mnemonic == M.Cvtsi2sd ||
    mnemonic == M.Pinsrw ||
    mnemonic == M.Pinsrb ||
    mnemonic == M.Pinsrd;
  const width = general ? generalSize(op, mnemonic) : size;
  const at = isMemory ? memoryPlace(op, width, false) : (general ? GENERAL : XMM) + load<u8>(op, 3);
  if (!at) return Status.Fault;
  const b = general && !isMemory ? vector(at, width) : vector(at, general ? width : size);
  const d = XMM + load<u8>(op, 2);
  const a = v128.load(d);
  const imm = <u32>load<u8>(op, 16);
  let r = combine(mnemonic, a, b);
  if (combined) {
    v128.store(d, r);
    return Status.Next;
  }
  r = floats(mnemonic, a, b);
  if (known) {
    store<u32>(ROUNDED, 1);
    v128.store(d, r);
    return Status.Next;
  }
  r = four(mnemonic, a, b, imm, isMemory);
  if (knownFour) {
    v128.store(d, r);
    return Status.Next;
  }
  switch (mnemonic) {
    case M.Pcmpestri:
    case M.Pcmpestrm:
    case M.Pcmpistri:
    case M.Pcmpistrm:
      return text(mnemonic, a, b, imm, (load<u8>(op, 7) & 3) == 3);
    case M.Maskmovdqu:
      return maskedStore(op, a, b);
    case M.Movaps:
    case M.Movups:
    case M.MovdTo:
      v128.store(d, b);
      return Status.Next;
    case M.Movq:
      v128.store(d, i64x2.replace_lane(b, 1, 0));
      return Status.Next;
    case M.Movss:
      v128.store(d, isMemory ? b : v128.shuffle<u32>(a, b, 4, 1, 2, 3));
      return Status.Next;
    case M.Movsd:
      v128.store(d, isMemory ? b : v128.shuffle<u64>(a, b, 2, 1));
      return Status.Next;
    case M.Movlps:
      // from a register: movhlps
      v128.store(d, isMemory ? v128.shuffle<u64>(a, b, 2, 1) : v128.shuffle<u64>(a, b, 3, 1));
      return Status.Next;
    case M.Movhps:
      v128.store(d, v128.shuffle<u64>(a, b, 0, 2));
      return Status.Next;
    case M.Movmskps:
      Operand.put<u64>(op, 2, <u64>i32x4.bitmask(b));
      return Status.Next;
    case M.Movmskpd:
      Operand.put<u64>(op, 2, <u64>i64x2.bitmask(b));
      return Status.Next;
    case M.Pmovmskb:
      Operand.put<u64>(op, 2, <u64>i8x16.bitmask(b));
      return Status.Next;
    case M.Ptest: {
      const zero = !v128.any_true(v128.and(a, b));
      const covered = !v128.any_true(v128.andnot(b, a));
      Flags.put((zero ? ZF : 0) | (covered ? CF : 0));
      return Status.Next;
    }
    case M.Ucomiss:
      store<u32>(ROUNDED, 1);
      compareFlags(<f64>f32x4.extract_lane(a, 0), <f64>f32x4.extract_lane(b, 0));
      return Status.Next;
    case M.Ucomisd:
      store<u32>(ROUNDED, 1);
      compareFlags(f64x2.extract_lane(a, 0), f64x2.extract_lane(b, 0));
      return Status.Next;
    case M.Cvtsi2sd:
      store<u32>(ROUNDED, 1);
      v128.store(
        d,
        f64x2.replace_lane(a, 0, width == 8 ? <f64>i64x2.extract_lane(b, 0) : <f64>i32x4.extract_lane(b, 0)),
      );
      return Status.Next;
    case M.Cvtsi2ss:
      store<u32>(ROUNDED, 1);
      v128.store(
        d,
        f32x4.replace_lane(a, 0, width == 8 ? <f32>i64x2.extract_lane(b, 0) : <f32>i32x4.extract_lane(b, 0)),
      );
      return Status.Next;
    case M.Cvttss2si:
    case M.Cvtss2si:
    case M.Cvttsd2si:
    case M.Cvtsd2si: {
      store<u32>(ROUNDED, 1);
      const single = mnemonic == M.Cvttss2si || mnemonic == M.Cvtss2si;
      let value = single ? widen(<u32>i32x4.extract_lane(b, 0)) : f64x2.extract_lane(b, 0);
      if (mnemonic == M.Cvtss2si || mnemonic == M.Cvtsd2si) value = nearest<f64>(value);
      const wide = (load<u8>(op, 7) & 3) == 3;
      const integer = toInteger(value, wide);
      Operand.put<u64>(op, 2, wide ? <u64>integer : <u64>(<u32>integer));
      return Status.Next;
    }
    case M.Cmpps:
    case M.Cmppd:
    case M.Cmpss:
    case M.Cmpsd:
      return compare(mnemonic, d, a, b, imm);
    case M.Pinsrw:
      store<u16>(d + ((imm & 7) << 1), <u16>i32x4.extract_lane(b, 0));
      return Status.Next;
    case M.Pinsrb:
      store<u8>(d + (imm & 15), <u8>i32x4.extract_lane(b, 0));
      return Status.Next;
    case M.Pinsrd:
      if (width == 8) store<u64>(d + ((imm & 1) << 3), i64x2.extract_lane(b, 0));
      else store<u32>(d + ((imm & 3) << 2), i32x4.extract_lane(b, 0));
      return Status.Next;
    case M.Pextrw:
      Operand.put<u64>(op, 2, <u64>load<u16>(at + ((imm & 7) << 1)));
      return Status.Next;
    default:
      return shuffle(mnemonic, op, d, a, b, imm);
  }
}

/** maskmovdqu: the bytes of `a` whose mask byte is negative go to [rdi], all or none of them. */
function maskedStore(op: usize, a: v128, b: v128): Status {
  const mask = i8x16.bitmask(b);
  if (!mask) return Status.Next;
  const rdi = load<u8>(op, 6) & ADDRESS_32 ? <u64>load<u32>(GENERAL, RDI) : load<u64>(GENERAL, RDI);
  const address = rdi + segment(op);
  const at = Tlb.updater(address, 16);
  if (!at) return Status.Fault;
  v128.store(at, v128.bitselect(a, v128.load(at), i8x16.shr_s(b, 7)));
  Tlb.wrote(at);
  return Status.Next;
}

/** Bytes of a general register or memory operand. */
function generalSize(op: usize, mnemonic: u32): u32 {
  if (mnemonic == M.Pinsrw) return 2;
  if (mnemonic == M.Pinsrb) return 1;
  return (load<u8>(op, 7) & 3) == 3 ? 8 : 4;
}

function compare(mnemonic: u32, d: usize, a: v128, b: v128, imm: u32): Status {
  const predicate = imm & 7;
  store<u32>(ROUNDED, 1);
  if (mnemonic == M.Cmpps) v128.store(d, comparePs(a, b, predicate));
  else if (mnemonic == M.Cmppd) v128.store(d, comparePd(a, b, predicate));
  else if (mnemonic == M.Cmpss) v128.store(d, v128.shuffle<u32>(a, comparePs(a, b, predicate), 4, 1, 2, 3));
  else v128.store(d, v128.shuffle<u64>(a, comparePd(a, b, predicate), 2, 1));
  return Status.Next;
}

/** Forms whose destination is r/m; the decoder marks them. */
function isStore(op: usize): bool {
  return load<u8>(op, 20) == TO_RM;
}

function storeOp(op: usize, mnemonic: u32, isMemory: bool, size: u32): Status {
  const value = v128.load(XMM + load<u8>(op, 2));
  const imm = <u32>load<u8>(op, 16);
  let bytes = size;
  let low = <u64>i64x2.extract_lane(value, 0);
  const wide = (load<u8>(op, 7) & 3) == 3;
  switch (mnemonic) {
    case M.Movaps:
    case M.Movups:
      bytes = 16;
      break;
    case M.Movss:
      if (!isMemory) return insertLow(op, value, 4);
      break;
    case M.Movsd:
      if (!isMemory) return insertLow(op, value, 8);
      break;
    case M.Movq:
    case M.Movlps:
      if (!isMemory) {
        v128.store(XMM + load<u8>(op, 3), i64x2.replace_lane(value, 1, 0));
        return Status.Next;
      }
      break;
    case M.Movhps:
      low = <u64>i64x2.extract_lane(value, 1);
      break;
    case M.MovdFrom:
      bytes = wide ? 8 : 4;
      return toGeneral(op, isMemory, low, bytes);
    case M.Pextrb:
      return toGeneral(op, isMemory, <u64>load<u8>(XMM + load<u8>(op, 2) + (imm & 15)), 1);
    case M.PextrwTo:
      return toGeneral(op, isMemory, <u64>load<u16>(XMM + load<u8>(op, 2) + ((imm & 7) << 1)), 2);
    case M.Pextrd:
      if (wide) return toGeneral(op, isMemory, load<u64>(XMM + load<u8>(op, 2) + ((imm & 1) << 3)), 8);
      return toGeneral(op, isMemory, <u64>load<u32>(XMM + load<u8>(op, 2) + ((imm & 3) << 2)), 4);
    case M.Extractps:
      return toGeneral(op, isMemory, <u64>load<u32>(XMM + load<u8>(op, 2) + ((imm & 3) << 2)), 4);
    default:
      return Status.Unsupported;
  }
  if (!isMemory) {
    v128.store(XMM + load<u8>(op, 3), value);
    return Status.Next;
  }
  const at = memoryPlace(op, bytes, true);
  if (!at) return Status.Fault;
  if (bytes == 16) v128.store(at, value);
  else if (bytes == 8) store<u64>(at, low);
  else store<u32>(at, <u32>low);
  Tlb.wrote(at);
  return Status.Next;
}

function insertLow(op: usize, value: v128, bytes: u32): Status {
  const d = XMM + load<u8>(op, 3);
  if (bytes == 4) store<u32>(d, i32x4.extract_lane(value, 0));
  else store<u64>(d, i64x2.extract_lane(value, 0));
  return Status.Next;
}

/** To a general register, zero-extended, or to memory. */
function toGeneral(op: usize, isMemory: bool, value: u64, bytes: u32): Status {
  if (!isMemory) {
    Operand.put<u64>(op, 3, bytes == 4 ? value & 0xffffffff : value);
    return Status.Next;
  }
  const address = Operand.address(op);
  if (bytes == 8) return Tlb.store<u64>(address, value) ? Status.Next : Status.Fault;
  if (bytes == 4) return Tlb.store<u32>(address, <u32>value) ? Status.Next : Status.Fault;
  if (bytes == 2) return Tlb.store<u16>(address, <u16>value) ? Status.Next : Status.Fault;
  return Tlb.store<u8>(address, <u8>value) ? Status.Next : Status.Fault;
}

/** ldmxcsr and stmxcsr: only the default control bits are executed rightly, and status bits are not kept. */
export function mxcsr(op: usize, mnemonic: u32): Status {
  const address = Operand.address(op);
  if (mnemonic == M.Stmxcsr) {
    if (load<u32>(ROUNDED)) return Status.Unsupported;
    return Tlb.store<u32>(address, load<u32>(MXCSR)) ? Status.Next : Status.Fault;
  }
  const at = Tlb.reader(address, 4);
  if (!at) return Status.Fault;
  const value = load<u32>(at);
  if (value >> 16) return Fault.raise(FaultKind.GeneralProtection); // reserved bits
  if ((value & ~MXCSR_STATUS) != MXCSR_DEFAULT) return Status.Unsupported;
  store<u32>(MXCSR, value);
  store<u32>(ROUNDED, 0);
  return Status.Next;
}
