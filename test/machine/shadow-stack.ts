// The true chain of callers of a traced call: kept by following calls and returns as they execute, without any table.
import type { Machine, TraceStep } from '../../src/machine.ts';
import { decode } from '../../src/x86/decode.ts';

/** One step with the chain at that instruction: where each function stands, the innermost first. */
export interface ShadowStep {
  readonly step: TraceStep;
  readonly chain: readonly bigint[];
}

const quad = (machine: Machine, at: bigint): bigint =>
  new DataView(machine.read(at, 8).slice().buffer).getBigUint64(0, true);

/**
 * Steps through a call. A slot is noted when a call has pushed it, and dropped by the return that pops it; what stands in
 * it now is where its function goes on. Between the call and the store of a retpoline its own slot is no caller.
 */
export function* shadowTrace(machine: Machine, ...call: Parameters<Machine['trace']>): Generator<ShadowStep> {
  const { engine } = machine;
  const slots: bigint[] = [engine.readRegister('rsp')];
  let last: { flow: string; rsp: bigint } | undefined;
  for (const step of machine.trace(...call)) {
    const rsp = engine.readRegister('rsp');
    if (last === undefined) slots.splice(0, 1, rsp);
    else if (rsp < last.rsp && last.flow.endsWith('call')) slots.push(rsp);
    else if (last.flow === 'return') {
      const popped = slots.pop();
      if (popped !== last.rsp) throw new Error(`a return takes ${last.rsp.toString(16)}, not ${popped?.toString(16)}`);
    }
    const [instruction] = decode(machine.read(step.ip, 15), step.ip, 1);
    const flow = step.part === 'gate' ? 'return' : (instruction?.flow ?? 'invalid');
    last = { flow, rsp };
    const inner = slots.map((slot) => quad(machine, slot)).reverse();
    if (step.part === 'routine' && step.location.offset === 0n && isSpin(machine, inner[0])) inner.shift();
    yield { step, chain: [step.ip, ...inner] };
  }
}

/** The loop of a retpoline, which nothing returns to. */
function isSpin(machine: Machine, address = 0n): boolean {
  const bytes = address === 0n ? [] : machine.read(address, 2);
  return bytes[0] === 0xf3 && bytes[1] === 0x90;
}
