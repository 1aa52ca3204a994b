// Does a replacement that calls the hooked function come back to the hook for ever? (C47)
import { rel32 } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { type Finding, finding } from './finding.ts';
import { CodeSpace, type Segment, within } from './space.ts';
import { stateAt } from './states.ts';
import { RETURN_ADDRESS, World } from './world.ts';

/** A hook that is in place, with the code that it leads to. */
export interface RecursionQuestion {
  readonly function: Segment;
  readonly trampoline: Segment;
  readonly replacement: Segment;
  readonly patchLength: number;
}

const STATES = 4;
const SEED = 0x72656375;
/** A guard lets the hook be entered a second time, to find that it is busy; no guard counts as far as this. */
const MOST_ENTRIES = 32;

/** Runs the hooked function; a finding where the hook is entered over and over. */
export function recursionFinding(question: RecursionQuestion, engine: Engine): Finding | undefined {
  const { function: original, trampoline, replacement, patchLength } = question;
  const jump = new Uint8Array(patchLength).fill(0xcc);
  const displacement = rel32(original.address + 5n, replacement.address);
  const patch = displacement === undefined ? farJump(replacement.address) : jump;
  if (displacement !== undefined) {
    jump[0] = 0xe9; // jmp rel32
    for (let i = 0; i < 4; i++) jump[1 + i] = (displacement >> (8 * i)) & 0xff;
  }
  const code: Segment[] = [{ address: original.address, bytes: patch }, original, trampoline, replacement];
  const world = new World(engine, code, SEED);
  try {
    for (let i = 0; i < STATES; i++) {
      let entries = 0;
      // the first states hold boundary values, in which most pointers lead nowhere
      world.run(original.address, RETURN_ADDRESS, stateAt(i + 12, SEED), (ip) => {
        if (ip === original.address) entries++;
        return entries > MOST_ENTRIES || !code.some((one) => within(one, ip));
      });
      if (entries <= MOST_ENTRIES) continue;
      const at = new CodeSpace(code, { bitness: 64 }).at(replacement.address);
      const why = `the replacement comes back to the hook over and over (${entries} times): nothing guards it`;
      return finding('C47', 'error', why, { at, base: original.address });
    }
  } finally {
    world.close();
  }
  return undefined;
}

/** jmp [rip+0] and its pointer. */
function farJump(target: bigint): Uint8Array {
  const pointer = Array.from({ length: 8 }, (_, i) => Number((target >> BigInt(8 * i)) & 0xffn));
  return Uint8Array.from([0xff, 0x25, 0, 0, 0, 0, ...pointer]);
}
