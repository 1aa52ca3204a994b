// Which status flags an instruction leaves undefined, from iced's tables and the shift count at hand.

import { Code, type Instruction, OpKind, RflagsBits } from 'iced-x86';
import { RCX } from './layout.ts';

const BITS: readonly (readonly [RflagsBits, number])[] = [
  [RflagsBits.CF, 0x001],
  [RflagsBits.PF, 0x004],
  [RflagsBits.AF, 0x010],
  [RflagsBits.ZF, 0x040],
  [RflagsBits.SF, 0x080],
  [RflagsBits.DF, 0x400],
  [RflagsBits.OF, 0x800],
];
const CF = 0x001;
const OF = 0x800;

/** iced's RflagsBits as bits of the rflags register; flags outside layout's FLAGS are dropped. */
export function rflagsOf(bits: number): number {
  return BITS.reduce((flags, [iced, bit]) => ((bits & iced) !== 0 ? flags | bit : flags), 0);
}

/**
 * Bits of rflags that are undefined after `instruction`. A count in cl decides which ones, so the instruction is
 * looked up as its imm8 twin with that count; `instruction` is changed by this and must not be used afterwards.
 */
export function undefinedFlags(name: string, instruction: Instruction, gprs: BigUint64Array): number {
  if (name.endsWith('_CL')) {
    const twin = Code[name.replace(/_CL$/, '_imm8') as keyof typeof Code];
    const operand = instruction.opCount - 1;
    instruction.code = twin;
    instruction.setOpKind(operand, OpKind.Immediate8);
    instruction.immediate8 = Number((gprs[RCX] ?? 0n) & 0xffn);
  }
  let flags = rflagsOf(instruction.rflagsUndefined);
  // SHL and SHR: "CF is undefined for counts greater than or equal to the size" (SDM vol. 2, SAL/SAR/SHL/SHR)
  const shift = /^(?:Shl|Sal|Shr)_rm(8|16)_(?:imm8|CL)$/.exec(name);
  if (shift !== null && (instruction.immediate8 & 31) >= Number(shift[1])) flags |= CF;
  // RCL and RCR: OF is defined for 1-bit rotates only, also where the count comes out as 0 modulo 9 or 17
  if (/^Rc[lr]_rm(8|16)_(imm8|CL)$/.test(name) && (instruction.immediate8 & 31) > 1) flags |= OF;
  return flags;
}
