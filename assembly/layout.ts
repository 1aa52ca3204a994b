// Every struct in WASM memory: its drawing, and the offsets and values that the host reads.

/** A slot of the site table: the func stack of one function entry (klp_ops, L26). Two slots fill a cache line. */
//  0 ip      u64  the site's address, the key
//  8 newFunc u64  of the Func on top, cached: the steady call reads this slot and nothing else
// 16 top     u32  ► Func on top; null: the slot is vacant
// 20 steady  u32  1: the top is neither in transition nor a nop, so every task runs it (L38, L42)
// 24 block   u32  ► the CPU's block at the last answer …
// 28 generation u32 … as long as its blocks are of this generation, see expect in cpu/blocks.ts
@unmanaged
export class Site {
  ip: u64;
  newFunc: u64;
  top: Func | null;
  steady: u32;
  block: u32;
  generation: u32;
}

/** One implementation on a func stack (klp_func, L1). Its offset is its handle. */
//  0 newFunc u64  guest address
//  8 ip      u64  the site it belongs to
// 16 below   u32  ► older Func, null at the bottom; in the free list: the next free Func
// 20 above   u32  ► newer Func, null at the top
// 24 owner   u32  the patch, as the host numbers it
// 28 flags   u32  LIVE | TRANSITION | NOP
@unmanaged
export class Func {
  newFunc: u64;
  ip: u64;
  below: Func | null;
  above: Func | null;
  owner: u32;
  flags: u32;
}

/** A caller (task_struct). Its offset is its handle. */
//  0 patchState i32  IDLE, UNPATCHED or PATCHED (L8)
//  4 admits     u32  1: the recursion guard lets the next entry in
//  8 context    u32  bit number of the running context (F44)
// 12 held       u32  recursion bits that are taken
// 16 live       u32  0: in the free list
// 20 nextFree   u32  ► Task
@unmanaged
export class Task {
  patchState: i32;
  admits: u32;
  context: u32;
  held: u32;
  live: u32;
  nextFree: Task | null;
}

/** How often each exit of the ladder was taken; one cache line. */
//  0 steady    u64  L38: the top, not in transition
//  8 patched   u64  L39: the top, in transition, for a patched task
// 16 below     u64  L40: the entry below the top, for an unpatched task
// 24 exhausted u64  L40: no entry below the top, so the original
// 32 idle      u64  L41: the top, in transition, for an idle task
// 40 empty     u64  L37: nothing on the stack, so the original
// 48 recursion u64  L36: the guard refused, so the original
// 56 nops      u64  L42: of the entries chosen above, those that were nops
@unmanaged
export class Counters {
  steady: u64;
  patched: u64;
  below: u64;
  exhausted: u64;
  idle: u64;
  empty: u64;
  recursion: u64;
  nops: u64;
}

/** Slots are found by shift and mask: their stride is a power of two. */
export const SITE_STRIDE: usize = 32;
/** Strides are rounded up to 8, because offsetof<T>() is not padded and a BigUint64Array must be able to index. */
export const FUNC_STRIDE: usize = (offsetof<Func>() + 7) & ~7;
export const TASK_STRIDE: usize = (offsetof<Task>() + 7) & ~7;

export const FUNC_NEW_FUNC: usize = offsetof<Func>('newFunc');
export const FUNC_IP: usize = offsetof<Func>('ip');
export const FUNC_BELOW: usize = offsetof<Func>('below');
export const FUNC_OWNER: usize = offsetof<Func>('owner');
export const FUNC_FLAGS: usize = offsetof<Func>('flags');

/** The Func is on a stack. */
export const FUNC_LIVE: u32 = 1;
/** Only patched tasks see the Func (klp_func.transition). */
export const FUNC_TRANSITION: u32 = 2;
/** The Func stands for the original (klp_func.nop, L56). */
export const FUNC_NOP: u32 = 4;

/** Patch states (L8, as in 6.12). */
export const IDLE: i32 = -1;
export const UNPATCHED: i32 = 0;
export const PATCHED: i32 = 1;

/** Bit numbers of the contexts and of the one transition bit (F44). */
export const CONTEXT_NMI: u32 = 0;
export const CONTEXT_IRQ: u32 = 1;
export const CONTEXT_SOFTIRQ: u32 = 2;
export const CONTEXT_NORMAL: u32 = 3;
export const CONTEXT_TRANSITION: u32 = 4;

export const COUNTER_STEADY: usize = offsetof<Counters>('steady');
export const COUNTER_PATCHED: usize = offsetof<Counters>('patched');
export const COUNTER_BELOW: usize = offsetof<Counters>('below');
export const COUNTER_EXHAUSTED: usize = offsetof<Counters>('exhausted');
export const COUNTER_IDLE: usize = offsetof<Counters>('idle');
export const COUNTER_EMPTY: usize = offsetof<Counters>('empty');
export const COUNTER_RECURSION: usize = offsetof<Counters>('recursion');
export const COUNTER_NOPS: usize = offsetof<Counters>('nops');
export const COUNTERS_SIZE: usize = offsetof<Counters>();
