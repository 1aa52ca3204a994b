// Machines come and go without the process growing, and too many at once are refused, not fatal.
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('a thousand machines leave no memory behind, and too many open ones are refused with ENOMEM', () => {
  // Compiling in step with the program: how much is compiled by machine 100 then does not depend on the host's load.
  const flags = ['--expose-gc', '--no-concurrent-recompilation', '--import', 'tsx'];
  const output = execFileSync(process.execPath, [...flags, 'test/engine/lifetime.ts'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const seen = JSON.parse(output.trim().split('\n').at(-1) ?? '') as {
    grown: number;
    open: number;
    working: number;
    refusals: string[];
    exitCode?: number;
  };
  expect(seen.grown).toBeLessThan(20 * 1024 * 1024);
  expect(seen.open).toBeGreaterThan(50);
  expect(seen.working).toBe(seen.open);
  expect(seen.refusals).toEqual(['EngineError ENOMEM']);
  expect(seen.exitCode).toBeUndefined();
});
