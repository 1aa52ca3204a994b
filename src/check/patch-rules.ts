// What can be said of a patch from its own bytes: its form, where it lies, and what is left when it is taken away.
import { hexBytes, pageFloor } from '../address.ts';
import { factsOf } from '../x86/operands.ts';
import { type Finding, finding } from './finding.ts';
import { preambleBefore } from './preamble.ts';

/** A patch over the start of a function. */
export interface PatchQuestion {
  readonly address: bigint;
  /** What stood there before. */
  readonly original: Uint8Array;
  /** What the tool writes. */
  readonly patch: Uint8Array;
  /** IBT is on: the entry may be reached indirectly (C34). */
  readonly ibt?: boolean;
  /** Known bytes right before the function (C35). */
  readonly before?: Uint8Array;
}

const ENDBR64 = 'f30f1efa';
const JMP_POINTER = /^ff2500000000/; // jmp [rip+0]
const MOV_JMP = /^48b8.{16}(ffe0|50c3)/; // mov rax, imm64; jmp rax, or push rax; ret
const PUSH_RET = /^68.{8}(c744(24|64)04.{8})?c3/; // push imm32; mov dword [rsp+4], imm32; ret

/** The form of the patch (C38), what it does to a landing pad (C34), and where it lies (C46). */
export function patchFindings({ address, original, patch, ibt }: PatchQuestion): Finding[] {
  const found: Finding[] = [];
  const text = hexBytes(patch);
  const [at] = factsOf(patch, address, { bitness: 64 });
  const where = { ...(at === undefined ? {} : { at }), base: address };
  const kept = text.startsWith(ENDBR64) ? ENDBR64.length : 0;
  const form = text.slice(kept);
  if (JMP_POINTER.test(form)) {
    const pointer = address + BigInt(kept / 2 + 6);
    if (form.length < 28) {
      found.push(
        finding('C38', 'error', 'jmp [rip+0] takes 14 bytes with its pointer, which is not in the patch', where),
      );
    } else if (pointer % 8n !== 0n) {
      found.push(finding('C38', 'warning', 'the pointer is not aligned: another CPU may read half of it', where));
    }
  }
  if (MOV_JMP.test(form)) {
    found.push(finding('C38', 'error', 'rax is spoiled at the entry, where it counts vector arguments', where));
  }
  if (PUSH_RET.test(form)) {
    found.push(
      finding('C38', 'warning', 'a return stands for a jump: shadow stack and return predictor see no call', where),
    );
  }
  if (hexBytes(original).startsWith(ENDBR64) && kept === 0) {
    const level = ibt === true ? 'error' : 'note';
    found.push(finding('C34', level, 'the ENDBR64 at the entry is overwritten; patch behind it', where));
  }
  const last = address + BigInt(Math.max(patch.length, 1) - 1);
  if (pageFloor(address) !== pageFloor(last)) {
    found.push(
      finding('C46', 'note', 'the patch lies in two pages: both must be made writable, and neither executable', where),
    );
  }
  return found;
}

/** C35: the bytes that a patch above the entry takes hold no hash that callers compare. */
export function preambleFinding(before: Uint8Array, address: bigint, taken: number): Finding | undefined {
  const preamble = preambleBefore(before);
  if (preamble === undefined || preamble.from <= 0 || taken <= preamble.until) return undefined;
  const [at] = factsOf(before.subarray(before.length - preamble.from), address - BigInt(preamble.from), {
    bitness: 64,
  });
  const why = `${preamble.what} lies in the ${taken} bytes before the entry that the patch takes`;
  return finding('C35', 'error', why, { ...(at === undefined ? {} : { at }), base: address });
}

/** C51: what stands there after the patch is gone. */
export function restoredFinding(address: bigint, original: Uint8Array, restored: Uint8Array): Finding | undefined {
  const offset = restored.findIndex((byte, i) => byte !== original[i]);
  if (offset < 0) return undefined;
  const at = factsOf(restored, address, { bitness: 64 }).find(
    ({ ip, length }) => address + BigInt(offset) < ip + BigInt(length),
  );
  const is = hexBytes(restored.subarray(offset, offset + 1));
  const was = hexBytes(original.subarray(offset, offset + 1)) || 'nothing known';
  const why = `the byte at +${offset} is ${is} after unpatching instead of ${was}`;
  return finding('C51', 'error', why, { ...(at === undefined ? {} : { at }), base: address });
}
