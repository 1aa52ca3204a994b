// The engine suite on the CPU in WebAssembly.
import { expect, test } from 'vitest';
import { createWasm, WasmEngine } from '../../src/engine/wasm.ts';
import { EngineError } from '../../src/errors.ts';
import { Instance } from '../../src/wasm/instance.ts';
import { catchError } from '../support/catch-error.ts';
import { conformance } from './conformance.ts';

conformance('wasm', () => createWasm());

test('pages that end beyond what 32 bits address are ENOMEM, and none of them is mapped', async () => {
  const instance = await Instance.create();
  // 1 GiB is taken, and 3.4 GB are asked for: the sum is a small number again in 32 bits
  const cpu = WasmEngine.over(instance, false, 1 << 30);
  const before = instance.exports.framesInUse();
  expect(catchError(EngineError, () => cpu.map(0n, 850_000n * 4096n, 'rw')).code).toBe('ENOMEM');
  expect([instance.exports.framesInUse(), instance.exports.isMapped(0n)]).toEqual([before, 0]);
  cpu.map(0n, 4096n, 'rw');
  cpu.dispose();
});
