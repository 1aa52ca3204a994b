// Where instructions begin in a function: what a task can be parked at.
import { decode, type Flow, type Instruction, instructionLengths } from '../x86/decode.ts';

/** Control never goes to the next instruction. */
const ENDS: ReadonlySet<Flow> = new Set(['jump', 'indirect-jump', 'return', 'exception', 'invalid']);
/** Bytes of the longest instruction. */
const LONGEST = 15;
/** Instructions that are read in a row before it is asked again whether they are known */
const PIECE = 16;

/**
 * The instruction that `at` lies inside of; undefined where one begins there, or where bytes before it are no code.
 *
 * A function is read in a row from its start, and again from where its branches lead: a jump over a prefix begins an
 * instruction inside of another one.
 *
 * @param code of one function
 * @param start its address
 */
export function instructionAround(code: Uint8Array, start: bigint, at: bigint): Instruction | undefined {
  const starts = new Set<bigint>();
  let ip = start;
  for (const length of instructionLengths(code.subarray(0, Number(at - start) + LONGEST), start)) {
    if (ip === at) return undefined;
    if (ip > at) break;
    starts.add(ip);
    ip += BigInt(length);
  }
  const all = decode(code, start);
  const around = all.find((one) => one.ip < at && one.ip + BigInt(one.length) > at);
  const targets = all.flatMap(({ target }) => target ?? []);
  for (let target = targets.pop(); target !== undefined; target = targets.pop()) {
    const offset = Number(target - start);
    if (offset < 0 || offset >= code.length || starts.has(target)) continue;
    if (target === at) return undefined;
    const piece = decode(code.subarray(offset), target, PIECE);
    for (const [i, one] of piece.entries()) {
      if (starts.has(one.ip)) break;
      if (one.ip === at) return undefined;
      starts.add(one.ip);
      if (one.target !== undefined) targets.push(one.target);
      if (ENDS.has(one.flow)) break;
      if (i === PIECE - 1) targets.push(one.ip + BigInt(one.length));
    }
  }
  const isCode = all.every(({ ip: one, flow }) => one > at || flow !== 'invalid');
  return isCode ? around : undefined;
}
