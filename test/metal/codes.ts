// Which of iced's instruction codes are run against the metal, and for every other one the reason why not.

import { Code, CpuidFeature, EncodingKind, Instruction, Mnemonic, type OpCodeInfo, OpCodeOperandKind } from 'iced-x86';

/** CPUID features (iced's names) whose 64-bit user-mode instructions are generated. */
export const FEATURES: ReadonlySet<string> = new Set(
  `INTEL8086 INTEL186 INTEL286 INTEL386 INTEL486 X64 PAUSE MULTIBYTENOP PREFETCHW CET_IBT CMOV CX8 CMPXCHG16B CLFSH
   CLFLUSHOPT CLWB SSE SSE2 SSE3 SSSE3 SSE4_1 SSE4_2 POPCNT LZCNT BMI1 BMI2 ADX MOVBE AES PCLMULQDQ SHA
   FSGSBASE MSR CPUID TSC RDTSCP RDRAND RDSEED RDPID FXSR SYSCALL`.split(/\s+/),
);

/** Privileged instructions that user mode answers with #GP, whatever the machine: generated too. */
const PRIVILEGED =
  /^(In_|Out_|Ins[bwd]_|Outs[bwd]_|Rdmsr$|Wrmsr$|Mov_(r64_[cd]r|[cd]r_r64)$|Clts$|Invd$|Wbinvd$|L[gi]dt_m1664$|Lmsw_|Lldt_|Ltr_|Invlpg_)/;

// Left out by mnemonic, with the reason; everything else of FEATURES that user mode may run is generated.
const REASONS: readonly (readonly [reason: string, mnemonics: string])[] = [
  [
    'its result depends on the machine',
    'Cpuid Rdtsc Rdtscp Rdrand Rdseed Rdpid Sgdt Sidt Sldt Str Smsw Lar Lsl Verr Verw',
  ],
  ['saves the x87 state, which engines do not expose', 'Fxsave Fxsave64 Fxrstor Fxrstor64 Wait'],
  ['needs the operating system or its privilege', 'Cli Sti Int Int1 Syscall Sysenter Hlt'],
  ['loads or reads segments, which belong to the operating system', 'Lfs Lgs Lss Rdfsbase Wrfsbase Wrgsbase'],
  ['far control flow', 'Retf Iret Iretd Iretq'],
  ['an approximation of which only the error bound is defined', 'Rcpps Rcpss Rsqrtps Rsqrtss'],
];
const REASON_OF = new Map(REASONS.flatMap(([why, names]) => names.split(' ').map((name) => [name, why] as const)));

/** A code that is generated. */
export interface CodeRow {
  name: string;
  code: Code;
  mnemonic: string;
  features: readonly string[];
  /** User mode answers #GP; an engine that runs the guest with more privilege, as Unicorn does, is not compared. */
  privileged: boolean;
}

/** Every 64-bit mode instruction code of iced: those generated, and the others with the reason. */
export function classify(): { rows: CodeRow[]; excluded: Map<string, string> } {
  const rows: CodeRow[] = [];
  const excluded = new Map<string, string>();
  for (const name of Object.keys(Code).filter((key) => Number.isNaN(Number(key)))) {
    const code = Code[name as keyof typeof Code];
    const instruction = new Instruction();
    instruction.code = code;
    const info = instruction.opCode;
    const features = [...instruction.cpuidFeatures()].map((feature) => CpuidFeature[feature] ?? '?');
    if (info.mode64 && info.isInstruction) {
      const mnemonic = Mnemonic[info.mnemonic] ?? '?';
      const why = exclusion(name, info, mnemonic, features);
      if (why === undefined) rows.push({ name, code, mnemonic, features, privileged: PRIVILEGED.test(name) });
      else excluded.set(name, why);
    }
    info.free();
    instruction.free();
  }
  return { rows, excluded };
}

function exclusion(name: string, info: OpCodeInfo, mnemonic: string, features: string[]): string | undefined {
  if (!features.every((feature) => FEATURES.has(feature))) return `feature ${features.join('+')} is not covered`;
  if (PRIVILEGED.test(name)) return undefined;
  if (info.encoding !== EncodingKind.Legacy && !(info.encoding === EncodingKind.VEX && /BMI/.test(features.join()))) {
    return 'vector encodings are not covered';
  }
  if (!info.cpl3 || info.mustBeCpl0 || info.mayRequireCpl0 || info.isInputOutput) return 'privileged';
  if (!info.intelDecoder64 || !info.amdDecoder64 || /^Reservednop_.*_0F0D$/.test(name))
    return 'Intel and AMD decode it differently';
  for (let i = 0; i < info.opCount; i++) {
    const kind = OpCodeOperandKind[info.opKind(i)] ?? '';
    if (/^mm_|^st|^cr_|^dr_|^tr_/.test(kind)) return 'x87 and MMX registers are not exposed by engines';
    if (/^seg_reg$|^[cdefgs]s$/.test(kind)) return 'loads or reads segments, which belong to the operating system';
  }
  if (/_m16(16|32|64)$/.test(name)) return 'far control flow';
  if (name === 'Bswap_r16') return 'its result is undefined';
  return REASON_OF.get(mnemonic);
}
