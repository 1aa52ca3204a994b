// What Unicorn 1.0.3 (the JavaScript build) executes rightly; data only, see judge.ts for the mechanism.
import type { ExecutionTable } from './judge.ts';

const CONDITIONS = 'o no b ae e ne be a s ns p np l ge le g'.split(' ');

const INTEGER = `
  mov movzx movsx movsxd lea xchg bswap cbw cwde cdqe cwd cdq cqo push pop leave enter pushfq popfq lahf sahf
  add adc sub sbb cmp inc dec neg and or xor not test mul imul div idiv
  shl sal shr sar rol ror rcl rcr shld shrd bt bts btr btc bsf bsr xadd cmpxchg cmpxchg8b cmpxchg16b
  movsb movsw movsd movsq stosb stosw stosd stosq lodsb lodsw lodsd lodsq scasb scasw scasd scasq
  cmpsb cmpsw cmpsd cmpsq cld std clc stc cmc nop pause endbr64 endbr32 lfence mfence sfence
  call jmp ret jrcxz jecxz loop loope loopne xlatb cli sti
  prefetchnta prefetcht0 prefetcht1 prefetcht2 prefetchw movnti rdmsr wrmsr swapgs cpuid`;

const SSE = `
  movaps movups movapd movupd movdqa movdqu movq movd movss movsd movlps movhps movlpd movhpd movhlps movlhps
  movmskps movmskpd pmovmskb movntps movntpd movntdq maskmovdqu
  addps addpd addss addsd subps subpd subss subsd mulps mulpd mulss mulsd divps divpd divss divsd
  sqrtps sqrtpd sqrtss sqrtsd minps minpd minss minsd maxps maxpd maxss maxsd
  andps andpd andnps andnpd orps orpd xorps xorpd cmpps cmppd cmpss cmpsd comiss comisd ucomiss ucomisd
  cvtsi2ss cvtsi2sd cvtss2si cvtsd2si cvttss2si cvttsd2si cvtss2sd cvtsd2ss cvtps2pd cvtpd2ps
  cvtdq2ps cvtdq2pd cvtps2dq cvtpd2dq cvttps2dq cvttpd2dq shufps shufpd unpcklps unpckhps unpcklpd unpckhpd
  paddb paddw paddd paddq psubb psubw psubd psubq paddsb paddsw paddusb paddusw psubsb psubsw psubusb psubusw
  pmullw pmulhw pmulhuw pmuludq pmaddwd pavgb pavgw psadbw pminub pminsw pmaxub pmaxsw
  pand pandn por pxor pcmpeqb pcmpeqw pcmpeqd pcmpgtb pcmpgtw pcmpgtd
  psllw pslld psllq pslldq psrlw psrld psrlq psrldq psraw psrad
  packsswb packssdw packuswb punpcklbw punpcklwd punpckldq punpcklqdq punpckhbw punpckhwd punpckhdq punpckhqdq
  pshufd pshufhw pshuflw pextrw pinsrw ldmxcsr stmxcsr`;

const TRANSFER = 'a far transfer goes through descriptor tables that are not there';
const SEGMENT = 'a segment register goes through descriptor tables that are not there';
const SYSTEM = 'system registers are not modelled';
const FORMS = '16 32 64'.split(' ');

/** Measured wrong, or outside what the flat 64-bit world of this engine can show. */
const WRONG: readonly (readonly [string, string])[] = [
  ['andn', 'gives another value than the bare CPU, without an error'],
  ['rorx', 'its RIP-relative operand is addressed wrongly'],
  ['xbegin', 'executed as "mov eax, imm"'],
  ['popcnt', 'refused as an invalid instruction'],
  ['movbe', 'refused as an invalid instruction'],
  ...['1616', '1632', '1664'].flatMap((form) => [
    [`Call_m${form}`, TRANSFER] as const,
    [`Jmp_m${form}`, TRANSFER] as const,
  ]),
  ...FORMS.flatMap((bits) => [[`Mov_Sreg_r${bits}m16`, SEGMENT] as const, [`Mov_r${bits}m16_Sreg`, SEGMENT] as const]),
  ['Mov_Sreg_rm16', SEGMENT],
  ['Mov_rm16_Sreg', SEGMENT],
  ...['Popw', 'Popq', 'Pushw', 'Pushq'].flatMap((code) => [
    [`${code}_FS`, SEGMENT] as const,
    [`${code}_GS`, SEGMENT] as const,
  ]),
  ...['cr', 'dr', 'tr'].flatMap((bank) => [[`Mov_${bank}_r64`, SYSTEM] as const, [`Mov_r64_${bank}`, SYSTEM] as const]),
];

/** Integer and SSE2 code, without what is listed as wrong. */
export const UNICORN_1_0_3: ExecutionTable = {
  engine: 'Unicorn 1.0.3',
  mnemonics: new Set([
    ...`${INTEGER} ${SSE}`.trim().split(/\s+/),
    ...CONDITIONS.flatMap((condition) => [`j${condition}`, `cmov${condition}`, `set${condition}`]),
  ]),
  wrong: new Map(WRONG),
  wrongRipRelative: new Set(['shld', 'shrd']),
};
