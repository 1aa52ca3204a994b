// The step `call`: runs a guest function and compares what the CPU says with what the step expects.
import { hex, hexBytes, wrap } from '../../address.ts';
import type { PatchState } from '../../core/core.ts';
import type { Argument } from '../../machine/arguments.ts';
import type { CallResult, Machine } from '../../machine.ts';
import type { JsonNode } from '../json.ts';
import {
  describePlace,
  describeStack,
  findFunction,
  firstInstruction,
  fullName,
  holdsAddress,
  type NamedFunction,
  needFunction,
} from '../names.ts';
import type { Verb } from '../verb.ts';

/** An argument as written; `symbol` is looked up when the call is made. */
type ArgumentSpec = { value: Argument; as: string | undefined } | { symbol: JsonNode };

/** An integer that is compared in so many bits. */
interface Expected {
  readonly value: bigint;
  readonly width: number;
}

/** `{"call":"f","args":[],"task":"t1","runs":"…","visits":["…"],"returns":1,"rdx":2,"xmm0":"…","memory":{"buf":"hex"}}`. */
export const call: Verb = {
  keys: ['args', 'task', 'runs', 'visits', 'returns', 'width', 'rdx', 'xmm0', 'memory'],
  later: ['context', 'until'],
  expects: ['runs', 'visits', 'returns', 'width', 'rdx', 'xmm0', 'memory'],
  read(step, names) {
    const subject = step.need('call');
    const target = subject.name();
    const args = (step.get('args')?.array() ?? []).map(readArgument);
    const task = step.get('task');
    if (task !== undefined && !names.tasks.has(task.name())) {
      throw task.error('ENOENT', `no task '${task.name()}' in $.machine.tasks, nor added before`);
    }
    const width = Number(step.get('width')?.integer() ?? 64n);
    if (![8, 16, 32, 64].includes(width))
      throw step.need('width').error('EINVAL', `expected 8, 16, 32 or 64, got ${width}`);
    const runs = named(step.get('runs'));
    const visits = step
      .get('visits')
      ?.array()
      .map((node) => ({ node, name: node.name() }));
    const returns = readExpected(step.get('returns'), width);
    const rdx = readExpected(step.get('rdx'), 64);
    const xmm0 = readXmm(step.get('xmm0'));
    const memory = (step.get('memory')?.entries() ?? []).map(([name, node]) => {
      const index = args.findIndex((one) => 'as' in one && one.as === name);
      if (index < 0) throw node.error('ENOENT', `no argument has "as": "${name}"`);
      return { name, index, bytes: node.hex() };
    });
    return ({ machine }) => {
      const callee = findFunction(machine, target, subject);
      const values = args.map((one) => ('symbol' in one ? addressOf(machine, one.symbol) : one.value));
      const expectedRuns = runs && { ...runs, func: needFunction(machine, runs.name, runs.node) };
      const expectedVisits = visits?.map(({ node, name }) => ({ name, func: needFunction(machine, name, node) }));
      const caller = task === undefined ? machine.tasks.first : machine.tasks.get(task.name());
      const state = caller === undefined ? 'idle' : machine.core.patchState(caller.handle);
      const result = machine.call(callee === undefined ? target : fullName(callee), values, {
        ...(task === undefined ? {} : { task: task.name() }),
      });
      const broken: string[] = [];
      const got = describePlace(machine, result.runs.address);
      if (expectedRuns !== undefined && !holdsAddress(expectedRuns.func, result.runs.address)) {
        broken.push(`expected ${expectedRuns.name} to run, got ${got}`);
      } else {
        broken.push(...judgeDispatch(machine, callee, state, result));
      }
      broken.push(...judgeArrival(result));
      if (expectedVisits !== undefined) broken.push(...judgeVisits(machine, expectedVisits, result));
      broken.push(...judgeInteger('rax', returns, result.returns), ...judgeInteger('rdx', rdx, result.rdx));
      if (xmm0 !== undefined && hexBytes(xmm0) !== hexBytes(result.xmm0)) {
        broken.push(`expected xmm0 ${hexBytes(xmm0)}, got ${hexBytes(result.xmm0)}`);
      }
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
  if (callee?.info.site === undefined) return [];
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

/** The call arrived as a plain call does, and returned as one (I3). */
function judgeArrival({ runs, clobbered }: CallResult): string[] {
  const broken: string[] = [];
  if (runs.changed.length > 0) broken.push(`${runs.changed.join(', ')} did not arrive as in a plain call (I3)`);
  if (!runs.returnsToCaller) broken.push('the return address at the arrival is not the caller (I3)');
  if (clobbered.length > 0) broken.push(`${clobbered.join(', ')} came back changed`);
  return broken;
}

function judgeVisits(
  machine: Machine,
  expected: readonly { name: string; func: NamedFunction }[],
  { visits }: CallResult,
): string[] {
  const same = visits.length === expected.length;
  if (same && visits.every((visit, i) => holdsAddress((expected[i] as { func: NamedFunction }).func, visit.address)))
    return [];
  const got = visits.map((visit) => describePlace(machine, visit.address)).join(', ') || 'none';
  return [`expected visits ${expected.map((one) => one.name).join(', ') || 'none'}, got ${got}`];
}

function judgeInteger(register: string, expected: Expected | undefined, got: bigint): string[] {
  if (expected === undefined) return [];
  const found = BigInt.asUintN(expected.width, got);
  if (found === expected.value) return [];
  return [`expected ${register} ${hex(expected.value)}, got ${hex(found)}`];
}

function whatRan(machine: Machine, callee: NamedFunction | undefined): string {
  if (callee === undefined) return '';
  if (callee.info.site === undefined) return 'has no site';
  const patches = machine.livepatch.stack(callee.info.site.address).map(({ patch }) => patch);
  return patches.length === 0 ? 'the original, func stack empty' : `top of the func stack [${patches.join(', ')}]`;
}

function named(node: JsonNode | undefined): { node: JsonNode; name: string } | undefined {
  return node && { node, name: node.name() };
}

function readArgument(node: JsonNode): ArgumentSpec {
  if (!node.isObject()) return { value: node.integer(), as: undefined };
  node.keys(['text', 'data', 'as', 'symbol'], ['f64']);
  const kinds = ['text', 'data', 'symbol'].filter((key) => node.get(key) !== undefined);
  if (kinds.length !== 1) throw node.error('EINVAL', 'an argument is an integer, {"text"}, {"data"} or {"symbol"}');
  const as = node.get('as');
  if (as !== undefined && kinds[0] !== 'data') throw as.error('EINVAL', '"as" goes with "data" only');
  const symbol = node.get('symbol');
  if (symbol !== undefined) {
    symbol.name();
    return { symbol };
  }
  const text = node.get('text')?.string();
  if (text?.includes('\0')) throw node.need('text').error('EINVAL', 'a text holds no NUL; use "data"');
  return { value: text ?? node.need('data').hex(), as: as?.name() };
}

function addressOf(machine: Machine, node: JsonNode): bigint {
  const name = node.name();
  const found = findFunction(machine, name, node)?.info.address ?? machine.images.address(name);
  if (found === undefined) throw node.error('ENOENT', `no loaded image defines '${name}'`);
  return found;
}

function readExpected(node: JsonNode | undefined, width: number): Expected | undefined {
  if (node === undefined) return undefined;
  const value = node.integer();
  if (value >= 1n << BigInt(width) || value < -(1n << BigInt(width - 1))) {
    throw node.error('EINVAL', `${value} does not fit in ${width} bits`);
  }
  return { value: BigInt.asUintN(width, wrap(value)), width };
}

function readXmm(node: JsonNode | undefined): Uint8Array | undefined {
  const bytes = node?.hex();
  if (node !== undefined && bytes?.length !== 16) throw node.error('EINVAL', 'expected 16 bytes, lowest first');
  return bytes;
}
