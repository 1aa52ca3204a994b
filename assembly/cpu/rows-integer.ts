// The integer instruction set: the one-byte map, 0f, and what of 0f38, 0f3a and VEX works on general registers.
// A gap in a map is an invalid opcode unless a line here says otherwise.

import { Mnemonic as M } from './mnemonics';
import {
  BYTE,
  CC,
  D64,
  digit,
  Form as F,
  invalid,
  LOCKABLE,
  MEMORY_ONLY,
  outside,
  REGISTER_ONLY,
  registers,
  row,
  STRING,
  Table as T,
  Y,
} from './rows';

/** The six forms that the eight ALU operations share. */
function alu(opcode: u32, mnemonic: M): void {
  const lock = mnemonic == M.Cmp ? 0 : LOCKABLE;
  row(T.One, opcode, mnemonic, F.EG, BYTE | lock);
  row(T.One, opcode + 1, mnemonic, F.EG, lock);
  row(T.One, opcode + 2, mnemonic, F.GE, BYTE);
  row(T.One, opcode + 3, mnemonic, F.GE);
  row(T.One, opcode + 4, mnemonic, F.AI, BYTE);
  row(T.One, opcode + 5, mnemonic, F.AI);
  // 80, 81, 83: the operation is the digit, which is opcode / 8
  digit(T.One, 0x80, opcode >> 3, mnemonic, F.EI, BYTE | lock);
  digit(T.One, 0x81, opcode >> 3, mnemonic, F.EI, lock);
  digit(T.One, 0x83, opcode >> 3, mnemonic, F.EI8, lock);
}

/** The six forms of a shift or rotate. */
function shift(n: u32, mnemonic: M): void {
  digit(T.One, 0xc0, n, mnemonic, F.EI8, BYTE);
  digit(T.One, 0xc1, n, mnemonic, F.EI8);
  digit(T.One, 0xd0, n, mnemonic, F.E1, BYTE);
  digit(T.One, 0xd1, n, mnemonic, F.E1);
  digit(T.One, 0xd2, n, mnemonic, F.ECL, BYTE);
  digit(T.One, 0xd3, n, mnemonic, F.ECL);
}

export function oneByteRows(): void {
  // 06 07 0e 16 17 1e 1f 27 2f 37 3f: push/pop of segments and decimal arithmetic, gone in 64-bit mode
  // 26 2e 36 3e 64 65 66 67 f0 f2 f3 and 40-4f are prefixes; 0f, c4, c5, 62, 8f/1-7 lead to other maps
  alu(0x00, M.Add);
  alu(0x08, M.Or);
  alu(0x10, M.Adc);
  alu(0x18, M.Sbb);
  alu(0x20, M.And);
  alu(0x28, M.Sub);
  alu(0x30, M.Xor);
  alu(0x38, M.Cmp);
  registers(T.One, 0x50, M.Push, F.Z, D64);
  registers(T.One, 0x58, M.Pop, F.Z, D64);
  registers(T.One, 0x91, M.Xchg, F.AZ); // 90 is nop, below
  registers(T.One, 0xb0, M.Mov, F.ZI, BYTE);
  registers(T.One, 0xb8, M.Mov, F.ZI);
  // 60-62: pusha, popa, bound: gone
  row(T.One, 0x63, M.Movsxd, F.GE32);
  row(T.One, 0x68, M.Push, F.I, D64);
  row(T.One, 0x69, M.Imul3, F.GEI);
  row(T.One, 0x6a, M.Push, F.I8, D64);
  row(T.One, 0x6b, M.Imul3, F.GEI8);
  row(T.One, 0x6c, M.Privileged, F.X, BYTE); // ins: there are no ports
  row(T.One, 0x6d, M.Privileged, F.X);
  row(T.One, 0x6e, M.Privileged, F.X, BYTE); // outs
  row(T.One, 0x6f, M.Privileged, F.X);
  for (let cc: u32 = 0; cc < 16; cc++) row(T.One, 0x70 + cc, M.Jcc, F.J8, D64 | CC);
  // 82: the alias of 80 is gone
  row(T.One, 0x84, M.Test, F.EG, BYTE);
  row(T.One, 0x85, M.Test, F.EG);
  row(T.One, 0x86, M.Xchg, F.EG, BYTE | LOCKABLE);
  row(T.One, 0x87, M.Xchg, F.EG, LOCKABLE);
  row(T.One, 0x88, M.Mov, F.EG, BYTE);
  row(T.One, 0x89, M.Mov, F.EG);
  row(T.One, 0x8a, M.Mov, F.GE, BYTE);
  row(T.One, 0x8b, M.Mov, F.GE);
  outside(T.One, 0x8c, 0x8c); // mov r/m, sreg
  row(T.One, 0x8d, M.Lea, F.GM, MEMORY_ONLY);
  outside(T.One, 0x8e, 0x8e); // mov sreg, r/m
  digit(T.One, 0x8f, 0, M.Pop, F.E, D64);
  row(T.One, 0x90, M.Nop, F.X);
  row(T.One, 0x98, M.Cbw, F.X);
  row(T.One, 0x99, M.Cwd, F.X);
  outside(T.One, 0x9b, 0x9b); // fwait
  row(T.One, 0x9c, M.Pushf, F.X, D64);
  row(T.One, 0x9d, M.Popf, F.X, D64);
  row(T.One, 0x9e, M.Sahf, F.X);
  row(T.One, 0x9f, M.Lahf, F.X);
  row(T.One, 0xa0, M.Mov, F.AO, BYTE);
  row(T.One, 0xa1, M.Mov, F.AO);
  row(T.One, 0xa2, M.Mov, F.OA, BYTE);
  row(T.One, 0xa3, M.Mov, F.OA);
  row(T.One, 0xa4, M.Movs, F.X, BYTE | STRING);
  row(T.One, 0xa5, M.Movs, F.X, STRING);
  row(T.One, 0xa6, M.Cmps, F.X, BYTE | STRING);
  row(T.One, 0xa7, M.Cmps, F.X, STRING);
  row(T.One, 0xa8, M.Test, F.AI, BYTE);
  row(T.One, 0xa9, M.Test, F.AI);
  row(T.One, 0xaa, M.Stos, F.X, BYTE | STRING);
  row(T.One, 0xab, M.Stos, F.X, STRING);
  row(T.One, 0xac, M.Lods, F.X, BYTE | STRING);
  row(T.One, 0xad, M.Lods, F.X, STRING);
  row(T.One, 0xae, M.Scas, F.X, BYTE | STRING);
  row(T.One, 0xaf, M.Scas, F.X, STRING);
  shift(0, M.Rol);
  shift(1, M.Ror);
  shift(2, M.Rcl);
  shift(3, M.Rcr);
  shift(4, M.Shl);
  shift(5, M.Shr);
  shift(6, M.Shl); // sal, an alias
  shift(7, M.Sar);
  row(T.One, 0xc2, M.Ret, F.I16, D64);
  row(T.One, 0xc3, M.Ret, F.X, D64);
  digit(T.One, 0xc6, 0, M.Mov, F.EI, BYTE);
  digit(T.One, 0xc7, 0, M.Mov, F.EI);
  digit(T.One, 0xc6, 7, M.Outside, F.X); // xabort
  digit(T.One, 0xc7, 7, M.Outside, F.X); // xbegin
  row(T.One, 0xc8, M.Enter, F.I16I8, D64);
  row(T.One, 0xc9, M.Leave, F.X, D64);
  outside(T.One, 0xca, 0xcb); // far ret
  row(T.One, 0xcc, M.Int3, F.X);
  row(T.One, 0xcd, M.Int, F.I8);
  // ce: into is gone
  outside(T.One, 0xcf, 0xcf); // iret
  // d4-d6: aam, aad, salc: gone
  row(T.One, 0xd7, M.Xlat, F.X, BYTE);
  outside(T.One, 0xd8, 0xdf); // x87
  row(T.One, 0xe0, M.Loopne, F.J8, D64);
  row(T.One, 0xe1, M.Loope, F.J8, D64);
  row(T.One, 0xe2, M.Loop, F.J8, D64);
  row(T.One, 0xe3, M.Jrcxz, F.J8, D64);
  row(T.One, 0xe4, M.Privileged, F.I8, BYTE); // in
  row(T.One, 0xe5, M.Privileged, F.I8);
  row(T.One, 0xe6, M.Privileged, F.I8, BYTE); // out
  row(T.One, 0xe7, M.Privileged, F.I8);
  row(T.One, 0xe8, M.Call, F.J, D64);
  row(T.One, 0xe9, M.Jmp, F.J, D64);
  // ea: far jmp is gone
  row(T.One, 0xeb, M.Jmp, F.J8, D64);
  row(T.One, 0xec, M.Privileged, F.X, BYTE); // in
  row(T.One, 0xed, M.Privileged, F.X);
  row(T.One, 0xee, M.Privileged, F.X, BYTE); // out
  row(T.One, 0xef, M.Privileged, F.X);
  outside(T.One, 0xf1, 0xf1); // int1
  row(T.One, 0xf4, M.Hlt, F.X);
  row(T.One, 0xf5, M.Cmc, F.X);
  for (let byte: u32 = 0; byte < 2; byte++) {
    const size = byte ? 0 : BYTE;
    digit(T.One, 0xf6 + byte, 0, M.Test, F.EI, size);
    digit(T.One, 0xf6 + byte, 1, M.Test, F.EI, size); // an alias
    digit(T.One, 0xf6 + byte, 2, M.Not, F.E, size | LOCKABLE);
    digit(T.One, 0xf6 + byte, 3, M.Neg, F.E, size | LOCKABLE);
    digit(T.One, 0xf6 + byte, 4, M.Mul, F.E, size);
    digit(T.One, 0xf6 + byte, 5, M.ImulWide, F.E, size);
    digit(T.One, 0xf6 + byte, 6, M.Div, F.E, size);
    digit(T.One, 0xf6 + byte, 7, M.Idiv, F.E, size);
    digit(T.One, 0xfe + byte, 0, M.Inc, F.E, size | LOCKABLE);
    digit(T.One, 0xfe + byte, 1, M.Dec, F.E, size | LOCKABLE);
  }
  row(T.One, 0xf8, M.Clc, F.X);
  row(T.One, 0xf9, M.Stc, F.X);
  row(T.One, 0xfa, M.Cli, F.X);
  row(T.One, 0xfb, M.Sti, F.X);
  row(T.One, 0xfc, M.Cld, F.X);
  row(T.One, 0xfd, M.Std, F.X);
  digit(T.One, 0xff, 2, M.CallE, F.E, D64);
  digit(T.One, 0xff, 3, M.Outside, F.X); // far call
  digit(T.One, 0xff, 4, M.JmpE, F.E, D64);
  digit(T.One, 0xff, 5, M.Outside, F.X); // far jmp
  digit(T.One, 0xff, 6, M.Push, F.E, D64);
}

export function twoByteRows(): void {
  digit(T.Two, 0x00, 0, M.Outside, F.E); // sldt
  digit(T.Two, 0x00, 1, M.Outside, F.E); // str
  digit(T.Two, 0x00, 2, M.Privileged, F.E); // lldt
  digit(T.Two, 0x00, 3, M.Privileged, F.E); // ltr
  digit(T.Two, 0x00, 4, M.Outside, F.E); // verr
  digit(T.Two, 0x00, 5, M.Outside, F.E); // verw
  digit(T.Two, 0x00, 6, M.Outside, F.E); // lkgs
  outside(T.Two, 0x02, 0x03); // lar, lsl
  digit(T.Two, 0x01, 0, M.Outside, F.E); // sgdt
  digit(T.Two, 0x01, 1, M.Outside, F.E); // sidt
  digit(T.Two, 0x01, 2, M.Privileged, F.E); // lgdt
  digit(T.Two, 0x01, 3, M.Privileged, F.E); // lidt
  digit(T.Two, 0x01, 4, M.Outside, F.E); // smsw
  digit(T.Two, 0x01, 5, M.Outside, F.E); // rstorssp
  digit(T.Two, 0x01, 6, M.Privileged, F.E); // lmsw
  digit(T.Two, 0x01, 7, M.Privileged, F.E); // invlpg
  outside(T.System, 0xc0, 0xff); // vmx, svm, sgx, monitor, xgetbv, smsw, rdpkru …
  row(T.System, 0xca, M.Clac, F.X);
  row(T.System, 0xcb, M.Stac, F.X);
  registers(T.System, 0xf0, M.Privileged, F.X); // lmsw
  row(T.System, 0xf8, M.Swapgs, F.X);
  row(T.System, 0xf9, M.Rdtscp, F.X);
  // 04, 0a, 0c, 0f: never assigned, or 3DNow!
  row(T.Two, 0x05, M.Syscall, F.X);
  row(T.Two, 0x06, M.Privileged, F.X); // clts
  outside(T.Two, 0x07, 0x07); // sysret
  row(T.Two, 0x08, M.Privileged, F.X); // invd
  row(T.Two, 0x09, M.Privileged, F.X); // wbinvd
  row(T.Two, 0x0b, M.Ud2, F.X);
  row(T.Two, 0x0d, M.Nop, F.M); // prefetchw and its reserved neighbours
  outside(T.Two, 0x0e, 0x0f); // femms, 3DNow!
  for (let digit8: u32 = 0; digit8 < 4; digit8++) digit(T.Two, 0x18, digit8, M.Nop, F.E); // prefetch
  for (let digit8: u32 = 4; digit8 < 8; digit8++) digit(T.Two, 0x18, digit8, M.Nop, F.E); // reserved nops
  row(T.Two, 0x19, M.Nop, F.E);
  row(T.Two, 0x1a, M.Nop, F.E); // mpx, on a CPU that has none
  row(T.Two, 0x1b, M.Nop, F.E);
  row(T.Two, 0x1c, M.Nop, F.E);
  row(T.Two, 0x1d, M.Nop, F.E);
  row(T.Two, 0x1e, M.Nop, F.E); // endbr64 is f3 0f 1e fa
  row(T.Two, 0x1f, M.Nop, F.E);
  row(T.Two, 0x20, M.Privileged, F.R, D64); // mov of control and debug registers
  row(T.Two, 0x21, M.Privileged, F.R, D64);
  row(T.Two, 0x22, M.Privileged, F.R, D64);
  row(T.Two, 0x23, M.Privileged, F.R, D64);
  row(T.Two, 0x30, M.Privileged, F.X); // wrmsr
  row(T.Two, 0x31, M.Rdtsc, F.X);
  row(T.Two, 0x32, M.Privileged, F.X); // rdmsr
  outside(T.Two, 0x33, 0x35); // rdpmc, sysenter, sysexit
  outside(T.Two, 0x37, 0x37); // getsec
  for (let cc: u32 = 0; cc < 16; cc++) {
    row(T.Two, 0x40 + cc, M.Cmov, F.GE, CC);
    row(T.Two, 0x80 + cc, M.Jcc, F.J, D64 | CC);
    row(T.Two, 0x90 + cc, M.Set, F.E, BYTE | CC);
  }
  outside(T.Two, 0x78, 0x79); // vmread, vmwrite
  outside(T.Two, 0xa0, 0xa1); // push fs, pop fs
  row(T.Two, 0xa2, M.Cpuid, F.X);
  row(T.Two, 0xa3, M.Bt, F.EG);
  row(T.Two, 0xa4, M.Shld, F.EGI8);
  row(T.Two, 0xa5, M.Shld, F.EGCL);
  outside(T.Two, 0xa6, 0xa7); // VIA's ciphers
  outside(T.Two, 0xa8, 0xaa); // push gs, pop gs, rsm
  row(T.Two, 0xab, M.Bts, F.EG, LOCKABLE);
  row(T.Two, 0xac, M.Shrd, F.EGI8);
  row(T.Two, 0xad, M.Shrd, F.EGCL);
  for (let memory: u32 = 0; memory < 8; memory++) digit(T.Two, 0xae, memory, M.Outside, F.X); // fxsave, xsave …
  digit(T.Two, 0xae, 2, M.Ldmxcsr, F.M, Y);
  digit(T.Two, 0xae, 3, M.Stmxcsr, F.M, Y);
  digit(T.Two, 0xae, 5, M.Fence, F.E); // lfence; the memory form is xrstor
  digit(T.Two, 0xae, 6, M.Fence, F.E); // mfence; the memory form is xsaveopt
  digit(T.Two, 0xae, 7, M.Fence, F.E); // sfence; the memory form is clflush
  digit(T.Two66, 0xae, 6, M.CacheLine, F.E); // clwb; the register form is tpause
  digit(T.Two66, 0xae, 7, M.CacheLine, F.E); // clflushopt
  digit(T.TwoF3, 0xae, 0, M.Rdfsbase, F.E, Y | REGISTER_ONLY);
  digit(T.TwoF3, 0xae, 1, M.Rdgsbase, F.E, Y | REGISTER_ONLY);
  digit(T.TwoF3, 0xae, 2, M.Wrfsbase, F.E, Y | REGISTER_ONLY);
  digit(T.TwoF3, 0xae, 3, M.Wrgsbase, F.E, Y | REGISTER_ONLY);
  for (let rest: u32 = 4; rest < 7; rest++) digit(T.TwoF3, 0xae, rest, M.Outside, F.X); // ptwrite, incssp, umonitor
  digit(T.TwoF2, 0xae, 6, M.Outside, F.X); // umwait
  row(T.Two, 0xaf, M.Imul, F.GE);
  row(T.Two, 0xb0, M.Cmpxchg, F.EG, BYTE | LOCKABLE);
  row(T.Two, 0xb1, M.Cmpxchg, F.EG, LOCKABLE);
  outside(T.Two, 0xb2, 0xb2); // lss
  row(T.Two, 0xb3, M.Btr, F.EG, LOCKABLE);
  outside(T.Two, 0xb4, 0xb5); // lfs, lgs
  row(T.Two, 0xb6, M.Movzx, F.GE8);
  row(T.Two, 0xb7, M.Movzx, F.GE16);
  row(T.TwoF3, 0xb8, M.Popcnt, F.GE);
  row(T.Two, 0xb9, M.Ud1, F.GE);
  digit(T.Two, 0xba, 4, M.Bt, F.EI8);
  digit(T.Two, 0xba, 5, M.Bts, F.EI8, LOCKABLE);
  digit(T.Two, 0xba, 6, M.Btr, F.EI8, LOCKABLE);
  digit(T.Two, 0xba, 7, M.Btc, F.EI8, LOCKABLE);
  row(T.Two, 0xbb, M.Btc, F.EG, LOCKABLE);
  row(T.Two, 0xbc, M.Bsf, F.GE);
  row(T.TwoF3, 0xbc, M.Tzcnt, F.GE);
  row(T.Two, 0xbd, M.Bsr, F.GE);
  row(T.TwoF3, 0xbd, M.Lzcnt, F.GE);
  row(T.Two, 0xbe, M.Movsx, F.GE8);
  row(T.Two, 0xbf, M.Movsx, F.GE16);
  row(T.Two, 0xc0, M.Xadd, F.EG, BYTE | LOCKABLE);
  row(T.Two, 0xc1, M.Xadd, F.EG, LOCKABLE);
  row(T.Two, 0xc3, M.Movnti, F.MG, Y | MEMORY_ONLY);
  for (let rest: u32 = 3; rest < 8; rest++) digit(T.Two, 0xc7, rest, M.Outside, F.X); // xrstors, vmptrld, rdrand, rdseed
  digit(T.Two, 0xc7, 1, M.Cmpxchg8b, F.M, Y | MEMORY_ONLY | LOCKABLE);
  registers(T.Two, 0xc8, M.Bswap, F.Z);
  row(T.Two, 0xff, M.Ud0, F.GE);
}

export function threeByteRows(): void {
  row(T.T38, 0xf0, M.Movbe, F.GE, MEMORY_ONLY);
  row(T.T38, 0xf1, M.Movbe, F.EG, MEMORY_ONLY);
  row(T.T38_66, 0xf0, M.Movbe, F.GE, MEMORY_ONLY);
  row(T.T38_66, 0xf1, M.Movbe, F.EG, MEMORY_ONLY);
  invalid(T.T38_F3, 0xf0, 0xf1); // movbe takes no f3
  row(T.T38_F2, 0xf0, M.Crc32, F.GE8, Y);
  row(T.T38_F2, 0xf1, M.Crc32, F.GE);
  row(T.T38_66, 0xf6, M.Adcx, F.GE, Y);
  row(T.T38_F3, 0xf6, M.Adox, F.GE, Y);
  row(T.Vex38, 0xf2, M.Andn, F.GBE, Y);
  digit(T.Vex38, 0xf3, 1, M.Blsr, F.BE, Y);
  digit(T.Vex38, 0xf3, 2, M.Blsmsk, F.BE, Y);
  digit(T.Vex38, 0xf3, 3, M.Blsi, F.BE, Y);
  row(T.Vex38, 0xf5, M.Bzhi, F.GEB, Y);
  row(T.Vex38_F3, 0xf5, M.Pext, F.GBE, Y);
  row(T.Vex38_F2, 0xf5, M.Pdep, F.GBE, Y);
  row(T.Vex38_F2, 0xf6, M.Mulx, F.GBE, Y);
  row(T.Vex38, 0xf7, M.Bextr, F.GEB, Y);
  row(T.Vex38_66, 0xf7, M.Shlx, F.GEB, Y);
  row(T.Vex38_F3, 0xf7, M.Sarx, F.GEB, Y);
  row(T.Vex38_F2, 0xf7, M.Shrx, F.GEB, Y);
  row(T.Vex3A_F2, 0xf0, M.Rorx, F.GEIV, Y);
}
