// The engine over the system's libunicorn 2.x; only in Node, and only where koffi and the library are installed.
import type { Engine } from './engine.ts';
import type { ExecutionTable } from './judge.ts';
import { loadLibUnicorn } from './libunicorn.ts';
import { UnicornEngine } from './unicorn-engine.ts';
import { UnicornNativeCpu } from './unicorn-native-cpu.ts';
import { unicornNativeTable } from './unicorn-native-table.ts';

/**
 * Makes a CPU on libunicorn.
 *
 * @param table what it executes rightly; another one is for measuring that
 * @throws {EngineError} ENODEV koffi or libunicorn 2 is not installed (the message says what to install)
 * · ENOMEM no memory for another one
 */
export async function createUnicornNative(table?: ExecutionTable): Promise<Engine> {
  const library = await loadLibUnicorn();
  const cpu = new UnicornNativeCpu(library);
  try {
    cpu.syncRip();
    return new UnicornEngine('unicorn-native', cpu, table ?? unicornNativeTable(library.version));
  } catch (error) {
    cpu.close();
    throw error;
  }
}
