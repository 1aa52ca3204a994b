// The step `call`: runs a guest function and compares what the CPU says with what the step expects.
import { hexBytes } from '../../address.ts';
import type { PatchState, TaskContext } from '../../core/core.ts';
import type { JsonNode } from '../../json.ts';
import type { Argument } from '../../machine/arguments.ts';
import type { CallResult, Machine } from '../../machine.ts';
import { RESULT_KEYS, readResult } from '../call-result.ts';
import {
  addressOf,
  describePlace,
  describeStack,
  findFunction,
  firstInstruction,
  fullName,
  type NamedFunction,
  placeOf,
} from '../names.ts';
import type { Verb } from '../verb.ts';

/** An argument as written; `symbol` is looked up when the call is made. */
type ArgumentSpec = { value: Argument; as: string | undefined } | { symbol: JsonNode };

const CONTEXTS: readonly TaskContext[] = ['task', 'softirq', 'irq', 'nmi'];

/**
 * `{"call":"f","args":[],"task":"t1","context":"irq","runs":"…","visits":["…"],"returns":1,"rdx":2,"xmm0":"…",
 * "memory":{"buf":"hex"}}`, or with `"until":"g+0x1a"`: the task parks there.
 */
export const call: Verb = {
  keys: ['args', 'task', 'context', 'until', ...RESULT_KEYS, 'memory'],
  expects: [...RESULT_KEYS, 'memory'],
  functions: (step) => [step.need('call')],
  read(step, names) {
    const subject = step.need('call');
    const target = subject.name();
    const args = (step.get('args')?.array() ?? []).map(readArgument);
    const task = step.get('task');
    if (task !== undefined && !names.tasks.has(task.name())) {
      throw task.error('ENOENT', `no task '${task.name()}' in $.machine.tasks, nor added before`);
    }
    const context = step.get('context')?.oneOf(CONTEXTS) ?? 'task';
    const until = step.get('until');
    until?.name();
    if (until !== undefined) refuseWithUntil(step, context);
    const judgeOf = readResult(step);
    const memory = (step.get('memory')?.entries() ?? []).map(([name, node]) => {
      const index = args.findIndex((one) => 'as' in one && one.as === name);
      if (index < 0) throw node.error('ENOENT', `no argument has "as": "${name}"`);
      return { name, index, bytes: node.hex() };
    });
    return ({ machine }) => {
      const callee = findFunction(machine, target, subject);
      const values = args.map((one) =>
        'symbol' in one ? addressOf(machine, one.symbol.name(), one.symbol) : one.value,
      );
      const name = callee === undefined ? target : fullName(callee);
      const options = task === undefined ? {} : { task: task.name() };
      if (until !== undefined) {
        const at = machine.park(name, values, placeOf(machine, until), options);
        return { seen: `parked at ${at.name}+0x${at.offset.toString(16)}`, broken: [] };
      }
      const judge = judgeOf(machine);
      const caller = task === undefined ? machine.tasks.first : machine.tasks.get(task.name());
      const state = caller === undefined ? 'idle' : machine.core.patchState(caller.handle);
      const result = machine.call(name, values, { ...options, context });
      const broken = judge.runs(result);
      if (broken.length === 0) broken.push(...judgeDispatch(machine, callee, state, result));
      broken.push(...judge.rest(result));
      for (const { name, index, bytes } of memory) {
        const place = result.buffers[index];
        const found = place === undefined ? '' : hexBytes(machine.read(place, bytes.length));
        if (found !== hexBytes(bytes)) broken.push(`expected '${name}' to hold ${hexBytes(bytes)}, got ${found}`);
      }
      const site = callee?.info.site;
      const func = site && `func stack of ${callee.info.name}: ${describeStack(machine, site.address)}`;
      if (broken.length > 0 && func !== undefined) broken.push(func);
      const { returns: rax, instructions } = result;
      return { runs: result.runs.name, returns: rax, instructions, seen: whatRan(machine, callee), broken };
    };
  },
};

/** The arrival is what the func stack holds for a task of this state (I2, L38–L42). */
function judgeDispatch(
  machine: Machine,
  callee: NamedFunction | undefined,
  state: PatchState,
  { runs }: CallResult,
): string[] {
  if (callee?.info.site === undefined || changedByOthers(machine, callee.info.site.address)) return [];
  const [top, below] = machine.livepatch.stack(callee.info.site.address);
  const chosen = top?.transition === true && state === 'unpatched' ? below : top;
  const entry = chosen?.nop === true ? undefined : chosen;
  const wanted = firstInstruction(machine, entry?.address ?? callee.info.address);
  if (wanted === runs.address) return [];
  const place = entry === top ? 'the top of the func stack' : 'below the top of the func stack';
  const name =
    entry === undefined
      ? `the original ${fullName(callee)}`
      : `${entry.newFunc} of '${entry.patch}', ${place} for a task that is ${state},`;
  return [`expected ${name} to run, got ${describePlace(machine, runs.address)}`];
}

/** Whether a user of ftrace other than livepatch may send calls of the site elsewhere (F40). */
function changedByOthers({ ftrace }: Machine, site: bigint): boolean {
  return ftrace.usersOf(site).some(({ ops }) => ops.has('IPMODIFY') && !ops.inText);
}

function whatRan(machine: Machine, callee: NamedFunction | undefined): string {
  if (callee === undefined) return '';
  if (callee.info.site === undefined) return 'has no site';
  const patches = machine.livepatch.stack(callee.info.site.address).map(({ patch }) => patch);
  return patches.length === 0 ? 'the original, func stack empty' : `top of the func stack [${patches.join(', ')}]`;
}

/** What does not go together with parking. */
function refuseWithUntil(step: JsonNode, context: TaskContext): void {
  if (context !== 'task') throw step.need('context').error('EINVAL', `a call in ${context} context cannot sleep`);
  for (const key of [...RESULT_KEYS, 'memory']) {
    const node = step.get(key);
    if (node !== undefined)
      throw node.error('EINVAL', `a call that parks has no result yet: '${key}' goes with "resume"`);
  }
}

function readArgument(node: JsonNode): ArgumentSpec {
  if (!node.isObject()) return { value: node.integer(), as: undefined };
  node.keys(['text', 'data', 'as', 'symbol', 'f64']);
  const kinds = ['text', 'data', 'symbol', 'f64'].filter((key) => node.get(key) !== undefined);
  if (kinds.length !== 1)
    throw node.error('EINVAL', 'an argument is an integer, {"text"}, {"data"}, {"symbol"} or {"f64"}');
  const as = node.get('as');
  if (as !== undefined && kinds[0] !== 'data') throw as.error('EINVAL', '"as" goes with "data" only');
  const symbol = node.get('symbol');
  if (symbol !== undefined) {
    symbol.name();
    return { symbol };
  }
  const f64 = node.get('f64')?.number();
  if (f64 !== undefined) return { value: { f64 }, as: undefined };
  const text = node.get('text')?.string();
  if (text?.includes('\0')) throw node.need('text').error('EINVAL', 'a text holds no NUL; use "data"');
  return { value: text ?? node.need('data').hex(), as: as?.name() };
}
