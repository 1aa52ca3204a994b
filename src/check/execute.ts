// Equivalence by execution: runs both sides from many states on a CPU and names the first difference.
import { hex } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import type { Facts } from '../x86/operands.ts';
import { runHolding } from './hold.ts';
import { reachable } from './reach.ts';
import { CodeSpace, type Segment } from './space.ts';
import { firstMixed, heldAt, stateAt, statesFor, type Uses, usesOf } from './states.ts';
import { transfersOf } from './transfers.ts';
import { type Outcome, pointer, RETURN_ADDRESS, STACK, type State, World } from './world.ts';

/** Both sides of a comparison, as memory images. */
export interface ExecutionQuestion {
  readonly original: { readonly code: readonly Segment[]; readonly entry: bigint; readonly end?: bigint };
  readonly moved: { readonly code: readonly Segment[]; readonly entry: bigint; readonly end?: bigint };
  /** Addresses at which the moved side stands for the original side's other code: coming there ends the run (C4). */
  readonly forbidden?: { readonly address: bigint; readonly length: number };
  /** Registers that the moved side may spoil. */
  readonly ignore: ReadonlySet<string>;
  readonly space: CodeSpace;
  readonly seed: number;
  /** A proof exists already; a few states confirm it. */
  readonly proved?: boolean;
}

/** One engine for each side. */
export type EnginePair = readonly [Engine, Engine];

/**
 * Gives two engines with nothing mapped, made when the first judgement needs them; the caller disposes of them. `other`
 * asks for a pair of another kind, for what the first kind does not execute rightly.
 */
export type EngineMaker = (which?: 'other') => Promise<EnginePair>;

/** What the runs showed. */
export interface ExecutionAnswer {
  readonly answer: 'same' | 'different' | 'unknown';
  readonly why: string;
  readonly state?: State;
  /** Of a difference: the memory that both sides touch from that state, as it stood before. */
  readonly memory?: readonly Segment[];
  readonly states: number;
  /**
   * Targets of conditional branches that no state took: those on the straight way from the original's entry, and all that
   * the moved side has in code of its own.
   */
  readonly untaken: readonly bigint[];
  /** The same of the branches beyond: both sides come to them in the same state, so that they prove nothing. */
  readonly beyond: readonly bigint[];
  /** Of the moved side alone: returns that match no call, and indirect branches that land on no ENDBR64 (C32–C34). */
  readonly hazards?: Hazards;
  /** Of `unknown`: the engine does not execute an instruction rightly; another one may. */
  readonly unjudged?: boolean;
}

/** Each by the address of its instruction. */
export interface Hazards {
  readonly returns: ReadonlyMap<bigint, Facts>;
  readonly landings: ReadonlyMap<bigint, Facts>;
}

const MOST_STATES = 240;
/** Enough to confirm what is proved already. */
const CONFIRMING_STATES = 6;
/** A function that no side knows. */
const OUTSIDE = 0x5555_0000n;
const STATUS_FLAGS = 0xcd5n;
const DIRECTION = 0x400n;
const STACK_AROUND = 0x4000n;
const MAX_TARGETS = 16;

/** Runs both sides; what the first pair of engines does not judge is tried on the other. */
export async function execute(question: ExecutionQuestion, engines: EngineMaker): Promise<ExecutionAnswer> {
  const first = await engines();
  const answer = executeBoth(question, first);
  if (answer.unjudged !== true) return answer;
  const other = await engines('other');
  if (other === first) return answer;
  const second = executeBoth(question, other);
  return second.answer === 'unknown' ? answer : second;
}

/**
 * Runs both sides from as many states as the bytes deserve (24 to 190), and goes on up to 240 while a branch of
 * either side has not been taken.
 *
 * @param engines one engine for each side, with nothing mapped; they are left so
 */
export function executeBoth(question: ExecutionQuestion, engines: EnginePair): ExecutionAnswer {
  const pointers = [...pointersOf(question), ...outsideTargets(question)];
  const original = new World(engines[0], [...question.original.code, ...pointers], question.seed);
  try {
    const moved = new World(engines[1], [...question.moved.code, ...pointers], question.seed);
    try {
      const hazards = new HazardLog(original, moved);
      const answer = { ...compare(question, original, moved, hazards), hazards };
      const { state } = answer;
      if (state === undefined) return answer;
      const touched = [
        ...original.record(() => runOriginal(question, original, state)),
        ...moved.record(() => runMoved(question, moved, state)),
      ];
      const returnSlot: Segment = { address: state.registers.rsp ?? STACK, bytes: pointer(RETURN_ADDRESS) };
      return { ...answer, memory: [returnSlot, ...(state.memory ?? []), ...touched] };
    } finally {
      moved.close();
    }
  } finally {
    original.close();
  }
}

/** What the moved side does that the original does not. */
class HazardLog implements Hazards {
  readonly returns = new Map<bigint, Facts>();
  readonly landings = new Map<bigint, Facts>();
  readonly #original: CodeSpace;
  readonly #moved: CodeSpace;

  constructor(original: World, moved: World) {
    this.#original = original.code;
    this.#moved = moved.code;
  }

  add(a: Outcome, b: Outcome): void {
    const ours = transfersOf(this.#moved, b.blocks, b.exit.rip, RETURN_ADDRESS);
    if (ours.returns.length + ours.landings.length === 0) return;
    const theirs = transfersOf(this.#original, a.blocks, a.exit.rip, RETURN_ADDRESS);
    for (const name of ['returns', 'landings'] as const) {
      if (ours[name].length <= theirs[name].length) continue;
      for (const facts of ours[name]) {
        if (!theirs[name].some(({ ip }) => ip === facts.ip)) this[name].set(facts.ip, facts);
      }
    }
  }
}

/** Where the original jumps or calls through a pointer in memory, a pointer must stand there. */
function pointersOf(question: ExecutionQuestion): Segment[] {
  const found: Segment[] = [];
  for (const facts of reachable(question.space, question.original.entry).values()) {
    const address = facts.memory?.address;
    if (address === undefined || (facts.kind !== 'indirect-call' && facts.kind !== 'indirect-jump')) continue;
    if (question.space.at(address) === undefined) found.push({ address, bytes: pointer(OUTSIDE) });
  }
  return found;
}

/**
 * Where a side branches to code that nobody knows, one `ret` stands: the run stops there before it, and what would be
 * translated with it does not reach over the end of the run, from where Unicorn does not come back.
 */
function outsideTargets({ original, moved }: ExecutionQuestion): Segment[] {
  const found = new Map<bigint, Segment>();
  for (const { code, entry } of [original, moved]) {
    for (const { target } of reachable(new CodeSpace(code, { bitness: 64 }), entry).values()) {
      if (target === undefined || !outside(original.code, target) || !outside(moved.code, target)) continue;
      found.set(target, { address: target, bytes: Uint8Array.of(0xc3) });
    }
  }
  return [...found.values()].slice(0, MAX_TARGETS);
}

function runOriginal({ original: { code, entry, end } }: ExecutionQuestion, world: World, state: State): Outcome {
  return world.run(entry, end ?? RETURN_ADDRESS, state, (ip) => outside(code, ip));
}

function runMoved(question: ExecutionQuestion, world: World, state: State): Outcome {
  const { code, entry, end } = question.moved;
  return world.run(entry, end ?? RETURN_ADDRESS, state, (ip) => outside(code, ip) || isForbidden(question, ip));
}

function compare(question: ExecutionQuestion, original: World, moved: World, hazards: HazardLog): ExecutionAnswer {
  const wanted = branchTargets(question);
  const beyond = allTargets(question, wanted);
  const ours = ownTargets(question);
  const uses = usesFor(question);
  const fewest = statesFor(uses);
  let compared = 0;
  let refused = '';
  let unjudged = false;
  let states = 0;
  const proved = question.proved === true;
  const goesOn = (): boolean =>
    proved ? states < CONFIRMING_STATES : states < MOST_STATES && (states < fewest || wanted.size + ours.size > 0);
  for (; goesOn(); states++) {
    // a confirmation skips the boundary values, in which most pointers lead nowhere
    const index = proved ? states + firstMixed(uses) + 2 : states;
    const plain = stateAt(index, question.seed, uses);
    const { state, outcome: a } = runHolding(
      plain,
      heldAt(index, question.seed, uses, plain.registers),
      (from) => runOriginal(question, original, from),
      (at) => outsideBy(question.original.code, at, 8n) && outsideBy(question.moved.code, at, 8n),
    );
    for (const place of [...a.blocks, a.exit.rip]) {
      wanted.delete(place);
      beyond.delete(place);
    }
    if (a.exit.reason === 'not-judged') {
      return { ...unknown(a.exit.why ?? 'the engine does not judge it', states), unjudged: true };
    }
    if (a.exit.reason === 'fault' && a.exit.fault?.access !== 'fetch') {
      refused ||= `the original faults: ${a.exit.fault?.kind ?? 'fault'} at ${hex(a.exit.rip)}`;
      continue;
    }
    if (a.exit.reason === 'budget') {
      refused ||= 'the original does not end';
      continue;
    }
    const b = runMoved(question, moved, state);
    if (b.exit.reason === 'not-judged') {
      if (outside(question.moved.code, b.exit.rip)) {
        const why = `runs off the known code at ${hex(b.exit.rip)}`;
        return { answer: 'different', why, state, states: states + 1, untaken: [...wanted, ...ours], beyond: [] };
      }
      const privileged = privilegedAt(question, b.exit.rip);
      if (privileged !== undefined) {
        const why = `executes "${privileged}", which the original does not hold`;
        return { answer: 'different', why, state, states: states + 1, untaken: [...wanted, ...ours], beyond: [] };
      }
      // the moved code ran what the original does not hold: no proof, but other states may still show a difference
      refused = b.exit.why ?? 'the engine does not judge the moved code';
      unjudged = true;
      continue;
    }
    for (const place of [...b.blocks, b.exit.rip]) ours.delete(place);
    compared++;
    hazards.add(a, b);
    const difference = firstDifference(question, a, b);
    if (difference !== undefined) {
      return {
        answer: 'different',
        why: difference,
        state,
        states: states + 1,
        untaken: [...wanted, ...ours],
        beyond: [],
      };
    }
  }
  if (compared === 0 || unjudged) {
    return { ...unknown(refused || 'no state could be compared', states), unjudged };
  }
  return {
    answer: 'same',
    why: `${compared} states agree`,
    states,
    untaken: [...wanted, ...ours],
    beyond: [...beyond],
  };
}

/**
 * What the original compares, counts and names, and with what the moved side compares; the original's own bytes are no data
 * to be chosen.
 */
function usesFor(question: ExecutionQuestion): Uses {
  const { original } = question;
  const uses = usesOf(...instructionsOf(question));
  return { ...uses, places: uses.places.filter((address) => outsideBy(original.code, address, 8n)) };
}

/** What the original may run, and what the moved side may. */
function instructionsOf({ space, original, moved }: ExecutionQuestion): [Iterable<Facts>, Iterable<Facts>] {
  const movedSpace = new CodeSpace(moved.code, { bitness: 64 });
  return [reachable(space, original.entry).values(), reachable(movedSpace, moved.entry).values()];
}

function outsideBy(code: readonly Segment[], at: bigint, size: bigint): boolean {
  return !code.some(({ address, bytes }) => at + size > address && at < address + BigInt(bytes.length));
}

/** Port access, far transfers and interrupt control fault in user code and stand in no prologue (C50). */
const PRIVILEGED =
  /^(in|out|ins[bwd]|outs[bwd]|hlt|iret[dq]?|retf|cli|sti|lgdt|lidt|lldt|ltr|lmsw|clts|invd|invlpg|wbinvd|rdmsr|wrmsr|swapgs|sysret[dq]?|sysexit[dq]?|xsetbv)$/;

function privilegedAt(question: ExecutionQuestion, ip: bigint): string | undefined {
  const mnemonic = new CodeSpace(question.moved.code, { bitness: 64 }).at(ip)?.mnemonic ?? '';
  if (!PRIVILEGED.test(mnemonic)) return undefined;
  for (const facts of reachable(question.space, question.original.entry).values()) {
    if (facts.mnemonic === mnemonic) return undefined;
  }
  return mnemonic;
}

function unknown(why: string, states: number): ExecutionAnswer {
  return { answer: 'unknown', why, states, untaken: [], beyond: [] };
}

function outside(code: readonly Segment[], ip: bigint): boolean {
  return !code.some(({ address, bytes }) => ip >= address && ip < address + BigInt(bytes.length));
}

function isForbidden(question: ExecutionQuestion, ip: bigint): boolean {
  const range = question.forbidden;
  return range !== undefined && ip >= range.address && ip < range.address + BigInt(range.length);
}

/** Both ways of each conditional branch that the original's entry reaches in a straight line. */
function branchTargets(question: ExecutionQuestion): Set<bigint> {
  const wanted = new Set<bigint>();
  let ip = question.original.entry;
  for (let i = 0; i < 64; i++) {
    const facts = question.space.at(ip);
    if (facts === undefined || facts.kind === 'invalid') break;
    ip = BigInt.asUintN(64, ip + BigInt(facts.length));
    if (facts.kind === 'conditional' && facts.target !== undefined) {
      wanted.add(facts.target);
      wanted.add(ip);
    }
    if (facts.kind !== 'next' && facts.kind !== 'conditional' && facts.kind !== 'call') break;
  }
  return wanted;
}

/** Both ways of every other conditional branch that can be reached. */
function allTargets({ space, original }: ExecutionQuestion, nearer: ReadonlySet<bigint>): Set<bigint> {
  const all = new Set<bigint>();
  for (const { kind, target, ip, length } of reachable(space, original.entry).values()) {
    if (kind !== 'conditional' || target === undefined) continue;
    for (const way of [target, BigInt.asUintN(64, ip + BigInt(length))]) if (!nearer.has(way)) all.add(way);
  }
  return all;
}

/** Both ways of each conditional branch that the moved side may come to in code that the original has not. */
function ownTargets({ original, moved }: ExecutionQuestion): Set<bigint> {
  const own = new Set<bigint>();
  for (const { kind, target, ip, length } of reachable(
    new CodeSpace(moved.code, { bitness: 64 }),
    moved.entry,
  ).values()) {
    if (kind !== 'conditional' || target === undefined || !outside(original.code, ip)) continue;
    own.add(target);
    own.add(BigInt.asUintN(64, ip + BigInt(length)));
  }
  return own;
}

/** How the moved side's outcome differs from the original's, or undefined. */
export function firstDifference(question: ExecutionQuestion, a: Outcome, b: Outcome): string | undefined {
  const placeA = place(a, question.original.end);
  const placeB = place(b, question.moved.end);
  if (b.exit.reason === 'stopped' && isForbidden(question, b.exit.rip)) {
    const offset = b.exit.rip - (question.forbidden?.address ?? 0n);
    return offset === 0n ? 're-enters the hook' : `runs into the overwritten bytes at +${offset}`;
  }
  const intact = question.forbidden === undefined;
  // what leaves the moved block for the middle of the original goes on there
  if (placeA !== placeB && !(intact && samePlace(question, a, b))) return `ends at ${placeB} instead of ${placeA}`;
  for (const [name, value] of Object.entries(a.registers)) {
    if (question.ignore.has(name.toUpperCase())) continue;
    if (b.registers[name] !== value) return `${name} is ${hex(b.registers[name] ?? 0n)} instead of ${hex(value)}`;
  }
  const flags = (a.rflags ^ b.rflags) & STATUS_FLAGS;
  if (flags === DIRECTION) return `the direction flag is ${(b.rflags & DIRECTION) === 0n ? 'clear' : 'set'}`;
  if (flags !== 0n) return `flags are ${hex(b.rflags)} instead of ${hex(a.rflags)}`;
  for (const [i, bytes] of a.xmm.entries()) {
    if (bytes.some((byte, j) => byte !== b.xmm[i]?.[j])) return `xmm${i} differs`;
  }
  return memoryDifference(a, b, returnSlot(question, a, b)) ?? readDifference(question, a, b);
}

/** Data is read at the same addresses; the stack, and what lies among the code, is each side's own matter (C10). */
function readDifference({ original, moved }: ExecutionQuestion, a: Outcome, b: Outcome): string | undefined {
  const isData = (code: readonly Segment[], at: bigint): boolean =>
    outside(code, at) && (at < STACK - STACK_AROUND || at > STACK + STACK_AROUND);
  for (const at of b.reads) {
    if (!a.reads.has(at) && isData(moved.code, at)) return `[${hex(at)}] is read, which the original leaves alone`;
  }
  for (const at of a.reads) {
    if (!b.reads.has(at) && isData(original.code, at)) return `[${hex(at)}] is not read, as it is by the original`;
  }
  return undefined;
}

function place(outcome: Outcome, end: bigint | undefined): string {
  if (outcome.exit.rip === end) return 'its end';
  const fault = outcome.exit.fault;
  if (outcome.exit.reason === 'fault' && fault !== undefined && fault.access !== 'fetch')
    return `a ${fault.kind} fault`;
  return hex(outcome.exit.rip);
}

function samePlace(question: ExecutionQuestion, a: Outcome, b: Outcome): boolean {
  return a.exit.rip === question.original.end && b.exit.rip === question.original.end;
}

/**
 * Where both sides have called the same outside function, their return addresses lie at rsp: one in each one's own code
 * (C16). Undefined where that is not so.
 */
function returnSlot(question: ExecutionQuestion, a: Outcome, b: Outcome): bigint | undefined {
  const rsp = a.registers.rsp ?? STACK;
  const within = (code: readonly Segment[], value: bigint | undefined): boolean =>
    value !== undefined && code.some((s) => value > s.address && value <= s.address + BigInt(s.bytes.length));
  const both = within(question.original.code, word(a, rsp)) && within(question.moved.code, word(b, rsp));
  return both && a.exit.rip !== RETURN_ADDRESS && outside(question.original.code, a.exit.rip) ? rsp : undefined;
}

function word(outcome: Outcome, address: bigint): bigint | undefined {
  let value = 0n;
  for (let i = 7n; i >= 0n; i--) {
    const byte = outcome.written.get(address + i);
    if (byte === undefined) return undefined;
    value = (value << 8n) | BigInt(byte);
  }
  return value;
}

/** Compares what was written; what lies below the final stack pointer is scratch, unless the original wrote there. */
function memoryDifference(a: Outcome, b: Outcome, slot: bigint | undefined): string | undefined {
  const rsp = a.registers.rsp ?? STACK;
  for (const [address, value] of a.written) {
    const got = b.written.get(address);
    if (slot !== undefined && address >= slot && address < slot + 8n) continue;
    if (address < rsp && address >= rsp - 0x1000n) continue;
    if (got !== value)
      return `[${hex(address)}] is ${got === undefined ? 'not written' : hex(got)} instead of ${hex(value)}`;
  }
  for (const [address, value] of b.written) {
    if (a.written.has(address)) continue;
    if (address < rsp && address >= rsp - 0x1000n) continue;
    return `[${hex(address)}] is written with ${hex(value)}, which the original leaves alone`;
  }
  return undefined;
}
