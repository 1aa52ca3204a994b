// The same call many times without a step outside WASM: registers and frame are put back, the end is compared each time.

import { arrivals, takeArrivals, Watch, watchArrivals } from './arrival';
import { Flags } from './flags';
import { retired, run } from './run';
import { GENERAL, RAX, RDX, Reason, RSP } from './state';
import { Tlb } from './tlb';

/** The sixteen registers at the entry, then the frame, at most 64 quads. */
const KEPT: usize = memory.data((16 + 64) * 8, 16);
const FRAME: usize = KEPT + 128;
/** How each call must end, written by the host: rax, rdx, then the arrivals, at most 64 of two quads. */
export const EXPECTED: usize = memory.data(16 + 64 * 16, 16);

/**
 * Makes the call for which registers and frame are ready `times` times: from `from` to `until`, each within `budget`.
 *
 * @param quads of the frame at rsp
 * @param instructions that each must take
 * @param count of the arrivals that each must make
 * @returns how many of them in a row ended as expected
 */
export function repeat(times: u32, from: u64, until: u64, budget: f64, quads: u32, instructions: f64, count: u32): u32 {
  const sp = load<u64>(GENERAL, RSP);
  memory.copy(KEPT, GENERAL, 128);
  for (let i: u32 = 0; i < quads; i++) {
    const at = Tlb.reader(sp + ((<u64>i) << 3), 8);
    if (!at) return 0;
    store<u64>(FRAME + ((<usize>i) << 3), load<u64>(at));
  }
  for (let done: u32 = 0; done < times; done++) {
    memory.copy(GENERAL, KEPT, 128);
    Flags.setAll(0);
    for (let i: u32 = 0; i < quads; i++) {
      if (!Tlb.store<u64>(sp + ((<u64>i) << 3), load<u64>(FRAME + ((<usize>i) << 3)))) return done;
    }
    watchArrivals(Watch.Keep, true, false, false, 0);
    if (run(from, until, budget, false, false) != Reason.Until || retired() != instructions) return done;
    if (load<u64>(GENERAL, RSP) != sp + 8) return done;
    if (load<u64>(GENERAL, RAX) != load<u64>(EXPECTED) || load<u64>(GENERAL, RDX) != load<u64>(EXPECTED, 8))
      return done;
    if (takeArrivals() != count || !sameArrivals(count)) return done;
  }
  return times;
}

function sameArrivals(count: u32): bool {
  const at = arrivals();
  for (let i: usize = 0; i < (<usize>count) << 4; i += 8) {
    if (load<u64>(at + i) != load<u64>(EXPECTED + i, 16)) return false;
  }
  return true;
}
