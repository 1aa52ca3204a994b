// The engine over unicorn.js (Unicorn 1.0.3, shipped by @specy/x86): runs everywhere, in Node and in browsers.
import type { Engine } from './engine.ts';
import type { ExecutionTable } from './judge.ts';
import { loadLibrary, UnicornCpu } from './unicorn-cpu.ts';
import { UnicornEngine } from './unicorn-engine.ts';
import { UNICORN_1_0_3 } from './unicorn-table.ts';

/**
 * Makes a CPU on unicorn.js. All of them live in the one heap of the library, 15 MB each, and share nothing else.
 *
 * @param table what it executes rightly; another one is for measuring that
 * @throws {EngineError} ENOMEM the heap holds no further CPU (66 at once)
 */
export async function createUnicorn(table: ExecutionTable = UNICORN_1_0_3): Promise<Engine> {
  const cpu = new UnicornCpu(await loadLibrary());
  try {
    spendFirstRun(cpu);
    cpu.syncRip();
    return new UnicornEngine('unicorn', cpu, table);
  } catch (error) {
    cpu.close();
    throw error;
  }
}

/** The first run of a CPU reports its first block once, all later ones twice; after this, only the latter occurs. */
function spendFirstRun(cpu: UnicornCpu): void {
  const page = 0x1000n;
  cpu.map(page, page, 'rx');
  cpu.write(page, Uint8Array.of(0x90));
  cpu.start(page, page + 1n);
  cpu.unmap(page, page);
  cpu.writeRegister('rip', 0n);
}
