// Accesses through fs and gs: runs do not tell them from plain ones, the decoded instructions do.
import { hex } from '../address.ts';
import type { Facts } from '../x86/operands.ts';

/**
 * What is accessed through fs or gs on one side only; undefined where both sides do the same.
 *
 * All runs have the bases of fs and gs at 0: they do not tell an access through one from an access through none. One address
 * through another segment is a difference (C10); what is addressed by registers is not known.
 */
export function segmentDifference(
  original: Iterable<Facts>,
  moved: Iterable<Facts>,
): { answer: 'different' | 'unknown'; why: string } | undefined {
  const theirs = operandsOf(original);
  const ours = operandsOf(moved);
  const names = [...theirs, ...ours].filter((name) => /^[fg]s:/.test(name));
  const odd = names.find((name) => ours.has(name) !== theirs.has(name));
  if (odd === undefined) return undefined;
  const place = odd.slice(3);
  const other = ['fs:', 'gs:', 'ds:'].find(
    (segment) => theirs.has(odd) && ours.has(`${segment}${place}`) && !theirs.has(`${segment}${place}`),
  );
  if (other !== undefined && /^\[0x/.test(place)) {
    return {
      answer: 'different',
      why: `${place} is accessed through ${other.slice(0, 2)} instead of ${odd.slice(0, 2)}`,
    };
  }
  return { answer: 'unknown', why: `only ${ours.has(odd) ? 'the moved code' : 'the original'} accesses ${odd}` };
}

/** Each memory operand, such as `fs:[0x28]`. */
function operandsOf(all: Iterable<Facts>): Set<string> {
  const found = new Set<string>();
  for (const { key, memory } of all) {
    if (memory === undefined) continue;
    const { base, index, scale, displacement } = memory;
    const parts = [base, /^(None)?$/.test(index) ? '' : `${index}*${scale}`].filter((part) => !/^(None)?$/.test(part));
    const segment = /\[([FG]S) /.exec(key)?.[1] ?? 'DS';
    found.add(`${segment}:[${[...parts, hex(displacement)].join('+')}]`.toLowerCase());
  }
  return found;
}
