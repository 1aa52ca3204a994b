// Routines that the host serves: a guest calls one, its run waits, the host acts and says what is in rax.
import type { Engine, RegisterName } from '../engine/engine.ts';
import type { Task } from '../livepatch/tasks.ts';
import { ARGUMENT_REGISTERS } from './arguments.ts';

/**
 * What a routine does on the host. The guest run is suspended meanwhile, off the engine, so other guest functions may be
 * called: those of the same task run on its stack below the suspended one. Costs no guest instruction. What it throws
 * ends the call and comes out of it.
 *
 * @returns rax, as a signed or unsigned 64-bit value
 */
export type Service = (call: ServiceCall) => bigint;

/**
 * What stands at a routine that is served: a return, which a run of the machine stops before. A breakpoint would not do,
 * as an engine ends a run there before it reports the block.
 */
export const SERVICE_STUB: Uint8Array = Uint8Array.of(0xc3, ...new Array<number>(15).fill(0xcc));

/** A call of a service, as the host sees it. */
export class ServiceCall {
  /** The task that called. */
  readonly task: Task;
  readonly #engine: Engine;
  readonly #register: (name: RegisterName) => bigint;

  /** @param register a register as the caller left it */
  constructor(engine: Engine, task: Task, register: (name: RegisterName) => bigint) {
    this.#engine = engine;
    this.task = task;
    this.#register = register;
  }

  /**
   * An integer argument, unsigned, counted from 0: six in registers, the rest on the stack (System V ABI 3.2.3).
   * @throws {EngineError} EFAULT the stack is not mapped there
   */
  argument(index: number): bigint {
    const register = ARGUMENT_REGISTERS[index];
    if (register !== undefined) return this.#register(register);
    const slot = this.#register('rsp') + 8n * BigInt(index - ARGUMENT_REGISTERS.length + 1);
    return new DataView(this.#engine.read(slot, 8).buffer).getBigUint64(0, true);
  }
}
