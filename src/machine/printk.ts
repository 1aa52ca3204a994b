// Kernel printf: the text of a format with its arguments, as lib/vsprintf.c makes it, bounded and safe for any pointer.
import { PatchError } from '../errors.ts';
import { GuestMemory, type ReadMemory } from '../livepatch/guest-memory.ts';

/** Bytes of one record; what is longer is cut (PRINTKRB_RECORD_MAX). */
export const MAX_RECORD = 1024;
/** Widths and precisions beyond this are as good as this. */
const MAX_FIELD = MAX_RECORD;

/** What formatting takes. */
export interface FormatParts {
  /** The next variable argument, 64 bits as it was passed. */
  next(): bigint;
  readonly read: ReadMemory;
  /** `symbol+0x5/0x20 [module]` of an address, for %pS; without the offset for %ps. */
  symbol(address: bigint, offset: boolean): string;
}

/** One conversion: `%-08.3lx`. */
interface Conversion {
  readonly flags: ReadonlySet<string>;
  readonly width: number;
  /** -1 where there is none. */
  readonly precision: number;
  readonly bits: 8 | 16 | 32 | 64;
  readonly letter: string;
  /** Letters after `%p` that say what the pointer is. */
  readonly extension: string;
}

const SPEC = /%([-+ #0]*)(\*|\d+)?(?:\.(\*|-?\d*))?(hh|h|ll|l|L|z|t|q)?([a-zA-Z%])?/y;
const BITS: Readonly<Record<string, Conversion['bits']>> = { hh: 8, h: 16, ll: 64, l: 64, L: 64, z: 64, t: 64, q: 64 };
/** Letters that print the pointer alone, and the two that name a symbol. */
const EXTENSION = /[a-zA-Z0-9]*/y;

/**
 * Formats as vsnprintf of the kernel. `%p` prints the address, as with `no_hash_pointers`. `%n` and other conversions that
 * the kernel does not know end the formatting, as there.
 *
 * @param format the format without its level
 * @returns at most MAX_RECORD - 1 characters
 */
export function formatText(format: string, parts: FormatParts): string {
  let text = '';
  for (let at = 0; at < format.length && text.length < MAX_RECORD; ) {
    const percent = format.indexOf('%', at);
    if (percent < 0) return bounded(text + format.slice(at));
    text += format.slice(at, percent);
    const { conversion, end } = readConversion(format, percent, parts);
    // an unknown conversion leaves the arguments in doubt: the rest is printed as it stands
    if (conversion === undefined) return bounded(text + format.slice(percent));
    text += convert(conversion, parts);
    at = end;
  }
  return bounded(text);
}

function bounded(text: string): string {
  return text.slice(0, MAX_RECORD - 1);
}

function readConversion(
  format: string,
  at: number,
  parts: FormatParts,
): { conversion: Conversion | undefined; end: number } {
  SPEC.lastIndex = at;
  const match = SPEC.exec(format);
  const letter = match?.[5];
  if (match === null || letter === undefined) return { conversion: undefined, end: at };
  const flags = new Set(match[1]);
  let width = field(match[2], parts) ?? 0;
  if (width < 0) {
    flags.add('-');
    width = -width;
  }
  const precision = match[3] === '' ? 0 : (field(match[3], parts) ?? -1);
  const end = SPEC.lastIndex;
  let extension = '';
  if (letter === 'p') {
    EXTENSION.lastIndex = end;
    extension = EXTENSION.exec(format)?.[0] ?? '';
  }
  const bits = BITS[match[4] ?? ''] ?? 32;
  if (!'%csdiuxXop'.includes(letter)) return { conversion: undefined, end: at };
  return { conversion: { flags, width, precision, bits, letter, extension }, end: end + extension.length };
}

function field(text: string | undefined, parts: FormatParts): number | undefined {
  if (text === undefined) return undefined;
  const value = text === '*' ? Number(BigInt.asIntN(32, parts.next())) : Number(text);
  return Math.max(-MAX_FIELD, Math.min(MAX_FIELD, value));
}

function convert(conversion: Conversion, parts: FormatParts): string {
  const { letter, bits } = conversion;
  if (letter === '%') return '%';
  const argument = parts.next();
  if (letter === 'c') return pad(String.fromCharCode(Number(argument & 0xffn)), conversion);
  if (letter === 's') return pad(textAt(argument, conversion.precision, parts), conversion);
  if (letter === 'p') return pointer(argument, conversion, parts);
  if (letter === 'd' || letter === 'i') {
    const value = BigInt.asIntN(bits, argument);
    return number(value < 0n ? -value : value, value < 0n, 10, conversion);
  }
  const base = letter === 'u' ? 10 : letter === 'o' ? 8 : 16;
  return number(BigInt.asUintN(bits, argument), false, base, conversion);
}

function number(value: bigint, negative: boolean, base: 8 | 10 | 16, conversion: Conversion): string {
  const { flags, width, precision, letter } = conversion;
  const signed = letter === 'd' || letter === 'i';
  let digits = value.toString(base).padStart(precision, '0');
  if (letter === 'X') digits = digits.toUpperCase();
  const sign = negative ? '-' : signed && flags.has('+') ? '+' : signed && flags.has(' ') ? ' ' : '';
  const prefix =
    flags.has('#') && value !== 0n ? (base === 16 ? (letter === 'X' ? '0X' : '0x') : base === 8 ? '0' : '') : '';
  const head = sign + prefix;
  if (flags.has('0') && !flags.has('-') && precision < 0) digits = digits.padStart(width - head.length, '0');
  return pad(head + digits, conversion);
}

/** %p and %px as 16 digits, %pS and %ps as a symbol; other extensions print the address as well. */
function pointer(address: bigint, conversion: Conversion, parts: FormatParts): string {
  const [kind] = conversion.extension;
  if (kind === 'S' || kind === 's') return pad(parts.symbol(address, kind === 'S'), conversion);
  const digits = address.toString(16);
  return pad(conversion.width === 0 ? digits.padStart(16, '0') : digits, conversion);
}

/** A text: NULL and what lies in no memory print as the kernel prints them (check_pointer). */
function textAt(address: bigint, precision: number, { read }: FormatParts): string {
  if (address === 0n) return limit('(null)', precision);
  const most = precision < 0 ? MAX_RECORD : Math.min(precision, MAX_RECORD);
  if (most === 0) return '';
  try {
    return new GuestMemory(read, { operation: 'printk' }).text(address, 'a text', most);
  } catch (error) {
    if (error instanceof PatchError) return limit('(efault)', precision);
    throw error;
  }
}

function limit(text: string, precision: number): string {
  return precision < 0 ? text : text.slice(0, precision);
}

function pad(text: string, { flags, width }: Conversion): string {
  return flags.has('-') ? text.padEnd(width) : text.padStart(width);
}

/** What stands before a level, and the levels: 0 to 7, default, continue (include/linux/kern_levels.h). */
const KERN_SOH = '\u0001';
const LEVELS = '01234567dc';

/** A record of printk: lines for the log, and whether the first one continues the last record (KERN_CONT). */
export interface PrintkRecord {
  readonly continues: boolean;
  readonly lines: readonly string[];
}

/** Takes the level off a text (KERN_SOH and a digit, or `c`) and splits it into lines. */
export function recordOf(text: string): PrintkRecord {
  let rest = text;
  let continues = false;
  for (; rest.startsWith(KERN_SOH) && LEVELS.includes(rest[1] ?? ' '); rest = rest.slice(2))
    continues ||= rest[1] === 'c';
  const body = rest.endsWith('\n') ? rest.slice(0, -1) : rest;
  return { continues, lines: body.split('\n') };
}
