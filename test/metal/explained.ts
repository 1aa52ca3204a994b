// Differences between an engine and the bare CPU that are known, and who is right; README.md has them as a table.

import { Decoder, DecoderOptions } from 'iced-x86';
import type { Mismatch, MismatchKind } from './compare.ts';
import { rflagsOf } from './flags.ts';
import { type Case, CODE } from './layout.ts';

/** Kinds that Unicorn's tables state for the engine as a whole. */
export const UNICORN_STATED: ReadonlySet<MismatchKind> = new Set(['nan', 'alignment', 'fault-detail']);

/**
 * Differences that lie in how the vectors were recorded: a page of the recording kernel that the guest does not have,
 * and flags that were undefined when a later instruction of a program faulted.
 */
export function explained(mismatch: Mismatch, input: Case, rip: bigint): boolean {
  const address = /expected protected (?:read|write) 0x([0-9a-f]+)/.exec(mismatch.detail)?.[1];
  if (address !== undefined) return BigInt(`0x${address}`) >= 0x7fffffffe000n;
  const flags = /^rflags expected (0x\w+), got (0x\w+)/.exec(mismatch.detail);
  if (mismatch.kind !== 'fault-detail' || flags === null) return false;
  return ((Number(flags[1]) ^ Number(flags[2])) & ~undefinedBefore(input, rip)) === 0;
}

/** The flags that the instructions before `rip` left undefined, and none after them defined; shifts by 0 are ignored. */
function undefinedBefore(input: Case, rip: bigint): number {
  const decoder = new Decoder(64, input.bytes, DecoderOptions.None);
  decoder.ip = CODE;
  let flags = 0;
  while (decoder.canDecode && decoder.ip < rip) {
    const instruction = decoder.decode();
    flags &= ~rflagsOf(instruction.rflagsModified);
    flags |= rflagsOf(instruction.rflagsUndefined);
    instruction.free();
  }
  decoder.free();
  return flags;
}
