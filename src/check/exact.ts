// Is a moved block a byte-exact copy but for its relative operands, as a tool may promise? (C52)
import { hexBytes } from '../address.ts';
import { type DecodeMode, type Facts, factsOf } from '../x86/operands.ts';
import { type Finding, finding } from './finding.ts';

/** The first instruction that has no relative operand and yet was encoded anew, or is missing. */
export function exactFinding(
  address: bigint,
  bytes: Uint8Array,
  newAddress: bigint,
  output: Uint8Array,
  mode: DecodeMode,
): Finding | undefined {
  const moved = factsOf(output, newAddress, mode);
  let next = 0;
  for (const facts of factsOf(bytes, address, mode)) {
    if (isRelative(facts)) continue;
    // a branch may have become several instructions: go on to the next one that does the same
    const index = moved.findIndex((one, i) => i >= next && one.key === facts.key);
    const same = moved.findIndex((one, i) => i >= next && hexBytes(one.bytes) === hexBytes(facts.bytes));
    if (same >= 0) {
      next = same + 1;
      continue;
    }
    const instead = moved[index]?.bytes;
    const why =
      instead === undefined
        ? `"${facts.mnemonic}" (${hexBytes(facts.bytes)}) is not in the copy`
        : `${hexBytes(facts.bytes)} became ${hexBytes(instead)}`;
    return finding('C52', 'error', why, { at: facts, base: address });
  }
  return undefined;
}

function isRelative({ target, memory }: Facts): boolean {
  return target !== undefined || (memory?.base === '' && memory.address !== undefined);
}
