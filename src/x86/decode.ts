// Decodes x86_64 machine code into plain objects; the only importer of iced-x86.
import {
  Code,
  Decoder,
  DecoderOptions,
  FlowControl,
  Formatter,
  FormatterSyntax,
  type Instruction as IcedInstruction,
  Mnemonic,
} from 'iced-x86';
import type { DecodeMode } from './operands.ts';

/** Where control goes after an instruction. `exception` is ud0 to ud2 and their like, `invalid` what does not decode. */
export type Flow =
  | 'next'
  | 'call'
  | 'indirect-call'
  | 'jump'
  | 'indirect-jump'
  | 'conditional'
  | 'return'
  | 'interrupt'
  | 'exception'
  | 'transaction'
  | 'invalid';

/** One decoded instruction; holds nothing that needs freeing. */
export interface Instruction {
  /** Address of its first byte. */
  readonly ip: bigint;
  /** Bytes it takes, 1 to 15. */
  readonly length: number;
  readonly bytes: Uint8Array;
  /** Intel syntax in lower case: `mov rax, [rip+0x10]`. */
  readonly text: string;
  /** `mov`, `jne`, `movsb`; `invalid` for bytes that do not decode. */
  readonly mnemonic: string;
  /** The encoding's name in iced-x86, one per opcode and operand form: `Mov_r64_rm64`. */
  readonly code: string;
  readonly flow: Flow;
  /** Where a direct call, jump or conditional branch goes. */
  readonly target?: bigint;
  /** The address a RIP-relative operand names. */
  readonly ripAddress?: bigint;
  /** A string instruction that repeats: each iteration is one step, all of them one instruction. */
  readonly isRep: boolean;
}

const FLOWS: Readonly<Record<FlowControl, Flow>> = {
  [FlowControl.Next]: 'next',
  [FlowControl.UnconditionalBranch]: 'jump',
  [FlowControl.IndirectBranch]: 'indirect-jump',
  [FlowControl.ConditionalBranch]: 'conditional',
  [FlowControl.Return]: 'return',
  [FlowControl.Call]: 'call',
  [FlowControl.IndirectCall]: 'indirect-call',
  [FlowControl.Interrupt]: 'interrupt',
  [FlowControl.XbeginXabortXend]: 'transaction',
  [FlowControl.Exception]: 'exception',
};

/** Formatting has no state of its own, so one formatter serves all calls. */
const formatter = linuxFormatter();

/**
 * Decodes instructions in 64-bit mode until the bytes or `limit` are used up.
 *
 * Bytes that are no instruction, or that end inside one, give an instruction with flow `invalid` and length 1, and
 * decoding goes on at the next byte; nothing throws.
 *
 * @param bytes machine code
 * @param ip guest address of `bytes[0]`
 * @param limit at most this many instructions
 */
export function decode(bytes: Uint8Array, ip: bigint, limit = Number.POSITIVE_INFINITY): Instruction[] {
  const instructions: Instruction[] = [];
  walk(bytes, ip, (iced, offset) => {
    if (instructions.length >= limit) return false;
    instructions.push(iced === undefined ? invalid(bytes, ip, offset) : plain(iced, bytes, offset));
    return true;
  });
  return instructions;
}

/**
 * Decodes the instruction at `bytes[0]`.
 *
 * @throws {RangeError} `bytes` is empty
 */
export function decodeOne(bytes: Uint8Array, ip: bigint): Instruction {
  const [first] = decode(bytes.subarray(0, 15), ip, 1);
  if (first === undefined) throw new RangeError('"bytes" expected at least one byte, got none');
  return first;
}

/**
 * The instruction at `bytes[0]` in Intel syntax, in 16, 32 or 64-bit code: `mov rax, [0x401010]`.
 *
 * @returns `(bad)` where the bytes are no instruction
 */
export function disassemble(bytes: Uint8Array, ip: bigint, mode: DecodeMode): string {
  const options = mode.amd === true ? DecoderOptions.AMD : DecoderOptions.None;
  const decoder = new Decoder(mode.bitness, bytes.subarray(0, 15), options);
  try {
    decoder.ip = ip;
    const iced = decoder.decode();
    try {
      return iced.isInvalid ? '(bad)' : formatter.format(iced);
    } finally {
      iced.free();
    }
  } finally {
    decoder.free();
  }
}

/** The length in bytes of each instruction, in order; an undecodable byte counts as one of length 1. */
export function instructionLengths(bytes: Uint8Array, ip: bigint): number[] {
  const lengths: number[] = [];
  walk(bytes, ip, (iced) => {
    lengths.push(iced === undefined ? 1 : iced.length);
    return true;
  });
  return lengths;
}

/** Visits each instruction (undefined: the byte at `offset` does not decode); `visit` returns false to end. */
function walk(
  bytes: Uint8Array,
  ip: bigint,
  visit: (iced: IcedInstruction | undefined, offset: number) => boolean,
): void {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  try {
    for (let offset = 0; offset < bytes.length; ) {
      decoder.position = offset;
      decoder.ip = BigInt.asUintN(64, ip + BigInt(offset));
      const iced = decoder.decode();
      try {
        const valid = !iced.isInvalid;
        if (!visit(valid ? iced : undefined, offset)) return;
        offset += valid ? iced.length : 1;
      } finally {
        iced.free();
      }
    }
  } finally {
    decoder.free();
  }
}

function plain(iced: IcedInstruction, bytes: Uint8Array, offset: number): Instruction {
  const flow = FLOWS[iced.flowControl];
  const direct = flow === 'call' || flow === 'jump' || flow === 'conditional';
  return {
    ip: BigInt.asUintN(64, iced.ip),
    length: iced.length,
    bytes: bytes.slice(offset, offset + iced.length),
    text: formatter.format(iced),
    mnemonic: (Mnemonic[iced.mnemonic] ?? '').toLowerCase(),
    code: Code[iced.code] ?? '',
    flow,
    isRep: iced.isStringInstruction && (iced.hasRepPrefix || iced.hasRepePrefix || iced.hasRepnePrefix),
    ...(direct ? { target: BigInt.asUintN(64, iced.nearBranchTarget) } : {}),
    ...(iced.isIpRelMemoryOperand ? { ripAddress: BigInt.asUintN(64, iced.ipRelMemoryAddress) } : {}),
  };
}

function invalid(bytes: Uint8Array, ip: bigint, offset: number): Instruction {
  return {
    ip: BigInt.asUintN(64, ip + BigInt(offset)),
    length: 1,
    bytes: bytes.slice(offset, offset + 1),
    text: '(bad)',
    mnemonic: 'invalid',
    code: 'INVALID',
    flow: 'invalid',
    isRep: false,
  };
}

function linuxFormatter(): Formatter {
  const made = new Formatter(FormatterSyntax.Intel);
  made.uppercaseHex = false;
  made.hexPrefix = '0x';
  made.hexSuffix = '';
  made.smallHexNumbersInDecimal = false;
  made.spaceAfterOperandSeparator = true;
  made.branchLeadingZeros = false;
  made.ripRelativeAddresses = true;
  return made;
}
