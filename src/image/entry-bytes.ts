// Recognises what stands at a function's entry: the forms of a site, ENDBR64 and NOPs, byte by byte.

/**
 * What a site's bytes are in the file.
 *
 * | form              | bytes               | made by                                             |
 * |-------------------|---------------------|-----------------------------------------------------|
 * | `call`            | `e8 rel32`          | -pg -mfentry                                        |
 * | `call-got`        | `ff 15 rel32`       | -pg -mfentry in a PIE                               |
 * | `call-relaxed`    | `67 e8 rel32`       | the linker, from `call-got`                         |
 * | `nop5`            | `0f 1f 44 00 00`    | -mnop-mcount                                        |
 * | `nop5-clang`      | `0f 1f 44 00 08`    | clang -fpatchable-function-entry                    |
 * | `nops`            | `90 90 90 90 90`    | gcc -fpatchable-function-entry                      |
 */
export type SiteForm = 'call' | 'call-got' | 'call-relaxed' | 'nop5' | 'nop5-clang' | 'nops';

/** The NOP that an idle site holds (F6). */
export const NOP5 = Uint8Array.of(
  ...[0x0f, 0x1f, 0x44, 0x00, 0x00], // nopl 0x0(%rax,%rax,1)
);

const NOP5_AND_NOP = Uint8Array.of(
  ...NOP5, // the 5 bytes that ftrace writes
  0x90, // nop: the sixth byte of the call it replaces
);

/** Each form: the bytes that tell it (the displacement is left open), its length, and the first conversion (F2, F7). */
const FORMS: readonly { form: SiteForm; prefix: readonly number[]; size: 5 | 6; idle: Uint8Array }[] = [
  { form: 'call', prefix: [0xe8], size: 5, idle: NOP5 },
  { form: 'call-got', prefix: [0xff, 0x15], size: 6, idle: NOP5_AND_NOP },
  { form: 'call-relaxed', prefix: [0x67, 0xe8], size: 6, idle: NOP5_AND_NOP },
  { form: 'nop5', prefix: [0x0f, 0x1f, 0x44, 0x00, 0x00], size: 5, idle: NOP5 },
  { form: 'nop5-clang', prefix: [0x0f, 0x1f, 0x44, 0x00, 0x08], size: 5, idle: NOP5 },
  { form: 'nops', prefix: [0x90, 0x90, 0x90, 0x90, 0x90], size: 5, idle: NOP5 },
];

/** A recognised site: its form, its length in bytes, and what the loader puts there. */
export type EntryForm = (typeof FORMS)[number];

/** The form of the bytes at a site, or undefined. */
export function entryForm(bytes: Uint8Array): EntryForm | undefined {
  return FORMS.find(({ prefix, size }) => bytes.length >= size && startsWith(bytes, prefix));
}

/** Whether the form is a call that must go to `__fentry__`. */
export function isCall(form: SiteForm): boolean {
  return form === 'call' || form === 'call-got' || form === 'call-relaxed';
}

/** ENDBR64, and what a sealed one becomes (F5). */
const ENDBR_FORMS = [
  [0xf3, 0x0f, 0x1e, 0xfa], // endbr64
  [0x66, 0x0f, 0x1f, 0x00], // nopw (%rax): sealed, 6.12
  [0x0f, 0x1f, 0x40, 0xd6], // nopl -0x2a(%rax): sealed, 6.15 and later
];

/** Length of the ENDBR64 at the start of `bytes`, sealed or not: 4, or 0 where there is none. */
export function endbrLength(bytes: Uint8Array): number {
  return ENDBR_FORMS.some((form) => startsWith(bytes, form)) ? 4 : 0;
}

/** Length of the NOP at the start of `bytes`, or 0: `90`, and `0f 1f /0` with prefixes, in the lengths compilers use. */
export function nopLength(bytes: Uint8Array): number {
  let at = 0;
  while (at < 9 && (bytes[at] === 0x66 || bytes[at] === 0x2e)) at++;
  if (bytes[at] === 0x90) return at + 1;
  if (bytes[at] !== 0x0f || bytes[at + 1] !== 0x1f) return 0;
  const modrm = bytes[at + 2];
  if (modrm === undefined || (modrm & 0x38) !== 0 || modrm >> 6 === 3) return 0;
  const sib = (modrm & 7) === 4 ? 1 : 0;
  const displacement = [0, 1, 4][modrm >> 6] ?? 0;
  const length = at + 3 + sib + displacement;
  return length <= bytes.length ? length : 0;
}

/** Whether the bytes are nothing but ENDBR64 and NOPs: what may stand between a function's start and its site. */
export function isPadding(bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length) {
    const rest = bytes.subarray(at);
    const length = endbrLength(rest) || nopLength(rest);
    if (length === 0) return false;
    at += length;
  }
  return true;
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, i) => bytes[i] === byte);
}
