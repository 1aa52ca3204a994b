// What of a function can be reached, where it ends, and what may be taken for padding.
import { hexBytes } from '../address.ts';
import { type DecodeMode, type Facts, factsAt } from '../x86/operands.ts';
import type { CodeSpace } from './space.ts';

/** All instructions that control can come to from `entry` without leaving the known bytes, by address. */
export function reachable(space: CodeSpace, entry: bigint): ReadonlyMap<bigint, Facts> {
  const found = new Map<bigint, Facts>();
  const todo = [entry];
  for (let ip = todo.pop(); ip !== undefined; ip = todo.pop()) {
    if (found.has(ip)) continue;
    const facts = space.at(ip);
    if (facts === undefined) continue;
    found.set(ip, facts);
    if (facts.kind === 'invalid') continue;
    if (facts.target !== undefined && facts.kind !== 'call') todo.push(facts.target);
    // a call into the function's own bytes is a thunk, and part of it
    if (facts.target !== undefined && facts.kind === 'call' && space.at(facts.target) !== undefined)
      todo.push(facts.target);
    if (!endsPath(facts)) todo.push(BigInt.asUintN(64, ip + BigInt(facts.length)));
  }
  return found;
}

/** Whether control never goes to the next instruction. */
export function endsPath(facts: Facts): boolean {
  return (
    facts.kind === 'jump' ||
    facts.kind === 'indirect-jump' ||
    facts.kind === 'return' ||
    facts.kind === 'exception' ||
    facts.kind === 'invalid' ||
    facts.mnemonic === 'hlt' ||
    facts.mnemonic === 'int3'
  );
}

/** One past the last reachable byte at or after the entry, and the instruction that lies there. */
export function functionEnd(space: CodeSpace, entry: bigint): { address: bigint; last: Facts | undefined } {
  let address = entry;
  let last: Facts | undefined;
  for (const facts of reachable(space, entry).values()) {
    const end = facts.ip + BigInt(facts.length);
    if (end <= address) continue;
    address = end;
    last = facts;
  }
  return { address, last };
}

/** NOPs in one-instruction forms of 1 to 9 bytes: Intel SDM volume 2B, table 4-12. */
export const MANUAL_NOPS: readonly string[] = [
  '90', // nop
  '6690', // 66 nop
  '0f1f00', // nop dword [rax]
  '0f1f4000', // nop dword [rax+0]
  '0f1f440000', // nop dword [rax+rax+0]
  '660f1f440000', // 66 nop word [rax+rax+0]
  '0f1f8000000000', // nop dword [rax+0], disp32
  '0f1f840000000000', // nop dword [rax+rax+0], disp32
  '660f1f840000000000', // 66 nop word [rax+rax+0], disp32
];

/** The forms that 64-bit Linux writes (x86_nops): a cs prefix from 9 bytes on. */
export const KERNEL_NOPS: readonly string[] = [
  ...MANUAL_NOPS.slice(0, 8),
  '2e0f1f840000000000', // cs nop
  '662e0f1f840000000000', // 66 cs nop
  '66662e0f1f840000000000', // 66 66 cs nop
];

/** The forms that 32-bit Linux writes. */
export const KERNEL_NOPS_32: readonly string[] = [
  '90', // nop
  '89f6', // mov esi, esi
  '8d7600', // lea esi, [esi+0]
  '8d742600', // lea esi, [esi+0] with a SIB byte
  '3e8d742600', // ds lea
  '8db600000000', // lea esi, [esi+0], disp32
  '8db42600000000', // lea esi, [esi+0], SIB and disp32
  '3e8db42600000000', // ds lea
];

/** Whether the bytes are one canonical NOP of this mode (C39). */
export function isCanonicalNop(bytes: Uint8Array, mode: DecodeMode): boolean {
  const text = hexBytes(bytes);
  return mode.bitness === 64
    ? MANUAL_NOPS.includes(text) || KERNEL_NOPS.includes(text)
    : KERNEL_NOPS_32.includes(text) || MANUAL_NOPS.includes(text);
}

/** How many bytes at the start are one filler: a manual NOP with up to two more 66 prefixes, or int3; 0 if none. */
export function fillerLength(bytes: Uint8Array): number {
  if (bytes[0] === 0xcc) return 1;
  const text = hexBytes(bytes.subarray(0, 15));
  const forms = [...MANUAL_NOPS, '66660f1f840000000000', '6666660f1f840000000000'].sort((a, b) => b.length - a.length);
  const form = forms.find((candidate) => text.startsWith(candidate));
  return form === undefined ? 0 : form.length / 2;
}

/** Whether nothing but padding stands here: NOPs of any form, int3, or zeros of the linker. */
export function isFiller(bytes: Uint8Array, mode: DecodeMode): boolean {
  if (bytes.every((byte) => byte === 0)) return true;
  for (let offset = 0; offset < bytes.length; ) {
    const rest = bytes.subarray(offset);
    const facts = factsAt(rest.subarray(0, 15), 0n, mode);
    const length = rest[0] === 0xcc ? 1 : facts.isNop ? facts.length : 0;
    if (length === 0) return false;
    offset += length;
  }
  return true;
}
