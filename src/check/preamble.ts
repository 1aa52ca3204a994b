// Recognizes what stands before a function for control-flow integrity: kCFI's hash and FineIBT's check (C35).
import { hexBytes } from '../address.ts';
import { factsOf } from '../x86/operands.ts';

/** A preamble, by the distances of its first byte and of the first byte after it from the entry. */
export interface Preamble {
  readonly what: string;
  readonly from: number;
  readonly until: number;
}

/** The kernel pads the hash to a multiple of 16 bytes, so that it can become FineIBT's check. */
const PADDED = 16;
const MOV_EAX = 0xb8;
/** endbr64; sub r10d, hash; je over ud2 */
const FINE_IBT = /^f30f1efa4181ea.{8}74/;

/** The preamble at the end of the bytes right before an entry, if there is one. */
export function preambleBefore(before: Uint8Array): Preamble | undefined {
  const padded = before.subarray(Math.max(0, before.length - PADDED));
  if (padded.length === PADDED) {
    if (FINE_IBT.test(hexBytes(padded))) return { what: "FineIBT's check", from: PADDED, until: 0 };
    const rest = padded.subarray(5);
    if (padded[0] === MOV_EAX && factsOf(rest, 0n, { bitness: 64 }).every(({ isNop }) => isNop)) {
      return { what: "kCFI's hash", from: PADDED, until: PADDED - 5 };
    }
  }
  return before[before.length - 5] === MOV_EAX ? { what: "kCFI's hash", from: 5, until: 0 } : undefined;
}
