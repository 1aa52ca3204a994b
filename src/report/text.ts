// Reports for people: a scenario call by call, an image as a table, and the last line that counts what was not judged.
import { hex } from '../address.ts';
import type { Jury } from '../engine/confirm.ts';
import type { Verdict } from '../scenario/run.ts';
import type { JointScenarioResult, JointStepResult } from '../scenario/run-together.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { JointFunctionVerdict, JointImageVerdict } from '../scenario/verify-together.ts';
import { count, type Paint, plain, table } from './table.ts';

/** Images with more functions than this are not listed in full. */
const FULL_TABLE = 60;
/** Names given for each reason of a long list. */
const NAMES_SHOWN = 5;
/** Hex digits of a buffer that are printed. */
const DIGITS_SHOWN = 16;

/** One line of a scenario: the step, and what was seen. */
export function stepText(
  { index, step, verdict, runs, returns, instructions, message, unconfirmed }: JointStepResult,
  paint = plain,
): string {
  const number = String(index + 1).padStart(3);
  const lines: string[] = [];
  const what = describeStep(step);
  if (verdict !== 'holds') lines.push(`${number}  ${mark(verdict, paint)} ${what}`, `       ${message}`);
  else if (runs === undefined)
    lines.push(`${number}  ${mark(verdict, paint)} ${what}${message && `  ${paint('dim', message)}`}`);
  else {
    const result = `= ${hex(returns ?? 0n)}`;
    lines.push(`${number}  ${mark(verdict, paint)} ${what}  ${result}`);
    lines.push(
      `       ran ${paint('bold', runs)}, ${message}${message && ', '}${count(instructions ?? 0, 'instruction')}`,
    );
  }
  if (unconfirmed !== undefined) lines.push(paint('dim', `       unconfirmed: ${unconfirmed}`));
  const note = noteOf(step);
  if (note !== undefined) lines.unshift(paint('dim', `     # ${note}`));
  return lines.join('\n');
}

/** The line after a scenario's steps. */
export function scenarioSummary({ summary }: JointScenarioResult): string {
  const { steps, failed, notJudged, unconfirmed } = summary;
  return `${count(steps, 'step')}: ${steps - failed - notJudged} hold, ${failed} failed, ${notJudged} not judged${tail(unconfirmed)}`;
}

/** Who judged together, and who could not: a line each. */
export function juryText(jury: Jury | undefined): string[] {
  if (jury === undefined) return [];
  return [
    `judged by ${jury.engines.join(', ')}`,
    ...jury.absent.map(({ name, why }) => `${name} did not take part: ${why}`),
  ];
}

/** A scenario that asks a question, and what became of it. */
export interface Answered {
  readonly name: string;
  readonly scenario: Pick<Scenario, 'question' | 'answer'>;
  readonly result: JointScenarioResult;
}

/** Scenarios that ask questions: under each question one line for each answer, and whether its steps hold. */
export function answersText(answered: readonly Answered[], paint: Paint = plain): string {
  const lines: string[] = [];
  const width = answered.reduce((widest, { name }) => Math.max(widest, name.length), 0);
  let asked: string | undefined;
  for (const { name, scenario, result } of answered) {
    if (scenario.question !== asked) lines.push(paint('bold', scenario.question ?? ''));
    asked = scenario.question;
    const { failed, notJudged } = result.summary;
    const verdict: Verdict = failed > 0 ? 'broken' : notJudged > 0 ? 'not judged' : 'holds';
    lines.push(`  ${mark(verdict, paint)} ${name.padEnd(width)}  ${scenario.answer ?? ''}`);
  }
  return lines.join('\n');
}

/** The functions of an image: a table, or for a large image what does not hold, grouped by reason. */
export function imageText(result: JointImageVerdict, paint: Paint = plain): string {
  const lines = [paint('bold', result.file)];
  const { functions, imports } = result;
  const listed = functions.length <= FULL_TABLE ? functions : functions.filter((one) => one.verdict === 'broken');
  if (listed.length > 0) lines.push(...functionTable(listed, paint));
  if (listed !== functions) lines.push(...groupByReason(functions.filter((one) => one.verdict === 'not judged')));
  if (imports.length > 0) {
    lines.push(`${count(imports.length, 'undefined symbol')} placed at unmapped addresses, as no body runs`);
  }
  const { holds, failed, notJudged, checks, unconfirmed } = result.summary;
  lines.push(
    `${count(functions.length, 'function')}, ${count(checks, 'call')} checked: ${holds} hold, ${failed} failed, ${notJudged} not judged${tail(unconfirmed)}`,
  );
  return lines.join('\n');
}

/** The last line of `verify`. */
export function totalText(
  total: { judged: number; failed: number; notJudged: number; unconfirmed?: number },
  paint: Paint = plain,
): string {
  const { judged, failed, notJudged, unconfirmed } = total;
  const word = failed > 0 ? paint('bad', 'FAILED') : judged > 0 ? paint('good', 'ok') : 'nothing judged';
  return `${word}: ${judged - failed} of ${judged} judged hold, ${failed} failed, ${notJudged} not judged${tail(unconfirmed)}`;
}

/** What several engines were to judge and one alone did. */
function tail(unconfirmed: number | undefined): string {
  return unconfirmed === undefined ? '' : `, ${unconfirmed} unconfirmed`;
}

function functionTable(functions: readonly JointFunctionVerdict[], paint: Paint): string[] {
  const rows = functions.map(({ name, site, verdict, checks, instructions, reason, unconfirmed }) => [
    mark(verdict, plain),
    name,
    site === undefined ? '-' : hex(site),
    String(checks),
    instructions === undefined ? '-' : String(instructions.plain),
    instructions === undefined ? '-' : String(instructions.patched),
    unconfirmed === undefined ? reason : `unconfirmed: ${unconfirmed}`,
  ]);
  const headings = ['', 'function', 'site', 'calls', 'plain', 'patched', ''];
  return table(headings, rows, [3, 4, 5], paint).map((line) => `  ${colourMark(line, paint)}`);
}

function groupByReason(functions: readonly JointFunctionVerdict[]): string[] {
  const groups = new Map<string, string[]>();
  for (const { reason, name } of functions) {
    const names = groups.get(reason);
    if (names === undefined) groups.set(reason, [name]);
    else names.push(name);
  }
  return [...groups].map(([reason, names]) => {
    const more = names.length > NAMES_SHOWN ? ', …' : '';
    return `  not judged: ${count(names.length, 'function')}: ${reason} (${names.slice(0, NAMES_SHOWN).join(', ')}${more})`;
  });
}

const MARKS: Readonly<Record<Verdict, string>> = { holds: 'ok', broken: 'FAIL', 'not judged': '-' };

function mark(verdict: Verdict, paint: Paint): string {
  const text = MARKS[verdict].padEnd(4);
  return verdict === 'holds' ? paint('good', text) : verdict === 'broken' ? paint('bad', text) : text;
}

function colourMark(line: string, paint: Paint): string {
  if (line.startsWith('ok ')) return paint('good', 'ok') + line.slice(2);
  return line.startsWith('FAIL') ? paint('bad', 'FAIL') + line.slice(4) : line;
}

function noteOf(step: unknown): string | undefined {
  const note = (step as { note?: unknown } | null)?.note;
  return typeof note === 'string' ? note : undefined;
}

/** The step's verb, subject and arguments as a person would write them. */
function describeStep(step: unknown): string {
  const keys = step as Record<string, unknown>;
  if (typeof keys.call === 'string') {
    const args = Array.isArray(keys.args) ? keys.args : [];
    const task = keys.task === undefined ? '' : ` as ${String(keys.task)}`;
    const context = keys.context === undefined ? '' : ` in ${String(keys.context)}`;
    const until = keys.until === undefined ? '' : ` until ${String(keys.until)}`;
    return `call ${keys.call}(${args.map(describeArgument).join(', ')})${task}${context}${until}`;
  }
  const [verb = '', ...rest] = Object.keys(keys).filter((key) => key !== 'note');
  const details = rest.map((key) => ` ${key} ${plainJson(keys[key])}`).join('');
  return `${verb} ${plainJson(keys[verb])}${details}`;
}

function describeArgument(argument: unknown): string {
  if (typeof argument !== 'object' || argument === null) return String(argument);
  const { text, symbol, data, f64 } = argument as Record<string, unknown>;
  if (text !== undefined) return JSON.stringify(text);
  if (symbol !== undefined) return `&${String(symbol)}`;
  if (f64 !== undefined) return `${String(f64)} (f64)`;
  const digits = String(data).replace(/\s+/g, '');
  return `[${digits.length > DIGITS_SHOWN ? `${digits.slice(0, DIGITS_SHOWN)}…` : digits}]`;
}

function plainJson(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
