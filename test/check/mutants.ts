// Every mutant of code that holds: each bit flipped, each instruction left out or doubled.
import { hexBytes } from '../../src/address.ts';
import { factsAt } from '../../src/x86/operands.ts';

/** One change, and the bytes with it. */
export interface Mutant {
  readonly what: string;
  /** Where the change begins. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** @param end bytes that are code; what follows is data, of which bits are flipped too */
export function mutantsOf(bytes: Uint8Array, address: bigint, end = bytes.length): Mutant[] {
  return [...bitFlips(bytes), ...instructionMutants(bytes, address, end)];
}

function bitFlips(bytes: Uint8Array): Mutant[] {
  return Array.from({ length: bytes.length * 8 }, (_, bit) => {
    const changed = bytes.slice();
    const offset = bit >> 3;
    changed[offset] = (changed[offset] ?? 0) ^ (1 << (bit & 7));
    return { what: `bit ${bit & 7} of +${offset}`, offset, bytes: changed };
  });
}

/** What a relative branch of the same code leads to changes with its place: that is part of the mutation. */
function instructionMutants(bytes: Uint8Array, address: bigint, end: number): Mutant[] {
  const found: Mutant[] = [];
  for (let offset = 0; offset < end; ) {
    const { length, mnemonic } = factsAt(bytes.subarray(offset, offset + 15), address + BigInt(offset), {
      bitness: 64,
    });
    const [before, own, after] = [
      bytes.slice(0, offset),
      bytes.slice(offset, offset + length),
      bytes.slice(offset + length),
    ];
    found.push({ what: `"${mnemonic}" at +${offset} left out`, offset, bytes: joined(before, after) });
    found.push({ what: `"${mnemonic}" at +${offset} twice`, offset, bytes: joined(before, own, own, after) });
    offset += length;
  }
  return found;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The reasons for which a mutant may hold. */
export type Reason = 'same instruction' | 'same on the bare CPU';

/** Whether the decoder alone says that both do the same: the same instructions, or NOPs for NOPs. */
export function sameInstructions(original: Uint8Array, mutant: Uint8Array, address: bigint, end: number): boolean {
  const work = (bytes: Uint8Array): string =>
    instructions(bytes, address, end + bytes.length - original.length).join(' ');
  return work(original) === work(mutant);
}

/** What is done, in order; NOPs do nothing. */
function instructions(bytes: Uint8Array, address: bigint, end: number): string[] {
  const found: string[] = [];
  for (let offset = 0; offset < end; ) {
    const facts = factsAt(bytes.subarray(offset, offset + 15), address + BigInt(offset), { bitness: 64 });
    const { memory, target } = facts;
    const operand =
      memory === undefined
        ? ''
        : `${memory.base}+${memory.index}*${memory.scale}+${memory.address ?? memory.displacement}`;
    if (!facts.isNop) found.push(`${facts.key}[${operand}]${target ?? ''}`);
    if (facts.kind === 'invalid') return [hexBytes(bytes)];
    offset += facts.length;
  }
  return found;
}
