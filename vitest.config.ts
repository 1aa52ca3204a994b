import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // unicorn.js, loaded from its package here, prints diagnostics at each machine.
    silent: 'passed-only',
  },
});
