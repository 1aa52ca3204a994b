// Judges bytes by where they lead and what they leave alone: run from many states until they leave themselves.
import { hex } from '../address.ts';
import { type Engine, GENERAL_REGISTERS, type RegisterName } from '../engine/engine.ts';
import type { Facts } from '../x86/operands.ts';
import type { EngineMaker } from './execute.ts';
import { finding, type Judgement, located } from './finding.ts';
import type { RuleNumber } from './rules.ts';
import { CodeSpace, checkPlace, type Segment, within } from './space.ts';
import { stateAt } from './states.ts';
import { type Outcome, type State, World } from './world.ts';

/** Bytes, where they lie, and what surrounds them. */
export interface RunQuestion {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Functions that the bytes may call: each returns at once and changes nothing. */
  readonly calls?: readonly bigint[];
  /** Other memory that they read, such as a table of pointers. */
  readonly memory?: readonly Segment[];
  /**
   * Whose rules hold at the calls (C30): rsp a multiple of 16 at each one and, for `ms`, 32 bytes above the return
   * address that belong to the callee. The entry counts as called by the same rules. Kernel code has none.
   */
  readonly abi?: 'sysv' | 'ms';
  /** The bytes stand in the middle of a function: its 128 bytes below rsp are in use (C31). */
  readonly redZone?: boolean;
}

/** Where the bytes must lead. */
export interface DispatchQuestion extends RunQuestion {
  readonly target: bigint;
}

/** What the bytes must leave as it was. */
export interface PreservesQuestion extends RunQuestion {
  /** Registers that count; all general ones and xmm0 to xmm15 unless told. */
  readonly registers?: readonly (RegisterName | `xmm${number}`)[];
  /** Whether the status flags count too (default false). */
  readonly flags?: boolean;
}

const RED_ZONE = 128n;
const HOME_SPACE = 32;

interface Complaint {
  readonly rule: RuleNumber;
  readonly why: string;
}

const STATES = 32;
const SEED = 0x61727276;
const STATUS_FLAGS = 0x8d5n;

/**
 * Judges where bytes lead (C9, C30, C31): from 32 register states control must leave them for `target` and nowhere else.
 *
 * @throws {EngineError} the bytes lie where no memory can be
 * @throws {RangeError} they go past the last address
 */
export async function judgeDispatch(question: DispatchQuestion, engines: EngineMaker): Promise<Judgement> {
  const { target } = question;
  return judgeRuns(question, target, engines, (_, { exit }) =>
    exit.rip === target ? undefined : { rule: 'C9', why: `goes to ${hex(exit.rip)} instead of ${hex(target)}` },
  );
}

/**
 * Judges what bytes leave alone (C18, C21, C23, C29–C31): from 32 register states each named register must be the same where
 * control leaves them.
 *
 * @throws {EngineError} the bytes lie where no memory can be
 * @throws {RangeError} a register that does not exist, or bytes that go past the last address
 */
export async function judgePreserves(question: PreservesQuestion, engines: EngineMaker): Promise<Judgement> {
  const names: readonly string[] = question.registers ?? ALL;
  for (const name of names) if (!ALL.includes(name)) throw new RangeError(`"registers" has no register '${name}'`);
  return judgeRuns(question, undefined, engines, (state, outcome) => {
    for (const name of names) {
      const index = name.startsWith('xmm') ? Number(name.slice(3)) : -1;
      if (index >= 0) {
        if (outcome.xmm[index]?.some((byte, i) => byte !== state.xmm[index]?.[i]) === true) {
          return { rule: 'C23', why: `${name} is changed` };
        }
        continue;
      }
      const [before = 0n, after = 0n] = [state.registers[name], outcome.registers[name]];
      if (before === after) continue;
      return { rule: name === 'rsp' ? 'C29' : 'C21', why: `${name} is ${hex(after)} instead of ${hex(before)}` };
    }
    const changed = (state.rflags ^ outcome.rflags) & STATUS_FLAGS;
    if (question.flags !== true || changed === 0n) return undefined;
    return { rule: 'C18', why: `flags are ${hex(outcome.rflags)} instead of ${hex(state.rflags)}` };
  });
}

const ALL: readonly string[] = [...GENERAL_REGISTERS, ...Array.from({ length: 16 }, (_, i) => `xmm${i}`)];

async function judgeRuns(
  question: RunQuestion,
  target: bigint | undefined,
  engines: EngineMaker,
  complaintOf: (state: State, outcome: Outcome) => Complaint | undefined,
): Promise<Judgement> {
  const { address, bytes, calls = [], memory = [] } = question;
  checkPlace(question, 'bytes', true);
  for (const segment of memory) checkPlace(segment, 'memory');
  if (bytes.length === 0) return { verdict: 'not-judged', reason: 'no bytes', findings: [] };
  const callees = calls.map((at): Segment => ({ address: at, bytes: Uint8Array.of(0xc3) }));
  const code: Segment[] = [{ address, bytes }, ...callees];
  const [engine] = await engines();
  const world = new World(engine, [...code, ...memory], SEED);
  const inside = (ip: bigint): boolean => code.some((one) => within(one, ip));
  let atCall: Complaint | undefined;
  // bytes that end without a jump leave themselves at their end
  const end = address + BigInt(bytes.length);
  const run = (state: State): Outcome =>
    world.run(address, target ?? end, state, (ip) => {
      if (calls.includes(ip)) atCall ??= calling(question, engine);
      return !inside(ip);
    });
  const scene = { mode: { bitness: 64 }, base: address, entry: address, code } as const;
  try {
    for (let i = 0; i < STATES; i++) {
      const state = enteredBy(question, stateAt(i, SEED));
      const outcome = run(state);
      const unjudged = whyUnjudged(outcome, inside);
      if (unjudged !== undefined) return { verdict: 'not-judged', reason: unjudged, findings: [] };
      const complaint = atCall ?? redZone(question, state, outcome) ?? complaintOf(state, outcome);
      if (complaint === undefined) continue;
      const touched = world.record(() => run(state));
      const shown = finding(complaint.rule, 'error', complaint.why, {
        ...scene,
        at: firstAt(code, address),
        state,
        memory: [...touched, ...memory],
      });
      const broken: Judgement = { verdict: 'broken', reason: complaint.why, findings: [shown] };
      return located(broken, scene);
    }
  } finally {
    world.close();
  }
  return { verdict: 'equivalent', reason: `holds from ${STATES} states`, findings: [] };
}

/** A called function finds rsp at 8 modulo 16. */
function enteredBy({ abi }: RunQuestion, state: State): State {
  if (abi === undefined) return state;
  const rsp = state.registers.rsp ?? 0n;
  return { ...state, registers: { ...state.registers, rsp: rsp - ((rsp - 8n) % 16n) } };
}

/** C30: the callee's view of the stack; it uses its home space. */
function calling({ abi }: RunQuestion, engine: Engine): Complaint | undefined {
  if (abi === undefined) return undefined;
  const rsp = engine.readRegister('rsp');
  if (rsp % 16n !== 8n) return { rule: 'C30', why: `rsp is ${hex(rsp + 8n)} at a call, which is no multiple of 16` };
  if (abi === 'ms') engine.write(rsp + 8n, new Uint8Array(HOME_SPACE).fill(0xa5));
  return undefined;
}

/** C31: what was written right below the stack pointer of the entry. */
function redZone(question: RunQuestion, state: State, { written }: Outcome): Complaint | undefined {
  if (question.redZone !== true) return undefined;
  const rsp = state.registers.rsp ?? 0n;
  const address = [...written.keys()].find((one) => one < rsp && one >= rsp - RED_ZONE);
  if (address === undefined) return undefined;
  return { rule: 'C31', why: `writes ${rsp - address} bytes below rsp, into the red zone` };
}

function whyUnjudged({ exit }: Outcome, inside: (ip: bigint) => boolean): string | undefined {
  if (exit.reason === 'not-judged') return exit.why ?? 'the engine does not judge an instruction';
  if (exit.reason === 'budget' || (exit.reason === 'stopped' && inside(exit.rip))) return 'the bytes do not end';
  const { fault } = exit;
  if (fault === undefined || fault.access === 'fetch') return undefined;
  return `a ${fault.kind} fault at ${hex(exit.rip)}`;
}

function firstAt(code: readonly Segment[], address: bigint): Facts | undefined {
  return new CodeSpace(code, { bitness: 64 }).at(address);
}
