// The engine suite on the system's Unicorn, and what its absence looks like.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createUnicornNative } from '../../src/engine/unicorn-native.ts';
import { missingUnicorn } from '../support/native-unicorn.ts';
import { conformance } from './conformance.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

if (missingUnicorn === undefined) conformance('unicorn-native', () => createUnicornNative());
else test.skip(`engine unicorn-native (skipped: ${missingUnicorn})`, () => undefined);

describe('a host without what the native engine needs', () => {
  /** What creating the engine says in a process of its own. */
  function said(env: Record<string, string>, before = ''): string {
    const script = `${before}
      import { createEngine } from './src/engine/create.ts';
      const wasm = await createEngine('wasm');
      wasm.dispose();
      const said = await createEngine('unicorn-native').then(() => 'made', (e) => e.name + ': ' + e.message);
      console.log('said ' + said);`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    return /^said (.*)$/m.exec(stdout)?.[1] ?? `nothing; ${stderr}`;
  }

  test('is told which library to install, and the other engines work', () => {
    expect(said({ TRAMP64_LIBUNICORN: '/none/libunicorn.so' })).toMatch(
      /^EngineError: create engine: engine 'unicorn-native': libunicorn 2 is not at TRAMP64_LIBUNICORN='\/none\/libunicorn.so'; install it \(Debian: apt-get install libunicorn2\).*\(ENODEV\)$/,
    );
  });

  test('is told of a library that is another one', () => {
    expect(said({ TRAMP64_LIBUNICORN: 'libc.so.6' })).toMatch(/'libc.so.6' is no libunicorn.*\(ENODEV\)$/);
  });

  test('is told to install koffi', () => {
    const hide = `import { register } from 'node:module';
      register('data:text/javascript,' + encodeURIComponent(
        'export const resolve = (name, context, next) => {' +
        '  if (name === "koffi") throw new Error("hidden"); return next(name, context); }'));`;
    expect(said({}, hide)).toMatch(/the npm package koffi is not installed; npm install koffi \(ENODEV\)$/);
  });
});

describe.skipIf(missingUnicorn !== undefined)('native Unicorn', () => {
  test('comes and goes three hundred times', async () => {
    for (let i = 0; i < 300; i++) {
      const engine = await createUnicornNative();
      engine.map(0x1000n, 0x1000n, 'rx');
      engine.write(0x1000n, Uint8Array.of(0x48, 0xff, 0xc0));
      engine.setGate(0x1800n, () => undefined);
      expect(engine.run({ from: 0x1000n, until: 0x1003n, budget: 9, onMemory: () => undefined }).reason).toBe('until');
      engine.dispose();
    }
  });

  test('a function that is patched a thousand times over is never run in an old version', async () => {
    const engine = await createUnicornNative();
    engine.map(0x1000n, 0x1000n, 'rx');
    for (let i = 0; i < 1000; i++) {
      // mov eax, imm32, in the middle of a block that has been translated
      engine.write(0x1001n, Uint8Array.of(0xb8, i & 0xff, i >> 8, 0, 0, 0x90));
      if (i === 0) engine.write(0x1000n, Uint8Array.of(0x90));
      engine.run({ from: 0x1000n, until: 0x1007n, budget: 9 });
      expect(engine.readRegister('rax')).toBe(BigInt(i));
    }
    engine.dispose();
  });
});
