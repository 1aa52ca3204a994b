// Module parameters as text: how the kernel reads and shows numbers (kernel/params.c, lib/kstrtox.c).
import type { ParameterKind } from './kernel-data.ts';

const NUMBER = /^([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)\n?$/i;

/** kstrtoll and its kin, base 0: the value, or the errno of a text that is none. */
export function parseInteger(text: string, signed: boolean, bytes: number): bigint | 'EINVAL' | 'ERANGE' {
  const match = NUMBER.exec(text);
  const [, sign = '', digits = ''] = match ?? [];
  if (match === null || (sign === '-' && !signed)) return 'EINVAL';
  const octal = /^0[0-7]+$/.test(digits);
  const magnitude = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  const value = sign === '-' ? -magnitude : magnitude;
  const fits = signed ? BigInt.asIntN(8 * bytes, value) === value : BigInt.asUintN(8 * bytes, value) === value;
  return fits ? value : 'ERANGE';
}

/** %i, %u, %#08x, or Y and N; bint is shown as the int that it is. */
export function shownNumber(type: Extract<ParameterKind, { kind: 'bool' | 'integer' }>, value: bigint): string {
  if (type.kind === 'bool') {
    if (type.bytes === 4) return `${BigInt.asIntN(32, value)}`;
    return (value !== 0n) === type.inverted ? 'N' : 'Y';
  }
  if (type.hex === true) return value === 0n ? '00000000' : `0x${value.toString(16).padStart(6, '0')}`;
  return `${type.signed ? BigInt.asIntN(8 * type.bytes, value) : value}`;
}
