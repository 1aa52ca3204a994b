// A copy of the used part of a pool: what an address space has of it while another one is current.
import { allocateArea, freeArea } from './cpu/frames';

// 0 at    u32  ► the copy
// 4 room  u32  bytes of it
// 8 fresh u32  bytes of the pool that were ever used
@unmanaged
export class PoolCopy {
  at: usize;
  room: usize;
  fresh: usize;

  /** Copies the pool out; false where there is no memory. */
  static keep(copy: PoolCopy, pool: usize, fresh: usize): bool {
    if (copy.room < fresh) {
      const area = allocateArea(fresh);
      if (!area) return false;
      PoolCopy.drop(copy);
      copy.at = area;
      copy.room = fresh;
    }
    memory.copy(copy.at, pool, fresh);
    copy.fresh = fresh;
    return true;
  }

  /** Gives the copy back. */
  static drop(copy: PoolCopy): void {
    if (copy.room) freeArea(copy.at, copy.room);
  }
}
