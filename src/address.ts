// 64-bit guest addresses: checking, printing, and the reach of rel32.

/** Bytes of one page. */
export const PAGE_SIZE = 0x1000n;

/** One past the largest address. */
export const ADDRESS_LIMIT = 1n << 64n;

/**
 * Checks that `value` is an unsigned 64-bit address and returns it.
 *
 * @param value the address
 * @param name the argument's name, for the message
 * @throws {TypeError} `value` is not a bigint
 * @throws {RangeError} `value` does not fit in 64 unsigned bits
 */
export function address(value: bigint, name: string): bigint {
  if (typeof value !== 'bigint') throw new TypeError(`"${name}" expected a bigint address, got ${typeof value}`);
  if (value < 0n || value >= ADDRESS_LIMIT) {
    throw new RangeError(`"${name}" expected 0 to 2^64-1, got ${value}`);
  }
  return value;
}

/** Prints an address the one way used everywhere: `0xffffffff81000010`. */
export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** Prints bytes as hex digits without separators: `0f1f440000`. */
export function hexBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/**
 * Reads bytes from hex digits; white space between bytes is allowed.
 *
 * @throws {RangeError} not an even count of hex digits
 */
export function bytesOfHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) {
    throw new RangeError(`expected pairs of hex digits, got "${text.length > 40 ? `${text.slice(0, 40)}…` : text}"`);
  }
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** The sum of two addresses, wrapped to 64 bits as the CPU does. */
export function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

/** Rounds down to the start of the page. */
export function pageFloor(value: bigint): bigint {
  return value & ~(PAGE_SIZE - 1n);
}

/** Rounds up to the next page boundary. */
export function pageCeil(value: bigint): bigint {
  return (value + PAGE_SIZE - 1n) & ~(PAGE_SIZE - 1n);
}

/**
 * The signed displacement of a rel32 branch, or undefined where it does not reach (C8, F10).
 *
 * @param next address of the byte after the branch
 * @param target where the branch goes
 */
export function rel32(next: bigint, target: bigint): number | undefined {
  const distance = BigInt.asIntN(64, target - next);
  return distance === BigInt.asIntN(32, distance) ? Number(distance) : undefined;
}
