// What a step may expect of a call that has returned, and how that is judged.
import { hex, hexBytes, wrap } from '../address.ts';
import type { JsonNode } from '../json.ts';
import type { CallResult, Machine } from '../machine.ts';
import { describePlace, holdsAddress, type NamedFunction, needFunction } from './names.ts';

/** Keys of a step that say what a call must do. */
export const RESULT_KEYS = ['runs', 'visits', 'returns', 'width', 'rdx', 'xmm0'] as const;

/** An integer that is compared in so many bits. */
interface Expected {
  readonly value: bigint;
  readonly width: number;
}

/** Judges one result: the place where it arrived, and all the rest. */
export interface ResultJudge {
  runs(result: CallResult): string[];
  rest(result: CallResult): string[];
}

/**
 * Reads the keys of a step that expect something of a call.
 *
 * @returns makes a judge of a machine, with the names looked up there; that throws ScenarioError ENOENT, EINVAL
 * @throws {ScenarioError} EINVAL a wrong value
 */
export function readResult(step: JsonNode): (machine: Machine) => ResultJudge {
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
  return (machine) => {
    const place = runs && { ...runs, func: needFunction(machine, runs.name, runs.node) };
    const visited = visits?.map(({ node, name }) => ({ name, func: needFunction(machine, name, node) }));
    return {
      runs: (result) =>
        place === undefined || holdsAddress(place.func, result.runs.address)
          ? []
          : [`expected ${place.name} to run, got ${describePlace(machine, result.runs.address)}`],
      rest: (result) => {
        const broken = judgeArrival(result);
        if (visited !== undefined) broken.push(...judgeVisits(machine, visited, result));
        broken.push(...judgeInteger('rax', returns, result.returns), ...judgeInteger('rdx', rdx, result.rdx));
        if (xmm0 !== undefined && hexBytes(xmm0) !== hexBytes(result.xmm0)) {
          broken.push(`expected xmm0 ${hexBytes(xmm0)}, got ${hexBytes(result.xmm0)}`);
        }
        return broken;
      },
    };
  };
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

function named(node: JsonNode | undefined): { node: JsonNode; name: string } | undefined {
  return node && { node, name: node.name() };
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
