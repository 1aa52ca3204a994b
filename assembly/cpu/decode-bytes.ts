// The bytes of the instruction that is being decoded, read one after the other.

/** Where they begin, how many have been read, and how many there are. */
let bytes: usize = 0;
export let length: u32 = 0;
let available: u32 = 0;
/** A byte past the available ones was asked for. */
export let short: bool = false;

/** Begins an instruction at `at`, of which `count` bytes can be read. */
export function open(at: usize, count: u32): void {
  bytes = at;
  length = 0;
  available = count;
  short = false;
}

/** The next byte, which stays the next one. */
export function peek(): u32 {
  if (length >= available) {
    short = true;
    return 0;
  }
  return load<u8>(bytes + length);
}

/** The next byte. */
export function byte(): u32 {
  const value = peek();
  length++;
  return value;
}

/** A sign-extended immediate or displacement of 1, 2, 4 or 8 bytes. */
export function signed(size: u32): i64 {
  const at = bytes + length;
  length += size;
  if (length > available) {
    short = true;
    return 0;
  }
  if (size == 1) return load<i8>(at);
  if (size == 2) return load<i16>(at);
  if (size == 4) return load<i32>(at);
  return load<i64>(at);
}

/** Goes one byte on. */
export function skip(): void {
  length++;
}
