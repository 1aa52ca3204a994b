// SSE to SSE4.2 on xmm registers. MMX forms, and what needs a CPU's own tables (rcp, rsqrt), are outside.

import { Mnemonic as M } from './mnemonics';
import {
  digit,
  Form as F,
  MEMORY_ONLY,
  outside,
  REGISTER_ONLY,
  row,
  Table as T,
  UNALIGNED,
  W1,
  W2,
  W4,
  W8,
  W16,
  Y,
} from './rows';

/** One operation on packed single, packed double, scalar single, scalar double. */
function four(opcode: u32, ps: M, pd: M, ss: M, sd: M): void {
  row(T.Two, opcode, ps, F.VW, W16);
  row(T.Two66, opcode, pd, F.VW, W16);
  row(T.TwoF3, opcode, ss, F.VW, W4);
  row(T.TwoF2, opcode, sd, F.VW, W8);
}

function packed(opcode: u32, mnemonic: M): void {
  outside(T.Two, opcode, opcode); // the MMX form
  row(T.Two66, opcode, mnemonic, F.VW, W16);
}

export function sseMoveRows(): void {
  row(T.Two, 0x10, M.Movups, F.VW, W16 | UNALIGNED);
  row(T.Two66, 0x10, M.Movups, F.VW, W16 | UNALIGNED);
  row(T.TwoF3, 0x10, M.Movss, F.VW, W4);
  row(T.TwoF2, 0x10, M.Movsd, F.VW, W8);
  row(T.Two, 0x11, M.Movups, F.WV, W16 | UNALIGNED);
  row(T.Two66, 0x11, M.Movups, F.WV, W16 | UNALIGNED);
  row(T.TwoF3, 0x11, M.Movss, F.WV, W4);
  row(T.TwoF2, 0x11, M.Movsd, F.WV, W8);
  row(T.Two, 0x12, M.Movlps, F.VW, W8); // with a register: movhlps
  row(T.Two66, 0x12, M.Movlps, F.VM, W8 | MEMORY_ONLY);
  row(T.TwoF3, 0x12, M.Movsldup, F.VW, W16);
  row(T.TwoF2, 0x12, M.Movddup, F.VW, W8);
  row(T.Two, 0x13, M.Movlps, F.MV, W8 | MEMORY_ONLY);
  row(T.Two66, 0x13, M.Movlps, F.MV, W8 | MEMORY_ONLY);
  row(T.Two, 0x14, M.Unpcklps, F.VW, W16);
  row(T.Two66, 0x14, M.Unpcklpd, F.VW, W16);
  row(T.Two, 0x15, M.Unpckhps, F.VW, W16);
  row(T.Two66, 0x15, M.Unpckhpd, F.VW, W16);
  row(T.Two, 0x16, M.Movhps, F.VW, W8); // with a register: movlhps
  row(T.Two66, 0x16, M.Movhps, F.VM, W8 | MEMORY_ONLY);
  row(T.TwoF3, 0x16, M.Movshdup, F.VW, W16);
  row(T.Two, 0x17, M.Movhps, F.MV, W8 | MEMORY_ONLY);
  row(T.Two66, 0x17, M.Movhps, F.MV, W8 | MEMORY_ONLY);
  row(T.Two, 0x28, M.Movaps, F.VW, W16);
  row(T.Two66, 0x28, M.Movaps, F.VW, W16);
  row(T.Two, 0x29, M.Movaps, F.WV, W16);
  row(T.Two66, 0x29, M.Movaps, F.WV, W16);
  row(T.Two, 0x2b, M.Movaps, F.MV, W16 | MEMORY_ONLY); // movntps
  row(T.Two66, 0x2b, M.Movaps, F.MV, W16 | MEMORY_ONLY); // movntpd
  outside(T.TwoF3, 0x2b, 0x2b); // movntss, movntsd of SSE4A
  outside(T.TwoF2, 0x2b, 0x2b);
  row(T.Two, 0x50, M.Movmskps, F.GU, REGISTER_ONLY | Y);
  row(T.Two66, 0x50, M.Movmskpd, F.GU, REGISTER_ONLY | Y);
  outside(T.Two, 0x6e, 0x6f);
  row(T.Two66, 0x6e, M.MovdTo, F.VE, Y);
  row(T.Two66, 0x6f, M.Movaps, F.VW, W16); // movdqa
  row(T.TwoF3, 0x6f, M.Movups, F.VW, W16 | UNALIGNED); // movdqu
  outside(T.Two, 0x77, 0x77); // emms
  outside(T.Two, 0x7e, 0x7f);
  row(T.Two66, 0x7e, M.MovdFrom, F.EV, Y);
  row(T.TwoF3, 0x7e, M.Movq, F.VW, W8);
  row(T.Two66, 0x7f, M.Movaps, F.WV, W16);
  row(T.TwoF3, 0x7f, M.Movups, F.WV, W16 | UNALIGNED);
  outside(T.TwoF2, 0xd6, 0xd6); // movdq2q
  outside(T.TwoF3, 0xd6, 0xd6); // movq2dq
  row(T.Two66, 0xd6, M.Movq, F.WV, W8);
  outside(T.Two, 0xd7, 0xd7);
  row(T.Two66, 0xd7, M.Pmovmskb, F.GU, REGISTER_ONLY | Y);
  outside(T.Two, 0xe7, 0xe7);
  row(T.Two66, 0xe7, M.Movaps, F.MV, W16 | MEMORY_ONLY); // movntdq
  row(T.TwoF2, 0xf0, M.Movups, F.VM, W16 | UNALIGNED | MEMORY_ONLY); // lddqu
  outside(T.Two, 0xf7, 0xf7);
  row(T.Two66, 0xf7, M.Maskmovdqu, F.VU, REGISTER_ONLY);
  row(T.T38_66, 0x2a, M.Movaps, F.VM, W16 | MEMORY_ONLY); // movntdqa
}

export function sseFloatRows(): void {
  outside(T.Two, 0x2a, 0x2a); // cvtpi2ps
  outside(T.Two66, 0x2a, 0x2a);
  row(T.TwoF3, 0x2a, M.Cvtsi2ss, F.VE, Y);
  row(T.TwoF2, 0x2a, M.Cvtsi2sd, F.VE, Y);
  outside(T.Two, 0x2c, 0x2d);
  outside(T.Two66, 0x2c, 0x2d);
  row(T.TwoF3, 0x2c, M.Cvttss2si, F.GW, W4 | Y);
  row(T.TwoF2, 0x2c, M.Cvttsd2si, F.GW, W8 | Y);
  row(T.TwoF3, 0x2d, M.Cvtss2si, F.GW, W4 | Y);
  row(T.TwoF2, 0x2d, M.Cvtsd2si, F.GW, W8 | Y);
  row(T.Two, 0x2e, M.Ucomiss, F.VW, W4);
  row(T.Two66, 0x2e, M.Ucomisd, F.VW, W8);
  row(T.Two, 0x2f, M.Ucomiss, F.VW, W4); // comiss differs in exception flags only
  row(T.Two66, 0x2f, M.Ucomisd, F.VW, W8);
  four(0x51, M.Sqrtps, M.Sqrtpd, M.Sqrtss, M.Sqrtsd);
  outside(T.Two, 0x52, 0x53); // rsqrtps, rcpps
  outside(T.TwoF3, 0x52, 0x53);
  row(T.Two, 0x54, M.Pand, F.VW, W16); // andps
  row(T.Two66, 0x54, M.Pand, F.VW, W16);
  row(T.Two, 0x55, M.Pandn, F.VW, W16); // andnps
  row(T.Two66, 0x55, M.Pandn, F.VW, W16);
  row(T.Two, 0x56, M.Por, F.VW, W16); // orps
  row(T.Two66, 0x56, M.Por, F.VW, W16);
  row(T.Two, 0x57, M.Pxor, F.VW, W16); // xorps
  row(T.Two66, 0x57, M.Pxor, F.VW, W16);
  four(0x58, M.Addps, M.Addpd, M.Addss, M.Addsd);
  four(0x59, M.Mulps, M.Mulpd, M.Mulss, M.Mulsd);
  row(T.Two, 0x5a, M.Cvtps2pd, F.VW, W8);
  row(T.Two66, 0x5a, M.Cvtpd2ps, F.VW, W16);
  row(T.TwoF3, 0x5a, M.Cvtss2sd, F.VW, W4);
  row(T.TwoF2, 0x5a, M.Cvtsd2ss, F.VW, W8);
  row(T.Two, 0x5b, M.Cvtdq2ps, F.VW, W16);
  row(T.Two66, 0x5b, M.Cvtps2dq, F.VW, W16);
  row(T.TwoF3, 0x5b, M.Cvttps2dq, F.VW, W16);
  four(0x5c, M.Subps, M.Subpd, M.Subss, M.Subsd);
  four(0x5d, M.Minps, M.Minpd, M.Minss, M.Minsd);
  four(0x5e, M.Divps, M.Divpd, M.Divss, M.Divsd);
  four(0x5f, M.Maxps, M.Maxpd, M.Maxss, M.Maxsd);
  row(T.Two66, 0x7c, M.Haddpd, F.VW, W16);
  row(T.TwoF2, 0x7c, M.Haddps, F.VW, W16);
  row(T.Two66, 0x7d, M.Hsubpd, F.VW, W16);
  row(T.TwoF2, 0x7d, M.Hsubps, F.VW, W16);
  row(T.Two, 0xc2, M.Cmpps, F.VWI, W16);
  row(T.Two66, 0xc2, M.Cmppd, F.VWI, W16);
  row(T.TwoF3, 0xc2, M.Cmpss, F.VWI, W4);
  row(T.TwoF2, 0xc2, M.Cmpsd, F.VWI, W8);
  row(T.Two, 0xc6, M.Shufps, F.VWI, W16);
  row(T.Two66, 0xc6, M.Shufpd, F.VWI, W16);
  row(T.Two66, 0xd0, M.Addsubpd, F.VW, W16);
  row(T.TwoF2, 0xd0, M.Addsubps, F.VW, W16);
  row(T.Two66, 0xe6, M.Cvttpd2dq, F.VW, W16);
  row(T.TwoF3, 0xe6, M.Cvtdq2pd, F.VW, W8);
  row(T.TwoF2, 0xe6, M.Cvtpd2dq, F.VW, W16);
  row(T.T38_66, 0x14, M.Blendvps, F.VW, W16);
  row(T.T38_66, 0x15, M.Blendvpd, F.VW, W16);
  row(T.T3A_66, 0x08, M.Roundps, F.VWI, W16);
  row(T.T3A_66, 0x09, M.Roundpd, F.VWI, W16);
  row(T.T3A_66, 0x0a, M.Roundss, F.VWI, W4);
  row(T.T3A_66, 0x0b, M.Roundsd, F.VWI, W8);
  row(T.T3A_66, 0x0c, M.Blendps, F.VWI, W16);
  row(T.T3A_66, 0x0d, M.Blendpd, F.VWI, W16);
  row(T.T3A_66, 0x17, M.Extractps, F.EVI, W4);
  row(T.T3A_66, 0x21, M.Insertps, F.VWI, W4);
  row(T.T3A_66, 0x40, M.Dpps, F.VWI, W16);
  row(T.T3A_66, 0x41, M.Dppd, F.VWI, W16);
}

export function sseIntegerRows(): void {
  packed(0x60, M.Punpcklbw);
  packed(0x61, M.Punpcklwd);
  packed(0x62, M.Punpckldq);
  packed(0x63, M.Packsswb);
  packed(0x64, M.Pcmpgtb);
  packed(0x65, M.Pcmpgtw);
  packed(0x66, M.Pcmpgtd);
  packed(0x67, M.Packuswb);
  packed(0x68, M.Punpckhbw);
  packed(0x69, M.Punpckhwd);
  packed(0x6a, M.Punpckhdq);
  packed(0x6b, M.Packssdw);
  row(T.Two66, 0x6c, M.Unpcklpd, F.VW, W16); // punpcklqdq
  row(T.Two66, 0x6d, M.Unpckhpd, F.VW, W16); // punpckhqdq
  outside(T.Two, 0x70, 0x73);
  row(T.Two66, 0x70, M.Pshufd, F.VWI, W16);
  row(T.TwoF3, 0x70, M.Pshufhw, F.VWI, W16);
  row(T.TwoF2, 0x70, M.Pshuflw, F.VWI, W16);
  digit(T.Two66, 0x71, 2, M.Psrlw, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x71, 4, M.Psraw, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x71, 6, M.Psllw, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x72, 2, M.Psrld, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x72, 4, M.Psrad, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x72, 6, M.Pslld, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x73, 2, M.Psrlq, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x73, 3, M.Psrldq, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x73, 6, M.Psllq, F.UI, REGISTER_ONLY);
  digit(T.Two66, 0x73, 7, M.Pslldq, F.UI, REGISTER_ONLY);
  packed(0x74, M.Pcmpeqb);
  packed(0x75, M.Pcmpeqw);
  packed(0x76, M.Pcmpeqd);
  outside(T.Two, 0xc4, 0xc5);
  row(T.Two66, 0xc4, M.Pinsrw, F.VEI, W2);
  row(T.Two66, 0xc5, M.Pextrw, F.GUI, REGISTER_ONLY | Y);
  packed(0xd1, M.Psrlw);
  packed(0xd2, M.Psrld);
  packed(0xd3, M.Psrlq);
  packed(0xd4, M.Paddq);
  packed(0xd5, M.Pmullw);
  packed(0xd8, M.Psubusb);
  packed(0xd9, M.Psubusw);
  packed(0xda, M.Pminub);
  packed(0xdb, M.Pand);
  packed(0xdc, M.Paddusb);
  packed(0xdd, M.Paddusw);
  packed(0xde, M.Pmaxub);
  packed(0xdf, M.Pandn);
  packed(0xe0, M.Pavgb);
  packed(0xe1, M.Psraw);
  packed(0xe2, M.Psrad);
  packed(0xe3, M.Pavgw);
  packed(0xe4, M.Pmulhuw);
  packed(0xe5, M.Pmulhw);
  packed(0xe8, M.Psubsb);
  packed(0xe9, M.Psubsw);
  packed(0xea, M.Pminsw);
  packed(0xeb, M.Por);
  packed(0xec, M.Paddsb);
  packed(0xed, M.Paddsw);
  packed(0xee, M.Pmaxsw);
  packed(0xef, M.Pxor);
  packed(0xf1, M.Psllw);
  packed(0xf2, M.Pslld);
  packed(0xf3, M.Psllq);
  packed(0xf4, M.Pmuludq);
  packed(0xf5, M.Pmaddwd);
  packed(0xf6, M.Psadbw);
  packed(0xf8, M.Psubb);
  packed(0xf9, M.Psubw);
  packed(0xfa, M.Psubd);
  packed(0xfb, M.Psubq);
  packed(0xfc, M.Paddb);
  packed(0xfd, M.Paddw);
  packed(0xfe, M.Paddd);
}

function packed38(opcode: u32, mnemonic: M): void {
  row(T.T38_66, opcode, mnemonic, F.VW, W16);
}

export function sseThreeByteRows(): void {
  outside(T.T38, 0x00, 0x0b); // MMX forms of SSSE3
  outside(T.T38, 0x1c, 0x1e);
  packed38(0x00, M.Pshufb);
  packed38(0x01, M.Phaddw);
  packed38(0x02, M.Phaddd);
  packed38(0x03, M.Phaddsw);
  packed38(0x04, M.Pmaddubsw);
  packed38(0x05, M.Phsubw);
  packed38(0x06, M.Phsubd);
  packed38(0x07, M.Phsubsw);
  packed38(0x08, M.Psignb);
  packed38(0x09, M.Psignw);
  packed38(0x0a, M.Psignd);
  packed38(0x0b, M.Pmulhrsw);
  packed38(0x10, M.Pblendvb);
  packed38(0x17, M.Ptest);
  packed38(0x1c, M.Pabsb);
  packed38(0x1d, M.Pabsw);
  packed38(0x1e, M.Pabsd);
  row(T.T38_66, 0x20, M.Pmovsxbw, F.VW, W8);
  row(T.T38_66, 0x21, M.Pmovsxbd, F.VW, W4);
  row(T.T38_66, 0x22, M.Pmovsxbq, F.VW, W2);
  row(T.T38_66, 0x23, M.Pmovsxwd, F.VW, W8);
  row(T.T38_66, 0x24, M.Pmovsxwq, F.VW, W4);
  row(T.T38_66, 0x25, M.Pmovsxdq, F.VW, W8);
  packed38(0x28, M.Pmuldq);
  packed38(0x29, M.Pcmpeqq);
  packed38(0x2b, M.Packusdw);
  row(T.T38_66, 0x30, M.Pmovzxbw, F.VW, W8);
  row(T.T38_66, 0x31, M.Pmovzxbd, F.VW, W4);
  row(T.T38_66, 0x32, M.Pmovzxbq, F.VW, W2);
  row(T.T38_66, 0x33, M.Pmovzxwd, F.VW, W8);
  row(T.T38_66, 0x34, M.Pmovzxwq, F.VW, W4);
  row(T.T38_66, 0x35, M.Pmovzxdq, F.VW, W8);
  packed38(0x37, M.Pcmpgtq);
  packed38(0x38, M.Pminsb);
  packed38(0x39, M.Pminsd);
  packed38(0x3a, M.Pminuw);
  packed38(0x3b, M.Pminud);
  packed38(0x3c, M.Pmaxsb);
  packed38(0x3d, M.Pmaxsd);
  packed38(0x3e, M.Pmaxuw);
  packed38(0x3f, M.Pmaxud);
  packed38(0x40, M.Pmulld);
  packed38(0x41, M.Phminposuw);
  outside(T.T38_66, 0x80, 0x82); // invept, invvpid, invpcid
  outside(T.T38, 0xc8, 0xcd); // sha
  outside(T.T38_66, 0xcf, 0xcf); // gf2p8mulb
  outside(T.T38_F3, 0xd8, 0xdf); // key locker
  outside(T.T38_66, 0xdb, 0xdf); // aes
  outside(T.T38, 0xf6, 0xf6); // wrss
  outside(T.T38_66, 0xf5, 0xf5); // wruss
  outside(T.T38, 0xf9, 0xf9); // movdiri
  outside(T.T38_66, 0xf8, 0xf8); // movdir64b
  outside(T.T38_F3, 0xf8, 0xf8); // enqcmds
  outside(T.T38_F2, 0xf8, 0xf8); // enqcmd
  outside(T.T38, 0xfc, 0xfc); // aadd …
  outside(T.T38_66, 0xfc, 0xfc);
  outside(T.T38_F3, 0xfa, 0xfc);
  outside(T.T38_F2, 0xfc, 0xfc);
  outside(T.T3A, 0x0f, 0x0f);
  row(T.T3A_66, 0x0e, M.Pblendw, F.VWI, W16);
  row(T.T3A_66, 0x0f, M.Palignr, F.VWI, W16);
  row(T.T3A_66, 0x14, M.Pextrb, F.EVI, W1);
  row(T.T3A_66, 0x15, M.PextrwTo, F.EVI, W2);
  row(T.T3A_66, 0x16, M.Pextrd, F.EVI, W4 | Y);
  row(T.T3A_66, 0x20, M.Pinsrb, F.VEI, W1);
  row(T.T3A_66, 0x22, M.Pinsrd, F.VEI, W4 | Y);
  row(T.T3A_66, 0x42, M.Mpsadbw, F.VWI, W16);
  outside(T.T3A_66, 0x44, 0x44); // pclmulqdq
  row(T.T3A_66, 0x60, M.Pcmpestrm, F.VWI, W16 | UNALIGNED);
  row(T.T3A_66, 0x61, M.Pcmpestri, F.VWI, W16 | UNALIGNED);
  row(T.T3A_66, 0x62, M.Pcmpistrm, F.VWI, W16 | UNALIGNED);
  row(T.T3A_66, 0x63, M.Pcmpistri, F.VWI, W16 | UNALIGNED);
  outside(T.T3A, 0xcc, 0xcc); // sha1rnds4
  outside(T.T3A_66, 0xce, 0xcf); // gf2p8
  outside(T.T3A_66, 0xdf, 0xdf); // aeskeygenassist
  outside(T.T3A_F3, 0xf0, 0xf0); // hreset
}
