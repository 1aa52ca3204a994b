// Bytes of the user's own are called once before they are measured: those that do not redirect are refused with a finding.
import { hex } from '../address.ts';
import { type Finding, finding } from '../check/finding.ts';
import { check } from '../check/index.ts';
import type { RuleNumber } from '../check/rules.ts';
import { CodeSpace, within } from '../check/space.ts';
import { EngineError, TrampolineError } from '../errors.ts';
import type { OwnMechanism } from '../measure/own.ts';
import { ARGUMENTS, callOnce, enter, runThrough, type Subject } from '../measure/subject.ts';

/** Instructions until an argument must have arrived. */
const BUDGET = 1_000_000;

/**
 * Calls a mechanism once.
 *
 * @throws {TrampolineError} EINVAL it does not come to what it must reach, does not end, or returns something else; the
 *   message holds the check's finding
 */
export async function refuseOthers({ id, program, make }: OwnMechanism): Promise<void> {
  const subject = await make('wasm');
  try {
    callOnce(subject);
  } catch (error) {
    if (!(error instanceof TrampolineError)) throw error;
    const found = (await wrongWay(program)) ?? wrongEnd(program, subject, error);
    const why = found === undefined ? error.message : `${found.rule}: ${found.message}${shown(found)}`;
    throw new TrampolineError('EINVAL', `'${id}' does not redirect and is not timed: ${why}`, {
      operation: 'bench',
      cause: error,
    });
  } finally {
    subject.dispose();
  }
}

function shown({ address, disassembly }: Finding): string {
  return address === undefined || disassembly === undefined ? '' : `, at ${address} "${disassembly}"`;
}

/** The bytes lead elsewhere, from whatever registers. */
async function wrongWay({ entry, reaches, code }: OwnMechanism['program']): Promise<Finding | undefined> {
  const part = code.find((one) => within(one, entry));
  if (part === undefined) return undefined;
  const { findings } = await check.dispatch(
    {
      address: entry,
      bytes: part.bytes.subarray(Number(entry - part.address)),
      target: reaches,
      memory: code.filter((one) => one !== part),
    },
    'wasm',
  );
  return findings[0];
}

/** They lead there, but the call as a whole ends wrongly; undefined where the engine does not judge an instruction. */
function wrongEnd(
  { entry, code }: OwnMechanism['program'],
  subject: Subject,
  error: TrampolineError,
): Finding | undefined {
  if (!(error instanceof EngineError) || error.code === 'EOPNOTSUPP') return undefined;
  const space = new CodeSpace(code, { bitness: 64 });
  const found = (rule: RuleNumber, why: string, ip: bigint): Finding =>
    finding(rule, 'error', why, { at: space.at(ip), base: entry, entry, code, mode: { bitness: 64 } });
  const { rip } = error;
  if (error.code === 'ETIMEDOUT') return found('C9', 'the call does not end', rip ?? entry);
  if (rip !== undefined) return found('C9', `ends with a fault at ${hex(rip)}`, rip);
  const { reaches, returns, engine } = subject;
  const result = engine.readRegister('rax');
  if (!arrives(subject)) return found('C9', `with these arguments the call does not come to ${hex(reaches)}`, entry);
  const why = spoiled(subject) ?? `rax is ${hex(result)} instead of ${hex(returns)} when the call returns`;
  return found('C21', why, reaches);
}

/** Runs up to the instruction that the call must come to. */
function arrives(subject: Subject): boolean {
  enter(subject);
  try {
    runThrough(subject, { from: subject.entry, until: subject.reaches, budget: BUDGET });
    return true;
  } catch (error) {
    if (error instanceof EngineError) return false;
    throw error;
  }
}

/** The first argument that has not arrived as it was given. */
function spoiled({ engine, reaches, args }: Subject): string | undefined {
  for (const [i, given] of args.entries()) {
    const name = ARGUMENTS[i];
    const got = name === undefined ? given : engine.readRegister(name);
    if (got !== BigInt.asUintN(64, given)) return `${name} is ${hex(got)} instead of ${hex(given)} at ${hex(reaches)}`;
  }
  return undefined;
}
