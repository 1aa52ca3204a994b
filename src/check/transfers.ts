// What a run did to the shadow stack, the return predictor and IBT: the engines have none of them, the blocks tell.
import type { Facts } from '../x86/operands.ts';
import { opcodeOf } from './opcode.ts';
import { type CodeSpace, type Segment, within } from './space.ts';

/** Hazards of one run. */
export interface Transfers {
  /** Returns that no call of the run, nor the call of its entry, has announced (C32, C33). */
  readonly returns: readonly Facts[];
  /** Indirect branches without `notrack` whose target is no ENDBR64 (C34). */
  readonly landings: readonly Facts[];
}

const NOTRACK = 0x3e;
const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];
const MAX_STRAIGHT = 64;

/**
 * Reads a run off its blocks.
 *
 * @param blocks addresses of the blocks in the order in which they ran
 * @param end where the run ended
 * @param returnAddress what the entry's caller expects
 */
export function transfersOf(
  space: CodeSpace,
  blocks: readonly bigint[],
  end: bigint,
  returnAddress: bigint,
): Transfers {
  const shadow: bigint[] = [returnAddress];
  const returns: Facts[] = [];
  const landings: Facts[] = [];
  for (const [i, block] of blocks.entries()) {
    const to = blocks[i + 1] ?? end;
    const facts = lastOf(space, block, to);
    if (facts === undefined) continue;
    const { kind, bytes } = facts;
    if (kind === 'call' || kind === 'indirect-call') shadow.push(facts.ip + BigInt(facts.length));
    if (kind === 'return') {
      if (shadow.at(-1) === to) shadow.pop();
      else {
        returns.push(facts);
        // a later return may still match what lies below
        const below = shadow.lastIndexOf(to);
        if (below >= 0) shadow.length = below;
      }
    }
    const isIndirect = kind === 'indirect-jump' || kind === 'indirect-call';
    if (isIndirect && !opcodeOf(bytes, 64).prefixes.includes(NOTRACK)) {
      const target = space.bytes(to, 4);
      if (target.length === 4 && !ENDBR64.every((byte, j) => target[j] === byte)) landings.push(facts);
    }
  }
  return { returns, landings };
}

/** The instruction that left a block; undefined where it ran on into the next one. */
function lastOf(space: CodeSpace, block: bigint, to: bigint): Facts | undefined {
  let ip = block;
  for (let i = 0; i < MAX_STRAIGHT; i++) {
    const facts = space.at(ip);
    if (facts === undefined || facts.kind === 'invalid') return undefined;
    ip += BigInt(facts.length);
    if (facts.kind !== 'next') return facts;
    if (ip === to) return undefined;
  }
  return undefined;
}

/** Only those whose branch stands in `own`, each once. */
export function onlyIn(found: readonly Facts[], own: Segment): Facts[] {
  return found.filter((facts, i) => within(own, facts.ip) && found.findIndex(({ ip }) => ip === facts.ip) === i);
}
