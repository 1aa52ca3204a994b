// Makes an engine by its name.
import { EngineError } from '../errors.ts';
import type { Instance } from '../wasm/instance.ts';
import type { Engine, EngineName } from './engine.ts';
import type { JitMode } from './jit/jit.ts';
import { createUnicorn } from './unicorn.ts';
import { createUnicornNative } from './unicorn-native.ts';
import { createWasm } from './wasm.ts';

/**
 * Makes a CPU. `unicorn` and `wasm` run everywhere; `unicorn-native` wants Node, the npm package koffi and the system's
 * libunicorn 2, found by name or at TRAMP64_LIBUNICORN.
 *
 * @param instance for `wasm`: the instance of a core whose memory it shares, after all of the core's room is reserved
 * @param jit for `wasm`: when hot code is compiled
 * @throws {EngineError} ENODEV the engine is not present on this host (the message says what to install), or there is
 * none of this name · ENOMEM no memory for another one
 */
export async function createEngine(name: EngineName, instance?: Instance, jit?: JitMode): Promise<Engine> {
  if (name === 'unicorn') return createUnicorn();
  if (name === 'unicorn-native') return createUnicornNative();
  if (name === 'wasm') return createWasm(instance, jit);
  throw new EngineError('ENODEV', `no engine '${String(name)}'; use 'unicorn', 'unicorn-native' or 'wasm'`, {
    operation: 'create engine',
  });
}
