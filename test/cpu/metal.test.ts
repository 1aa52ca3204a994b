// The WASM CPU against the answers of the bare CPU that test/metal keeps: every case it executes must agree.

import { Decoder, DecoderOptions } from 'iced-x86';
import { describe, expect, test } from 'vitest';
import { createWasm } from '../../src/engine/wasm.ts';
import { MetalBench, type Mismatch } from '../metal/compare.ts';
import { rflagsOf } from '../metal/flags.ts';
import { type Case, CODE } from '../metal/layout.ts';
import { loadVectors } from '../metal/load.ts';
import { casesOfSection } from '../metal/sections.ts';
import { pairsOf } from '../metal/vectors.ts';

/**
 * Differences that lie in how the vectors were recorded: a page of the recording kernel that the guest does not have,
 * and flags that were undefined when a later instruction of a program faulted.
 */
function explained(mismatch: Mismatch, input: Case, rip: bigint): boolean {
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

describe('the WASM CPU', () => {
  test('answers as the bare CPU does wherever it judges', async () => {
    const vectors = loadVectors();
    const bench = new MetalBench(await createWasm(), vectors.seed);
    const wrong: Mismatch[] = [];
    let judged = 0;
    for (const section of vectors.sections.values()) {
      for (const { input, result } of pairsOf(section, casesOfSection(section, vectors.seed))) {
        const mismatch = bench.run(input, result);
        if (mismatch?.kind === 'refused' && mismatch.detail.includes('outside the instruction set')) continue;
        judged++;
        if (mismatch !== undefined && !explained(mismatch, input, result.rip)) wrong.push(mismatch);
      }
    }
    expect(wrong).toEqual([]);
    expect(judged).toBeGreaterThan(105_000);
  });
});
