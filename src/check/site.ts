// Judges bytes at a site by rule: what text_poke, static calls, ftrace, probes and sleds accept there.
import { bytesOfHex, hex, hexBytes, pageFloor, rel32 } from '../address.ts';
import type { Access } from '../engine/engine.ts';
import { type DecodeMode, type Facts, factsAt, factsOf } from '../x86/operands.ts';
import { type Finding, finding, located } from './finding.ts';
import { BOOSTABLE_0F, UPROBE_0F, UPROBE_32, UPROBE_64 } from './kernel-tables.ts';
import { opcodeOf, regField } from './opcode.ts';
import { preambleFinding } from './patch-rules.ts';
import { endsPath, fillerLength, isCanonicalNop, isFiller, reachable } from './reach.ts';
import type { RuleNumber } from './rules.ts';
import { CodeSpace, checkPlace } from './space.ts';

/** The kinds of question that bytes alone decide. */
export const SITE_KINDS = [
  'text-poke-new-bytes',
  'kprobe-optimize',
  'static-call-site',
  'ftrace-site',
  'uprobe-site',
  'sled-patch',
  'patchable-entry',
  'filler',
  'end-of-function',
  'nop',
  'block-boundary',
  'hook',
  'section',
] as const;

/** One of them. */
export type SiteKind = (typeof SITE_KINDS)[number];

/** Bytes, where they lie, and what else the question says. */
export interface SiteQuestion {
  readonly bytes: Uint8Array;
  readonly address: bigint;
  readonly bitness: 16 | 32 | 64;
  /** Offset of the entry or site in the bytes. */
  readonly offset?: number;
  /** static call: a tail site. Unknown: valid if it is valid as either. */
  readonly tail?: boolean;
  /** static call: the bytes are its trampoline, a tail call with a mark behind it. */
  readonly trampoline?: boolean;
  /** ftrace: what should stand there, `nop` or the address that is called. */
  readonly expectedOld?: string;
  /** patchable entry, sled: where the new jump goes. */
  readonly target?: bigint;
  /** Bytes that the patch takes; 5 unless told. */
  readonly patchLength?: number;
  /** section: what its flags allow (C46). */
  readonly access?: Access;
  /** Addresses that exception tables name (C6). */
  readonly exceptions?: readonly bigint[];
}

/** The answer in the words of the kind: `accepted`, `not-optimizable`, `hookable` … */
export interface SiteAnswer {
  readonly outcome: string;
  readonly reason: string;
  readonly findings: readonly Finding[];
  /** What the kind knows beyond its outcome. */
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

type Judge = (question: SiteQuestion, mode: DecodeMode) => SiteAnswer;

const NOP5 = '0f1f440000'; // nop dword [rax+rax+0]
/** ud1 esp, ecx, which marks the trampoline of a static call. */
const TRAMPOLINE_UD = '0fb9cc';
const XOR5_RAX = '2e2e2e31c0'; // cs cs cs xor eax, eax

/**
 * Judges one site. The rules come from Linux 6.12, the manuals, and the tools named in the findings.
 *
 * @throws {RangeError} the bytes go past the last address
 */
export function judgeSite(kind: SiteKind, question: SiteQuestion): SiteAnswer {
  const mode: DecodeMode = { bitness: question.bitness };
  const { address, bytes, offset = 0 } = question;
  checkPlace({ address, bytes }, 'site');
  const entry = address + BigInt(Math.min(offset, bytes.length));
  return located(JUDGES[kind](question, mode), { mode, base: address, entry, code: [{ address, bytes }] });
}

function answer(outcome: string, reason: string, rule?: RuleNumber, details: SiteAnswer['details'] = {}): SiteAnswer {
  return { outcome, reason, findings: rule === undefined ? [] : [finding(rule, 'error', reason)], details };
}

function first(question: SiteQuestion, mode: DecodeMode): Facts {
  return factsAt(question.bytes.subarray(0, 15), question.address, mode);
}

/** What text_poke holds of a site: 5 bytes, or a jcc rel32, of which it keeps the last 5. */
const POKE_SIZE = 5;

/** text_poke_loc_init: which new bytes its int3 handler can emulate (F17, C39, C41). */
const textPoke: Judge = (question, mode) => {
  const { bytes } = question;
  const text = hexBytes(bytes);
  const facts = first(question, mode);
  const no = (why: string): SiteAnswer => answer('rejected', why, 'C41');
  if (text === XOR5_RAX) return answer('accepted-with-emulate', 'legal text while a call is emulated in its place');
  if (facts.kind === 'invalid') return no('the bytes are no instruction');
  const [one = 0, two = 0] = opcodeOf(facts.bytes, question.bitness).opcode;
  const rest = bytes.subarray(facts.length);
  // ret and both jumps never run on into what follows them: that may be int3
  const isPadded = (one === 0xc3 || one === 0xe9 || one === 0xeb) && bytes.length <= POKE_SIZE;
  if (rest.length > 0 && !(isPadded && rest.every((byte) => byte === 0xcc))) {
    return no(`the instruction has ${facts.length} of ${bytes.length} bytes`);
  }
  const as =
    EMULATED.get(one) ??
    (one >> 4 === 7 || (one === 0x0f && two >> 4 === 8)
      ? 'jcc'
      : text === NOP5 || text === '6690'
        ? 'jmp +0'
        : undefined);
  if (as === undefined) return no(`"${facts.mnemonic}" cannot be emulated behind an int3`);
  return answer('accepted', `emulated as ${as}`, undefined, { emulatedAs: as });
};

const EMULATED: ReadonlyMap<number, string> = new Map([
  [0xe8, 'call'],
  [0xe9, 'jmp'],
  [0xeb, 'jmp'],
  [0xc3, 'ret'],
  [0xcc, 'none'],
]);

/** __static_call_validate: what may stand at a static call's site (C49). */
const staticCall: Judge = ({ bytes, tail, trampoline }) => {
  const text = hexBytes(bytes);
  if (trampoline === true && !text.slice(10).startsWith(TRAMPOLINE_UD)) {
    return answer('invalid', 'a trampoline of a static call ends with ud1 esp, ecx', 'C49');
  }
  const opcode = bytes[0] ?? 0;
  const asTail = opcode === 0xe9 || opcode === 0xc3 || (opcode === 0x0f && (bytes[1] ?? 0) >> 4 === 8);
  const asCall = opcode === 0xe8 || text.startsWith(NOP5) || text.startsWith(XOR5_RAX);
  const whole = bytes.length >= 5;
  const valid = whole && (tail === undefined ? asTail || asCall : tail ? asTail : asCall);
  if (valid) return answer('valid', 'a form that a static call writes');
  return answer(
    'invalid',
    `these bytes are no ${tail === true ? 'tail call' : 'call'} that a static call writes`,
    'C49',
  );
};

/** ftrace_verify_code: the 5 bytes must be exactly what ftrace expects (F6, F11, F13, C49). */
const ftraceSite: Judge = ({ bytes, address, offset = 0, expectedOld = 'nop' }) => {
  const site = bytes.subarray(offset, offset + 5);
  const at = address + BigInt(offset);
  const found = hexBytes(site);
  let expected = NOP5;
  if (/^(0x)?[0-9a-f]{10,}$/i.test(expectedOld) && !expectedOld.startsWith('0x') && expectedOld.length === 10) {
    expected = expectedOld.toLowerCase();
  } else if (expectedOld !== 'nop') {
    const target = /0x[0-9a-f]+/i.exec(expectedOld)?.[0];
    // a call to somewhere, where the question does not say to where
    if (target === undefined) expected = found.startsWith('e8') && site.length === 5 ? found : 'e8????????';
    else {
      const displacement = rel32(at + 5n, BigInt(target));
      if (displacement === undefined) return answer('rejected', `${target} is out of reach of the site`, 'C8');
      expected = `e8${hexBytes(Uint8Array.from([0, 8, 16, 24], (shift) => (displacement >> shift) & 0xff))}`;
    }
  }
  if (found === expected) return answer('accepted', `the site holds ${expected}`);
  if (site[0] === 0xcc) return answer('rejected', `a breakpoint stands where ${expected} is expected`, 'C7');
  return answer('rejected', `the site holds ${found}, expected ${expected}`, 'C49');
};

/** can_optimize, copy_optimized_instructions and can_boost (kernel/kprobes/opt.c, core.c). */
const kprobeOptimize: Judge = (question, mode) => {
  const { bytes, address, offset = 0 } = question;
  const no = (errno: string, why: string, rule: RuleNumber) => answer('not-optimizable', why, rule, { error: errno });
  const probe = address + BigInt(offset);
  if (bytes.length - offset < 5) return no('EILSEQ', 'less than 5 bytes to the end of the function', 'C3');
  const all = factsOf(bytes, address, mode);
  if (!all.some((facts) => facts.ip === probe))
    return no('EILSEQ', 'the probe is not on an instruction boundary', 'C2');
  const [exception] = (question.exceptions ?? []).filter((at) => at >= address && at < address + BigInt(bytes.length));
  if (exception !== undefined) {
    return no('EILSEQ', `an exception table names ${hex(exception)}: a fixup may jump into the function`, 'C6');
  }
  for (const facts of all) {
    if (facts.kind === 'invalid') return no('EILSEQ', `the byte at ${hex(facts.ip)} does not decode`, 'C1');
    if (facts.kind === 'indirect-jump') return no('EILSEQ', 'an indirect jump may lead into the range', 'C5');
    // the range runs from +1 to +5, both included
    if (facts.target !== undefined && facts.kind !== 'call' && facts.target > probe && facts.target <= probe + 5n) {
      return no('EILSEQ', `a branch leads to +${facts.target - probe}`, 'C4');
    }
  }
  let displaced = 0;
  for (const facts of all) {
    if (facts.ip < probe || displaced >= 5) continue;
    if (!boostable(facts, question.bitness)) return no('EINVAL', `"${facts.mnemonic}" cannot be boosted`, 'C50');
    displaced += facts.length;
  }
  if (displaced < 5) return no('EINVAL', 'less than 5 bytes of instructions', 'C2');
  return answer('optimizable', `${displaced} bytes can be moved`, undefined, { displaced });
};

const VEX_LENGTH: ReadonlyMap<number, number> = new Map([
  [0xc5, 2],
  [0xc4, 3],
  [0x62, 4],
]);

/** can_boost: may the copied instruction run without a single step? */
function boostable(facts: Facts, bitness: 16 | 32 | 64): boolean {
  const { prefixes, vex, opcode, modrm, offset } = opcodeOf(facts.bytes, bitness);
  const [first = 0, two = 0] = opcode;
  // the kernel's decoder counts VEX and EVEX as prefixes of a one-byte opcode
  const one = vex ? (facts.bytes[offset + (VEX_LENGTH.get(first) ?? 0)] ?? 0) : first;
  if (opcode.length === 2) return BOOSTABLE_0F.has(two);
  if (opcode.length !== 1) return false;
  if (prefixes.includes(0x2e) || prefixes.includes(0x67)) return false;
  const reg = regField(modrm);
  const high = one >> 4;
  if ((one === 0x62 && !vex) || high === 0x7 || one === 0x9a || (one >= 0xcc && one <= 0xce) || one === 0xd6)
    return false;
  if ((one >= 0xd8 && one <= 0xdf) || (one >= 0xe0 && one <= 0xe3)) return false;
  if (one === 0xe8 || one === 0xe9 || one === 0xeb || (one >= 0xf0 && one <= 0xf4)) return false;
  if (one === 0xc0 || one === 0xc1 || (one >= 0xd0 && one <= 0xd3)) return reg !== 6;
  if (one === 0xf6 || one === 0xf7) return reg !== 1;
  if (one === 0xfe) return reg <= 1;
  if (one === 0xff) return reg <= 1 || reg === 4;
  return true;
}

/** arch_uprobe_analyze_insn: bad prefixes, the opcode tables, then how the instruction is executed. */
const uprobeSite: Judge = (question, mode) => {
  const no = (why: string, errno = 'ENOTSUPP') => answer('rejected', why, 'C50', { error: errno });
  const facts = first(question, mode);
  if (facts.kind === 'invalid') return answer('rejected', 'the bytes are no instruction', 'C1', { error: 'ENOEXEC' });
  const { prefixes, rex, vex, opcode, modrm, offset } = opcodeOf(facts.bytes, question.bitness);
  const bad = prefixes.find((prefix) => [0x26, 0x2e, 0x36, 0x3e, 0xf0].includes(prefix));
  if (bad !== undefined) return no(`prefix ${hex(bad)} is refused`);
  const [one = 0, two = 0] = opcode;
  const table = question.bitness === 64 ? UPROBE_64 : UPROBE_32;
  if (!vex && !table.has(one) && !(opcode.length === 2 && UPROBE_0F.has(two)))
    return no(`"${facts.mnemonic}" is refused`);
  if (vex) return no('VEX and EVEX are not in the table of good instructions');
  const branch = [0xe8, 0xe9, 0xeb].includes(one) || one >> 4 === 7 || (one === 0x0f && two >> 4 === 8);
  if (branch && prefixes.includes(0x66)) return no('a 66 prefix changes the length of the branch', 'ENOSYS');
  if (branch || isOneNop(facts) || (one >= 0x50 && one <= 0x57 && prefixes.length === 0)) {
    return answer('accepted', 'emulated', undefined, { method: 'emulate' });
  }
  if (
    question.bitness !== 64 ||
    facts.memory?.base !== '' ||
    facts.memory.address === undefined ||
    (modrm & 0xc7) !== 5
  ) {
    return answer('accepted', 'executed out of line', undefined, { method: 'xol' });
  }
  const scratch = scratchFor(facts, modrm, rex);
  const rewritten = rewriteRipRelative(facts.bytes, offset + opcode.length, scratch.number, rex, offset);
  return answer('accepted', `executed out of line through ${scratch.name}`, undefined, {
    method: 'xol',
    rewritten,
    scratch: scratch.name,
  });
};

function isOneNop(facts: Facts): boolean {
  return facts.bytes[facts.length - 1] === 0x90 && facts.mnemonic === 'nop';
}

/** riprel_analyze: rsi, then rdi, then rbx; never a register that the instruction names in ModRM.reg (C17). */
function scratchFor(facts: Facts, modrm: number, rex: number | undefined): { name: string; number: number } {
  const reg = regField(modrm) + (((rex ?? 0) & 4) === 0 ? 0 : 8);
  const candidates = [
    { name: 'rsi', number: 6 },
    { name: 'rdi', number: 7 },
    { name: 'rbx', number: 3 },
  ];
  const free = candidates.find(({ name, number }) => number !== reg && !facts.reads.has(name.toUpperCase()));
  return free ?? { name: 'rbx', number: 3 };
}

/** [rip + d32] becomes [scratch + d32]: mod 2, r/m the scratch register, REX.B off. */
function rewriteRipRelative(
  bytes: Uint8Array,
  modrmAt: number,
  scratch: number,
  rex: number | undefined,
  start: number,
): string {
  const copy = bytes.slice();
  copy[modrmAt] = 0x80 | ((copy[modrmAt] ?? 0) & 0x38) | scratch;
  if (rex !== undefined) copy[start - 1] = rex & 0xfe;
  return hexBytes(copy);
}

/** XRay sleds: `jmp +9` or `ret`, then NOPs, 11 bytes on a 2-byte boundary so that two bytes flip at once (C8, C40). */
const sledPatch: Judge = ({ bytes, address, target }) => {
  const text = hexBytes(bytes);
  // custom and typed events jump over 15 and 20 bytes, which are not NOPs
  const event = text.startsWith('eb0f') ? 17 : text.startsWith('eb14') ? 22 : 0;
  const off = text.startsWith('eb09') || text.startsWith('c3') || event > 0;
  const on = text.startsWith('41ba') && (bytes[6] === 0xe8 || bytes[6] === 0xe9);
  if (bytes.length < Math.max(11, event) || !(off || on)) return answer('refused', 'the bytes are no sled', 'C49');
  if (address % 2n !== 0n) return answer('refused', 'the two bytes that flip are not aligned', 'C40');
  if (off && text.startsWith('eb09') && !isFiller(bytes.subarray(2, 11), { bitness: 64 })) {
    return answer('refused', 'the jump does not step over NOPs', 'C49');
  }
  if (target !== undefined && rel32(address + 11n, target) === undefined) {
    return answer('refused', 'the handler is out of rel32 reach', 'C8');
  }
  return answer('patched', off ? 'an idle sled' : 'a sled that is switched on');
};

/** libpulp's ulp_patch_addr: 14 bytes before the entry take `jmp [rip+0]` and its pointer, the entry jumps back there. */
const patchableEntry: Judge = ({ bytes, address, offset = 14, target }) => {
  if (offset < 14) return answer('refused', 'less than 14 bytes before the entry', 'C38');
  const owned = preambleFinding(bytes.subarray(0, offset), address + BigInt(offset), 14);
  if (owned !== undefined) return { outcome: 'refused', reason: owned.message, findings: [owned], details: {} };
  const kept = hexBytes(bytes.subarray(offset, offset + 4)) === 'f30f1efa' ? 4 : 0;
  const at = offset + kept;
  const entry = hexBytes(bytes.subarray(at, at + 2));
  if (entry !== '9090' && entry !== '6690' && !entry.startsWith('eb')) {
    return answer('refused', `the entry holds ${entry}, not a 2-byte NOP or an earlier patch`, 'C49');
  }
  const before = bytes.subarray(offset - 14, offset);
  const earlier = hexBytes(before.subarray(0, 6)) === 'ff2500000000';
  const output = bytes.slice();
  output.set(bytesOfHex('ff2500000000'), offset - 14); // jmp [rip+0]
  const pointer = target ?? 0n;
  for (let i = 0; i < 8; i++) output[offset - 8 + i] = Number((pointer >> BigInt(8 * i)) & 0xffn);
  output.set([0xeb, 256 - (at + 2 - (offset - 14))], at); // jmp rel8, back to the jump above
  const findings: Finding[] = [];
  if (entry.startsWith('eb') && !earlier && !entry.startsWith('ebf0') && !entry.startsWith('ebec')) {
    findings.push(
      finding(
        'C49',
        'warning',
        'the function may begin with a short jump of its own: it is taken for an earlier patch',
      ),
    );
  }
  const first = address + BigInt(offset - 14);
  if (pageFloor(first) !== pageFloor(address + BigInt(at + 1))) {
    findings.push(finding('C46', 'note', 'the patch lies in two pages: both must be made writable for its time'));
  }
  return { outcome: 'patched', reason: 'the entry can be patched', findings, details: { output: hexBytes(output) } };
};

const filler: Judge = ({ bytes }) => {
  const length = fillerLength(bytes);
  if (length === 0) return answer('not-filler', 'neither int3 nor a NOP of the manual', 'C39');
  return answer('filler', `${length} bytes of padding`, undefined, { length });
};

const endOfFunction: Judge = (question, mode) => {
  const facts = first(question, mode);
  if (facts.kind === 'invalid') return answer('does-not-end-function', 'the bytes are no instruction', 'C1');
  if (endsPath(facts)) return answer('ends-function', `nothing follows "${facts.mnemonic}"`);
  return answer('does-not-end-function', `control may go on after "${facts.mnemonic}"`);
};

const nop: Judge = ({ bytes }, mode) => {
  if (isCanonicalNop(bytes, mode)) return answer('nop', 'a canonical NOP', undefined, { length: bytes.length });
  return answer('not-nop', 'no canonical NOP of one instruction', 'C39');
};

const blockBoundary: Judge = (question, mode) => {
  const facts = first(question, mode);
  const ends = facts.kind === 'jump' || facts.kind === 'indirect-jump' || facts.kind === 'return';
  const block = ends || facts.kind === 'call' || facts.kind === 'indirect-call' || facts.kind === 'conditional';
  return answer('classified', `"${facts.mnemonic}"`, undefined, {
    endOfBlockAfterFirst: block,
    endOfInputAfterFirst: ends,
  });
};

/** May the function's first bytes be moved out of the way by a tool that copies conservatively? */
const hook: Judge = (question, mode) => {
  const { bytes, address, offset = 0, patchLength = 5 } = question;
  const entry = address + BigInt(offset);
  const space = new CodeSpace([{ address, bytes }], mode);
  const all = [...reachable(space, entry).values()].sort((a, b) => (a.ip < b.ip ? -1 : 1));
  const warnings: Finding[] = [];
  let displaced = 0;
  let reach = entry;
  for (let facts = space.at(entry); displaced < patchLength && facts !== undefined; facts = space.at(reach)) {
    if (facts.kind === 'invalid') return answer('refused', `the byte at +${displaced} does not decode`, 'C1');
    if (/^(loop|j[er]?cxz)/.test(facts.mnemonic)) {
      return answer('refused', `"${facts.mnemonic}" in the displaced bytes has no rel32 form`, 'C13');
    }
    const near = facts.target === undefined ? -1 : Number(BigInt.asIntN(64, facts.target - entry));
    if (facts.target !== undefined && facts.kind !== 'call' && near > 0 && near < patchLength) {
      return answer('refused', `the branch at +${displaced} leads to +${near}, inside the displaced bytes`, 'C14');
    }
    if (facts.kind === 'call')
      warnings.push(
        finding('C16', 'warning', 'a call is displaced: its return address changes', { at: facts, base: entry }),
      );
    const data = facts.memory?.address;
    if (data !== undefined && data >= entry && data < entry + BigInt(patchLength)) {
      warnings.push(finding('C11', 'warning', 'reads the bytes that the patch overwrites', { at: facts, base: entry }));
    }
    displaced += facts.length;
    reach = entry + BigInt(displaced);
    const last = all.at(-1);
    if (endsFlow(facts) && (last === undefined || last.ip < reach)) break;
  }
  if (displaced < patchLength) {
    const rest = bytes.subarray(offset + displaced, offset + patchLength);
    const room =
      offset >= patchLength && isFiller(bytes.subarray(offset - patchLength, offset), mode) && displaced >= 2;
    if (!room && !(rest.length === patchLength - displaced && isFiller(rest, mode))) {
      return answer('refused', `the function has ${displaced} bytes, the patch takes ${patchLength}`, 'C3');
    }
  }
  const exception = (question.exceptions ?? []).find((at) => at >= entry && at < entry + BigInt(patchLength));
  if (exception !== undefined) {
    return answer('refused', `an exception table names +${exception - entry}, inside the patched bytes`, 'C6');
  }
  for (const facts of all) {
    if (facts.target === undefined || facts.kind === 'call') continue;
    const into = Number(BigInt.asIntN(64, facts.target - entry));
    if (facts.ip < reach && into !== 0) continue;
    if (into >= 0 && into < patchLength)
      return answer('refused', `a branch leads to +${into}, into the patched bytes`, 'C4');
  }
  if (
    all.some((facts) => facts.kind === 'indirect-jump' && facts.memory?.index !== 'None' && facts.memory !== undefined)
  ) {
    warnings.push(finding('C5', 'warning', 'a jump table may lead into the patched bytes'));
  }
  return { outcome: 'hookable', reason: `${displaced} bytes can be moved`, findings: warnings, details: { displaced } };
};

function endsFlow(facts: Facts): boolean {
  return (
    facts.kind === 'jump' || facts.kind === 'indirect-jump' || facts.kind === 'return' || facts.kind === 'exception'
  );
}

/** C46: code that can be changed while it can be executed. */
const section: Judge = ({ access }) => {
  if (access === undefined) return answer('not-judged', 'nothing says what the section allows');
  if (access === 'rwx') return answer('broken', 'the section asks for memory that is writable and executable', 'C46');
  return answer('protected', `the section asks for ${access}`);
};

const JUDGES: Readonly<Record<SiteKind, Judge>> = {
  'text-poke-new-bytes': textPoke,
  'kprobe-optimize': kprobeOptimize,
  'static-call-site': staticCall,
  'ftrace-site': ftraceSite,
  'uprobe-site': uprobeSite,
  'sled-patch': sledPatch,
  'patchable-entry': patchableEntry,
  filler,
  'end-of-function': endOfFunction,
  nop,
  'block-boundary': blockBoundary,
  hook,
  section,
};
