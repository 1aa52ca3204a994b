// Machines come and go without the process growing, and too many at once are refused, not fatal.
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('a thousand machines leave no memory behind, and too many open ones are refused with ENOMEM', () => {
  const output = execFileSync(process.execPath, ['--expose-gc', '--import', 'tsx', 'test/engine/lifetime.ts'], {
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
