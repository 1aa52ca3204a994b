// The step `inject` in scenarios: the failure that was asked for, where it was asked for.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FAULT_POINT_NAMES } from '../../src/faults.ts';
import { holds, loadLines, patch, runSteps, runs } from './livepatch-world.ts';

const TWO = { patches: [patch('fix_a', ['checksum']), patch('fix_b', ['checksum', 'fibonacci'])] };

describe('a failure that a step asks for', () => {
  test('undoes the whole patch, and enabling it again succeeds (L20, L31, L33)', () =>
    holds(
      [
        { enable: 'fix_a' },
        { log: loadLines('fix_a') },
        { inject: 'register', errno: 'ENOMEM' },
        { enable: 'fix_b', fails: 'ENOMEM', note: 'checksum is pushed without registering, fibonacci is not (L30)' },
        { stack: 'checksum', is: ['fix_a'] },
        { stack: 'fibonacci', is: [] },
        { site: 'fibonacci', calls: 'nop' },
        { patches: [{ name: 'fix_a', enabled: true }] },
        { sysfs: 'fix_b', exists: false },
        runs('checksum', 'fix_a:livepatch_checksum'),
        { enable: 'fix_b' },
        runs('checksum', 'fix_b:livepatch_checksum'),
      ],
      TWO,
    ));

  test('comes at the call that was counted from the step on', () =>
    holds(
      [
        { inject: 'ops-allocation', nth: 3 },
        { enable: 'fix_a' },
        { enable: 'fix_b', fails: 'ENOMEM' },
        { stack: 'checksum', is: ['fix_a'] },
      ],
      TWO,
    ));

  test('breaks the step that did not expect it', async () => {
    const [, enable] = await runSteps([{ inject: 'symbol' }, { enable: 'fix_a' }], TWO);
    expect(enable?.verdict).toBe('broken');
    expect(enable?.message).toContain("symbol 'checksum' not found in symbol table");
  });
});

test('the schema lists the fallible calls that there are', () => {
  const schema = readFileSync(new URL('../../docs/scenario.schema.json', import.meta.url), 'utf8');
  const [, list] = /"inject": \{\s*"enum": (\[[^\]]*\])/.exec(schema) ?? [];
  expect(JSON.parse(list ?? '[]')).toEqual(FAULT_POINT_NAMES);
});
