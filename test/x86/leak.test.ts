// iced-x86 frees nothing on its own: what decoding allocates there must be given back.
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { decodeOne, disassemble, instructionLengths } from '../../src/x86/decode.ts';
import { factsOf } from '../../src/x86/operands.ts';

const { __wasm: iced } = createRequire(import.meta.url)('iced-x86') as { __wasm: { memory: WebAssembly.Memory } };

test('a hundred thousand decoded instructions leave the decoder’s memory as large as ten thousand did', () => {
  const code = Uint8Array.from(Buffer.from('488b05000100000f84fdc7fffff3480fb8c062f17c4810050001000006e202', 'hex'));
  const decode = (times: number): void => {
    for (let i = 0; i < times; i++) {
      factsOf(code, 0x1000n, { bitness: 64 });
      instructionLengths(code, 0x1000n);
      disassemble(code.subarray(0, 7), 0x1000n, { bitness: 64 });
      decodeOne(code, 0x1000n);
    }
  };
  decode(1000);
  const before = iced.memory.buffer.byteLength;
  decode(10_000);
  expect(iced.memory.buffer.byteLength).toBe(before);
});
