// Judges bytes that must act as an ftrace trampoline: what the handler is given, what is kept, and where it returns to.
import { address as checkedAddress, hex } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { KERNEL_CS, KERNEL_DS, PT_REGS } from '../ftrace/pt-regs.ts';
import type { KernelVersion, TrampolineKind } from '../ftrace/trampoline.ts';
import { assemble, type Instruction, movImm32, type Reg, raw, ret } from '../x86/encode.ts';
import type { Facts } from '../x86/operands.ts';
import { type BuildOptions, buildFindings } from './build-rules.ts';
import type { EngineMaker } from './execute.ts';
import { type Finding, finding, type Judgement, located, withFindings } from './finding.ts';
import { Random } from './random.ts';
import type { RuleNumber } from './rules.ts';
import { CodeSpace, checkPlace, type Segment } from './space.ts';
import { stateAt } from './states.ts';
import { transfersOf } from './transfers.ts';
import { type Outcome, pointer, type State, World } from './world.ts';

/** Bytes said to be a trampoline, and what they call. */
export interface TrampolineQuestion {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** args: `ftrace_caller` (F20–F23); regs: `ftrace_regs_caller` (F24, F25). */
  readonly kind: TrampolineKind;
  /** The series whose layout is expected: 6.12 starts with ENDBR64 (F32). Default 6.12. */
  readonly kernel?: KernelVersion;
  /** Whom it must call. */
  readonly handler: bigint;
  /** What the handler must find in rdx (F21). */
  readonly ops: bigint;
  /** Where a `ret` stands for all returns (F28); without it the trampoline ends in its own. */
  readonly returnThunk?: bigint;
  /** The common `ftrace_regs_caller`, which calls the address left in orig_rax (F26); a copy never does (F30). */
  readonly direct?: boolean;
  /** Whether the handler may choose where to return to (default true). */
  readonly redirects?: boolean;
  /** Other memory that it reads, such as the word that holds the ops. */
  readonly memory?: readonly Segment[];
  /** How the kernel was built (C20, C32–C37). */
  readonly build?: BuildOptions;
}

/** What the handler does to its pt_regs before it returns. */
type Way = 'returns' | 'redirects' | 'direct';

const STATES = 8;
const SEED = 0x66747263;
// above 4 GiB, so that a 32-bit copy of one shows
const RETURN = 0x7666_7777_0000n;
const REDIRECTED = 0x7655_6666_0000n;
const DIRECT = 0x7644_5555_0000n;
const STATUS_AND_TRAP_FLAGS = 0x8d5n;
const DIRECTION = 0x400n;
/** What the handler, a C function, uses of the stack below it. */
const HANDLER_STACK = 512;

const COMMON = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'rbp'] as const;
const REGS_ONLY = ['rbx', 'r10', 'r12', 'r13', 'r14', 'r15'] as const;
/** What a C function may spoil. */
const CALLER_SAVED: readonly Reg[] = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11'];
/** These fault in user code or stop the CPU; no trampoline holds one (C50). */
const PRIVILEGED =
  /^(in|out|ins[bwd]|outs[bwd]|hlt|iret[dq]?|retf|cli|sti|lgdt|lidt|invd|wbinvd|swapgs|sysret|sysexit)/;

interface Complaint {
  readonly rule: RuleNumber;
  readonly why: string;
  readonly at?: bigint;
  /** Where the run that shows it ends. */
  readonly end?: bigint;
}

/** What a run that shows a complaint touched, and what the handler wrote. */
interface Shown {
  readonly state: State;
  readonly memory: readonly Segment[];
  readonly written: readonly Segment[];
}

/**
 * Judges a trampoline on the CPU (C18–C20, C22–C27, C29, C32–C34, C36, C37): from 8 register states, with a handler that spoils what a C
 * function may spoil, writes below its stack pointer, changes every register that a handler may change, and returns to
 * the site, elsewhere, or into a direct call. One difference is enough for `broken`.
 *
 * @throws {EngineError} the bytes lie where no memory can be
 * @throws {RangeError} they go past the last address, or another address is none
 */
export async function judgeTrampoline(question: TrampolineQuestion, engines: EngineMaker): Promise<Judgement> {
  const { address, bytes } = question;
  const scene = { mode: { bitness: 64 }, base: address, entry: address, code: [{ address, bytes }] } as const;
  const { build, memory = [] } = question;
  checkedAddress(question.handler, 'handler');
  checkedAddress(question.ops, 'ops');
  if (question.returnThunk !== undefined) checkedAddress(question.returnThunk, 'returnThunk');
  checkPlace(question, 'trampoline');
  for (const segment of memory) checkPlace(segment, 'memory');
  const space = new CodeSpace(scene.code, { bitness: 64 });
  const asked = build === undefined ? [] : buildFindings(space, address, question, build);
  return located(withFindings(await judge(question, engines), asked), scene);
}

async function judge(question: TrampolineQuestion, engines: EngineMaker): Promise<Judgement> {
  const notes = landingPad(question);
  if (notes[0]?.level === 'error') return { verdict: 'broken', reason: notes[0].message, findings: notes };
  if (question.bytes.length === 0) return { verdict: 'not-judged', reason: 'no bytes', findings: [] };
  const stub = assemble(question.handler, handlerStub()).bytes;
  const own: Segment = { address: question.address, bytes: question.bytes };
  const handler: Segment = { address: question.handler, bytes: stub };
  if (overlap(own, handler)) {
    return { verdict: 'not-judged', reason: 'the handler lies inside the trampoline', findings: notes };
  }
  const code: Segment[] = [own, handler, ...(question.memory ?? [])];
  for (const address of [RETURN, REDIRECTED, DIRECT]) code.push({ address, bytes: Uint8Array.of(0xcc) });
  if (question.returnThunk !== undefined) code.push({ address: question.returnThunk, bytes: Uint8Array.of(0xc3) });
  const banned = forbidden(question);
  if (banned !== undefined) return broken(question, code, banned, notes);
  const first = await engines();
  const judged = runAll(question, code, first[0], notes);
  if (judged.verdict !== 'not-judged') return judged;
  const other = await engines('other');
  const second = other === first ? judged : runAll(question, code, other[0], notes);
  return second.verdict === 'not-judged' ? judged : second;
}

/** All runs on one engine; the first complaint ends them. */
function runAll(
  question: TrampolineQuestion,
  code: readonly Segment[],
  engine: Engine,
  notes: readonly Finding[],
): Judgement {
  const world = new World(engine, code, SEED);
  const hazards = new Map<bigint, Facts>();
  let runs = 0;
  try {
    for (const way of waysOf(question)) {
      for (let i = 0; i < STATES; i++) {
        // the first states hold boundary values; the kernel runs C code with the direction flag clear
        const state = withoutDirection(stateAt(i === 0 ? 0 : i + 11, SEED));
        const answer = runOnce(question, world, engine, state, way, i, hazards);
        runs++;
        if (answer === undefined) continue;
        if ('unjudged' in answer) return { verdict: 'not-judged', reason: answer.unjudged, findings: notes };
        const why = way === 'returns' ? answer.why : `${answer.why}, when the handler ${WAYS[way]}`;
        const written: Segment[] = [];
        const touched = world.record(() => runOnce(question, world, engine, state, way, i, hazards, written));
        const memory = [{ address: state.registers.rsp ?? 0n, bytes: pointer(RETURN) }, ...touched];
        return broken(question, code, { ...answer, why }, notes, { state, memory, written });
      }
    }
  } finally {
    world.close();
  }
  const reason = `acts as a ${question.kind} trampoline in ${runs} runs`;
  return withFindings({ verdict: 'equivalent', reason, findings: notes }, returnFindings(question, hazards));
}

/** C32, C33: what the shadow stack and the return predictor would say. */
function returnFindings({ address, build = {} }: TrampolineQuestion, hazards: ReadonlyMap<bigint, Facts>): Finding[] {
  return [...hazards.values()].flatMap((at) => {
    const where = { at, base: address };
    const level = build.shadowStack === true ? 'error' : 'warning';
    return [
      finding('C32', level, 'a return that matches no call: the shadow stack refuses it', where),
      finding('C33', 'warning', 'a return that matches no call is predicted wrongly', where),
    ];
  });
}

function broken(
  { address, handler }: TrampolineQuestion,
  code: readonly Segment[],
  { rule, why, at, end }: Complaint,
  notes: readonly Finding[],
  { state, memory = [], written = [] }: Partial<Shown> = {},
): Judgement {
  const facts = new CodeSpace(code, { bitness: 64 }).at(at ?? address);
  const shown = finding(rule, 'error', why, {
    at: facts,
    base: address,
    state,
    entry: address,
    ...(end === undefined ? {} : { end }),
    code,
    memory,
    handler: written.length === 0 ? undefined : { address: handler, writes: written },
  });
  return { verdict: 'broken', reason: why, findings: [shown, ...notes] };
}

const WAYS: Readonly<Record<Way, string>> = {
  returns: 'returns',
  redirects: 'changes ip',
  direct: 'asks for a direct call',
};

function waysOf({ redirects = true, direct = false }: TrampolineQuestion): Way[] {
  return ['returns', ...(redirects ? (['redirects'] as const) : []), ...(direct ? (['direct'] as const) : [])];
}

function withoutDirection(state: State): State {
  return { ...state, rflags: state.rflags & ~DIRECTION };
}

function overlap(a: Segment, b: Segment): boolean {
  return a.address < b.address + BigInt(b.bytes.length) && b.address < a.address + BigInt(a.bytes.length);
}

/** A C function that leaves nothing in the registers and flags it may use. */
function handlerStub(): Instruction[] {
  return [...CALLER_SAVED.map((reg, i) => movImm32(reg, -0x0bad_0001 - 16 * i)), raw(0xf9), ret()]; // stc
}

/** C23, C50: what no trampoline may execute, on the straight way from its entry. */
function forbidden({ address, bytes }: TrampolineQuestion): Complaint | undefined {
  const space = new CodeSpace([{ address, bytes }], { bitness: 64 });
  let ip = address;
  for (let i = 0; i < bytes.length; i++) {
    const facts = space.at(ip);
    if (facts === undefined || facts.kind === 'invalid') return undefined;
    if (PRIVILEGED.test(facts.mnemonic)) return { rule: 'C50', why: `it executes "${facts.mnemonic}"`, at: ip };
    if (facts.mnemonic.startsWith('f') || facts.mnemonic === 'wait') {
      return { rule: 'C23', why: `it executes "${facts.mnemonic}"; kernel code may not use the FPU`, at: ip };
    }
    if (facts.kind !== 'next' && facts.kind !== 'call' && facts.kind !== 'conditional') return undefined;
    ip += BigInt(facts.length);
  }
  return undefined;
}

/** C34: nothing calls a trampoline indirectly but direct-call code; 6.12 gives it a landing pad all the same. */
function landingPad({ kernel = '6.12', bytes, address, build }: TrampolineQuestion): Finding[] {
  const has = [0xf3, 0x0f, 0x1e, 0xfa].every((byte, i) => bytes[i] === byte);
  const at = new CodeSpace([{ address, bytes }], { bitness: 64 }).at(address);
  if (!has && build?.ibt === true) {
    return [finding('C34', 'error', 'no ENDBR64 at the entry, which IBT demands', { at, base: address })];
  }
  if (has || kernel === '6.1') return [];
  return [finding('C34', 'warning', 'no ENDBR64 at the entry, which 6.12 puts there', { at, base: address })];
}

type Answer = Complaint | { readonly unjudged: string } | undefined;

/** One call through the trampoline: what is wrong with it, or undefined. */
function runOnce(
  question: TrampolineQuestion,
  world: World,
  engine: Engine,
  state: State,
  way: Way,
  index: number,
  hazards: Map<bigint, Facts>,
  written: Segment[] = [],
): Answer {
  const entry = state.registers.rsp ?? 0n;
  const changes = changesOf(question, way, index);
  let complaint: Complaint | undefined;
  let passes = 0;
  const until = way === 'returns' ? RETURN : way === 'redirects' ? REDIRECTED : DIRECT;
  const outcome = world.run(question.address, until, state, (ip) => {
    // the world's own return address lies below 4 GiB
    if (ip === question.address && passes === 0) engine.write(entry, wordBytes(RETURN));
    if (ip !== question.handler) return false;
    passes++;
    complaint = atHandler(question, world, engine, state);
    if (complaint !== undefined) return true;
    for (const segment of handlerWrites(engine, entry, question, changes)) {
      engine.write(segment.address, segment.bytes);
      written.push(segment);
    }
    return false;
  });
  if (complaint !== undefined) return { ...complaint, end: question.handler };
  if (outcome.exit.reason === 'not-judged') return unjudged(question, outcome);
  if (outcome.exit.rip !== until) {
    const what = outcome.exit.fault === undefined ? outcome.exit.reason : `${outcome.exit.fault.kind} fault`;
    const where = passes === 0 ? 'the handler is never called' : `it does not return to ${hex(until)}`;
    return {
      rule: passes === 0 || way === 'returns' ? 'C22' : way === 'direct' ? 'C25' : 'C26',
      why: `${where}: ${what} at ${hex(outcome.exit.rip)}`,
      at: outcome.exit.rip,
    };
  }
  const { returns } = transfersOf(world.code, outcome.blocks, outcome.exit.rip, RETURN);
  // whoever changes where it returns to has one return that no call announced
  if (returns.length > (way === 'returns' ? 0 : 1)) for (const one of returns) hazards.set(one.ip, one);
  if (passes !== 1) return { rule: 'C22', why: `the handler is called ${passes} times`, end: until };
  const wrong = afterReturn(question, world, engine, state, outcome, changes, way);
  return wrong === undefined ? undefined : { ...wrong, end: until };
}

function unjudged(question: TrampolineQuestion, { exit }: Outcome): Answer {
  const space = new CodeSpace([question], { bitness: 64 });
  const at = space.at(exit.rip);
  if (at === undefined) return { rule: 'C22', why: `it runs off the known code to ${hex(exit.rip)}`, at: exit.rip };
  return { unjudged: exit.why ?? 'the engine does not judge an instruction' };
}

/** C22, C24–C27: what the handler sees on arrival; pt_regs field by field. */
function atHandler(question: TrampolineQuestion, world: World, engine: Engine, state: State): Complaint | undefined {
  const entry = state.registers.rsp ?? 0n;
  const frame = frameOf(question, entry);
  const parent = initialWord(world, entry + 8n);
  const given = { rdi: RETURN - 5n, rsi: parent, rdx: question.ops, rcx: frame } as const;
  const meant = { rdi: 'the site', rsi: 'the parent', rdx: 'the ops', rcx: 'pt_regs' } as const;
  for (const name of ['rdi', 'rsi', 'rdx', 'rcx'] as const) {
    const got = engine.readRegister(name);
    if (got === given[name]) continue;
    const rule = name === 'rdi' || name === 'rsi' ? 'C26' : 'C22';
    return { rule, why: `the handler gets ${hex(got)} as ${meant[name]} in ${name} instead of ${hex(given[name])}` };
  }
  const rsp = engine.readRegister('rsp');
  // below the frame stands the handler's return address and nothing that it could overwrite
  if (rsp > frame - 8n) return { rule: 'C29', why: `rsp is ${hex(rsp)} at the handler, above the end of pt_regs` };
  if (rsp % 8n !== 0n) return { rule: 'C29', why: `rsp is ${hex(rsp)} at the handler, which is not aligned` };
  if ((engine.readRegister('rflags') & DIRECTION) !== 0n) return { rule: 'C19', why: 'the direction flag is set' };
  for (const [name, wanted] of expectedFields(question, state)) {
    const got = readWord(engine, frame + BigInt(PT_REGS[name]));
    if (got === wanted) continue;
    const rule = name === 'origRax' ? 'C25' : name === 'cs' ? 'C27' : name === 'ip' || name === 'sp' ? 'C26' : 'C24';
    const offset = hex(PT_REGS[name]);
    return { rule, why: `pt_regs.${name} at ${offset} holds ${hex(got)} instead of ${hex(wanted)}` };
  }
  return undefined;
}

/** pt_regs lies right below the return slot; the regs kind has pushed the flags between them (F24). */
function frameOf({ kind }: TrampolineQuestion, entry: bigint): bigint {
  return entry - 0xa8n - (kind === 'regs' ? 8n : 0n);
}

function expectedFields({ kind }: TrampolineQuestion, state: State): (readonly [keyof typeof PT_REGS, bigint])[] {
  const register = (name: keyof typeof PT_REGS): readonly [keyof typeof PT_REGS, bigint] => [
    name,
    state.registers[name] ?? 0n,
  ];
  const fields: (readonly [keyof typeof PT_REGS, bigint])[] = [
    ...COMMON.map(register),
    ['origRax', 0n],
    ['ip', RETURN],
    ['sp', (state.registers.rsp ?? 0n) + 8n],
  ];
  if (kind === 'args') return [...fields, ['cs', 0n]];
  return [
    ...fields,
    ...REGS_ONLY.map(register),
    register('r11'),
    ['cs', BigInt(KERNEL_CS)],
    ['ss', BigInt(KERNEL_DS)],
    ['flags', state.rflags],
  ];
}

/** What the handler leaves in pt_regs: new values for all that it may change, and where to go. */
function changesOf({ kind }: TrampolineQuestion, way: Way, index: number): Map<keyof typeof PT_REGS, bigint> {
  const random = new Random(SEED ^ (index * 7919 + way.length));
  const changes = new Map<keyof typeof PT_REGS, bigint>();
  // the first runs leave all as it is, so that a plain loss is named as one
  if (index % 2 === 1) {
    for (const name of kind === 'regs' ? [...COMMON, ...REGS_ONLY] : COMMON) changes.set(name, random.word());
    if (kind === 'regs') changes.set('flags', (BigInt(random.next()) & STATUS_AND_TRAP_FLAGS) | 2n);
  }
  if (way !== 'returns') changes.set('ip', REDIRECTED);
  if (way === 'direct') changes.set('origRax', DIRECT);
  return changes;
}

/** What the handler leaves in memory: its changes of pt_regs, and its own stack frame. */
function handlerWrites(
  engine: Engine,
  entry: bigint,
  question: TrampolineQuestion,
  changes: ReadonlyMap<keyof typeof PT_REGS, bigint>,
): Segment[] {
  const frame = frameOf(question, entry);
  const rsp = engine.readRegister('rsp');
  return [
    ...[...changes].map(([name, value]) => ({ address: frame + BigInt(PT_REGS[name]), bytes: wordBytes(value) })),
    { address: rsp - BigInt(HANDLER_STACK), bytes: new Uint8Array(HANDLER_STACK).fill(0xa5) },
  ];
}

/** C18, C19, C22, C23, C25, C29: what is left after the return. */
function afterReturn(
  { kind }: TrampolineQuestion,
  world: World,
  engine: Engine,
  state: State,
  outcome: Outcome,
  changes: ReadonlyMap<keyof typeof PT_REGS, bigint>,
  way: Way,
): Complaint | undefined {
  const entry = state.registers.rsp ?? 0n;
  const rsp = outcome.registers.rsp ?? 0n;
  // a direct call is entered with ip as its return address, as if the original site had called it (F26)
  const expected = way === 'direct' ? entry : entry + 8n;
  if (rsp !== expected) return { rule: 'C29', why: `rsp is ${hex(rsp)} after the return instead of ${hex(expected)}` };
  if (way === 'direct' && readWord(engine, rsp) !== REDIRECTED) {
    return { rule: 'C25', why: 'the direct call does not have ip as its return address' };
  }
  for (const name of [...COMMON, ...REGS_ONLY]) {
    if (kind === 'args' && name === 'r10') continue; // C code may use it (F23)
    const wanted = changes.get(name) ?? state.registers[name] ?? 0n;
    const got = outcome.registers[name] ?? 0n;
    if (got !== wanted)
      return { rule: 'C22', why: `${name} is ${hex(got)} after the return instead of ${hex(wanted)}` };
  }
  if ((outcome.rflags & DIRECTION) !== 0n) return { rule: 'C19', why: 'the direction flag is set after the return' };
  const flags = changes.get('flags') ?? state.rflags;
  if (kind === 'regs' && ((outcome.rflags ^ flags) & STATUS_AND_TRAP_FLAGS) !== 0n) {
    return { rule: 'C18', why: `the flags are ${hex(outcome.rflags)} after the return instead of ${hex(flags)}` };
  }
  for (const [i, bytes] of outcome.xmm.entries()) {
    if (bytes.some((byte, j) => byte !== state.xmm[i]?.[j])) return { rule: 'C23', why: `xmm${i} is changed` };
  }
  for (const address of outcome.written.keys()) {
    if (address < entry + 8n && address >= entry - 0x1000n) continue;
    if (outcome.written.get(address) === world.before(address)) continue;
    return { rule: 'C29', why: `it writes to ${hex(address)}, outside its frame` };
  }
  return undefined;
}

function initialWord(world: World, address: bigint): bigint {
  let value = 0n;
  for (let i = 7n; i >= 0n; i--) value = (value << 8n) | BigInt(world.before(address + i) ?? 0);
  return value;
}

function readWord(engine: Engine, address: bigint): bigint {
  return engine.read(address, 8).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function wordBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}
