// Made by `npx tsx test/metal/unicorn-table.ts`; do not edit. What Unicorn 1.0.3 (unicorn.js) executes as the bare CPU does:
// 110755 cases over 993 encodings, against AMD EPYC, signature 00a10f11.
//
// These differences hold for the engine as a whole and keep no instruction out: a misaligned 16-byte SSE operand is not
// refused; where both fault, kind (#GP or page fault), access (a read-modify-write is reported as a read), address of an
// access that crosses pages, and registers or flags may differ; of two NaNs another one may come through
// (9 encodings: Mulsd_xmm_xmmm64 Cvtps2pd_xmm_xmmm64 Cvtpd2ps_xmm_xmmm128 Cvtss2sd_xmm_xmmm32 Cvtsd2ss_xmm_xmmm64 Divps_xmm_xmmm128 Haddps_xmm_xmmm128 Hsubps_xmm_xmmm128 Addsubps_xmm_xmmm128).
import type { Circumstance } from './judge.ts';

/** Mnemonics of which at least one encoding is executed rightly. */
export const MNEMONICS = `
  adc adcx add addpd addps addsd addss addsubpd addsubps adox aesdec aesdeclast aesenc aesenclast aesimc
  aeskeygenassist and andnpd andnps andpd andps bextr blendpd blendps blendvpd blendvps bsf bsr bswap bt btc btr bts
  call cbw cdq cdqe clc cld cmc cmova cmovae cmovb cmovbe cmove cmovg cmovge cmovl cmovle cmovne cmovno cmovnp cmovns
  cmovo cmovp cmovs cmp cmppd cmpps cmpsb cmpsd cmpsq cmpss cmpsw cmpxchg cmpxchg16b cmpxchg8b comisd comiss cqo
  crc32 cvtdq2pd cvtdq2ps cvtpd2dq cvtpd2ps cvtps2dq cvtps2pd cvtsd2si cvtsd2ss cvtsi2sd cvtsi2ss cvtss2sd cvtss2si
  cvttpd2dq cvttps2dq cvttsd2si cvttss2si cwd cwde dec div divpd divps divsd divss dppd dpps endbr32 endbr64 enter
  extractps haddpd haddps hsubpd hsubps idiv imul inc insertps int3 ja jae jb jbe je jecxz jg jge jl jle jmp jne jno
  jnp jns jo jp jrcxz js lahf lddqu lea leave lfence lodsb lodsd lodsq lodsw loop loope loopne lzcnt maskmovdqu maxpd
  maxps maxsd maxss mfence minpd minps minsd minss mov movapd movaps movd movddup movdqa movdqu movhlps movhpd movhps
  movlhps movlpd movlps movmskpd movmskps movntdq movntdqa movnti movntpd movntps movq movsb movsd movshdup movsldup
  movsq movss movsw movsx movsxd movupd movups movzx mpsadbw mul mulpd mulps mulsd mulss mulx neg nop not or orpd
  orps pabsb pabsd pabsw packssdw packsswb packuswb paddb paddd paddq paddsb paddsw paddusb paddusw paddw palignr
  pand pandn pause pavgb pavgw pblendvb pblendw pcmpeqb pcmpeqd pcmpeqq pcmpeqw pcmpestri pcmpestrm pcmpgtb pcmpgtd
  pcmpgtq pcmpgtw pcmpistri pcmpistrm pextrb pextrd pextrq pinsrb pinsrd pinsrq pinsrw pmaddubsw pmaddwd pmaxsb
  pmaxsd pmaxsw pmaxub pmaxud pmaxuw pminsb pminsd pminsw pminub pminud pminuw pmovmskb pmovsxbd pmuldq pmulhrsw
  pmulhuw pmulhw pmulld pmullw pmuludq pop popf popfq por prefetch prefetchnta prefetcht0 prefetcht1 prefetcht2
  prefetchw psadbw pshufb pshufd pshufhw pshuflw psignb psignw pslld pslldq psllq psllw psrad psraw psrld psrldq
  psrlq psrlw psubb psubd psubq psubsb psubsw psubusb psubusw psubw ptest punpckhbw punpckhdq punpckhqdq punpckhwd
  punpcklbw punpckldq punpcklqdq punpcklwd push pushf pushfq pxor rcl rcr reservednop ret rol ror rorx roundpd
  roundps roundsd roundss sahf sal sar sarx sbb scasb scasd scasq scasw seta setae setb setbe sete setg setge setl
  setle setne setno setnp setns seto setp sets sfence shl shld shlx shr shrd shrx shufpd shufps sqrtpd sqrtps sqrtsd
  sqrtss stc std stmxcsr stosb stosd stosq stosw sub subpd subps subsd subss test tzcnt ucomisd ucomiss ud1 ud2
  unpckhpd unpckhps unpcklpd unpcklps xadd xchg xlatb xor xorpd xorps`;

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
  [
    'VEX_Bextr_r32_rm32_r32',
    'gives another value than the bare CPU, without an error (c4c240f7d4: rdx expected 0xf4, got 0x33b200f4)',
  ],
  ['andn', 'gives another value than the bare CPU, without an error (c4c238f2ca: rcx expected 0x0, got 0x6c40cb3b)'],
  [
    'blsi',
    'gives another value than the bare CPU, without an error (c4c228f3db: r10 expected 0x0, got 0x600cba6c5e98bac2)',
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
    'faults otherwise than the bare CPU, without an error (660fae3df8071000: expected unmapped read 0x201000 at 0x100800, got no fault)',
  ],
  ['clwb', 'refused as an invalid instruction'],
  [
    'ldmxcsr',
    'faults otherwise than the bare CPU, without an error (0fae5600: expected general-protection at 0x100800, got no fault)',
  ],
  ['movbe', 'refused as an invalid instruction'],
  [
    'packusdw',
    'gives another value than the bare CPU, without an error (660f382bff: xmm7 expected 00000000ffff000000000000ffff0000, got 00000000ffff00000000ffff00000000)',
  ],
  ['pclmulqdq', 'refused as an invalid instruction'],
  [
    'pcmpestri64',
    'gives another value than the bare CPU, without an error (66490f3a618d862e2f75fe: rcx expected 0xf, got 0x10)',
  ],
  [
    'pcmpestrm64',
    'gives another value than the bare CPU, without an error (66480f3a60f882: xmm0 expected 3f3f0000000000000000000000000000, got 00000000000000000000000000000000)',
  ],
  ['pdep', 'gives another value than the bare CPU, without an error (c4e25bf5d8: rbx expected 0x30, got 0x200430)'],
  ['pext', 'gives another value than the bare CPU, without an error (c4e24af51e: rbx expected 0x9, got 0x11)'],
  ['pextrw', 'ends the emulator'],
  [
    'phaddd',
    'gives another value than the bare CPU, without an error (660f3802ff: xmm7 expected ffff7f4e3412f8ffffff7f4e3412f8ff, got ffff7f4e3412f8ff3312784e3312704e)',
  ],
  [
    'phaddsw',
    'gives another value than the bare CPU, without an error (660f3803f6: xmm6 expected 1400000064d100801400000064d10080, got 1400000064d100801400008014800080)',
  ],
  [
    'phaddw',
    'gives another value than the bare CPU, without an error (660f3801ed: xmm5 expected feff000012aa2f00feff000012aa2f00, got feff000012aa2f00feff41aa3faaf6e7)',
  ],
  [
    'phminposuw',
    'gives another value than the bare CPU, without an error (66450f3841c0: xmm8 expected 34120400000000000000000000000000, got 00000400000000000000000000000000)',
  ],
  [
    'phsubd',
    'gives another value than the bare CPU, without an error (660f3806db: xmm3 expected 00b4c1805af6d6bf00b4c1805af6d6bf, got 00b4c1805af6d6bfa6bdeac011c10f4d)',
  ],
  [
    'phsubsw',
    'gives another value than the bare CPU, without an error (660f3807f6: xmm6 expected 409dbdfbff7f8f64409dbdfbff7f8f64, got 409dbdfbff7f8f6483a1701b13860080)',
  ],
  [
    'phsubw',
    'gives another value than the bare CPU, without an error (66450f3805c9: xmm9 expected 000020be00800000000020be00800000, got 000020be00800000e0410080e0c1e0c1)',
  ],
  [
    'pmovsxbq',
    'gives another value than the bare CPU, without an error (66450f3822ff: xmm15 expected 3300000000000000bfffffffffffffff, got 33000000000000000000000000000000)',
  ],
  [
    'pmovsxbw',
    'gives another value than the bare CPU, without an error (660f3820e4: xmm4 expected 80ffcfff1000c7ff000040004200c4ff, got 80ffffffffffffffffffffffffffffff)',
  ],
  [
    'pmovsxdq',
    'gives another value than the bare CPU, without an error (660f3825c9: xmm1 expected 010000000000000000000080ffffffff, got 01000000000000000000000000000000)',
  ],
  [
    'pmovsxwd',
    'gives another value than the bare CPU, without an error (66450f3823d2: xmm10 expected 00000000005f0000cab8ffffded4ffff, got 00000000000000000000000000000000)',
  ],
  [
    'pmovsxwq',
    'gives another value than the bare CPU, without an error (66450f3824ff: xmm15 expected ffffffffffffffffff4e000000000000, got ffffffffffffffffffffffffffffffff)',
  ],
  [
    'pmovzxbd',
    'gives another value than the bare CPU, without an error (660f3831c9: xmm1 expected d500000079000000c100000072000000, got d5000000000000000000000000000000)',
  ],
  [
    'pmovzxbq',
    'gives another value than the bare CPU, without an error (66450f3832c0: xmm8 expected 8c00000000000000d000000000000000, got 8c000000000000000000000000000000)',
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
    'gives another value than the bare CPU, without an error (66450f3834f6: xmm14 expected ffff000000000000ff4e000000000000, got ffff0000000000000000000000000000)',
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
  ['Adox_r32_rm32', 'two of the prefixes 66, f2 and f3', '66f3440f38f6fc r15 expected 0x200508, got 0x200507'],
  [
    'Aeskeygenassist_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3adf15850710009c xmm10 expected 63639b78ff9b78630da48b24388b240d, got a063639bff639ba0d20da48b91a48bd2',
  ],
  [
    'Blendpd_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '660f3a0d05f6051000ff xmm0 expected 0000008652573c41000000000000e041, got 3f0000008652573c41000000000000e0',
  ],
  [
    'Blendps_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a0c2d650210003a xmm13 expected 0000000000000000b0f2444767a24cc1, got 0000000000000000b0f244474c67a24c',
  ],
  ['Cmpsb_m8_m8', 'a 67 prefix', '67a6 expected no fault, got general-protection at 0x100800'],
  ['Cmpsd_m32_m32', 'a 67 prefix', '67f2a7 expected no fault, got general-protection at 0x100800'],
  [
    'Cmpsd_xmm_xmmm64_imm8',
    'two of the prefixes 66, f2 and f3',
    '66f2410fc2c001 xmm0 expected 0000000000000000b0d43defeb60adb7, got 00000000000000000000000000000000',
  ],
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
  [
    'Cvtdq2pd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f3450fe67afb xmm15 expected 00000000a0dfe840000040d930f0d541, got 00000080000000800000000000000000',
  ],
  [
    'Cvtpd2dq_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    'f3f20fe639 xmm7 expected 00000080000000000000000000000000, got 000000a0e277ccc100000000e0fcd041',
  ],
  [
    'Cvtsd2si_r32_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2450f2dbac6c6b1d4 r15 expected 0x80000000, got 0xfffffcf7',
  ],
  ['Cvtsd2si_r64_xmmm64', 'two of the prefixes 66, f2 and f3', '66f24d0f2dd0 r10 expected 0x8000000000000000, got 0x0'],
  [
    'Cvtsd2ss_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2450f5adf xmm11 expected 0000807f00000000ffffffffffff0f80, got 00000020d5fedebaffffffffffff0f80',
  ],
  [
    'Cvtsi2sd_xmm_rm32',
    'two of the prefixes 66, f2 and f3',
    'f3f2410f2ae9 xmm5 expected 0000000000003240a0ad9dc60080ae43, got 00009041b897ef40a0ad9dc60080ae43',
  ],
  [
    'Cvtsi2sd_xmm_rm64',
    'two of the prefixes 66, f2 and f3',
    '66f24d0f2a23 xmm12 expected ffff7fff24babf4300000053c7564fc1, got 000000c0ffffdf41000000ff24babf41',
  ],
  [
    'Cvtsi2ss_xmm_rm32',
    'two of the prefixes 66, f2 and f3',
    '66f3450f2acb xmm9 expected 00fe7f4792bab0c0558f8631cf0e8307, got 00000000000000000000000000000000',
  ],
  ['Cvtsi2ss_xmm_rm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cvtss2sd_xmm_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cvtss2si_r32_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cvtss2si_r64_xmmm32', 'two of the prefixes 66, f2 and f3', '66f34c0f2dd6 r10 expected 0x0, got 0x92fe13ac303c1778'],
  ['Cvttps2dq_xmm_xmmm128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Cvttsd2si_r32_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f2400f2c9c24a3060000 rbx expected 0x80000000, got 0x4',
  ],
  [
    'Cvttsd2si_r64_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f24c0f2ce2 r12 expected 0x0, got 0x82527a0000000000',
  ],
  ['Cvttss2si_r32_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Cvttss2si_r64_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Divsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2440f5e23 xmm12 expected 000000000000f0ffb19950ce538576c7, got 0000807f0000a6c2b19950ce538576c7',
  ],
  [
    'Divss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3450f5ed7 xmm10 expected 49f3e9ec0222075f0080000022e5fd14, got 626630afc42d1d330000000000000000',
  ],
  [
    'Dppd_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '6766440f3a412544071000ff xmm12 expected a255bb24e317b2c2a255bb24e317b2c2, got 4996a72845e2a7234996a72845e2a723',
  ],
  [
    'Dpps_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a40352504100096 xmm14 expected 00000000b1fb1ec6b1fb1ec600000000, got 0000000021114bb521114bb500000000',
  ],
  [
    'Extractps_r64m32_xmm_imm8',
    'a RIP-relative operand',
    '664c0f3a171df401100001 memory 0x2009fe expected 5bebd6fc2b7fc8fa587e00be35460000, got ebd6fc2b807fc8fa587e00be35460000',
  ],
  [
    'Extractps_rm32_xmm_imm8',
    'a RIP-relative operand',
    '660f3a17355c071000fe memory 0x200f65 expected 9effffffff001844d020c12d52813300, got ffffffff00001844d020c12d52813300',
  ],
  ['Haddps_xmm_xmmm128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Hsubps_xmm_xmmm128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Insertps_xmm_xmmm32_imm8',
    'a RIP-relative operand',
    '660f3a210da906100000 xmm1 expected b1126c3c0000c07f7a4f074f2f0019af, got 6cb1126c0000c07f7a4f074f2f0019af',
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
  [
    'Maxsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2410f5fbc2497663508 xmm7 expected 3f00000000000000e29ef8b5ffffffff, got bb1a700100000000e29ef8b5ffffffff',
  ],
  [
    'Maxss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3450f5fda xmm11 expected 60a70f47484f31850100004b3412c0ff, got 345581d5484f31850100004b3412c0ff',
  ],
  ['Minsd_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Minss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3440f5d8f55970372 xmm9 expected c4fe000001b8c9ccfe0000001b4ee145, got 0000005f01b8c9ccc919d14f46ffff7f',
  ],
  [
    'Movddup_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f2450f1237 xmm14 expected e44eb02c00a33447e44eb02c00a33447, got e44eb02c00a33447000000000000e043',
  ],
  ['Movdqu_xmm_xmmm128', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movdqu_xmmm128_xmm', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Movq_xmm_xmmm64', 'two of the prefixes 66, f2 and f3', '66f3410f7ef5 r13 expected 0x48ad0e3c, got 0xffff'],
  ['Movsb_m8_m8', 'a 67 prefix', '67a4 expected no fault, got general-protection at 0x100800'],
  ['Movsd_m32_m32', 'a 67 prefix', '67f2a5 expected no fault, got general-protection at 0x100800'],
  [
    'Movsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2440f10598d xmm11 expected 80b494c6000095430000000000000000, got 80b494c6000000000000000000000000',
  ],
  ['Movsd_xmmm64_xmm', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  [
    'Movshdup_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    '66f3450f16de xmm11 expected 00000000000000000ef95d280ef95d28, got 01000080000000000500000000000000',
  ],
  [
    'Movsldup_xmm_xmmm128',
    'two of the prefixes 66, f2 and f3',
    '66f3410f1218 xmm3 expected 20bb2ec720bb2ec700fd46c500fd46c5, got 20bb2ec70000d643c3fb07f326186a1b',
  ],
  ['Movsq_m64_m64', 'a 67 prefix', '6748a5 expected no fault, got general-protection at 0x100800'],
  [
    'Movss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3440f1075d1 xmm14 expected 4f5c40a6000000000000000000000000, got 4f5c40a6838ed91a74755056b7d0e69a',
  ],
  [
    'Movss_xmmm32_xmm',
    'two of the prefixes 66, f2 and f3',
    '66f3440f11942439060000 memory 0x200c1d expected 00003f008000008276a35320aeaec600, got b0ab9e577c2bdd50b64b8e8eaeaec600',
  ],
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
    '66f3410f595603 xmm2 expected 000000805f3fd913000000000000e043, got 83d570b35f3f890affffff7f48276bd3',
  ],
  [
    'Palignr_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a0f256505100001 xmm12 expected 294732fd70e27cf0662ec7004039c424, got 79294732fd70e27cf0662ec700403924',
  ],
  [
    'Pblendw_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a0e3de5001000c4 xmm15 expected c07e84e9ffffdb8c0000009b96ff743b, got c07e84e9ffffdb8c0000009b5696ff74',
  ],
  ['Pcmpestri_xmm_xmmm128_imm8', 'a memory operand', '660f3a6163730f rcx expected 0x7, got 0x8'],
  [
    'Pcmpestrm_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '660f3a60056600100001 xmm0 expected 70000000000000000000000000000000, got 60000000000000000000000000000000',
  ],
  ['Pcmpistri_xmm_xmmm128_imm8', 'a RIP-relative operand', '6766440f3a6335f4021000b6 rcx expected 0x10, got 0x0'],
  [
    'Pcmpistrm_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a620d35031000ed rflags expected 0xc0, got 0x80, defined 0xcd5',
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
  [
    'Pshufhw_xmm_xmmm128_imm8',
    'two of the prefixes 66, f2 and f3',
    '66f30f70134f xmm2 expected 000000000000e03fb5c3b5c300551b45, got 0080b5c30080b5c3000000000000e03f',
  ],
  [
    'Pshuflw_xmm_xmmm128_imm8',
    'two of the prefixes 66, f2 and f3',
    'f3f2450f70eaff xmm13 expected 642a642a642a642a2be39205d3ac47a7, got 23c6b26d80e4642a47a747a747a747a7',
  ],
  [
    'Roundpd_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '660f3a092506061000ff xmm4 expected 000000000000f03f1f71bd9a0000c07f, got a0000000000000f000000000000000c0',
  ],
  [
    'Roundps_xmm_xmmm128_imm8',
    'a RIP-relative operand',
    '66440f3a081dc5021000fe xmm11 expected 3d2be9d80000000000c451c6000093c3, got 413d2be9d82d2bef2d00c55100000080',
  ],
  [
    'Roundsd_xmm_xmmm64_imm8',
    'a RIP-relative operand',
    '67660f3a0b3d9f04100025 xmm7 expected 000000000000008000000040340de640, got 000000000000cfc000000040340de640',
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
  ['Sal_rm8_CL', 'a memory operand', '41d2b444426442fd rflags expected 0x91, got 0x880, defined 0x4c5'],
  ['Sar_rm16_CL', 'a memory operand', '66d3bb2b369477 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Sar_rm32_CL', 'a memory operand', 'd33d1c001000 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Sar_rm64_CL', 'a memory operand', '4bd33c2e rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Sar_rm8_CL', 'a memory operand', 'd27fea rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Scasb_AL_m8', 'a 67 prefix', '67f3ae expected no fault, got general-protection at 0x100800'],
  ['Scasd_EAX_m32', 'a 67 prefix', '67f3af expected no fault, got general-protection at 0x100800'],
  ['Scasq_RAX_m64', 'a 67 prefix', '6748af expected no fault, got general-protection at 0x100800'],
  ['Scasw_AX_m16', 'a 67 prefix', '6766af expected no fault, got general-protection at 0x100800'],
  ['Shl_rm16_CL', 'a memory operand', '6641d327 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shl_rm32_CL', 'a memory operand', 'd36651 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shl_rm64_CL', 'a memory operand', '49d326 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shl_rm8_CL', 'a memory operand', '6740d2257f061000 rflags expected 0x815, got 0x4, defined 0xcc5'],
  ['Shld_rm16_r16_CL', 'a memory operand', '6766470fa5844913052000 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shld_rm16_r16_imm8', 'a memory operand', '66410fa45056c8 rflags expected 0x91, got 0x880, defined 0x4c5'],
  ['Shld_rm32_r32_CL', 'a memory operand', '0fa59127cd4262 rflags expected 0x91, got 0x880, defined 0xcc5'],
  ['Shld_rm32_r32_imm8', 'a memory operand', '450fa4476b4d rflags expected 0x815, got 0x4, defined 0x4c5'],
  ['Shld_rm64_r64_CL', 'a memory operand', '4c0fa525ef011000 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shld_rm64_r64_imm8', 'a memory operand', '490fa49cb9ea63e8bc11 rflags expected 0x95, got 0x884, defined 0x4c5'],
  ['Shr_rm16_CL', 'a memory operand', '6643d36cab70 rflags expected 0x810, got 0x0, defined 0xcc5'],
  ['Shr_rm32_CL', 'a memory operand', '41d3a994855ab1 rflags expected 0x11, got 0x0, defined 0xcc5'],
  ['Shr_rm64_CL', 'a memory operand', '49d3a8aec1ff8f rflags expected 0x15, got 0x4, defined 0x4c5'],
  ['Shr_rm8_CL', 'a memory operand', '65d22c25c8081f00 rflags expected 0x411, got 0x400, defined 0x4c5'],
  ['Shrd_rm16_r16_CL', 'a memory operand', '660fad8a787a4536 rflags expected 0x811, got 0x0, defined 0x4c5'],
  ['Shrd_rm16_r16_imm8', 'a memory operand', '66440facbc2438040000e8 rflags expected 0x11, got 0x0, defined 0x4c5'],
  ['Shrd_rm32_r32_CL', 'a memory operand', '460fad2478 rflags expected 0x94, got 0x884, defined 0xcc5'],
  [
    'Shrd_rm32_r32_imm8',
    'a memory operand',
    '440fac3dd806100032 memory 0x200ee2 expected 403ad3000000000080a0a41b4d41d4d3, got 3ad301000000000080a0a41b4d41d4d3',
  ],
  ['Shrd_rm64_r64_CL', 'a memory operand', '4d0fad7cac1f rflags expected 0x11, got 0x0, defined 0x4c5'],
  ['Shrd_rm64_r64_imm8', 'a memory operand', '490fac942414c41aa231 rflags expected 0x415, got 0x404, defined 0x4c5'],
  [
    'Sqrtsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    '66f2410f51b1d283066b xmm6 expected 7e0d5e10d96f501f00008072b51e40c1, got 7e0d5e10d96f501f0000f07fffffffff',
  ],
  ['Sqrtss_xmm_xmmm32', 'two of the prefixes 66, f2 and f3', 'as its kin'],
  ['Stosb_m8_AL', 'a 67 prefix', '67f3aa expected no fault, got general-protection at 0x100800'],
  ['Stosd_m32_EAX', 'a 67 prefix', '67f3ab expected no fault, got general-protection at 0x100800'],
  ['Stosq_m64_RAX', 'a 67 prefix', '6748ab expected no fault, got general-protection at 0x100800'],
  ['Stosw_m16_AX', 'a 67 prefix', '6766ab expected no fault, got general-protection at 0x100800'],
  [
    'Subsd_xmm_xmmm64',
    'two of the prefixes 66, f2 and f3',
    'f3f2410f5cee xmm5 expected 947d87a43aaadb651abb70e268f3764c, got 5f2e27341947c7a51abb70e268f3764c',
  ],
  [
    'Subss_xmm_xmmm32',
    'two of the prefixes 66, f2 and f3',
    '66f3440f5c00 xmm8 expected fa6876fc9f82ba39dc915d8bec378eaa, got fa6876fc9f82ba3900d4e8c500c03544',
  ],
  ['VEX_Rorx_r32_rm32_imm8', 'a RIP-relative operand', 'c4e37bf00532011000b4 rax expected 0xcf0, got 0x6d000'],
  [
    'VEX_Rorx_r64_rm64_imm8',
    'a RIP-relative operand',
    'c463fbf03586061000fe r14 expected 0xfe00000000000006, got 0x4ba',
  ],
];
