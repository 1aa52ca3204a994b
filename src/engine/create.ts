// Makes an engine by its name.
import { EngineError } from '../errors.ts';
import type { Engine, EngineName } from './engine.ts';
import { createUnicorn } from './unicorn.ts';
import { createWasm } from './wasm.ts';

/**
 * Makes a CPU.
 *
 * @throws {EngineError} ENODEV the engine is not present on this host · ENOMEM no memory for another one
 */
export async function createEngine(name: EngineName): Promise<Engine> {
  if (name === 'unicorn') return createUnicorn();
  if (name === 'wasm') return createWasm();
  throw new EngineError('ENODEV', `engine '${name}' is not present; use 'unicorn' or 'wasm'`, { operation: 'create engine' });
}
