// What an instruction reads, writes and names: operands with absolute addresses, registers, flags; 16, 32 and 64-bit.
import {
  Code,
  Decoder,
  DecoderOptions,
  FlowControl,
  type Instruction,
  InstructionInfoFactory,
  Mnemonic,
  OpAccess,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';

/** How bytes are decoded. */
export interface DecodeMode {
  readonly bitness: 16 | 32 | 64;
  /** AMD's reading of 66-prefixed near branches (C12): 16-bit displacement and target. */
  readonly amd?: boolean;
}

/** Control flow, as far as moving an instruction is concerned. */
export type Kind =
  | 'next'
  | 'jump'
  | 'conditional'
  | 'call'
  | 'indirect-jump'
  | 'indirect-call'
  | 'return'
  | 'interrupt'
  | 'exception'
  | 'invalid';

/** A memory operand; `address` where it is known without registers, the base of a segment not counted. */
export interface MemoryOperand {
  readonly base: string;
  readonly index: string;
  readonly scale: number;
  readonly displacement: bigint;
  /** Segment whose base is added. */
  readonly segment?: 'fs' | 'gs';
  readonly address?: bigint;
}

/** One instruction with everything a proof about moving it needs. Register names are the full ones (`RAX` for `al`). */
export interface Facts {
  readonly ip: bigint;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly mnemonic: string;
  readonly code: string;
  readonly kind: Kind;
  /** Where a relative branch, call or xbegin goes. */
  readonly target?: bigint;
  readonly memory?: MemoryOperand;
  /** The instruction without its memory operand and branch target: equal for equal work. */
  readonly key: string;
  readonly reads: ReadonlySet<string>;
  readonly writes: ReadonlySet<string>;
  readonly readsFlags: number;
  readonly writesFlags: number;
  readonly readsMemory: boolean;
  readonly writesMemory: boolean;
  /** A load of a constant: `mov r, imm`, or `lea r, [rip + d]`. */
  readonly constant?: { readonly register: string; readonly value: bigint };
  /** The last immediate operand, extended to 64 bits. */
  readonly immediate?: bigint;
  readonly isNop: boolean;
}

const KINDS: Readonly<Record<FlowControl, Kind>> = {
  [FlowControl.Next]: 'next',
  [FlowControl.UnconditionalBranch]: 'jump',
  [FlowControl.IndirectBranch]: 'indirect-jump',
  [FlowControl.ConditionalBranch]: 'conditional',
  [FlowControl.Return]: 'return',
  [FlowControl.Call]: 'call',
  [FlowControl.IndirectCall]: 'indirect-call',
  [FlowControl.Interrupt]: 'interrupt',
  [FlowControl.XbeginXabortXend]: 'next',
  [FlowControl.Exception]: 'exception',
};

const NOPS = new Set([Mnemonic.Nop, Mnemonic.Endbr64, Mnemonic.Endbr32, Mnemonic.Pause]);
const NEAR = new Set<OpKind>([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

/**
 * The instruction at `bytes[0]`; kind `invalid` and length 1 where the bytes are none (C1).
 *
 * @param ip guest address of `bytes[0]`
 */
export function factsAt(bytes: Uint8Array, ip: bigint, mode: DecodeMode): Facts {
  const options = mode.amd === true ? DecoderOptions.AMD : DecoderOptions.None;
  const first = decodeWith(bytes, ip, mode.bitness, options);
  // jkzd and jknzd exist on Knights Corner only; nothing else uses their encodings
  return first.kind === 'invalid' ? decodeWith(bytes, ip, mode.bitness, DecoderOptions.KNC) : first;
}

/** All instructions of `bytes` in a row; an undecodable byte counts as one of length 1. */
export function factsOf(bytes: Uint8Array, ip: bigint, mode: DecodeMode): Facts[] {
  const all: Facts[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const facts = factsAt(bytes.subarray(offset, offset + 15), BigInt.asUintN(64, ip + BigInt(offset)), mode);
    all.push(facts);
    offset += facts.length;
  }
  return all;
}

function decodeWith(bytes: Uint8Array, ip: bigint, bitness: number, options: number): Facts {
  const decoder = new Decoder(bitness, bytes, options);
  try {
    decoder.ip = ip;
    const iced = decoder.decode();
    try {
      return iced.isInvalid ? invalid(bytes, ip) : plain(iced, bytes, bitness);
    } finally {
      iced.free();
    }
  } finally {
    decoder.free();
  }
}

function plain(iced: Instruction, bytes: Uint8Array, bitness: number): Facts {
  const info = new InstructionInfoFactory();
  const used = info.info(iced);
  const reads = new Set<string>();
  const writes = new Set<string>();
  let readsMemory = false;
  let writesMemory = false;
  try {
    for (const item of used.usedRegisters()) {
      const name = full(item.register);
      if (isRead(item.access)) reads.add(name);
      // a write of 8 or 16 bits keeps the rest of the register
      if (isWrite(item.access)) writes.add(name);
      if (isWrite(item.access) && RegisterExt.size(item.register) < 4 && RegisterExt.isGPR(item.register))
        reads.add(name);
      item.free();
    }
    for (const item of used.usedMemory()) {
      readsMemory ||= isRead(item.access);
      writesMemory ||= isWrite(item.access);
      item.free();
    }
  } finally {
    used.free();
    info.free();
  }
  const near = hasNearTarget(iced);
  const memory = memoryOf(iced);
  const constant = constantOf(iced, memory);
  return {
    ip: BigInt.asUintN(64, iced.ip),
    length: iced.length,
    bytes: bytes.slice(0, iced.length),
    mnemonic: (Mnemonic[iced.mnemonic] ?? '').toLowerCase(),
    code: Code[iced.code] ?? '',
    kind: KINDS[iced.flowControl],
    ...(near ? { target: BigInt.asUintN(64, iced.nearBranchTarget) } : {}),
    ...(memory === undefined ? {} : { memory }),
    key: keyOf(iced, near),
    reads,
    writes,
    readsFlags: iced.rflagsRead,
    writesFlags: iced.rflagsModified,
    readsMemory,
    writesMemory,
    ...(constant === undefined ? {} : { constant }),
    ...immediateOf(iced),
    isNop: NOPS.has(iced.mnemonic) || isIdentity(iced, bitness),
  };
}

/** Most branches have their target as the only operand; jkzd has a mask before it. */
function hasNearTarget(iced: Instruction): boolean {
  for (let i = 0; i < iced.opCount; i++) if (NEAR.has(iced.opKind(i))) return true;
  return false;
}

function isRead(access: OpAccess): boolean {
  return (
    access === OpAccess.Read ||
    access === OpAccess.CondRead ||
    access === OpAccess.ReadWrite ||
    access === OpAccess.ReadCondWrite
  );
}

function isWrite(access: OpAccess): boolean {
  return (
    access === OpAccess.Write ||
    access === OpAccess.CondWrite ||
    access === OpAccess.ReadWrite ||
    access === OpAccess.ReadCondWrite
  );
}

function full(register: Register): string {
  return Register[RegisterExt.fullRegister(register)] ?? '';
}

function memoryOf(iced: Instruction): MemoryOperand | undefined {
  for (let i = 0; i < iced.opCount; i++) {
    if (iced.opKind(i) !== OpKind.Memory) continue;
    const ripRelative = iced.isIpRelMemoryOperand;
    const plainAddress = iced.memoryBase === Register.None && iced.memoryIndex === Register.None;
    return {
      base: ripRelative ? '' : (Register[iced.memoryBase] ?? ''),
      index: Register[iced.memoryIndex] ?? '',
      scale: iced.memoryIndexScale,
      displacement: BigInt.asUintN(64, iced.memoryDisplacement),
      ...segmentOf(iced),
      ...(ripRelative
        ? { address: BigInt.asUintN(64, iced.ipRelMemoryAddress) }
        : plainAddress
          ? { address: BigInt.asUintN(64, iced.memoryDisplacement) }
          : {}),
    };
  }
  return undefined;
}

function segmentOf({ memorySegment }: Instruction): Pick<MemoryOperand, 'segment'> {
  if (memorySegment === Register.FS) return { segment: 'fs' };
  return memorySegment === Register.GS ? { segment: 'gs' } : {};
}

function constantOf(iced: Instruction, memory: MemoryOperand | undefined): Facts['constant'] {
  if (iced.opCount !== 2 || iced.op0Kind !== OpKind.Register) return undefined;
  const target = iced.op0Register;
  const size = RegisterExt.size(target);
  if (size < 4) return undefined;
  const bits = size * 8;
  if (iced.mnemonic === Mnemonic.Mov && isImmediate(iced.op1Kind)) {
    return { register: full(target), value: BigInt.asUintN(bits, iced.immediate(1)) };
  }
  if (iced.mnemonic === Mnemonic.Lea && iced.isIpRelMemoryOperand && memory?.address !== undefined) {
    return { register: full(target), value: BigInt.asUintN(bits, memory.address) };
  }
  return undefined;
}

function immediateOf(iced: Instruction): Pick<Facts, 'immediate'> {
  const last = iced.opCount - 1;
  return last >= 0 && isImmediate(iced.opKind(last)) ? { immediate: BigInt.asUintN(64, iced.immediate(last)) } : {};
}

function isImmediate(kind: OpKind): boolean {
  return kind >= OpKind.Immediate8 && kind <= OpKind.Immediate32to64;
}

/** `mov edi, edi` in 32-bit code, `lea esi, [esi]`: nothing happens. In 64-bit code both clear the upper half. */
function isIdentity(iced: Instruction, bitness: number): boolean {
  if (iced.opCount !== 2 || iced.op0Kind !== OpKind.Register) return false;
  if (RegisterExt.size(iced.op0Register) * 8 !== bitness) return false;
  if (iced.mnemonic === Mnemonic.Mov) return iced.op1Kind === OpKind.Register && iced.op0Register === iced.op1Register;
  return (
    iced.mnemonic === Mnemonic.Lea &&
    iced.memoryBase === iced.op0Register &&
    iced.memoryIndex === Register.None &&
    iced.memoryDisplacement === 0n
  );
}

function keyOf(iced: Instruction, near: boolean): string {
  const parts: (string | number | bigint)[] = [
    // a short and a near branch do the same work, but loop and jcxz count in a register the code names
    near
      ? `${Mnemonic[iced.mnemonic]}${/_(CX|ECX|RCX)$/.exec(Code[iced.code] ?? '')?.[0] ?? ''}`
      : (Code[iced.code] ?? ''),
    Number(iced.hasLockPrefix),
    Number(iced.hasRepPrefix || iced.hasRepePrefix),
    Number(iced.hasRepnePrefix),
    iced.opMask,
    Number(iced.zeroingMasking),
    Number(iced.isBroadcast),
    iced.roundingControl,
  ];
  for (let i = 0; i < iced.opCount; i++) {
    const kind = iced.opKind(i);
    if (NEAR.has(kind)) continue;
    if (kind === OpKind.Register) parts.push(Register[iced.opRegister(i)] ?? '');
    else if (isImmediate(kind)) parts.push(iced.immediate(i));
    // absolute in place of ip-relative keeps the segment, which matters for fs and gs only
    else if (kind === OpKind.Memory) parts.push(`[${segment(iced)} ${iced.memorySize}]`);
    else parts.push(`kind${kind}`);
  }
  return parts.join(' ');
}

function segment(iced: Instruction): string {
  const used = iced.memorySegment;
  return used === Register.FS || used === Register.GS ? (Register[used] ?? '') : '';
}

function invalid(bytes: Uint8Array, ip: bigint): Facts {
  const none: ReadonlySet<string> = new Set();
  return {
    ip,
    length: 1,
    bytes: bytes.slice(0, 1),
    mnemonic: 'invalid',
    code: 'INVALID',
    kind: 'invalid',
    key: `invalid ${bytes[0] ?? ''}`,
    reads: none,
    writes: none,
    readsFlags: 0,
    writesFlags: 0,
    readsMemory: false,
    writesMemory: false,
    isNop: false,
  };
}
