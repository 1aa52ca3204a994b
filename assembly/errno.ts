// The kernel's error numbers; cold calls return them negated (asm-generic/errno-base.h).

/** No such task. */
export const ENOENT: i32 = 2;
/** A fixed pool is full, or memory cannot grow. */
export const ENOMEM: i32 = 12;
/** The pools are carved already. */
export const EBUSY: i32 = 16;
/** A handle or value that means nothing here. */
export const EINVAL: i32 = 22;
