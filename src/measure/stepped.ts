// The same counts from single steps: accesses by what each instruction does, not by what the engine reports.
import { hex, pageCeil, wrap } from '../address.ts';
import { type Engine, type Exit, GENERAL_REGISTERS } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import { decodeOne, type Instruction } from '../x86/decode.ts';
import { factsAt, type MemoryOperand } from '../x86/operands.ts';
import { Counter, type Counts } from './counts.ts';
import { enter, RETURN, type Subject } from './subject.ts';

const MOST_STEPS = 1_000_000;
const MAX_LENGTH = 15;

/**
 * Counts one call by executing it an instruction at a time. With `countCall` on another engine this is a second opinion:
 * instructions and order by steps, accesses by the decoder's tables.
 *
 * @throws {EngineError} as `callOnce`
 */
export function countBySteps(subject: Subject): Counts {
  const { engine, entry, traps, gate } = subject;
  enter(subject);
  engine.writeRegister('rip', entry);
  const counter = new Counter(engine);
  let repeating: bigint | undefined;
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    const ip = engine.readRegister('rip');
    if (ip === RETURN) return counter.finish();
    if (ip !== gate) {
      repeating = observe(subject, counter, ip, repeating) ? ip : undefined;
    }
    const target = traps?.get(ip);
    if (target !== undefined) {
      engine.writeRegister('rip', target);
      continue;
    }
    const exit = engine.step();
    if (exit.reason !== 'stopped' && exit.reason !== 'until' && exit.reason !== 'budget') throw stopped(exit);
  }
  throw new EngineError('ETIMEDOUT', 'the call does not return', { operation: 'measure' });
}

/** Counts what is about to run; true where it repeats. @param repeating the instruction that ran last, if it repeats */
function observe({ engine }: Subject, counter: Counter, ip: bigint, repeating: bigint | undefined): boolean {
  const bytes = codeAt(engine, ip);
  const instruction = decodeOne(bytes, ip);
  // a further iteration is no further instruction
  if (ip !== repeating) counter.execute(instruction);
  if (instruction.isRep && repeatsNever(engine, instruction)) return true;
  const facts = factsAt(bytes, ip, { bitness: 64 });
  if (facts.readsMemory) counter.load();
  if (facts.writesMemory) counter.store(storeAddress(engine, instruction, facts.memory));
  return instruction.isRep;
}

/** A REP of a count of zero accesses nothing. */
function repeatsNever(engine: Engine, { bytes }: Instruction): boolean {
  const bits = bytes.includes(0x67) ? 32 : 64;
  return BigInt.asUintN(bits, engine.readRegister('rcx')) === 0n;
}

/** Where the instruction is about to store: below rsp where it pushes, else at its memory operand. */
function storeAddress(engine: Engine, { flow, mnemonic }: Instruction, operand: MemoryOperand | undefined): bigint {
  if (flow === 'call' || flow === 'indirect-call' || mnemonic.startsWith('push')) {
    return engine.readRegister('rsp') - 8n;
  }
  if (operand === undefined) return engine.readRegister('rdi');
  if (operand.address !== undefined) return operand.address;
  return wrap(
    registerOf(engine, operand.base) + registerOf(engine, operand.index) * BigInt(operand.scale) + operand.displacement,
  );
}

function registerOf(engine: Engine, name: string): bigint {
  const wanted = name.toLowerCase();
  const known = GENERAL_REGISTERS.find((register) => register === wanted);
  return known === undefined ? 0n : engine.readRegister(known);
}

/** Up to 15 bytes from `ip`, fewer where the next page is not mapped. */
function codeAt(engine: Engine, ip: bigint): Uint8Array {
  try {
    return engine.read(ip, MAX_LENGTH);
  } catch {
    return engine.read(ip, Number(pageCeil(ip + 1n) - ip));
  }
}

function stopped({ reason, rip, fault, why }: Exit): EngineError {
  return new EngineError('EIO', `a step ended at ${hex(rip)}: ${why ?? fault?.kind ?? reason}`, {
    operation: 'measure',
    rip,
  });
}
