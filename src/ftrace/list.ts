// The list func for which the host walks the ops: newest first, those whose hash matches (F34).
import type { Engine } from '../engine/engine.ts';
import { LIST_FRAME } from './callers.ts';
import type { Ftrace } from './ftrace.ts';
import { readU64, writeU64 } from './guest/memory.ts';
import type { GuestTasks } from './guest/tasks.ts';
import { PT_REGS } from './pt-regs.ts';

/** What the walk takes. */
export interface ListWalkParts {
  readonly engine: Engine;
  readonly tasks: GuestTasks;
  /** Asked at each step: it is made after the walk. */
  ftrace(): Ftrace;
  readonly gate: bigint;
}

/** What stands in the frame where the guard refused; any bit is smaller. */
const REFUSED = 0xffn;

/**
 * One step of the walk, for the frame of the list func in guest memory: where it stands is kept there and nowhere else,
 * so that calls may nest and tasks may sleep in a handler.
 */
export class ListWalk {
  readonly #parts: ListWalkParts;

  constructor(parts: ListWalkParts) {
    this.#parts = parts;
  }

  /** Writes the next ops into the frame and returns its function; 0 at the end. */
  next(frame: bigint): bigint {
    const { engine, tasks, gate } = this.#parts;
    const field = (name: keyof typeof LIST_FRAME): bigint => frame + BigInt(LIST_FRAME[name]);
    let before = readU64(engine, field('order'));
    if (before === 0n) {
      const bit = tasks.enterListGuard();
      writeU64(engine, field('bit'), bit === undefined ? REFUSED : BigInt(bit));
      if (bit === undefined) return 0n;
      before = 1n << 53n;
    }
    const ip = readU64(engine, field('ip'));
    const partial = readU64(engine, readU64(engine, field('regs')) + BigInt(PT_REGS.cs)) === 0n;
    const user = this.#parts
      .ftrace()
      .usersOf(ip)
      .find(({ ops, order }) => BigInt(order) < before && !(partial && ops.has('SAVE_REGS')));
    if (user === undefined) {
      tasks.leaveListGuard(Number(readU64(engine, field('bit'))));
      return 0n;
    }
    writeU64(engine, field('order'), BigInt(user.order));
    writeU64(engine, field('ops'), user.place);
    return user.ops.func ?? gate;
  }
}
