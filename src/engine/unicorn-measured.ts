// Made by `npx tsx test/metal/unicorn-table.ts unicorn`; do not edit. What Unicorn 1.0.3 (unicorn.js) executes as the bare CPU does:
// 111639 cases over 993 encodings, against AMD EPYC, signature 00a10f11.
//
// These differences hold for the engine as a whole and keep no instruction out: a misaligned 16-byte SSE operand is not
// refused; where both fault, kind (#GP or page fault), access (a read-modify-write is reported as a read), address of an
// access that crosses pages, and registers or flags may differ; of two NaNs another one may come through
// (12 encodings: Addpd_xmm_xmmm128 Addsd_xmm_xmmm64 Mulps_xmm_xmmm128 Mulsd_xmm_xmmm64 Cvtps2pd_xmm_xmmm64 Cvtpd2ps_xmm_xmmm128 Cvtss2sd_xmm_xmmm32 Cvtsd2ss_xmm_xmmm64 Divps_xmm_xmmm128 Hsubps_xmm_xmmm128 Addsubps_xmm_xmmm128 Dpps_xmm_xmmm128_imm8).
import type { Circumstance } from './judge.ts';

/** Mnemonics of which at least one encoding is executed rightly. */
export const MNEMONICS = `
  adc adcx add addpd addps addsd addss addsubpd addsubps adox aesdec aesdeclast aesenc aesenclast aesimc
  aeskeygenassist and andnpd andnps andpd andps blendpd blendps blendvpd blendvps bsf bsr bswap bt btc btr bts
  call cbw cdq cdqe clc cld cmc cmova cmovae cmovb cmovbe cmove cmovg cmovge cmovl cmovle cmovne cmovno cmovnp cmovns
  cmovo cmovp cmovs cmp cmppd cmpps cmpsb cmpsd cmpsq cmpss cmpsw cmpxchg cmpxchg16b cmpxchg8b comisd comiss cqo
  crc32 cvtdq2pd cvtdq2ps cvtpd2dq cvtpd2ps cvtps2dq cvtps2pd cvtsd2si cvtsd2ss cvtsi2sd cvtsi2ss cvtss2sd cvtss2si
  cvttpd2dq cvttps2dq cvttsd2si cvttss2si cwd cwde dec div divpd divps divsd divss dppd endbr32 endbr64 enter
  extractps haddpd haddps hsubpd hsubps idiv imul inc insertps int3 ja jae jb jbe je jecxz jg jge jl jle jmp jne jno
  jnp jns jo jp jrcxz js lahf lddqu lea leave lfence lodsb lodsd lodsq lodsw loop loope loopne lzcnt maskmovdqu maxpd
  maxps maxsd maxss mfence minpd minps minsd minss mov movapd movaps movd movddup movdqa movdqu movhlps movhpd movhps
  movlhps movlpd movlps movmskpd movmskps movntdq movntdqa movnti movntpd movntps movq movsb movsd movshdup movsldup
  movsq movss movsw movsx movsxd movupd movups movzx mpsadbw mul mulpd mulps mulsd mulss mulx neg nop not or orpd
  orps pabsb pabsd pabsw packssdw packsswb packuswb paddb paddd paddq paddsb paddsw paddusb paddusw paddw palignr
  pand pandn pause pavgb pavgw pblendvb pblendw pcmpeqb pcmpeqd pcmpeqq pcmpeqw pcmpestri pcmpgtb pcmpgtd
  pcmpgtq pcmpgtw pcmpistri pcmpistrm pextrb pextrd pextrq pinsrb pinsrd pinsrq pinsrw pmaddubsw pmaddwd pmaxsb
  pmaxsd pmaxsw pmaxub pmaxud pmaxuw pminsb pminsd pminsw pminub pminud pminuw pmovmskb pmuldq pmulhrsw pmulhuw
  pmulhw pmulld pmullw pmuludq pop popf popfq por prefetch prefetchnta prefetcht0 prefetcht1 prefetcht2 prefetchw
  psadbw pshufb pshufd pshufhw pshuflw psignb psignw pslld pslldq psllq psllw psrad psraw psrld psrldq psrlq psrlw
  psubb psubd psubq psubsb psubsw psubusb psubusw psubw ptest punpckhbw punpckhdq punpckhqdq punpckhwd punpcklbw
  punpckldq punpcklqdq punpcklwd push pushf pushfq pxor rcl rcr reservednop ret rol ror rorx roundpd roundps roundsd
  roundss sahf sal sar sarx sbb scasb scasd scasq scasw seta setae setb setbe sete setg setge setl setle setne setno
  setnp setns seto setp sets sfence shl shld shlx shr shrd shrx shufpd shufps sqrtpd sqrtps sqrtsd sqrtss stc std
  stmxcsr stosb stosd stosq stosw sub subpd subps subsd subss test tzcnt ucomisd ucomiss ud1 ud2 unpckhpd unpckhps
  unpcklpd unpcklps xadd xchg xlatb xor xorpd xorps`;

/** Encodings of these mnemonics that were not compared, for user mode or the engine interface does not reach them. */
export const UNCOMPARED = `
  Jo_rel8_16 Jno_rel8_16 Jb_rel8_16 Jae_rel8_16 Je_rel8_16 Jne_rel8_16 Jbe_rel8_16 Ja_rel8_16 Js_rel8_16 Jns_rel8_16
  Jp_rel8_16 Jnp_rel8_16 Jl_rel8_16 Jge_rel8_16 Jle_rel8_16 Jg_rel8_16 Mov_rm16_Sreg Mov_r32m16_Sreg Mov_r64m16_Sreg
  Mov_Sreg_rm16 Mov_Sreg_r32m16 Mov_Sreg_r64m16 Loopne_rel8_16_ECX Loopne_rel8_16_RCX Loope_rel8_16_ECX
  Loope_rel8_16_RCX Loop_rel8_16_ECX Loop_rel8_16_RCX Jecxz_rel8_16 Jrcxz_rel8_16 Call_rel16 Jmp_rel16 Jmp_rel8_16
  Call_rm16 Call_m1616 Call_m1632 Call_m1664 Jmp_rm16 Jmp_m1616 Jmp_m1632 Jmp_m1664 Reservednop_rm16_r16_0F0D
  Reservednop_rm32_r32_0F0D Reservednop_rm64_r64_0F0D Mov_r64_cr Mov_r64_dr Mov_cr_r64 Mov_dr_r64 Punpcklbw_mm_mmm32
  Punpcklwd_mm_mmm32 Punpckldq_mm_mmm32 Packsswb_mm_mmm64 Pcmpgtb_mm_mmm64 Pcmpgtw_mm_mmm64 Pcmpgtd_mm_mmm64
  Packuswb_mm_mmm64 Punpckhbw_mm_mmm64 Punpckhwd_mm_mmm64 Punpckhdq_mm_mmm64 Packssdw_mm_mmm64 Movd_mm_rm32
  Movq_mm_rm64 Movq_mm_mmm64 Psrlw_mm_imm8 Psraw_mm_imm8 Psllw_mm_imm8 Psrld_mm_imm8 Psrad_mm_imm8 Pslld_mm_imm8
  Psrlq_mm_imm8 Psllq_mm_imm8 Pcmpeqb_mm_mmm64 Pcmpeqw_mm_mmm64 Pcmpeqd_mm_mmm64 Movd_rm32_mm Movq_rm64_mm
  Movq_mmm64_mm Jo_rel16 Jno_rel16 Jb_rel16 Jae_rel16 Je_rel16 Jne_rel16 Jbe_rel16 Ja_rel16 Js_rel16 Jns_rel16
  Jp_rel16 Jnp_rel16 Jl_rel16 Jge_rel16 Jle_rel16 Jg_rel16 Pinsrw_mm_r32m16_imm8 Pinsrw_mm_r64m16_imm8 Bswap_r16
  Psrlw_mm_mmm64 Psrld_mm_mmm64 Psrlq_mm_mmm64 Paddq_mm_mmm64 Pmullw_mm_mmm64 Pmovmskb_r32_mm Pmovmskb_r64_mm
  Psubusb_mm_mmm64 Psubusw_mm_mmm64 Pminub_mm_mmm64 Pand_mm_mmm64 Paddusb_mm_mmm64 Paddusw_mm_mmm64 Pmaxub_mm_mmm64
  Pandn_mm_mmm64 Pavgb_mm_mmm64 Psraw_mm_mmm64 Psrad_mm_mmm64 Pavgw_mm_mmm64 Pmulhuw_mm_mmm64 Pmulhw_mm_mmm64
  Psubsb_mm_mmm64 Psubsw_mm_mmm64 Pminsw_mm_mmm64 Por_mm_mmm64 Paddsb_mm_mmm64 Paddsw_mm_mmm64 Pmaxsw_mm_mmm64
  Pxor_mm_mmm64 Psllw_mm_mmm64 Pslld_mm_mmm64 Psllq_mm_mmm64 Pmuludq_mm_mmm64 Pmaddwd_mm_mmm64 Psadbw_mm_mmm64
  Psubb_mm_mmm64 Psubw_mm_mmm64 Psubd_mm_mmm64 Psubq_mm_mmm64 Paddb_mm_mmm64 Paddw_mm_mmm64 Paddd_mm_mmm64
  Pshufb_mm_mmm64 Pmaddubsw_mm_mmm64 Psignb_mm_mmm64 Psignw_mm_mmm64 Pmulhrsw_mm_mmm64 Pabsb_mm_mmm64 Pabsw_mm_mmm64
  Pabsd_mm_mmm64 Palignr_mm_mmm64_imm8`;

/** Encodings, or whole mnemonics, that are not. */
export const WRONG: readonly (readonly [name: string, why: string])[] = [
  [
    'Enterw_imm16_imm8',
    'faults otherwise than the bare CPU, without an error (66c8b40000: expected unmapped write 0x1fff51 at 0x100800, got no fault)',
  ],
  ['Lfence_E9', 'refused as an invalid instruction'],
  ['Lfence_EA', 'refused as an invalid instruction'],
  ['Lfence_EB', 'refused as an invalid instruction'],
  ['Lfence_EC', 'refused as an invalid instruction'],
  ['Lfence_ED', 'refused as an invalid instruction'],
  ['Lfence_EE', 'refused as an invalid instruction'],
  ['Lfence_EF', 'refused as an invalid instruction'],
  ['Mfence_F1', 'refused as an invalid instruction'],
  ['Mfence_F2', 'refused as an invalid instruction'],
  ['Mfence_F3', 'refused as an invalid instruction'],
  ['Mfence_F4', 'refused as an invalid instruction'],
  ['Mfence_F5', 'refused as an invalid instruction'],
  ['Mfence_F6', 'refused as an invalid instruction'],
  ['Mfence_F7', 'refused as an invalid instruction'],
  [
    'Retnq_imm16',
    'gives another value than the bare CPU, without an error (c2ffff: rsp expected 0x2105b7, got 0x2005b7)',
  ],
  ['Sfence_F9', 'ends the emulator'],
  ['Sfence_FA', 'ends the emulator'],
  ['Sfence_FB', 'ends the emulator'],
  ['Sfence_FC', 'ends the emulator'],
  ['Sfence_FD', 'ends the emulator'],
  ['Sfence_FE', 'ends the emulator'],
  ['Sfence_FF', 'ends the emulator'],
  ['Test_rm16_imm16_F7r1', 'refused as an invalid instruction'],
  ['Test_rm32_imm32_F7r1', 'refused as an invalid instruction'],
  ['Test_rm64_imm32_F7r1', 'refused as an invalid instruction'],
  ['Test_rm8_imm8_F6r1', 'refused as an invalid instruction'],
  ['andn', 'gives another value than the bare CPU, without an error (c4c238f2ca: rcx expected 0x0, got 0x6c40cb3b)'],
  ['bextr', 'gives another value than the bare CPU, without an error (c44228f7ca: r9 expected 0x1bd9, got 0x2174dbd9)'],
  [
    'blsi',
    'gives another value than the bare CPU, without an error (c4c228f3db: r10 expected 0x1, got 0x600cba6c5e98bac2)',
  ],
  [
    'blsmsk',
    'gives another value than the bare CPU, without an error (c4e240f3d7: rdi expected 0x7, got 0xffffffff94666254)',
  ],
  ['blsr', 'gives another value than the bare CPU, without an error (c4c248f3cc: rsi expected 0x10, got 0x8)'],
  [
    'bzhi',
    'gives another value than the bare CPU, without an error (c4e270f5d9: rbx expected 0xfffffffe, got 0x7ffffffe)',
  ],
  [
    'clflush',
    'faults otherwise than the bare CPU, without an error (0fae3df9071000: expected unmapped read 0x201000 at 0x100800, got no fault)',
  ],
  [
    'clflushopt',
    'faults otherwise than the bare CPU, without an error (66410faebc241dbdc980: expected unmapped read 0x201000 at 0x100800, got no fault)',
  ],
  ['clwb', 'refused as an invalid instruction'],
  [
    'dpps',
    'gives another value than the bare CPU, without an error (66410f3a40d6ff: xmm2 expected b1bf29c0b1bf29c0b1bf29c0b1bf29c0, got b0bf29c0b0bf29c0b0bf29c0b0bf29c0)',
  ],
  [
    'ldmxcsr',
    'faults otherwise than the bare CPU, without an error (0fae942404090000: expected general-protection at 0x100800, got no fault)',
  ],
  ['movbe', 'refused as an invalid instruction'],
  [
    'packusdw',
    'gives another value than the bare CPU, without an error (66450f382be4: xmm12 expected ffffffff00000000ffffffff00000000, got ffffffff000000000000000000000000)',
  ],
  ['pclmulqdq', 'refused as an invalid instruction'],
  [
    'pcmpestri64',
    'gives another value than the bare CPU, without an error (66490f3a618d862e2f75fe: rcx expected 0xf, got 0x10)',
  ],
  [
    'pcmpestrm',
    'gives another value than the bare CPU, without an error (6766440f3a6015f403100001: xmm0 expected 57000000000000000000000000000000, got 26000000000000000000000000000000)',
  ],
  [
    'pcmpestrm64',
    'gives another value than the bare CPU, without an error (66480f3a60f882: xmm0 expected 3f3f0000000000000000000000000000, got 00000000000000000000000000000000)',
  ],
  ['pdep', 'gives another value than the bare CPU, without an error (c4e25bf5d8: rbx expected 0x30, got 0x200430)'],
  ['pext', 'gives another value than the bare CPU, without an error (c4c24af5ec: rbp expected 0x1, got 0x4000)'],
  ['pextrw', 'ends the emulator'],
  [
    'phaddd',
    'gives another value than the bare CPU, without an error (66450f3802d2: xmm10 expected c0070208067c6b10c0070208067c6b10, got c0070208067c6b10c6836d18012750c8)',
  ],
  [
    'phaddsw',
    'gives another value than the bare CPU, without an error (660f3803d2: xmm2 expected 99227e800100000099227e8001000000, got 99227e800100000017a3010018a318a3)',
  ],
  [
    'phaddw',
    'gives another value than the bare CPU, without an error (66450f3801d2: xmm10 expected feffee7f27887504feffee7f27887504, got feffee7f27887504ec7f9c8c880cfdd0)',
  ],
  [
    'phminposuw',
    'gives another value than the bare CPU, without an error (2e66450f3841d2: xmm10 expected ad1c0200000000000000000000000000, got 00000200000000000000000000000000)',
  ],
  [
    'phsubd',
    'gives another value than the bare CPU, without an error (660f3806c0: xmm0 expected 3412c0b0f621d6473412c0b0f621d647, got 3412c0b0f621d6473ef0e968efa11458)',
  ],
  [
    'phsubsw',
    'gives another value than the bare CPU, without an error (660f3807f6: xmm6 expected 00802bb600d0ff7f00802bb600d0ff7f, got 00802bb600d0ff7fd5c90080d549ff7f)',
  ],
  [
    'phsubw',
    'gives another value than the bare CPU, without an error (66450f3805c0: xmm8 expected 395f1f3cfeff9055395f1f3cfeff9055, got 395f1f3cfeff90551a236eaaac7861e0)',
  ],
  [
    'pmovsxbd',
    'gives another value than the bare CPU, without an error (66450f3821ff: xmm15 expected 9effffffa6ffffffbcffffff52000000, got 9effffffffffffffffffffffffffffff)',
  ],
  [
    'pmovsxbq',
    'gives another value than the bare CPU, without an error (660f3822ed: xmm5 expected 0000000000000000c0ffffffffffffff, got 00000000000000000000000000000000)',
  ],
  [
    'pmovsxbw',
    'gives another value than the bare CPU, without an error (660f3820f6: xmm6 expected ffffffff7f007f000000000080ff7f00, got ffffffffffffffffffffffffffffffff)',
  ],
  [
    'pmovsxdq',
    'gives another value than the bare CPU, without an error (660f3825ff: xmm7 expected d89a8647000000000000714400000000, got d89a8647000000000000000000000000)',
  ],
  [
    'pmovsxwd',
    'gives another value than the bare CPU, without an error (66450f3823db: xmm11 expected 01000000000000000000000000cfffff, got 01000000000000000000000000000000)',
  ],
  [
    'pmovsxwq',
    'gives another value than the bare CPU, without an error (66450f3824d2: xmm10 expected 0100000000000000807f000000000000, got 01000000000000000000000000000000)',
  ],
  [
    'pmovzxbd',
    'gives another value than the bare CPU, without an error (66450f3831db: xmm11 expected 99000000d000000026000000ee000000, got 99000000000000000000000000000000)',
  ],
  [
    'pmovzxbq',
    'gives another value than the bare CPU, without an error (66450f3832f6: xmm14 expected 72000000000000006b00000000000000, got 72000000000000000000000000000000)',
  ],
  [
    'pmovzxbw',
    'gives another value than the bare CPU, without an error (660f3830e4: xmm4 expected 0000000000008000e1006f00d000e300, got 00000000000000000000000000000000)',
  ],
  [
    'pmovzxdq',
    'gives another value than the bare CPU, without an error (66450f3835ff: xmm15 expected fcd1feaf000000002456976400000000, got fcd1feaf000000000000000000000000)',
  ],
  [
    'pmovzxwd',
    'gives another value than the bare CPU, without an error (66450f3833f6: xmm14 expected 00000000004b0000c07b00003e410000, got 00000000000000000000000000000000)',
  ],
  [
    'pmovzxwq',
    'gives another value than the bare CPU, without an error (660f3834ff: xmm7 expected 55e5000000000000b65f000000000000, got 55e50000000000000000000000000000)',
  ],
  ['popcnt', 'refused as an invalid instruction'],
  [
    'psignd',
    'gives another value than the bare CPU, without an error (66410f380ac5: xmm0 expected ccedffff0000f8ff0000000000000080, got ccedffff010000000000000000000080)',
  ],
  ['rdgsbase', 'refused as an invalid instruction'],
  ['sha1msg1', 'refused as an invalid instruction'],
  ['sha1msg2', 'refused as an invalid instruction'],
  ['sha1nexte', 'refused as an invalid instruction'],
  ['sha1rnds4', 'refused as an invalid instruction'],
  ['sha256msg1', 'refused as an invalid instruction'],
  ['sha256msg2', 'refused as an invalid instruction'],
  ['sha256rnds2', 'refused as an invalid instruction'],
];

/** Encodings that are, but for one circumstance; with an example. */
export const WRONG_WITH: readonly (readonly [code: string, circumstance: Circumstance, example: string])[] = [
  ['Addsd_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Addss_xmm_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Addsubps_xmm_xmmm128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Adox_r32_rm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Adox_r64_rm64',
    'two of the prefixes 66, f2 and f3',
    '66f34c0f38f66010 r12 expected 0x3299843f6eb08f0b, got 0x3299843f6eb08f0a',
  ],
  [
    'Aeskeygenassist_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3adf15850710009c xmm10 expected 63639b78ff9b78630da48b24388b240d, got a063639bff639ba0d20da48b91a48bd2',
  ],
  [
    'Blendpd_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '660f3a0d3d260310001a xmm7 expected fd73a4387e3fb5f40000c0ffffffdf41, got fd73a4387e3fb5f46b0000c0ffffffdf',
  ],
  [
    'Blendps_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a0c2d650210003a xmm13 expected 0000000000000000b0f2444767a24cc1, got 0000000000000000b0f244474c67a24c',
  ],
  ['Cmpsb_m8_m8', 'a 67 prefix', '67a6 expected no fault, got general-protection at 0x100800'],
  ['Cmpsd_m32_m32', 'a 67 prefix', '67f2a7 expected no fault, got general-protection at 0x100800'],
  ['Cmpsd_xmm_xmmm64_imm8', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cmpsq_m64_m64', 'a 67 prefix', '6748a7 expected no fault, got general-protection at 0x100800'],
  [
    'Cmpss_xmm_xmmm32_imm8',
    'two of the prefixes 66, f2 and f3',
    '66f3450fc2f701 xmm14 expected ffffffff69cc3e5e4c6ebdedffffffff, got 00000000000000000000000000000000',
  ],
  ['Cmpsw_m16_m16', 'a 67 prefix', '6766a7 expected no fault, got general-protection at 0x100800'],
  ['Crc32_r32_rm16', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Crc32_r32_rm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Crc32_r32_rm8', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Crc32_r64_rm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Crc32_r64_rm8', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cvtdq2pd_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Cvtpd2dq_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    'f3f2400fe6d4 xmm2 expected 00000000000000000000000000000000, got 0000c0e5ad7dda410000400000e0dfc1',
  ],
  ['Cvtsd2si_r32_xmmm64', 'two of the prefixes 66, f2 and f3', 'f3f2450f2dd5 r10 expected 0x80000000, got 0xf3a0'],
  [
    'Cvtsd2si_r64_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2490f2d4142 rax expected 0x8000000000000000, got 0x1d3a90000000000',
  ],
  [
    'Cvtsd2ss_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2450f5adf xmm11 expected 0000807f00000000ffffffffffff0f80, got 00000020d5fedebaffffffffffff0f80',
  ],
  [
    'Cvtsi2sd_xmm_rm32',
    'two of the prefixes 66, f2 and f3',
    'f3f2410f2aa6a140f535 xmm4 expected 0000000080becb417034754700402644, got 00f45d4e0080c1c37034754700402644',
  ],
  [
    'Cvtsi2sd_xmm_rm64',
    'two of the prefixes 66, f2 and f3',
    '66f24c0f2a6a78 xmm13 expected 5c70d6a2897ec8c397d39a9a168038ff, got 000080e5d1c7d441000000a3897ec8c1',
  ],
  [
    'Cvtsi2ss_xmm_rm32',
    'two of the prefixes 66, f2 and f3',
    '66f3440f2ab424550a0000 xmm14 expected ba652f4b0000e0c1661621141eb589f6, got 00000040b7ec654100000000a029dbc1',
  ],
  ['Cvtsi2ss_xmm_rm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Cvtss2sd_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3450f5a621b xmm12 expected 00000000000000c452ab2498000080ff, got 00000000000000000000000000000000',
  ],
  ['Cvtss2si_r32_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cvtss2si_r64_xmmm32', 'two of the prefixes 66, f2 and f3', '66f34d0f2dce r9 expected 0xaa2b, got 0x10'],
  ['Cvttps2dq_xmm_xmmm128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Cvttsd2si_r32_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f2410f2c55be rdx expected 0x0, got 0x8d031953565957c6',
  ],
  ['Cvttsd2si_r64_xmmm64', 'two of the prefixes 66, f2 and f3', '66f24c0f2c8245db94e5 r8 expected 0x0, got 0x2e6f75b7'],
  ['Cvttss2si_r32_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cvttss2si_r64_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Divsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f2440f5e23 xmm12 expected 000000000000f0ffb19950ce538576c7, got 000000000000f0ff0f3ba73f179b4889',
  ],
  ['Divss_xmm_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Dppd_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '6766440f3a412544071000ff xmm12 expected a255bb24e317b2c2a255bb24e317b2c2, got 4996a72845e2a7234996a72845e2a723',
  ],
  [
    'Extractps_r64m32_xmm_imm8',
    'a RIP-relative operand',
    '664c0f3a171df401100001 memory 0x2009fe expected 5bebd6fc2b7fc8fa587e00be35460000, got ebd6fc2b807fc8fa587e00be35460000',
  ],
  [
    'Extractps_rm32_xmm_imm8',
    'a RIP-relative operand',
    '660f3a173d610710009a memory 0x200f6a expected 7fffffffff80b93593fde8bb2f6f0000, got ffffffff0080b93593fde8bb2f6f0000',
  ],
  [
    'Haddps_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    '66f2410f7ceb xmm5 expected 000000778000000080f6a3c659ae64ec, got 000000770c003cc14873d08c59ae64ec',
  ],
  [
    'Hsubps_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    '66f2410f7db256a54188 xmm6 expected 40ee0a46357bb0e5338345580000c07f, got 402e04460000d8c3000000000000c0ff',
  ],
  [
    'Insertps_xmm_xmmm32_imm8',
    'a RIP-relative operand',
    '66440f3a2125f2071000ff expected unmapped read 0x201000 at 0x100800, got no fault',
  ],
  ['Lahf', 'a REX prefix', '3e409f rax expected 0x9204, got 0x4'],
  ['Lddqu_xmm_m128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Lodsb_AL_m8', 'a 67 prefix', '67ac expected no fault, got general-protection at 0x100800'],
  ['Lodsd_EAX_m32', 'a 67 prefix', '67f3ad expected no fault, got general-protection at 0x100800'],
  ['Lodsq_RAX_m64', 'a 67 prefix', '6748ad expected no fault, got general-protection at 0x100800'],
  ['Lodsw_AX_m16', 'a 67 prefix', '67f266ad expected no fault, got general-protection at 0x100800'],
  ['Loope_rel8_64_ECX', 'a repeat prefix', 'f267e141 rip expected 0x100845, got 0x100804'],
  ['Loope_rel8_64_RCX', 'a repeat prefix', 'f2e1f5 rip expected 0x1007f8, got 0x100803'],
  ['Loopne_rel8_64_ECX', 'a repeat prefix', 'f367e0ea rip expected 0x100804, got 0x1007ee'],
  ['Loopne_rel8_64_RCX', 'a repeat prefix', 'f340e030 rip expected 0x100804, got 0x100834'],
  ['Maxsd_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Maxss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3450f5fda xmm11 expected 60a70f47484f31850100004b3412c0ff, got 345581d5484f31850100004b3412c0ff',
  ],
  [
    'Minsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2450f5dac241981911d xmm13 expected 722446a63412c0ff503337c70000e841, got 722446a600009743503337c70000e841',
  ],
  ['Minss_xmm_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movddup_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movdqu_xmm_xmmm128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movdqu_xmmm128_xmm', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movq_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movsb_m8_m8', 'a 67 prefix', '67a4 expected no fault, got general-protection at 0x100800'],
  ['Movsd_m32_m32', 'a 67 prefix', '67f2a5 expected no fault, got general-protection at 0x100800'],
  [
    'Movsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2410f10df xmm3 expected dda33c434f83518650a28a470000e6c2, got dda33c4300c00b4450a28a470000e6c2',
  ],
  [
    'Movsd_xmmm64_xmm',
    'two of the prefixes 66, f2 and f3',
    'f3f20f112a memory 0x200927 expected e6c02e41bc4a265603ffff7f7fdf4334, got 0073e1b5bc4a265603ffff7f7fdf4334',
  ],
  [
    'Movshdup_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    '66f3450f16de xmm11 expected 00000000000000000ef95d280ef95d28, got 01000080000000000500000000000000',
  ],
  [
    'Movsldup_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    '66f3410f12d3 xmm2 expected 3d0000003d000000a8bc85f4a8bc85f4, got a8bc85f48550da2c000080f6792549c1',
  ],
  ['Movsq_m64_m64', 'a 67 prefix', '6748a5 expected no fault, got general-protection at 0x100800'],
  [
    'Movss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3440f10d1 xmm10 expected 49b5b40b984dcf98c07f53c600c071c4, got 49b5b40b180a94087826eb2dd409466b',
  ],
  ['Movss_xmmm32_xmm', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movsw_m16_m16', 'a 67 prefix', '6766a5 expected no fault, got general-protection at 0x100800'],
  [
    'Mpsadbw_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a423d25001000d9 xmm15 expected ad007801f701f90198016b014c011001, got 3b0106022502e301a8011d01c4008200',
  ],
  [
    'Mulsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f2440f59da xmm11 expected 000ebdc40080108165ef544e3fcab894, got 000ebdc4008010819745fe209b385590',
  ],
  [
    'Mulss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3440f5910 xmm10 expected e37dfc1cd1cf0786a1b2c183b2ddcfbf, got 0000000000000080e5e231ba3b5e9fb4',
  ],
  [
    'Palignr_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a0f256505100001 xmm12 expected 294732fd70e27cf0662ec7004039c424, got 79294732fd70e27cf0662ec700403924',
  ],
  [
    'Pblendw_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a0e25f5041000ff xmm12 expected c1805ee50503edbb000000000000e0c1, got dbc1805ee50503edbb000000000000e0',
  ],
  ['Pcmpestri_xmm_xmmm128_imm8', 'a RIP-relative operand', '67660f3a611d0505100002 rcx expected 0x4, got 0x5'],
  [
    'Pcmpistri_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '660f3a632d7606100045 rflags expected 0xc0, got 0x80, defined 0xcd5',
  ],
  [
    'Pcmpistrm_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '67660f3a622dd50410003c xmm0 expected f0ff0000000000000000000000000000, got e0ff0000000000000000000000000000',
  ],
  [
    'Pextrb_r32m8_xmm_imm8',
    'a RIP-relative operand',
    '660f3a140d53061000ff memory 0x200e5c expected 3a4313ce76fd69ca0000000000000080, got 438013ce76fd69ca0000000000000080',
  ],
  [
    'Pextrb_r64m8_xmm_imm8',
    'a RIP-relative operand',
    '664c0f3a140517061000fe memory 0x200e21 expected d2a087c2289b3d328ce68e378e1e3400, got a0cb87c2289b3d328ce68e378e1e3400',
  ],
  [
    'Pextrd_rm32_xmm_imm8',
    'a RIP-relative operand',
    '66440f3a163d6c05100038 memory 0x200d76 expected df000000000000001000a010ce460080, got 00000000000000001000a010ce460080',
  ],
  [
    'Pextrq_rm64_xmm_imm8',
    'a RIP-relative operand',
    '664c0f3a16354a01100044 memory 0x200954 expected 3700459c450000bac3afeefbbe94dda2, got 00459c450000bac3b1afeefbbe94dda2',
  ],
  [
    'Pinsrb_xmm_r32m8_imm8',
    'a RIP-relative operand',
    '66440f3a201dda001000e7 xmm11 expected 75b667e1e397b740901e63470000a0c3, got 75b667e1e397b700901e63470000a0c3',
  ],
  [
    'Pinsrb_xmm_r64m8_imm8',
    'a RIP-relative operand',
    '66480f3a202d89011000a4 xmm5 expected 60d5e0c6af00de420100004b000080bf, got 60d5e0c6e500de420100004b000080bf',
  ],
  [
    'Pinsrd_xmm_rm32_imm8',
    'a RIP-relative operand',
    '660f3a223da8051000fe xmm7 expected 000000003412c0ff004b830b004011c4, got 000000003412c0ff00004b83004011c4',
  ],
  [
    'Pinsrq_xmm_rm64_imm8',
    'a RIP-relative operand',
    '66480f3a223d6a0510004a xmm7 expected 00c07f0000000000ffff7f7f1e4c7bbd, got 0000c07f00000000ffff7f7f1e4c7bbd',
  ],
  ['Pshufhw_xmm_xmmm128_imm8', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Pshuflw_xmm_xmmm128_imm8',
    'two of the prefixes 66, f2 and f3',
    'f3f2410f70defe xmm3 expected 00000000000000002efa4a864f92dbb2, got 7f000000000000004f92dbb2dbb2dbb2',
  ],
  [
    'Roundpd_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '660f3a092506061000ff xmm4 expected 000000000000f03f1f71bd9a0000c07f, got a0000000000000f000000000000000c0',
  ],
  [
    'Roundps_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a0815650010007f xmm10 expected 00fcecc60080c1430000008097f23a71, got 4800fbec000080c10000000000000000',
  ],
  [
    'Roundsd_xmm_xmmm64_imm8',
    'a RIP-relative operand',
    '6766440f3a0b15c405100003 xmm10 expected e5917192faaa5df900008028d26c49c1, got c3e5917192faaa5d00008028d26c49c1',
  ],
  [
    'Roundss_xmm_xmmm32_imm8',
    'a RIP-relative operand',
    '66440f3a0a156b06100009 xmm10 expected 005fe0e100c01844bbeb3a190000005f, got 00005fe000c01844bbeb3a190000005f',
  ],
  ['Sahf', 'a REX prefix', '36409e rflags expected 0x11, got 0x10, defined 0xcd5'],
  ['Sal_rm16_CL', 'a memory operand', '66d371d4 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Sal_rm32_CL', 'a memory operand', '41d330 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Sal_rm64_CL', 'a memory operand', '49d333 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Sal_rm8_CL', 'a memory operand', '43d23486 rflags expected 0x91, got 0x880, defined 0x4c5'],
  ['Sar_rm16_CL', 'a memory operand', '66d3bb2b369477 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Sar_rm32_CL', 'a memory operand', '43d3bca3edc61f61 rflags expected 0x11, got 0x0, defined 0x4c5'],
  ['Sar_rm64_CL', 'a memory operand', '6549d37aad rflags expected 0x91, got 0x880, defined 0x4c5'],
  ['Sar_rm8_CL', 'a memory operand', 'd27fea rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Scasb_AL_m8', 'a 67 prefix', '67f3ae expected no fault, got general-protection at 0x100800'],
  ['Scasd_EAX_m32', 'a 67 prefix', '67f3af expected no fault, got general-protection at 0x100800'],
  ['Scasq_RAX_m64', 'a 67 prefix', '6748af expected no fault, got general-protection at 0x100800'],
  ['Scasw_AX_m16', 'a 67 prefix', '6766af expected no fault, got general-protection at 0x100800'],
  ['Shl_rm16_CL', 'a memory operand', '6641d327 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shl_rm32_CL', 'a memory operand', '67d32587021000 rflags expected 0x815, got 0x4, defined 0x4c5'],
  ['Shl_rm64_CL', 'a memory operand', '49d326 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shl_rm8_CL', 'a memory operand', '67d22523041000 rflags expected 0x491, got 0xc80, defined 0x4c5'],
  ['Shld_rm16_r16_CL', 'a memory operand', '66470fa5948e06b639db rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shld_rm16_r16_imm8', 'a memory operand', '660fa47b2328 rflags expected 0x811, got 0x0, defined 0x4c5'],
  ['Shld_rm32_r32_CL', 'a memory operand', '0fa59127cd4262 rflags expected 0x91, got 0x880, defined 0xcc5'],
  ['Shld_rm32_r32_imm8', 'a memory operand', '450fa4476b4d rflags expected 0x815, got 0x4, defined 0x4c5'],
  ['Shld_rm64_r64_CL', 'a memory operand', '67490fa594348acc908a rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shld_rm64_r64_imm8', 'a memory operand', '490fa49cb9ea63e8bc11 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shr_rm16_CL', 'a memory operand', '6643d36cab70 rflags expected 0x810, got 0x0, defined 0xcc5'],
  ['Shr_rm32_CL', 'a memory operand', 'd36e35 rflags expected 0x415, got 0x404, defined 0xcc5'],
  ['Shr_rm64_CL', 'a memory operand', '49d3a8aec1ff8f rflags expected 0x15, got 0x4, defined 0x4c5'],
  ['Shr_rm8_CL', 'a memory operand', 'd26c6e63 rflags expected 0x411, got 0x400, defined 0x4c5'],
  ['Shrd_rm16_r16_CL', 'a memory operand', '660fad8a787a4536 rflags expected 0x15, got 0x4, defined 0x4c5'],
  ['Shrd_rm16_r16_imm8', 'a memory operand', '66440facbc2438040000e6 rflags expected 0x11, got 0x0, defined 0x4c5'],
  ['Shrd_rm32_r32_CL', 'a memory operand', '460fad2478 rflags expected 0x94, got 0x884, defined 0xcc5'],
  [
    'Shrd_rm32_r32_imm8',
    'a memory operand',
    '440fac2d8802100062 memory 0x200a90 expected 8080ca318080b24301000000e2d247cb, got 2080cab10080b24301000000e2d247cb',
  ],
  ['Shrd_rm64_r64_CL', 'a memory operand', '4d0fad7cac1f rflags expected 0x11, got 0x0, defined 0x4c5'],
  ['Shrd_rm64_r64_imm8', 'a memory operand', '65480fac7fa40a rflags expected 0x95, got 0x884, defined 0x4c5'],
  [
    'Sqrtsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f2450f518b66b9748e xmm9 expected 000000000000f8ff0100807f0100807f, got 000000000000f8ff0d0ec016e41dd742',
  ],
  [
    'Sqrtss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3410f517252 xmm6 expected 000000000000000081dd0e862029e197, got 000000000000f8ff000000000000f8ff',
  ],
  ['Stosb_m8_AL', 'a 67 prefix', '67f3aa expected no fault, got general-protection at 0x100800'],
  ['Stosd_m32_EAX', 'a 67 prefix', '67f3ab expected no fault, got general-protection at 0x100800'],
  ['Stosq_m64_RAX', 'a 67 prefix', '6748ab expected no fault, got general-protection at 0x100800'],
  ['Stosw_m16_AX', 'a 67 prefix', '6766ab expected no fault, got general-protection at 0x100800'],
  ['Subsd_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Subss_xmm_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['VEX_Rorx_r32_rm32_imm8', 'a RIP-relative operand', 'c4e37bf0353d001000fe rsi expected 0x800001fe, got 0x1fe00'],
  [
    'VEX_Rorx_r64_rm64_imm8',
    'a RIP-relative operand',
    'c4e3fbf005b80010007f rax expected 0x1280d3577aa80000, got 0x80d3577aa80000fe',
  ],
];
