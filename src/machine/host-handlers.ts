// Handlers of ftrace that are host functions: what they are told of a call, and how guest code reaches them.
import type { Engine } from '../engine/engine.ts';
import { EngineError } from '../errors.ts';
import type { CodeArena } from '../ftrace/code-arena.ts';
import { readU64, writeU64 } from '../ftrace/guest/memory.ts';
import { PT_REGS } from '../ftrace/pt-regs.ts';
import type { ServeOptions } from '../ftrace/tracers.ts';
import type { Runner } from './runner.ts';
import { SERVICE_STUB, type ServiceCall } from './services.ts';

/** A register by its name in struct pt_regs. */
export type SavedRegister = keyof typeof PT_REGS;

/** The registers that ftrace_caller saves; the others take SAVE_REGS (F20, F24). */
const ARGS_ONLY: readonly SavedRegister[] = [
  'rax',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'rbp',
  'ip',
  'sp',
  'origRax',
];

/** A call of a host handler: the guest waits in it, so any call of the machine from here is EBUSY. */
export class HandlerCall {
  readonly #engine: Engine;
  readonly #call: ServiceCall;
  readonly #mayChangeIp: boolean;

  constructor(engine: Engine, call: ServiceCall, mayChangeIp: boolean) {
    this.#engine = engine;
    this.#call = call;
    this.#mayChangeIp = mayChangeIp;
  }

  /** Name of the task that called. */
  get task(): string {
    return this.#call.task.name;
  }

  /**
   * An argument as the guest passed it, counted from 0. ops: site, parent, ops, regs. graph: the entry. kprobe: the
   * probe, regs.
   */
  argument(index: number): bigint {
    return this.#call.argument(index);
  }

  /**
   * A register of the traced call, from the pt_regs that ops and kprobes are given.
   * @param regs the argument that points to them: 3 for ops, 1 for a kprobe
   * @throws {EngineError} EINVAL the trampoline did not save it (F20)
   */
  register(name: SavedRegister, regs = 3): bigint {
    const at = this.argument(regs);
    const partial = readU64(this.#engine, at + BigInt(PT_REGS.cs)) === 0n;
    if (partial && !ARGS_ONLY.includes(name)) {
      throw new EngineError('EINVAL', `'${name}' is saved for ops with SAVE_REGS only`, { operation: 'handler' });
    }
    return readU64(this.#engine, at + BigInt(PT_REGS[name]));
  }

  /**
   * Sends the call elsewhere (F22).
   * @param regs as in `register`
   * @throws {EngineError} EPERM the ops has no IPMODIFY (F40)
   */
  setIp(ip: bigint, regs = 3): void {
    if (!this.#mayChangeIp) {
      throw new EngineError('EPERM', 'an ops without IPMODIFY leaves ip alone', { operation: 'handler' });
    }
    writeU64(this.#engine, this.argument(regs) + BigInt(PT_REGS.ip), ip);
  }
}

/**
 * A host function as a handler. What it returns is eax, where the kernel's function has a result: of a graph's entry 0
 * leaves the return alone (1 by default), of a pre_handler what is not 0 keeps the ip that was set (0 by default).
 * What it throws ends the call and comes out of it.
 */
export type HostHandler = ((call: HandlerCall) => number) | ((call: HandlerCall) => void);

/** How tracers get addresses for host functions. */
export function serveHandler(
  engine: Engine,
  runner: Runner,
  arena: CodeArena,
): {
  serve(func: HostHandler, options: ServeOptions): bigint;
  serveAgain(address: bigint, func: HostHandler, options: ServeOptions): void;
  unserve(address: bigint): void;
} {
  const serveAgain = (address: bigint, func: HostHandler, { mayChangeIp, otherwise }: ServeOptions): void => {
    const service = (call: ServiceCall): bigint => {
      const result = func(new HandlerCall(engine, call, mayChangeIp));
      return BigInt(typeof result === 'number' ? result : otherwise);
    };
    runner.serve(address, service, true);
  };
  return {
    serve: (func, options) => {
      const address = arena.allocate(SERVICE_STUB.length);
      engine.write(address, SERVICE_STUB);
      serveAgain(address, func, options);
      return address;
    },
    serveAgain,
    unserve: (address) => {
      runner.unserve(address);
      arena.free(address, SERVICE_STUB.length);
    },
  };
}
