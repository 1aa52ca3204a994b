import { configDefaults, defineConfig } from 'vitest/config';
import { JIT_FREE } from './test/support/jit-free-files.ts';

const ci = process.env.CI !== undefined;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(process.env.TRAMP64_JIT === undefined ? [] : JIT_FREE)],
    setupFiles: ['test/support/jit-free.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // unicorn.js prints these whenever a CPU is made and its heap grows
    onConsoleLog: (log) => !/unsupported syscall|Enlarging memory arrays/.test(log),
    reporters: ci ? ['default', 'json'] : ['default'],
    // .ci/run reads the counts from here
    ...(ci ? { outputFile: { json: 'build/test-results.json' } } : {}),
  },
});
