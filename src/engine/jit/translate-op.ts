// What each decoded op does, in terms of the translator. An op that is not here ends its trace.
import type { Flags, Size } from './flags.ts';
import { FROM_IMM, FROM_RM, MEMORY, OPERAND_SIZE, type Op, SOURCE } from './ops.ts';
import type { Translator } from './translate.ts';
import { constant, RBP, RSP, type Value } from './values.ts';

type Action = (translator: Translator, op: Op) => void;

/** Translates one op; `reject` where it cannot be. */
export function translateOp(translator: Translator, op: Op): void {
  const action = op.name === undefined ? cold(op) : (ACTIONS[op.name] ?? generic(op.name));
  if (action === undefined) translator.reject();
  else action(translator, op);
}

const generated = new Map<string, Action | undefined>();

/** ALU operations, shifts and conditional jumps, by what their names are made of. */
function generic(name: string): Action | undefined {
  if (!generated.has(name)) generated.set(name, alu(name) ?? shift(name) ?? conditional(name));
  return generated.get(name);
}

/** Add, Or, And, Sub, Xor, Cmp and Test on registers, immediates and memory. */
function alu(name: string): Action | undefined {
  const [, operation, form, bits] = /^(Add|Or|And|Sub|Xor|Cmp|Test)(RR|RI|RM|MI|MR)(64|32|8)$/.exec(name) ?? [];
  return operation === undefined ? undefined : aluOf(operation, form, (Number(bits) / 8) as Size);
}

const COLD_ALU: ReadonlySet<string> = new Set(['Add', 'Or', 'Adc', 'Sbb', 'And', 'Sub', 'Xor', 'Cmp', 'Test']);

/** The forms of the same operations that the dispatch loop has no case for, and adc and sbb. */
function cold({ cold: operation, flags }: Op): Action | undefined {
  if (operation === undefined || !COLD_ALU.has(operation)) return undefined;
  const source = flags & SOURCE;
  const isMemory = (flags & MEMORY) !== 0;
  const size = (1 << (flags & OPERAND_SIZE)) as Size;
  if (source === FROM_IMM) return aluOf(operation, isMemory ? 'MI' : 'RI', size);
  if (source === FROM_RM) return aluOf(operation, isMemory ? 'RM' : 'turned', size);
  return aluOf(operation, isMemory ? 'MR' : 'RR', size);
}

/** @param form destination and source; `turned`: registers, the destination being `reg` */
function aluOf(operation: string, form: string | undefined, size: Size): Action {
  const keeps = operation !== 'Cmp' && operation !== 'Test';
  return (t, op) => {
    const immediate = form === 'RI' || form === 'MI';
    const toMemory = form === 'MI' || form === 'MR';
    const at = form === 'RM' || toMemory ? t.address(op) : undefined;
    const [to, from] = form === 'RM' || form === 'turned' ? [op.reg, op.rm] : [op.rm, op.reg];
    const first = toMemory && at !== undefined ? t.load(size, at) : t.register(to, size);
    const second = immediate
      ? constant(BigInt.asUintN(8 * size, op.immediate))
      : form === 'RM' && at !== undefined
        ? t.load(size, at)
        : t.register(from, size);
    const result = compute(t, operation, size, first, second);
    t.state.flags = flagsOf(operation, size, first, second, result);
    if (!keeps) return;
    if (toMemory && at !== undefined) t.store(size, at, result, op.next);
    else t.setRegister(to, size, result);
  };
}

const OPERATIONS = { Or: 'i64.or', And: 'i64.and', Test: 'i64.and', Xor: 'i64.xor' } as const;

function compute(t: Translator, operation: string, size: Size, a: Value, b: Value): Value {
  if (operation === 'Add') return narrowed(t, t.add(a, b), size);
  if (operation === 'Adc' || operation === 'Sbb') return withCarry(t, operation, size, a, b);
  if (operation === 'Sub' || operation === 'Cmp') {
    if (b.kind === 'const' && size === 8) return t.add(a, constant(-b.value));
    return narrowed(t, t.binary('i64.sub', a, b), size);
  }
  // xor r, r and the like do not depend on r
  if (operation === 'Xor' && a.kind === 'local' && b.kind === 'local' && a.index === b.index) return constant(0n);
  if (
    (operation === 'Test' || operation === 'And') &&
    a.kind === 'local' &&
    b.kind === 'local' &&
    a.index === b.index
  ) {
    return a;
  }
  t.push(a);
  t.push(b);
  t.code.op(OPERATIONS[operation as keyof typeof OPERATIONS]);
  return t.take(size <= 4);
}

const CARRY = 2;

function withCarry(t: Translator, operation: 'Adc' | 'Sbb', size: Size, a: Value, b: Value): Value {
  const op = operation === 'Adc' ? 'i64.add' : 'i64.sub';
  t.push(a);
  t.push(b);
  t.code.op(op);
  t.flags.condition(t.state.flags, CARRY);
  t.code.op('i64.extend_i32_u').op(op);
  return narrowed(t, t.take(), size);
}

/** A result without the bits above its size. */
function narrowed(t: Translator, value: Value, size: Size): Value {
  if (size === 8) return value;
  const mask = (1n << BigInt(8 * size)) - 1n;
  if (value.kind === 'const') return constant(value.value & mask);
  t.push(value);
  t.code.i64(mask).op('i64.and');
  return t.take(true);
}

function flagsOf(operation: string, size: Size, a: Value, b: Value, r: Value): Flags {
  if (operation === 'Add') return { kind: 'add', size, a, b, r };
  if (operation === 'Adc') return { kind: 'adc', size, a, b, r };
  if (operation === 'Sbb') return { kind: 'sbb', size, a, b, r };
  if (operation === 'Sub' || operation === 'Cmp') return { kind: 'sub', size, a, b, r };
  return { kind: 'logic', size, r };
}

/** Shl, Shr and Sar by an immediate that is not 0. */
function shift(name: string): Action | undefined {
  const [, operation, bits] = /^(Shl|Shr|Sar)I(64|32)$/.exec(name) ?? [];
  if (operation === undefined) return undefined;
  const size = (Number(bits) / 8) as Size;
  const width = BigInt(bits ?? 64);
  return (t, op) => {
    const count = BigInt.asUintN(6, op.immediate);
    const a = t.register(op.rm, size);
    t.push(a);
    if (operation === 'Sar' && size === 4) t.code.op('i64.extend32_s');
    t.code.i64(count).op(operation === 'Shl' ? 'i64.shl' : operation === 'Shr' ? 'i64.shr_u' : 'i64.shr_s');
    const r = narrowed(t, t.take(), size);
    const cf = bit(t, a, operation === 'Shl' ? width - count : count - 1n);
    const top = bit(t, r, width - 1n);
    const of =
      operation === 'Sar' ? constant(0n) : t.binary('i64.xor', top, operation === 'Shl' ? cf : bit(t, r, width - 2n));
    t.state.flags = { kind: 'shift', size, r, cf, of };
    t.setRegister(op.rm, size, r);
  };
}

function bit(t: Translator, value: Value, at: bigint): Value {
  t.push(value);
  t.code.i64(at).op('i64.shr_u').i64(1n).op('i64.and');
  return t.take(true);
}

/** In the order of the opcodes' low four bits. */
const CONDITIONS = ['O', 'nO', 'C', 'nC', 'Z', 'nZ', 'Be', 'nBe', 'S', 'nS', 'P', 'nP', 'L', 'nL', 'Le', 'nLe'];

function conditional(name: string): Action | undefined {
  const condition = name.startsWith('J') ? CONDITIONS.indexOf(name.slice(1)) : -1;
  if (condition < 0) return undefined;
  return (t, op) => {
    t.branch(condition, BigInt.asUintN(64, op.immediate), op.next);
  };
}

const loadTo =
  (size: Size): Action =>
  (t, op) => {
    t.setRegister(op.reg, size, t.load(size, t.address(op)));
  };

const storeFrom =
  (size: Size): Action =>
  (t, op) => {
    t.store(size, t.address(op), t.register(op.reg, size), op.next);
  };

const storeImmediate =
  (size: Size): Action =>
  (t, op) => {
    t.store(size, t.address(op), constant(BigInt.asUintN(8 * size, op.immediate)), op.next);
  };

/** inc and dec: CF stays what it was. */
const step =
  (kind: 'inc' | 'dec', size: Size): Action =>
  (t, op) => {
    const a = t.register(op.rm, size);
    const r = narrowed(t, t.add(a, constant(kind === 'inc' ? 1n : -1n)), size);
    const { flags } = t.state;
    const before = flags.kind === 'inc' || flags.kind === 'dec' ? flags.before : flags;
    t.state.flags = { kind, size, a, r, before };
    t.setRegister(op.rm, size, r);
  };

const multiply =
  (size: Size, byImmediate: boolean): Action =>
  (t, op) => {
    const a = byImmediate ? constant(BigInt.asUintN(8 * size, op.immediate)) : t.register(op.reg, size);
    const b = t.register(op.rm, size);
    const r = narrowed(t, t.binary('i64.mul', a, b), size);
    t.state.flags = { kind: 'imul', size, a, b, r };
    t.setRegister(op.reg, size, r);
  };

/** cmov: of 32 bits it clears the upper half whether the condition holds or not. */
const choose =
  (size: Size): Action =>
  (t, op) => {
    const [other, old] = [t.register(op.rm, size), t.register(op.reg, size)];
    t.push(other);
    t.push(old);
    t.flags.condition(t.state.flags, Number(op.immediate & 15n));
    t.code.op('select');
    t.setRegister(op.reg, size, t.take(size === 4));
  };

const signExtendTo =
  (value: (t: Translator, op: Op) => Value): Action =>
  (t, op) => {
    t.push(value(t, op));
    t.code.op('i64.extend32_s');
    t.setRegister(op.reg, 8, t.take());
  };

/** Everything that is not one of a family. */
const ACTIONS: Readonly<Record<string, Action>> = {
  Nop: () => undefined,
  FallThrough: (t, op) => t.goTo(BigInt.asUintN(64, op.immediate)),
  MovRR64: (t, op) => t.setRegister(op.rm, 8, t.register(op.reg, 8)),
  MovRR32: (t, op) => t.setRegister(op.rm, 4, t.register(op.reg, 4)),
  MovRI: (t, op) => t.setRegister(op.rm, 8, constant(op.immediate)),
  Load64: loadTo(8),
  Load32: loadTo(4),
  LoadBased64: loadTo(8),
  LoadBased32: loadTo(4),
  Store64: storeFrom(8),
  Store32: storeFrom(4),
  StoreBased64: storeFrom(8),
  StoreBased32: storeFrom(4),
  Store8: storeFrom(1),
  StoreI64: storeImmediate(8),
  StoreI32: storeImmediate(4),
  Movzx8R: (t, op) => t.setRegister(op.reg, 8, t.register(op.rm, 1)),
  Movzx8M: (t, op) => t.setRegister(op.reg, 8, t.load(1, t.address(op))),
  Movzx16R: (t, op) => t.setRegister(op.reg, 8, t.register(op.rm, 2)),
  Movzx16M: (t, op) => t.setRegister(op.reg, 8, t.load(2, t.address(op))),
  MovsxdR: signExtendTo((t, op) => t.register(op.rm, 4)),
  MovsxdM: signExtendTo((t, op) => t.load(4, t.address(op))),
  Lea64: (t, op) => t.setRegister(op.reg, 8, t.address(op)),
  Lea32: (t, op) => t.setRegister(op.reg, 4, narrowed(t, t.address(op), 4)),
  Inc64: step('inc', 8),
  Inc32: step('inc', 4),
  Dec64: step('dec', 8),
  Dec32: step('dec', 4),
  Neg64: (t, op) => {
    const b = t.register(op.rm, 8);
    const r = t.binary('i64.sub', constant(0n), b);
    t.state.flags = { kind: 'sub', size: 8, a: constant(0n), b, r };
    t.setRegister(op.rm, 8, r);
  },
  Not64: (t, op) => t.setRegister(op.rm, 8, t.binary('i64.xor', t.register(op.rm, 8), constant(-1n))),
  Imul64: multiply(8, false),
  Imul32: multiply(4, false),
  ImulI64: multiply(8, true),
  ImulI32: multiply(4, true),
  Push: (t, op) => t.pushQuad(t.register(op.rm, 8), constant(op.next)),
  PushI: (t, op) => t.pushQuad(constant(op.immediate), constant(op.next)),
  PushM: (t, op) => t.pushQuad(t.load(8, t.address(op)), constant(op.next)),
  Pop: (t, op) => t.setRegister(op.rm, 8, t.popQuad()),
  Pushf: (t, op) => t.pushFlags(op.next),
  Popf: (t) => t.popFlags(),
  Call: (t, op) => {
    const target = BigInt.asUintN(64, op.immediate);
    t.pushQuad(constant(op.next), constant(target));
    t.goTo(target);
  },
  CallR: (t, op) => t.goToValue(t.register(op.rm, 8), op.next),
  CallM: (t, op) => t.goToValue(t.load(8, t.address(op)), op.next),
  Ret: (t) => t.goToValue(t.popQuad()),
  RetI: (t, op) => {
    const target = t.popQuad();
    t.state.registers[RSP] = t.add(t.register(8 * RSP, 8), constant(op.immediate));
    t.goToValue(target);
  },
  Jmp: (t, op) => t.goTo(BigInt.asUintN(64, op.immediate)),
  JmpR: (t, op) => t.goToValue(t.register(op.rm, 8)),
  JmpM: (t, op) => t.goToValue(t.load(8, t.address(op))),
  SetR: (t, op) => {
    t.flags.condition(t.state.flags, Number(op.immediate & 15n));
    t.code.op('i64.extend_i32_u');
    t.setRegister(op.rm, 1, t.take(true));
  },
  Cmov64: choose(8),
  Cmov32: choose(4),
  Leave: (t) => {
    const sp = t.register(8 * RBP, 8);
    const value = t.load(8, sp);
    t.state.registers[RSP] = t.add(sp, constant(8n));
    t.state.registers[RBP] = value;
  },
};
