// The 53 checks: what each one says, how bad it is, who else enforces it, and how it is judged here.

/** C crash or corruption · W wrong result or lost protection · P performance · I information. */
export type Severity = 'C' | 'W' | 'P' | 'I';

/** `C1` to `C53`. */
export type RuleNumber = `C${number}`;

/** One check. */
export interface Rule {
  readonly number: RuleNumber;
  readonly name: string;
  readonly severity: Severity;
  /** Who else enforces it. */
  readonly enforcedBy: string;
  /** Which judge looks at it, or why none does. */
  readonly judged: string;
  readonly implemented: boolean;
}

const HOOK = 'hook, relocation';
const RUN = 'hook, relocation: by execution';
const NO_MODEL = 'not covered: ';

/** number, name, severity, enforced by, judged by (a reason that starts with "not covered" means: not implemented) */
const ROWS: readonly (readonly [number, string, Severity, string, string])[] = [
  [1, 'every byte decodes', 'C', 'all decoders, kprobes', `${HOOK}, poke`],
  [2, 'the patch ends on an instruction boundary', 'C', 'all', 'hook, site'],
  [3, 'the patch stays inside the function', 'C', 'kprobes, MinHook, Orbit', 'hook, site'],
  [4, 'no branch into the patched bytes', 'C', 'optprobes, funchook, Orbit', 'hook, site'],
  [5, 'no indirect jump hides a branch into the patch', 'W', 'optprobes', 'hook, site'],
  [
    6,
    'no exception-table entry in the range',
    'C',
    'optprobes',
    'hook, site: the __ex_table and .gcc_except_table of an object',
  ],
  [7, 'the address is not owned by another patch', 'C', 'kprobes, ftrace', 'site: int3 and foreign calls'],
  [8, 'every relative branch reaches', 'C', 'ftrace, XRay, Orbit', 'relocation, site'],
  [9, 'relative operands are re-based where the decoder finds them', 'C', 'kernel decoder', HOOK],
  [10, 'each access of the copy has the address of the original', 'C', 'Orbit, frida', HOOK],
  [11, 'no data inside the patched bytes', 'W', 'nobody', HOOK],
  [12, 'prefixes 67 and 66 keep their meaning', 'C', 'uprobes', HOOK],
  [13, 'loop and jrcxz keep their condition and the flags', 'C', 'frida, iced, kprobes', HOOK],
  [14, 'internal short branches follow changed lengths', 'C', 'MinHook, retour', HOOK],
  [15, 'the abort target of xbegin', 'W', 'iced', 'relocation'],
  [16, 'a moved call pushes another return address', 'W', 'Orbit, frida, Dyninst', HOOK],
  [17, 'scratch registers are dead and not implicit operands', 'C', 'uprobes', HOOK],
  [18, 'flags are preserved', 'C', 'frida', `${RUN}, trampoline`],
  [19, 'the direction flag is preserved', 'C', 'objtool', `${RUN}, trampoline`],
  [20, 'AC and user access state', 'W', 'objtool', 'trampoline, hook: with build.smap, along every path'],
  [21, 'registers are preserved', 'C', 'Orbit, libpulp', RUN],
  [22, 'fentry saves what it must', 'C', 'ftrace_64.S', 'trampoline'],
  [23, 'vector registers are preserved', 'C', 'Orbit', `${RUN}: xmm only, no ymm, zmm or x87 state`],
  [24, 'the layout of pt_regs', 'C', 'asm-offsets', 'trampoline'],
  [25, 'orig_rax chooses a direct call', 'C', 'ftrace_64.S', 'trampoline'],
  [26, 'the ip given to the callback', 'W', 'ftrace_64.S', 'trampoline'],
  [27, 'cs is 0 for partial registers', 'I', 'ftrace_caller', 'trampoline'],
  [
    28,
    'the func stack chooses the function',
    'C',
    'klp_ftrace_handler',
    `${NO_MODEL}bytes do not choose; verify judges the choice by scenario`,
  ],
  [29, 'the stack is balanced', 'C', 'objtool', `${RUN}, trampoline`],
  [30, '16-byte alignment at call-outs', 'C', 'Orbit', 'hook: by execution; dispatch, preserves: with abi'],
  [31, 'the red zone is left alone', 'C', 'frida, libpulp', 'hook: by execution; dispatch, preserves: with redZone'],
  [
    32,
    'returns match calls on the shadow stack',
    'C',
    'the CPU',
    'hook, trampoline: a model over the blocks run; an error with build.shadowStack',
  ],
  [33, 'returns match calls in the return predictor', 'P', 'ftrace', 'hook, trampoline: a model over the blocks run'],
  [
    34,
    'ENDBR at indirect targets',
    'C',
    'objtool, kprobes',
    'trampoline: at its entry; hook: with patch or build.ibt, also where indirect branches land',
  ],
  [35, 'CFI preamble untouched', 'C', 'kprobes', 'site: patchable-entry'],
  [36, 'retpolines and return thunks', 'W', 'objtool', 'hook, trampoline: with build.retpoline, rethunk, sls'],
  [37, 'call depth accounting', 'P', 'the kernel', 'hook, trampoline: with build.callDepth'],
  [38, 'forms of far redirection', 'W', 'PolyHook', 'hook: with patch; site: patchable-entry'],
  [39, 'legal NOPs', 'C', 'ftrace, text_poke', 'site'],
  [40, 'an atomic write fits one cache line', 'C', 'text_poke, XRay', 'poke, site: XRay sleds'],
  [41, 'the order of the int3 protocol', 'C', 'text_poke', 'poke'],
  [42, 'torn writes', 'C', 'nobody', 'poke'],
  [43, 'threads inside the displaced bytes', 'C', 'MinHook, Detours', 'poke'],
  [44, 'nothing is inside a freed trampoline', 'C', 'frida, ftrace', 'free'],
  [45, 'serialization before changed code runs', 'C', 'text_poke', 'poke'],
  [
    46,
    'no page is writable and executable',
    'W',
    'the kernel',
    'site: sections of an object; hook with patch, patchable-entry: pages',
  ],
  [47, 'recursion is guarded', 'C', 'ftrace', 'hook: with replacement'],
  [48, 'unwinding works at every place', 'W', 'objtool, ORC', 'unwinding: a function and its .eh_frame; no ORC'],
  [49, 'the text is what was analysed', 'C', 'ftrace, Ksplice', 'site'],
  [50, 'masking and privileged instructions', 'C', 'kprobes', 'site, trampoline'],
  [51, 'unpatching restores the bytes', 'C', 'XRay, frida', 'hook: with restored'],
  [52, 'a copy is byte-exact where that is promised', 'I', 'iced', 'relocation: with exact'],
  [53, 'a refusal names reason and place', 'I', 'funchook', 'all: reason and finding of a refusal'],
];

/** All checks, in order. */
export const RULES: readonly Rule[] = ROWS.map(([number, name, severity, enforcedBy, judged]) => ({
  number: `C${number}`,
  name,
  severity,
  enforcedBy,
  judged,
  implemented: !judged.startsWith(NO_MODEL),
}));

/**
 * The check with a number.
 *
 * @throws {RangeError} there is no such check
 */
export function ruleOf(number: RuleNumber): Rule {
  const rule = RULES.find((candidate) => candidate.number === number);
  if (rule === undefined) throw new RangeError(`"number" expected C1 to C53, got ${number}`);
  return rule;
}
